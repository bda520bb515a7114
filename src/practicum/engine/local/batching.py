"""Sequences cut into micro-batches by a budget of tokens, and laid out flat: a shared prefix, then trees.

Rollouts of one task agree for long: the same prompt, often the same tool calls and results, sometimes to the last
token. A token's hidden state depends on what stands before it alone, so what sequences share is computed once, trained
tokens too; each sequence's loss is then taken at its own tokens. Nothing is padded here: attention alone works on grids
(``attention.PackedRows``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from practicum.algorithms.losses import TrainingSequence
from practicum.engine.local.attention import PackedRows
from practicum.trajectory import common_prefix

MIN_SHARED = 16
"""Sequences that agree on fewer tokens than this are not worth a shared prefix."""
PAIRS_PER_TOKEN = 1024
"""Pairs of tokens that attention may compare in vain, in one tree, for each token that the tree saves: a token's way
through the linear layers costs about three times as much."""
PART_COST = 256
"""Tokens that one more forward and backward pass has to save: small ones use processors badly."""
LOGITS_AT_ONCE = 12 * 2**20
"""Numbers in the largest table of logits that exists at one time: 48 MiB, and a few copies of it."""


@dataclass(frozen=True)
class Tree:
    """Sequences that begin alike; a node is a token, and stands after the one it follows.

    Attributes:
        tokens: Of each node, (L,).
        depths: Each node's place in its sequence, (L,).
        paths: For each sequence, the nodes of its tokens.
    """

    tokens: np.ndarray
    depths: np.ndarray
    paths: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, data: Sequence[TrainingSequence]) -> "Tree":
        """The tree of some sequences."""
        tokens, depths, paths = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
        size = 0
        for datum in data:
            before = ((common_tokens(datum, other), path) for other, path in zip(data, paths, strict=False))
            shared, nearest = max(before, key=lambda pair: pair[0], default=(0, np.arange(0)))
            added, begun = len(datum.tokens) - shared, nearest[:shared]
            paths.append(np.concatenate([begun, np.arange(size, size + added)]))
            tokens.append(datum.tokens[shared:])
            depths.append(np.arange(shared, shared + added))
            size += added
        return cls(np.concatenate(tokens), np.concatenate(depths), tuple(paths))

    def ancestry(self, prefix: int) -> Tensor | None:
        """Which node (row) follows which (column), itself included, without the first ``prefix`` nodes; None where
        each follows all before it."""
        size = len(self.tokens) - prefix
        if max(len(path) for path in self.paths) == len(self.tokens):
            return None
        follows = np.zeros((size, size), dtype=bool)
        for path in self.paths:
            nodes = path[prefix:] - prefix
            follows[np.ix_(nodes, nodes)] |= np.tri(len(nodes), dtype=bool)
        return torch.from_numpy(follows)


@dataclass(frozen=True)
class FlatBatch:
    """One micro-batch of N trained tokens, ready to compute; columns are float32 of shape (N,)."""

    tokens: Tensor
    """Flat: the prefix's tokens, then each tree's."""
    positions: Tensor
    layout: PackedRows
    index: Tensor
    """Flat place of the token that predicts each trained one; sequences that begin alike share places."""
    target: Tensor
    """The trained tokens."""
    logprobs: Tensor
    """The sampler's log-probabilities."""
    advantages: Tensor
    weight: Tensor
    temperature: float

    @classmethod
    def of(cls, batch: Sequence[TrainingSequence], device: torch.device) -> "FlatBatch":
        """Lay out sequences of one temperature."""
        part = MicroBatch.of(batch)
        prefix, trees = part.prefix, [Tree.of([batch[member] for member in members]) for members in part.trees]
        lengths = [len(tree.tokens) - prefix for tree in trees]
        starts = np.cumsum([0, *lengths[:-1]])  # a node of the prefix has one flat place in all trees
        paths = {
            member: np.where(np.arange(len(path)) < prefix, path, path + start)
            for members, tree, start in zip(part.trees, trees, starts, strict=True)
            for member, path in zip(members, tree.paths, strict=True)
        }
        places = [np.flatnonzero(datum.mask) for datum in batch]

        def column(values: Sequence[np.ndarray], dtype: torch.dtype) -> Tensor:
            return torch.as_tensor(np.concatenate(values), dtype=dtype, device=device)

        def trained(values: Sequence[np.ndarray], dtype: torch.dtype = torch.float32) -> Tensor:
            return column([value[place] for value, place in zip(values, places, strict=True)], dtype)

        return cls(
            tokens=column([trees[0].tokens[:prefix], *(tree.tokens[prefix:] for tree in trees)], torch.int64),
            positions=column([np.arange(prefix), *(tree.depths[prefix:] for tree in trees)], torch.int64),
            layout=PackedRows.build(prefix, lengths, device, [tree.ancestry(prefix) for tree in trees]),
            index=column([paths[member][place - 1] for member, place in enumerate(places)], torch.int64),
            target=trained([datum.tokens for datum in batch], torch.int64),
            logprobs=trained([datum.logprobs for datum in batch]),
            advantages=trained([datum.advantages for datum in batch]),
            weight=trained([np.full(len(datum.tokens), datum.weight) for datum in batch]),
            temperature=batch[0].temperature,
        )


