"""Attention over one shared prefix and many continuations, for any Transformers model.

Rollouts of one environment begin with the same tokens (system prompt, tools, often the task). Both the sampler
and the learner therefore see a batch as *one prefix of P tokens* and *R rows* that continue it, and compute the
prefix once. Every layer but attention works token by token, so the batch travels through the model as one flat
sequence; only this module knows which token may look at which.

Registered with Transformers under the name ``practicum``; the layout reaches the layers as a keyword argument of
the model's forward call. The sampler's scores are float32, the learner's are in the model's number format: with
bfloat16 weights float32 scores made a step a tenth slower and brought the two's log-probabilities no nearer (mean
difference 0.039 nats against 0.037 on SmolLM2), because the linear layers' rounding decides them.

Shapes: H query heads, K key/value heads, G = H // K, D head size, T flat tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface

from practicum.errors import ModelError

NAME = "practicum"
ALTERING = ("softcap", "s_aux")
"""Arguments with which a model family changes the softmax itself (Gemma 2's soft cap, GPT-OSS's sinks)."""
SCORES_AT_ONCE = 2**20
"""Scores of one head that are kept for the backward pass; a grid with more is computed in blocks, twice."""
FILLED, SHORT = 0.75, 8
"""A row joins a grid of longer ones if it fills this part of their length, but for so many tokens."""


class AttentionLayout(Protocol):
    """Which flat token attends to which."""

    @property
    def longest(self) -> int:
        """Length of the longest sequence (prefix and row), for models with sliding windows."""
        ...

    def attend(self, layer: int, q_HTD: Tensor, k_KTD: Tensor, v_KTD: Tensor, scale: float) -> Tensor:
        """Attention output, shape (T, H, D), in the dtype of ``q``."""
        ...


@dataclass(frozen=True)
class Grid:
    """Rows of similar length, padded to the longest of them.

    Attributes:
        gather_RL: Flat index of row r's token l; positions after a row's end point at the row's last token.
        scatter_T: For each token of these rows, row after row, its place in the flattened (R, L) grid.
        rows: How many rows are computed at one time.
        queries: How many tokens of each.
    """

    gather_RL: Tensor
    scatter_T: Tensor
    rows: int
    queries: int
    hidden_RLM: Tensor | None = None
    """Which of a row's tokens (M) a token (L) does not see, where rows are trees; None: those after it."""

    @property
    def whole(self) -> bool:
        """Whether all of it is computed at one time."""
        rows, longest = self.gather_RL.shape
        return self.rows >= rows and self.queries >= longest


