"""Sequences cut into micro-batches by a budget of tokens, and laid out flat: a shared prefix, then rows.

Nothing is padded here: a flat batch holds every token that is computed, once. Attention alone works on grids
(``attention.PackedRows``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from practicum.engine.local.attention import PackedRows
from practicum.engine.protocol import Datum

MIN_SHARED = 16
"""Sequences that agree on fewer tokens than this are not worth a shared prefix."""
PART_COST = 256
"""Tokens that one more forward and backward pass has to save: small ones use processors badly."""


@dataclass(frozen=True)
class FlatBatch:
    """One micro-batch of N trained tokens, ready to compute; columns are float32 of shape (N,)."""

    tokens: Tensor
    """Flat: the prefix's tokens, then each row's."""
    positions: Tensor
    layout: PackedRows
    index: Tensor
    """Flat place of the token that predicts each trained one."""
    target: Tensor
    """The trained tokens."""
    logprobs: Tensor
    """The sampler's log-probabilities."""
    advantages: Tensor
    weight: Tensor
    temperature: float

    @classmethod
    def of(cls, batch: Sequence[Datum], device: torch.device) -> "FlatBatch":
        """Lay out sequences of one temperature."""
        prefix = shared_prefix(batch)
        rows = [datum.tokens[prefix:] for datum in batch]
        starts = prefix + np.cumsum([0, *(len(row) for row in rows[:-1])])
        places = [np.flatnonzero(datum.mask) for datum in batch]
        # The token before a row's first one is the prefix's last.
        index = [
            np.where(place - 1 < prefix, place - 1, start + place - 1 - prefix)
            for place, start in zip(places, starts, strict=True)
        ]

        def column(values: Sequence[np.ndarray], dtype: torch.dtype) -> Tensor:
            return torch.as_tensor(np.concatenate(values), dtype=dtype, device=device)

        def trained(values: Sequence[np.ndarray], dtype: torch.dtype = torch.float32) -> Tensor:
            return column([value[place] for value, place in zip(values, places, strict=True)], dtype)

        return cls(
            tokens=column([batch[0].tokens[:prefix], *rows], torch.int64),
            positions=column([np.arange(prefix), *(prefix + np.arange(len(row)) for row in rows)], torch.int64),
            layout=PackedRows.build(prefix, [len(row) for row in rows], device),
            index=column(index, torch.int64),
            target=trained([datum.tokens for datum in batch], torch.int64),
            logprobs=trained([datum.logprobs for datum in batch]),
            advantages=trained([datum.advantages for datum in batch]),
            weight=trained([np.full(len(datum.tokens), datum.weight) for datum in batch]),
            temperature=batch[0].temperature,
        )


def shared_prefix(batch: Sequence[Datum]) -> int:
    """Tokens that all sequences begin with, none of them trained, each row keeping at least one of its own."""
    shared = min((_common(batch[0], datum) for datum in batch[1:]), default=0)
    return shared if shared >= MIN_SHARED else 0


def micro_batches(data: Sequence[Datum], budget: int) -> Iterator[list[Datum]]:
    """Cut a batch into parts that compute at most ``budget`` tokens (a longer sequence goes alone).

    What all sequences of a part begin with counts once; a sequence that begins otherwise begins another part where
    that is clearly less to compute. A part has one sampling temperature. Sequences without a trained token are left
    out.
    """
    part: list[Datum] = []
    common = length = 0
    for datum in data:
        if not datum.mask.any():
            continue
        if part:
            shared = _common(part[0], datum) if len(part) == 1 else min(common, _common(part[0], datum))
            together = _computed(len(part) + 1, length + len(datum.tokens), shared)
            apart = _computed(len(part), length, common) + len(datum.tokens)
            if together <= min(budget, apart + PART_COST) and datum.temperature == part[0].temperature:
                part.append(datum)
                common, length = shared, length + len(datum.tokens)
                continue
            yield part
        part, common, length = [datum], 0, len(datum.tokens)
    if part:
        yield part


def _computed(sequences: int, tokens: int, shared: int) -> int:
    """Tokens that a part computes."""
    return tokens - (sequences - 1) * (shared if shared >= MIN_SHARED else 0)


def _common(first: Datum, second: Datum) -> int:
    """Tokens with which both begin, none of them trained, each keeping at least one of its own."""
    limit = min(_untrained(first), _untrained(second))
    differ = np.flatnonzero(first.tokens[:limit] != second.tokens[:limit])
    return int(differ[0]) if len(differ) else limit


def _untrained(datum: Datum) -> int:
    """Tokens before the first trained one (of none: all), at most all but the last."""
    places = np.flatnonzero(datum.mask)
    return min(int(places[0]) if len(places) else len(datum.tokens), len(datum.tokens) - 1)
