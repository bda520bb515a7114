"""From logits to tokens: each model call draws by its own random numbers, whatever is computed beside it."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from practicum.engine.protocol import Sample, SamplingParams
from practicum.errors import ModelError

BLOCK = 256
"""Tokens of the vocabulary whose probabilities are summed up together."""


@dataclass
class SamplingRequest:
    """One model call under way: its prompt, how it samples, what it has drawn so far."""

    session: str
    prompt: list[int]
    params: SamplingParams
    random: np.random.Generator
    future: "asyncio.Future[Sample]"
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    def take(self, token: int, logprob: float, version: int) -> None:
        """Go on with a token."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.versions.append(version)

    def finished(self) -> Sample | None:
        """What was drawn, where it has come to its end."""
        stopped = bool(self.tokens) and self.tokens[-1] in self.params.stop_token_ids
        if not stopped and len(self.tokens) < self.params.max_tokens:
            return None
        reason: Literal["stop", "length"] = "stop" if stopped else "length"
        return Sample(tuple(self.tokens), tuple(self.logprobs), tuple(self.versions), reason)


def draw(logits_NV: Tensor, requests: Sequence[SamplingRequest], *, version: int = 0) -> tuple[list[int], list[float]]:
    """One token per row by inverse transform of the row's own uniform number, and its log-probability.

    The log-probability is that of the tempered distribution before top-p (greedy rows: of the plain one).

    Args:
        logits_NV: A row for each request.
        requests: How each samples, and its random numbers.
        version: Of the weights, for the error.

    Raises:
        ModelError: a logit is NaN or +∞. Either makes NaN of its row's every probability, so that of the token drawn
            tells; −∞ is a token that cannot come.
    """
    heat = [request.params.temperature or 1.0 for request in requests]
    if any(value != 1.0 for value in heat):
        logits_NV = logits_NV / torch.tensor(heat, device=logits_NV.device)[:, None]
    probs_NV = torch.softmax(logits_NV, dim=-1)
    greedy = [request.params.temperature == 0 for request in requests]
    if all(greedy):
        chosen_N = logits_NV.argmax(dim=-1)
    else:
        uniform = [0.0 if cold else request.random.random() for cold, request in zip(greedy, requests, strict=True)]
        pool_NV = probs_NV
        if any(request.params.top_p < 1 for request in requests):
            pool_NV = _nucleus(probs_NV, [request.params.top_p for request in requests])
        chosen_N = _invert(pool_NV, uniform)
        if any(greedy):
            cold_N = torch.tensor(greedy, device=logits_NV.device)
            chosen_N = torch.where(cold_N, logits_NV.argmax(dim=-1), chosen_N)
    picked_N = probs_NV.gather(1, chosen_N[:, None])[:, 0].log()
    logprobs = picked_N.tolist()
    if not all(map(math.isfinite, logprobs)):
        raise ModelError(
            "the model's logits are NaN or infinite: there is nothing to sample from",
            where=f"the weights after {version} optimizer steps",
            fix="lower learning_rate, or use dtype: float32; go back to a checkpoint from before, or to a sound model",
        )
    return chosen_N.tolist(), logprobs


def _invert(probs_NV: Tensor, uniform: list[float]) -> Tensor:
    """Smallest token whose cumulative probability exceeds the row's uniform number.

    Two levels, blocks of the vocabulary and then tokens of one block: a cumulative sum over the whole vocabulary
    costs more than the rest of sampling together.
    """
    n, vocabulary = probs_NV.shape
    if vocabulary % BLOCK:
        probs_NV = torch.nn.functional.pad(probs_NV, (0, -vocabulary % BLOCK))
    blocks_NBS = probs_NV.view(n, -1, BLOCK)
    # Blocks are summed in float32: a float64 sum over the vocabulary costs more than the model's own head.
    mass_NB = blocks_NBS.sum(dim=-1).cumsum(dim=-1, dtype=torch.float64)
    aim_N = torch.tensor(uniform, dtype=torch.float64, device=probs_NV.device) * mass_NB[:, -1]
    block_N = _first_above(mass_NB, aim_N)
    row_N = torch.arange(n, device=probs_NV.device)
    inside_NS = blocks_NBS[row_N, block_N].cumsum(dim=-1, dtype=torch.float64)
    below_N = torch.where(block_N > 0, mass_NB[row_N, (block_N - 1).clamp_(min=0)], 0.0)
    # Rounding may leave the aim a hair above the block's own sum: then its last token with any probability.
    aim_inside_N = torch.minimum(aim_N - below_N, inside_NS[:, -1] * (1 - 1e-12))
    # Where nothing is above the aim (NaN), the last place may be one of the padding: no token has that number.
    return (block_N * BLOCK + _first_above(inside_NS, aim_inside_N)).clamp_(max=vocabulary - 1)


def _first_above(cumulative_NM: Tensor, aim_N: Tensor) -> Tensor:
    found_N = torch.searchsorted(cumulative_NM, aim_N[:, None].contiguous(), right=True)[:, 0]
    return found_N.clamp_(max=cumulative_NM.shape[-1] - 1)


def _nucleus(probs_NV: Tensor, top_p: list[float]) -> Tensor:
    """Zero all but the smallest set of tokens whose probability reaches top_p (arXiv 1904.09751)."""
    sorted_NV, order_NV = probs_NV.sort(dim=-1, descending=True, stable=True)
    before_NV = sorted_NV.cumsum(dim=-1) - sorted_NV
    limit = torch.tensor(top_p, device=probs_NV.device)[:, None]
    kept_NV = torch.where(before_NV < limit, sorted_NV, 0.0)
    kept_NV[:, 0] = sorted_NV[:, 0]
    return torch.zeros_like(probs_NV).scatter_(1, order_NV, kept_NV)
