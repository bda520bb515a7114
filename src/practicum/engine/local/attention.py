"""Attention over one shared prefix and many continuations, for any Transformers model.

Rollouts of one environment begin with the same tokens (system prompt, tools, often the task). Both the sampler
and the learner therefore see a batch as *one prefix of P tokens* and *R rows* that continue it, and compute the
prefix once. Every layer but attention works token by token, so the batch travels through the model as one flat
sequence; only this module knows which token may look at which.

Registered with Transformers under the name ``practicum``; the layout reaches the layers as a keyword argument of
the model's forward call. Scores and softmax are float32 whatever the model's precision, in the sampler and in the
learner alike, so that the two agree on log-probabilities.

Shapes: H query heads, K key/value heads, G = H // K, D head size, T flat tokens.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface

from practicum.errors import ModelError

NAME = "practicum"
ALTERING = ("softcap", "s_aux")
"""Arguments with which a model family changes the softmax itself (Gemma 2's soft cap, GPT-OSS's sinks)."""


class Layout(Protocol):
    """Which flat token attends to which."""

    @property
    def longest(self) -> int:
        """Length of the longest sequence (prefix and row), for models with sliding windows."""
        ...

    def attend(self, layer: int, q_HTD: Tensor, k_KTD: Tensor, v_KTD: Tensor, scale: float) -> Tensor:
        """Attention output, shape (T, H, D), in the dtype of ``q``."""
        ...


@dataclass(frozen=True)
class PackedRows:
    """A learner's batch: the prefix's P tokens, then the tokens of R rows one after another.

    Attributes:
        prefix: P.
        gather_RL: Flat index of row r's token l; positions after a row's end point at the row's last token.
        scatter_T: For each flat token after the prefix, its place in the flattened (R, L) grid.
        mask_RLL: True where row token l may see row token m (causal, and both inside the row).
    """

    prefix: int
    gather_RL: Tensor
    scatter_T: Tensor
    mask_RLL: Tensor

    @classmethod
    def build(cls, prefix: int, lengths: list[int], device: torch.device) -> "PackedRows":
        """The layout of a prefix and rows of these lengths."""
        longest = max(lengths)
        length_R = torch.tensor(lengths, device=device)
        start_R = prefix + torch.cumsum(length_R, 0) - length_R
        step_L = torch.arange(longest, device=device)
        inside_RL = step_L < length_R[:, None]
        gather_RL = start_R[:, None] + torch.minimum(step_L, length_R[:, None] - 1)
        causal_LL = step_L[:, None] >= step_L[None, :]
        # A padding query sees its own row's first key: softmax over nothing would be NaN, and NaN spreads
        # through the backward pass even where its weight is zero.
        return cls(prefix, gather_RL, inside_RL.flatten().nonzero().squeeze(1), causal_LL & inside_RL[:, None, :])

    @property
    def longest(self) -> int:
        """Tokens of the prefix and the longest row."""
        return self.prefix + self.gather_RL.shape[1]

    def attend(self, layer: int, q_HTD: Tensor, k_KTD: Tensor, v_KTD: Tensor, scale: float) -> Tensor:
        """See ``Layout``. Written out rather than called as one library kernel: queries of all rows meet the
        prefix in a single matrix product, and no key is copied per row or per query head (three times faster
        forward and backward on CPU than ``scaled_dot_product_attention`` with a mask)."""
        del layer
        n_prefix, (rows, longest) = self.prefix, self.gather_RL.shape
        heads, _, size = q_HTD.shape
        kv_heads = k_KTD.shape[0]
        group = heads // kv_heads
        flat = self.gather_RL.flatten()
        q = (q_HTD[:, flat] * scale).view(kv_heads, group, rows, longest, size)
        k, v = (x[:, flat].view(kv_heads, rows, longest, size) for x in (k_KTD, v_KTD))
        q_KRGL = q.transpose(1, 2).reshape(kv_heads, rows, group * longest, size)
        own = (q_KRGL @ k.transpose(2, 3)).view(kv_heads, rows, group, longest, longest)
        scores = own.masked_fill(~self.mask_RLL[:, None], float("-inf"))
        if n_prefix:
            q_all = q_KRGL.reshape(kv_heads, -1, size)
            shared = (q_all @ k_KTD[:, :n_prefix].transpose(1, 2)).view(kv_heads, rows, group, longest, n_prefix)
            scores = torch.cat([shared, scores], dim=-1)
        weights = torch.softmax(scores, dim=-1)
        out = weights[..., n_prefix:].reshape(kv_heads, rows, group * longest, longest) @ v
        if n_prefix:
            w_all = weights[..., :n_prefix].reshape(kv_heads, -1, n_prefix)
            out = out + (w_all @ v_KTD[:, :n_prefix]).view_as(out)
        out = out.view(kv_heads, rows, group, longest, size).permute(1, 3, 0, 2, 4)
        out_THD = out.reshape(rows * longest, heads, size)[self.scatter_T]
        if not n_prefix:
            return out_THD
        prefix_THD = _causal(q_HTD[:, :n_prefix], k_KTD[:, :n_prefix], v_KTD[:, :n_prefix], scale)
        return torch.cat([prefix_THD, out_THD])


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
    practicum_layout: Layout | None = None,
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
