"""``weighted``: a sum of named parts, each logged on its own; and the small term for a well-formed answer.

>>> reward = weighted(format=(0.1, score_format("answer")), fields=(0.9, score_fields("answer", exact=True)))
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from practicum.ranges import clipped, exceeds
from practicum.scoring.base import ABOVE_SCORE, Judge, excuses_of, judge, range_of
from practicum.scoring.fields import tagged_object
from practicum.trajectory import Rollout

FORMAT_WEIGHT = 0.1
"""What a well-formed answer earns whatever it says."""


@dataclass(frozen=True)
class WeightedSum:
    """Σ weight × part. A part may itself be any score or reward, asynchronous and per turn too.

    Parts that give one number count at the last turn where another part gives one per turn.
    """

    parts: tuple[tuple[str, float, Judge], ...]

    async def __call__(self, rollout: Rollout) -> tuple[float | list[float], dict[str, float]]:
        """The sum, and as components each part's own number under its name, and its components below it.

        Raises:
            RolloutError: a part raised, or left its range.
        """
        judgements = [(name, weight, await judge(part, rollout)) for name, weight, part in self.parts]
        components: dict[str, float] = {}
        for name, _, found in judgements:
            components[name] = found.total
            components |= {f"{name}/{key}": value for key, value in found.components.items()}
        turns = max(len(found.values) for _, _, found in judgements)  # a part has one number, or one for each turn
        sums = [0.0] * turns
        for _, weight, found in judgements:
            spread = found.values if len(found.values) == turns else (*[0.0] * (turns - 1), found.total)
            sums = [total + weight * value for total, value in zip(sums, spread, strict=True)]
        return (sums if turns > 1 else sums[0]), components

    @property
    def signed(self) -> bool:
        """Whether it can be negative."""
        return any(weight < 0 or range_of(part)[0] < 0 for _, weight, part in self.parts)

    @property
    def excuses(self) -> dict[str, str]:
        """Those of its parts; and that a sum of parts is above a score of all or nothing."""
        own = {ABOVE_SCORE: "a sum of parts: some of them are earned without success"} if len(self.parts) > 1 else {}
        return own | {key: reason for _, _, part in self.parts for key, reason in excuses_of(part).items()}


def weighted(parts: Mapping[str, tuple[float, Judge]] | None = None, **named: tuple[float, Judge]) -> WeightedSum:
    """A weighted sum of parts, given as ``name=(weight, judge)`` or as one mapping of these.

    Raises:
        ValueError: no parts, a weight of 0, or weights whose sizes sum to more than 1: it could leave its range.
    """
    given = {**(parts or {}), **named}
    if not given:
        raise ValueError("weighted needs at least one part, such as weighted(fields=(1.0, score_fields(…)))")
    for name, (weight, _) in given.items():
        if not weight or math.isnan(clipped(weight, -1.0, 1.0)):
            raise ValueError(f"the weight of {name!r} must lie in [-1, 1] and not be 0, got {weight!r}")
    size = sum(abs(weight) for weight, _ in given.values())
    if exceeds(size, 1.0):
        raise ValueError(f"the weights sum to {size:g}; above 1 the sum could leave its range")
    return WeightedSum(tuple((name, float(weight), part) for name, (weight, part) in given.items()))


@dataclass(frozen=True)
class FormatScore:
    """1.0 for one ``<tag>`` block with one JSON object of exactly the label's fields, whatever their values."""

    tag: str

    def __call__(self, rollout: Rollout) -> float:
        """1.0 or 0.0. A task without a label asks for an object of any fields."""
        given = tagged_object(rollout.answer, self.tag)
        label: Mapping[str, Any] = rollout.task.answer or {}
        return float(given is not None and (not label or set(given) == set(label)))


def score_format(tag: str) -> FormatScore:
    """Whether the answer is well-formed; meant as a small part of a reward."""
    return FormatScore(tag)


def with_format(judge: Judge, tag: str, weight: float = FORMAT_WEIGHT) -> WeightedSum:
    """A reward with a small term for form beside it: ``weight`` for form, the rest for ``judge``."""
    return weighted(format=(weight, score_format(tag)), task=(1.0 - weight, judge))
