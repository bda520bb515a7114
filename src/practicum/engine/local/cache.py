"""The sampler's key/value cache: lanes of rows that continue one shared prefix.

Sessions whose tokens are the same share a row until they part: rollouts of one task often sample the same calls.

Keys are kept transposed, (rows, K, D, length), so that a decode step multiplies without copying them. Rows are
kept dense: a released row is overwritten by the last one. Everything is float32 (see ``attention``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """What a cache needs to know of a model."""

    layers: int
    kv_heads: int
    head_size: int
    device: torch.device


class Lane:
    """Cached prefix of P tokens and R rows continuing it."""

    def __init__(self, shape: Shape, prefix: Sequence[int]) -> None:
        self.shape = shape
        self.prefix = tuple(prefix)
        self.prefix_keys: list[Tensor] = []
        self.prefix_values: list[Tensor] = []
        self.rows: list[list[int]] = []
        """Tokens cached after the prefix, per row."""
        self.sessions: list[list[str]] = []
        """Who shares each row."""
        self._clear()

    def add_row(self, sessions: Sequence[str]) -> int:
        """Open an empty row for these sessions; returns its number."""
        self.rows.append([])
        self.sessions.append(list(sessions))
        return len(self.rows) - 1

    def leave(self, row: int, session: str) -> list[str]:
        """Take a session from its row. A row that nobody shares any more is closed, and the last row takes its number.

        Returns:
            The sessions whose row has another number now: it is ``row``.
        """
        self.sessions[row].remove(session)
        if self.sessions[row]:
            return []
        last = len(self.rows) - 1
        if row != last:
            self._copy(last, row, len(self.rows[last]))
            self.rows[row], self.sessions[row] = self.rows[last], self.sessions[last]
        self.rows.pop()
        moved = self.sessions.pop()
        if not self.rows:
            self._clear()  # a gradient step has better use for the memory
        return moved if row != last else []

    def fork(self, row: int, sessions: Sequence[str]) -> int:
        """Give some of a row's sessions a row of their own that holds the same; returns its number."""
        for session in sessions:
            self.sessions[row].remove(session)
        self.rows.append(list(self.rows[row]))
        self.sessions.append(list(sessions))
        self.reserve(len(self.rows[row]))
        self._copy(row, len(self.rows) - 1, len(self.rows[row]))
        return len(self.rows) - 1

    def _clear(self) -> None:
        """Let go of the rows' memory."""
        self._keys = [self._empty(0, self.shape.head_size, 0) for _ in range(self.shape.layers)]
        self._values = [self._empty(0, 0, self.shape.head_size) for _ in range(self.shape.layers)]
        self._capacity = (0, 0)

    def _copy(self, row: int, target: int, length: int) -> None:
        """Copy what a row has cached."""
        for keys, values in zip(self._keys, self._values, strict=True) if length else ():
            keys[target, :, :, :length] = keys[row, :, :, :length]
            values[target, :, :length] = values[row, :, :length]

    def reserve(self, length: int) -> None:
        """Make room for all rows at ``length`` tokens."""
        rows_now, length_now = self._capacity
        if len(self.rows) <= rows_now and length <= length_now:
            return
        rows = max(rows_now, _round_up(len(self.rows), 16))
        length = max(length_now, _round_up(length, 64))
        for layer in range(self.shape.layers):
            keys = self._empty(rows, self.shape.head_size, length)
            values = self._empty(rows, length, self.shape.head_size)
            keys[:rows_now, :, :, :length_now] = self._keys[layer]
            values[:rows_now, :, :length_now] = self._values[layer]
            self._keys[layer], self._values[layer] = keys, values
        self._capacity = (rows, length)

    def keys(self, layer: int) -> Tensor:
        """(rows, K, D, length)"""
        return self._keys[layer]

    def values(self, layer: int) -> Tensor:
        """(rows, K, length, D)"""
        return self._values[layer]

    def _empty(self, rows: int, *tail: int) -> Tensor:
        return torch.zeros(rows, self.shape.kv_heads, *tail, device=self.shape.device)