@dataclass(frozen=True)
class PackedRows:
    """A learner's batch: the prefix's P tokens, then the tokens of R rows one after another.

    A row is a sequence, or a tree of sequences whose tokens stand after those that they follow.
    Rows are computed in grids of similar length, so that little is padding. Scores too large to be kept for the
    backward pass are computed in blocks, and again there.

    Attributes:
        prefix: P.
        grids: Every row is in one of them.
        order_T: Place of each flat token after the prefix among those of all grids; None where they agree.
        longest: Tokens of the prefix and the longest row.
    """

    prefix: int
    grids: tuple[Grid, ...]
    order_T: Tensor | None
    longest: int

    @classmethod
    def build(
        cls, prefix: int, lengths: list[int], device: torch.device, ancestry: Sequence[Tensor | None] = ()
    ) -> "PackedRows":
        """The layout of a prefix and rows of these lengths.

        Args:
            prefix, lengths: P, and the tokens of each row.
            device: Where it is computed.
            ancestry: For rows that are trees, which token (row) follows which (column), itself included; bool (L, L).
        """
        starts = [prefix + sum(lengths[:row]) for row in range(len(lengths))]
        together = _similar(lengths)
        grids, places = list[Grid](), list[Tensor]()
        for rows in together:
            length_R = torch.tensor([lengths[row] for row in rows], device=device)
            start_R = torch.tensor([starts[row] for row in rows], device=device)
            longest = int(length_R.max())
            step_L = torch.arange(longest, device=device)
            gather_RL = start_R[:, None] + torch.minimum(step_L, length_R[:, None] - 1)
            inside_RL = step_L < length_R[:, None]
            queries = max(SCORES_AT_ONCE // (prefix + longest), 1)
            hidden_RLM = _hidden([ancestry[row] for row in rows], longest, device) if ancestry else None
            inside = inside_RL.flatten().nonzero().squeeze(1)
            grids.append(Grid(gather_RL, inside, max(queries // longest, 1), queries, hidden_RLM))
            places.append(gather_RL[inside_RL])
        order_T = None if len(grids) == 1 else torch.argsort(torch.cat(places))
        return cls(prefix, tuple(grids), order_T, prefix + max(lengths))

    @property
    def padding(self) -> float:
        """Share of the grids that is padding."""
        cells = sum(grid.gather_RL.numel() for grid in self.grids)
        return 1 - sum(len(grid.scatter_T) for grid in self.grids) / cells

    def attend(self, layer: int, q_HTD: Tensor, k_KTD: Tensor, v_KTD: Tensor, scale: float) -> Tensor:
        """See ``AttentionLayout``. Written out rather than called as one library kernel: queries of all rows meet the
        prefix in a single matrix product, and no key is copied per row or per query head (three times faster
        forward and backward on CPU than ``scaled_dot_product_attention`` with a mask)."""
        del layer
        n_prefix, prefix = self.prefix, (k_KTD[:, : self.prefix], v_KTD[:, : self.prefix])
        heads, _, size = q_HTD.shape
        outputs = []
        for grid in self.grids:
            (rows, longest), flat = grid.gather_RL.shape, grid.gather_RL.flatten()
            kv_heads = k_KTD.shape[0]
            q = (q_HTD[:, flat] * scale).view(kv_heads, heads // kv_heads, rows, longest, size).transpose(1, 2)
            k, v = (x[:, flat].view(kv_heads, rows, longest, size) for x in (k_KTD, v_KTD))
            out_KRGLD = _in_blocks(grid, q, k, v, *prefix)
            out_THD = out_KRGLD.permute(1, 3, 0, 2, 4).reshape(rows * longest, heads, size)[grid.scatter_T]
            outputs.append(out_THD)
        rows_THD = torch.cat(outputs) if len(outputs) > 1 else outputs[0]
        if self.order_T is not None:
            rows_THD = rows_THD[self.order_T]
        if not n_prefix:
            return rows_THD
        prefix_THD = _causal(q_HTD[:, :n_prefix], *prefix, scale)
        return torch.cat([prefix_THD, rows_THD])


def _similar(lengths: list[int]) -> list[list[int]]:
    """Rows by length: a shorter one joins the longer ones while it fills most of their grid."""
    together = list[list[int]]()
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if together and lengths[row] >= FILLED * lengths[together[-1][0]] - SHORT:
            together[-1].append(row)
        else:
            together.append([row])
    return [sorted(rows) for rows in together]


def _hidden(ancestry: Sequence[Tensor | None], longest: int, device: torch.device) -> Tensor | None:
    """What the tokens of a grid's rows do not see, (R, L, L); None where no row is a tree. Padding sees itself."""
    if all(tree is None for tree in ancestry):
        return None
    follows = torch.eye(longest, dtype=torch.bool).repeat(len(ancestry), 1, 1)
    for row, tree in enumerate(ancestry):
        if tree is None:
            follows[row] = torch.ones(longest, longest, dtype=torch.bool).tril()
        else:
            follows[row, : len(tree), : len(tree)] = tree
    return ~follows.to(device)


def _in_blocks(grid: Grid, q: Tensor, k: Tensor, v: Tensor, k_prefix: Tensor, v_prefix: Tensor) -> Tensor:
    """Attention of a grid's rows, (K, R, G, L, D); k and v (K, R, L, D), the prefix's (K, P, D)."""
    if grid.whole:
        return _block(q, k, v, k_prefix, v_prefix, grid.hidden_RLM)
    rows, longest = grid.gather_RL.shape
    blocks = []
    for row in range(0, rows, grid.rows):
        parts = []
        for query in range(0, longest, grid.queries):
            some, end = slice(row, row + grid.rows), min(query + grid.queries, longest)
            slices = q[:, some, :, query:end], k[:, some, :end], v[:, some, :end]
            hidden = None if grid.hidden_RLM is None else grid.hidden_RLM[some, query:end, :end]
            # Kept for the backward pass are the block's inputs; its scores are computed again.
            inputs = *slices, k_prefix, v_prefix, hidden
            parts.append(checkpoint(_block, *inputs, use_reentrant=False, preserve_rng_state=False))
        blocks.append(torch.cat(parts, dim=3))
    return torch.cat(blocks, dim=1)


def _block(
    q_KRGLD: Tensor, k_KRMD: Tensor, v_KRMD: Tensor, k_KPD: Tensor, v_KPD: Tensor, hidden_RLM: Tensor | None
) -> Tensor:
    """Attention of the last L of each row's M tokens to those they may see and to the prefix; shaped like q.

    They may see those up to themselves, or what ``hidden_RLM`` does not hide. A padding query sees something too:
    softmax over nothing would be NaN, and NaN spreads through the backward pass even where its weight is zero.
    """
    kv_heads, rows, group, length, size = q_KRGLD.shape
    n_keys, n_prefix = k_KRMD.shape[2], k_KPD.shape[1]
    if hidden_RLM is None:
        place_M = torch.arange(n_keys, device=q_KRGLD.device)
        hidden = place_M > place_M[n_keys - length :, None]
    else:
        hidden = hidden_RLM[:, None]  # alike for all heads
    q_KRND = q_KRGLD.reshape(kv_heads, rows, group * length, size)
    scores = (q_KRND @ k_KRMD.transpose(2, 3)).view(kv_heads, rows, group, length, n_keys)
    scores = scores.masked_fill(hidden, float("-inf"))
    if n_prefix:
        shared = q_KRND.reshape(kv_heads, -1, size) @ k_KPD.transpose(1, 2)
        scores = torch.cat([shared.view(kv_heads, rows, group, length, n_prefix), scores], dim=-1)
    weights = torch.softmax(scores, dim=-1)
    out = weights[..., n_prefix:].reshape(kv_heads, rows, group * length, n_keys) @ v_KRMD
    if n_prefix:
        w_all = weights[..., :n_prefix].reshape(kv_heads, -1, n_prefix)
        out = out + (w_all @ v_KPD).view_as(out)
    return out.view_as(q_KRGLD)


def _causal(q_HTD: Tensor, k_KTD: Tensor, v_KTD: Tensor, scale: float) -> Tensor:
    """Plain causal attention over one sequence, shape (T, H, D)."""
    repeat = q_HTD.shape[0] // k_KTD.shape[0]
    k, v = k_KTD.repeat_interleave(repeat, 0)[None], v_KTD.repeat_interleave(repeat, 0)[None]
    out = torch.nn.functional.scaled_dot_product_attention(q_HTD[None], k, v, is_causal=True, scale=scale)
    return out[0].transpose(0, 1)


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    practicum_layout: AttentionLayout | None = None,
    sliding_window: int | None = None,
    **unused: Any,
) -> tuple[Tensor, None]:
    """Transformers' attention interface; query (1, H, T, D), key and value (1, K, T, D)."""
    del attention_mask, dropout
    if practicum_layout is None:
        raise ModelError("a model prepared for Practicum was called without a layout", fix="call it through the engine")
    if sliding_window is not None and practicum_layout.longest > sliding_window:
        raise ModelError(
            f"a sequence of {practicum_layout.longest} tokens exceeds the model's sliding window of {sliding_window}",
            allowed="sequences within the window; the local engine computes full attention only",
            fix="lower max_sequence_length or choose a model without sliding-window layers",
        )
    if changed := sorted(name for name in ALTERING if unused.get(name) is not None):
        raise ModelError(
            f"the model's attention needs {', '.join(changed)}, which the local engine does not compute",
            allowed="plain softmax attention, as in Llama, Qwen, Gemma 3 or SmolLM",
            fix="choose a model of such a family",
        )
    layer = int(getattr(module, "layer_idx", 0))
    out_THD = practicum_layout.attend(layer, query[0], key[0], value[0], scaling)
    return out_THD[None], None


def register() -> None:
    """Make the attention known to Transformers; idempotent. It needs no mask, so none is registered."""
    AttentionInterface.register(NAME, _attention)