def micro_batches(data: Sequence[TrainingSequence], budget: int) -> Iterator[list[TrainingSequence]]:
    """Cut a batch into parts that compute at most ``budget`` tokens (a longer sequence goes alone), in its order.

    What sequences share counts once; one that would leave the others less to share begins another part where that is
    clearly less to compute. A part has one sampling temperature. Sequences without a trained token are left out.
    """
    part: MicroBatch | None = None
    for datum in data:
        if not datum.mask.any():
            continue
        grown = None if part is None else part.with_one_more(datum)
        if part is not None and grown is not None:
            room = min(budget, part.computed + len(datum.tokens) + PART_COST)
            if grown.computed > room or datum.temperature != part.data[0].temperature:
                yield list(part.data)
                grown = None
        part = grown or MicroBatch.of([datum])
    if part is not None:
        yield list(part.data)


@dataclass(frozen=True)
class MicroBatch:
    """Sequences computed together: what all begin with, and the trees that go on from there.

    Attributes:
        data: The sequences.
        agreed: Tokens on which all agree, each keeping at least one of its own.
        trees: Which of the sequences stand in each tree, by number.
        sizes: Nodes of each tree, what all begin with included.
    """

    data: tuple[TrainingSequence, ...]
    agreed: int
    trees: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, data: Sequence[TrainingSequence]) -> "MicroBatch":
        """These sequences as one part."""
        agreed = min(min(common_tokens(data[0], datum), len(datum.tokens) - 1) for datum in data)
        part = cls((data[0],), agreed, ((0,),), (len(data[0].tokens),))
        for datum in data[1:]:
            part = part._joined(datum)
        return part

    def with_one_more(self, datum: TrainingSequence) -> "MicroBatch":
        """The part and one more sequence."""
        agrees = min(common_tokens(self.data[0], datum), len(datum.tokens) - 1) >= self.agreed
        return self._joined(datum) if agrees and len(self.data) > 1 else MicroBatch.of([*self.data, datum])

    @property
    def prefix(self) -> int:
        """Tokens computed once for all trees."""
        return self.agreed if len(self.trees) > 1 and self.agreed >= MIN_SHARED else 0

    @property
    def computed(self) -> int:
        """Tokens that the part computes."""
        return sum(self.sizes) - (len(self.trees) - 1) * self.prefix

    def _joined(self, datum: TrainingSequence) -> "MicroBatch":
        """One more that agrees with the others as far as they do: in the tree that it shares most with, where that is
        less to compute."""
        number, added = len(self.data), len(datum.tokens) - self.agreed
        shared = [max(common_tokens(datum, self.data[member]) for member in members) for members in self.trees]
        nearest = max(range(len(shared)), key=shared.__getitem__)
        saved, size = shared[nearest] - self.agreed, self.sizes[nearest] - self.agreed
        compared = (size + added - saved) ** 2 - size**2 - added**2
        trees, sizes = list(self.trees), list(self.sizes)
        if saved > 0 and compared <= PAIRS_PER_TOKEN * saved:
            trees[nearest] = (*trees[nearest], number)
            sizes[nearest] += added - saved
        else:
            trees.append((number,))
            sizes.append(len(datum.tokens))
        return replace(self, data=(*self.data, datum), trees=tuple(trees), sizes=tuple(sizes))


def common_tokens(first: TrainingSequence, second: TrainingSequence) -> int:
    """Tokens with which both begin."""
    return common_prefix(first.tokens, second.tokens)


@dataclass(frozen=True)
class Chunk:
    """Trained tokens whose logits exist at one time.

    Attributes:
        places: Which of the places that predict something, (U,).
        tokens: Which trained tokens of the micro-batch they predict, (n,): what sequences share has several.
        rows: For each of those, which of the chunk's places predicts it, (n,).
    """

    places: Tensor
    tokens: Tensor
    rows: Tensor


def chunks(batch: FlatBatch, vocabulary: int) -> tuple[Tensor, list[Chunk]]:
    """The flat places that predict something, each once, and these in parts whose logits may exist at one time."""
    places, row_N = torch.unique(batch.index, return_inverse=True)
    order_N = torch.argsort(row_N, stable=True)
    parts = []
    for part in torch.arange(len(places), device=places.device).split(max(LOGITS_AT_ONCE // vocabulary, 1)):
        first, last = int(part[0]), int(part[-1])
        tokens = order_N[(row_N[order_N] >= first) & (row_N[order_N] <= last)]
        parts.append(Chunk(part, tokens, row_N[tokens] - first))
    return places, parts