def _round_up(n: int, step: int) -> int:
    return -(-n // step) * step


class PrefixLayout:
    """First pass over a lane's prefix: causal attention; keys and values are kept."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.longest = len(lane.prefix)

    def attend(self, layer: int, q_HTD: Tensor, k_KTD: Tensor, v_KTD: Tensor, scale: float) -> Tensor:
        """See ``attention.AttentionLayout``; layers must come in order."""
        assert layer == len(self.lane.prefix_keys)
        q, k, v = q_HTD.float(), k_KTD.float(), v_KTD.float()
        self.lane.prefix_keys.append(k.transpose(1, 2).contiguous())
        self.lane.prefix_values.append(v.contiguous())
        repeat = q.shape[0] // k.shape[0]
        k, v = (x.repeat_interleave(repeat, 0)[None] for x in (k, v))
        out = torch.nn.functional.scaled_dot_product_attention(q[None], k, v, is_causal=True, scale=scale)
        return out[0].transpose(0, 1).to(q_HTD.dtype)


class RowsLayout:
    """New tokens of some rows: they see the prefix, their row's cache and, causally, each other.

    Args:
        lane: The rows' lane, with room reserved.
        rows: Row numbers, ascending.
        counts: New tokens per row; the flat batch holds them row after row.
    """

    def __init__(self, lane: Lane, rows: list[int], counts: list[int]) -> None:
        device = lane.shape.device
        self.lane = lane
        self.n_rows, self.width = len(rows), max(counts)
        start_R = torch.tensor([len(lane.rows[row]) for row in rows], device=device)
        count_R = torch.tensor(counts, device=device)
        self.length = int((start_R + count_R).max())
        self.longest = len(lane.prefix) + self.length
        self._select: slice | Tensor = slice(0, len(rows))
        if rows != list(range(len(rows))):
            self._select = torch.tensor(rows, device=device)
        self._row_T = torch.tensor(rows, device=device).repeat_interleave(count_R)
        local_T = torch.arange(len(rows), device=device).repeat_interleave(count_R)
        offset_T = torch.arange(int(count_R.sum()), device=device) - (count_R.cumsum(0) - count_R)[local_T]
        self._place_T = start_R[local_T] + offset_T
        self._grid_T = local_T * self.width + offset_T
        self.positions = len(lane.prefix) + self._place_T
        self.last_R = count_R.cumsum(0) - 1
        """Flat index of each row's last new token."""
        limit_RL = start_R[:, None] + torch.arange(self.width, device=device)
        hidden_RLM = torch.arange(self.length, device=device) > limit_RL[:, :, None]
        self._mask = torch.zeros(hidden_RLM.shape, device=device).masked_fill_(hidden_RLM, float("-inf"))[:, None, None]

    def attend(self, layer: int, q_HTD: Tensor, k_KTD: Tensor, v_KTD: Tensor, scale: float) -> Tensor:
        """See ``attention.AttentionLayout``."""
        lane, (heads, _, size), kv_heads = self.lane, q_HTD.shape, k_KTD.shape[0]
        n, width, group = self.n_rows, self.width, heads // kv_heads
        keys, values = lane.keys(layer), lane.values(layer)
        keys[self._row_T, :, :, self._place_T] = k_KTD.transpose(0, 1).float()
        values[self._row_T, :, self._place_T] = v_KTD.transpose(0, 1).float()
        keys_RKDM = keys[self._select][..., : self.length]
        values_RKMD = values[self._select][:, :, : self.length]

        q_THD = q_HTD.transpose(0, 1).float() * scale
        if width > 1:
            grid = q_THD.new_zeros(n * width, heads, size)
            grid[self._grid_T] = q_THD
            q_THD = grid
        q_RKGLD = q_THD.view(n, width, kv_heads, group, size).permute(0, 2, 3, 1, 4)
        own = q_RKGLD.reshape(n, kv_heads, group * width, size) @ keys_RKDM
        scores = own.view(n, kv_heads, group, width, self.length) + self._mask
        n_prefix = len(lane.prefix)
        if n_prefix:
            q_all = q_RKGLD.transpose(0, 1).reshape(kv_heads, n * group * width, size)
            shared = (q_all @ lane.prefix_keys[layer]).view(kv_heads, n, group, width, n_prefix).transpose(0, 1)
            scores = torch.cat([shared, scores], dim=-1)
        weights = torch.softmax(scores, dim=-1)
        out = weights[..., n_prefix:].reshape(n, kv_heads, group * width, self.length) @ values_RKMD
        out = out.view(n, kv_heads, group, width, size)
        if n_prefix:
            w_all = weights[..., :n_prefix].transpose(0, 1).reshape(kv_heads, n * group * width, n_prefix)
            shared_out = (w_all @ lane.prefix_values[layer]).view(kv_heads, n, group, width, size)
            out = out + shared_out.transpose(0, 1)
        out_THD = out.permute(0, 3, 1, 2, 4).reshape(n * width, heads, size)
        if width > 1:
            out_THD = out_THD[self._grid_T]
        return out_THD.to(q_HTD.dtype)
