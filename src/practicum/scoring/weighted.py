"""``weighted``: a sum of named parts, each logged on its own; and the small term for a well-formed answer.

>>> reward = weighted(format=(0.1, score_format("answer")), fields=(0.9, score_fields("answer", exact=True)))
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from practicum.ranges import clipped, exceeds, reaches
from practicum.scoring.fields import tagged_object
from practicum.scoring.judgement import ABOVE_SCORE, excuses_of, judge, range_of
from practicum.trajectory import Judge, Rollout

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
        for name, _, judgement in judgements:
            components[name] = judgement.total
            components |= {f"{name}/{key}": value for key, value in judgement.components.items()}
        turns = max(
            len(judgement.values) for _, _, judgement in judgements
        )  # a part has one number, or one for each turn
        sums = [0.0] * turns
        for _, weight, judgement in judgements:
            spread = judgement.values if len(judgement.values) == turns else (*[0.0] * (turns - 1), judgement.total)
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
    named_parts = {**(parts or {}), **named}
    if not named_parts:
        raise ValueError("weighted needs at least one part, such as weighted(fields=(1.0, score_fields(…)))")
    for name, (weight, _) in named_parts.items():
        if not weight or math.isnan(clipped(weight, -1.0, 1.0)):
            raise ValueError(f"the weight of {name!r} must lie in [-1, 1] and not be 0, got {weight!r}")
    size = sum(abs(weight) for weight, _ in named_parts.values())
    if exceeds(size, 1.0):
        raise ValueError(f"the weights sum to {size:g}; above 1 the sum could leave its range")
    return WeightedSum(tuple((name, float(weight), part) for name, (weight, part) in named_parts.items()))


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


REPEATS = 4
"""How often the same call with the same arguments may be made."""


def is_degenerate(rollout: Rollout) -> bool:
    """No final answer, a blank one, or the same call with the same arguments more than ``REPEATS`` times."""
    if not rollout.completed or not rollout.answer.strip():
        return True
    made = Counter((call.name, json.dumps(call.arguments, sort_keys=True, default=str)) for call in rollout.tool_calls)
    return max(made.values(), default=0) > REPEATS


@dataclass(frozen=True)
class Tiers:
    """``success`` where ``score`` reaches ``threshold``; else ``degenerate`` where ``judged_by`` says so; else 0.

    The range is [−1, 1]. A success is one however it came about.
    """

    score: Judge
    threshold: float = 1.0
    success: float = 1.0
    degenerate: float = -1.0
    judged_by: Callable[[Rollout], bool] = is_degenerate

    signed = True

    async def __call__(self, rollout: Rollout) -> tuple[float, dict[str, float]]:
        """The tier; components ``tier/success`` and ``tier/degenerate`` (0 or 1), ``score``, and the score's own."""
        judgement = await judge(self.score, rollout)
        succeeded = reaches(judgement.total, self.threshold)
        hopeless = not succeeded and bool(self.judged_by(rollout))
        components = {"tier/success": float(succeeded), "tier/degenerate": float(hopeless), "score": judgement.total}
        components |= {f"score/{key}": value for key, value in judgement.components.items()}
        return (self.success if succeeded else self.degenerate if hopeless else 0.0), components


def tiers(
    score: Judge,
    *,
    threshold: float = 1.0,
    success: float = 1.0,
    degenerate: float = -1.0,
    judged_by: Callable[[Rollout], bool] = is_degenerate,
) -> Tiers:
    """A reward in three tiers.

    Args:
        score: Decides success.
        threshold: From which number of it.
        success: What success earns, in (0, 1].
        degenerate: What a degenerate rollout costs, in [−1, 0).
        judged_by: Whether a rollout that failed is degenerate.

    Raises:
        ValueError: a tier is on the wrong side of 0 or out of range.
    """
    if not 0 < success <= 1 or not -1 <= degenerate < 0:
        raise ValueError(f"tiers need 0 < success ≤ 1 and -1 ≤ degenerate < 0, got {success!r} and {degenerate!r}")
    return Tiers(score, threshold, success, degenerate, judged_by)
