"""Prompts that are nearly the same: pairs whose sets of shingles overlap, found without comparing all with all.

A text is what its shingles are: all runs of five characters, without case, punctuation and spacing. Two texts are
alike when the shingles in common are at least ``threshold`` of all of both (Jaccard). The pairs are exact, not
estimated: of two sets that alike, each has one of its rarest few shingles in the other too (prefix filtering, Chaudhuri
et al. 2006), so only texts that share a rare shingle are compared. What differs in a number or an id is another
question, however alike the rest: such pairs are none.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WIDTH = 5
"""Characters of a shingle."""
CROWD = 64
"""Texts with one rare shingle in common of which all pairs are compared; of more, each with its next neighbours."""
_WORDS = re.compile(r"""[^\s.,;:!?"'()…«»“”‘’]+""")
_PRIME = np.uint64(1099511628211)

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Pair:
    """Places of two texts that are alike, the first before the second, and how much of both is in common."""

    first: int
    second: int
    similarity: float


def normalized(text: str) -> str:
    """Without case, the punctuation of sentences, compatibility forms and repeated spaces; signs such as + stay."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_WORDS.findall(plain))


def near_duplicates(texts: Sequence[str], groups: Sequence[int], *, threshold: float = 0.8) -> list[Pair]:
    """Pairs of texts of different groups that are alike, in order.

    Args:
        texts: As people wrote them.
        groups: Of each text, the number of its split. Pairs within one are left out.
        threshold: Least Jaccard similarity, in (0, 1].

    Raises:
        ValueError: lists of different lengths, or a threshold out of range.
    """
    if len(texts) != len(groups):
        raise ValueError(f"each text needs a group, got {len(texts)} texts and {len(groups)} groups")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0, 1], got {threshold!r}")
    if len(texts) < 2:
        return []
    plain = [normalized(text) for text in texts]
    numbers = [_numbers(text) for text in plain]
    hashes = _shingles(plain)
    pairs = []
    for first, second in _candidates(hashes, groups, numbers, threshold):
        ours, theirs = hashes[first], hashes[second]
        common = len(np.intersect1d(ours, theirs, assume_unique=True))
        similarity = common / (len(ours) + len(theirs) - common)
        if similarity >= threshold - 1e-12:
            pairs.append(Pair(first, second, similarity))
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def _numbers(text: str) -> int:
    """One number for the words with a digit in them, however they are ordered."""
    return hash(frozenset(Counter(word for word in text.split() if any(map(str.isdigit, word))).items()))


def _shingles(texts: Sequence[str]) -> list[Hashes]:
    """Of each text, the sorted hashes of its different shingles; of a text shorter than one, its own hash."""
    lengths = np.array([max(len(text), WIDTH) for text in texts], dtype=np.int64)
    ends = np.cumsum(lengths)
    whole = "".join(text.ljust(WIDTH, "\0") for text in texts)
    points = np.frombuffer(whole.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    count = len(points) - WIDTH + 1
    rolled: Hashes = np.zeros(max(count, 0), dtype=np.uint64)
    for offset in range(WIDTH):
        rolled = rolled * _PRIME + points[offset : offset + count]
    starts = ends - lengths
    return [np.unique(rolled[start : end - WIDTH + 1]) for start, end in zip(starts, ends, strict=True)]


def _candidates(
    hashes: Sequence[Hashes], groups: Sequence[int], numbers: Sequence[int], threshold: float
) -> set[tuple[int, int]]:
    """Pairs that may be alike: of different groups, with equal numbers, sharing one of each other's rarest shingles."""
    lengths = np.array([len(each) for each in hashes])
    owners = np.repeat(np.arange(len(hashes)), lengths)
    every = np.concatenate(hashes)
    _, names, counts = np.unique(every, return_inverse=True, return_counts=True)
    rarity = counts[names]
    order = np.lexsort((names, rarity, owners))
    places = np.arange(len(order)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    prefix = lengths - np.ceil(threshold * lengths - 1e-9).astype(np.int64) + 1
    prefixes = order[(places < prefix[owners[order]]) & (rarity[order] > 1)]
    blocks = np.lexsort((owners[prefixes], names[prefixes]))
    prefixes = prefixes[blocks]
    edges = np.flatnonzero(np.diff(names[prefixes])) + 1
    candidates: set[tuple[int, int]] = set()
    for block in np.split(owners[prefixes], edges):
        candidates |= _pairs(block.tolist(), groups, numbers, lengths, threshold)
    return candidates


def _pairs(
    block: list[int], groups: Sequence[int], numbers: Sequence[int], lengths: npt.NDArray[np.int64], threshold: float
) -> set[tuple[int, int]]:
    by_number: dict[int, list[int]] = {}
    for at in block:
        by_number.setdefault(numbers[at], []).append(at)
    pairs = set()
    for members in by_number.values():
        members.sort(key=lambda at: (int(lengths[at]), at))
        for place, first in enumerate(members):
            limit = math.floor(lengths[first] / threshold + 1e-9)
            reach = members[place + 1 :] if len(members) <= CROWD else members[place + 1 : place + 1 + CROWD]
            for second in reach:
                if lengths[second] > limit:
                    break
                if groups[first] != groups[second]:
                    pairs.add((min(first, second), max(first, second)))
    return pairs
