"""A score or a reward is one kind of thing: a function of a finished rollout.

It returns a number, a list with one number per turn, or a pair of either with a dict of named components; it may
be async. ``judge`` runs one and refuses what is not a finite number in range, so that a faulty reward fails its
rollout with a message and never the run.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from practicum.errors import RolloutError
from practicum.ranges import clipped, total
from practicum.trajectory import Judge, Rollout

ABOVE_SCORE = "above-score"
"""The excuse of a reward that is above the score of some rollouts."""


@dataclass(frozen=True)
class Judgement:
    """``values``: one number, or one per turn. ``components``: its named parts."""

    values: tuple[float, ...]
    components: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """Sum over turns."""
        return total(self.values)


async def judge(function: Judge, rollout: Rollout, turns: int | None = None) -> Judgement:
    """Run a score or reward on a rollout.

    The range is [0, 1], or [−1, 1] where the function has an attribute ``signed = True``. A number within 1e-9 of an
    end of it is that end: a sum of weights that is 1 on paper is 1.

    Args:
        turns: Model calls of the rollout, for one number each. None: as many as the assistant has messages.

    Raises:
        RolloutError: the function raised, or returned something that is not a number in range, or other than one
            number or one per turn.
    """
    name = name_of(function)
    try:
        result = function(rollout)
        if inspect.isawaitable(result):
            result = await result
    except (Exception, SystemExit) as error:
        raise RolloutError(f"{name} raised {type(error).__name__}: {error}", where=f"task {rollout.task.id}") from error
    components: Mapping[str, float] = {}
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping):
        result, components = result
    values = tuple(result) if isinstance(result, Sequence) and not isinstance(result, str) else (result,)
    low, high = range_of(function)
    numbers = tuple(map(_float, values))
    whole = clipped(total(numbers), low, high) if numbers else math.nan
    where = f"task {rollout.task.id}"
    if math.isnan(whole):
        raise RolloutError(
            f"{name} gave {result!r}",
            where=where,
            allowed=f"a number, or one per turn, whose sum lies in [{low:g}, {high:g}]",
            fix="mend the function; for negative rewards set its attribute signed = True",
        )
    expected = len(rollout.turn_places) if turns is None else turns
    if len(values) not in (1, expected):
        raise RolloutError(
            f"{name} gave {len(values)} numbers for a rollout of turns: {expected}",
            where=where,
            allowed="one number" + (f", or {expected}, one per turn" if expected > 1 else ""),
            fix="give one number for each message of the assistant, or one for the whole rollout",
        )
    for key, value in components.items():
        if not isinstance(key, str) or not math.isfinite(_float(value)):
            raise RolloutError(
                f"{name} gave component {key!r} {value!r}",
                where=where,
                allowed="a name and a finite number",
                fix="mend the function",
            )
    return Judgement(
        numbers if len(numbers) > 1 else (whole,), {key: float(value) for key, value in components.items()}
    )


def name_of(function: Judge) -> str:
    """What people call it: the function's name, or its class's."""
    return str(getattr(function, "__name__", type(function).__name__))


def range_of(function: Judge) -> tuple[float, float]:
    """The range it declares: [0, 1], or [−1, 1] where it has ``signed = True``."""
    return (-1.0 if getattr(function, "signed", False) else 0.0), 1.0


def excuses_of(function: Judge) -> dict[str, str]:
    """Documented reasons by the name of what they excuse: ``reward.excuses = {"above-score": "why"}``.

    Raises:
        ValueError: a reason is missing or blank.
    """
    reasons = getattr(function, "excuses", None) or {}
    for name, reason in reasons.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"{name_of(function)} excuses {name!r} without a reason; write down why it is right")
    return dict(reasons)


def is_out_of_range(error: RolloutError) -> bool:
    """Of an error of ``judge``: whether the function gave what is no number in range; else it raised."""
    cause: BaseException = error
    while isinstance(cause.__cause__, RolloutError):
        cause = cause.__cause__
    return cause.__cause__ is None


def _float(value: Any) -> float:
    """The number as a float; NaN, which lies in no range, for everything else."""
    try:
        return float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        return math.nan


CAVEAT = "its score is the reward that the agent itself reported"
"""Why an evaluation by it is not independent."""


def reported_reward(rollout: Rollout) -> float:
    """Stands for the reward that the agent server sent; the dispatcher takes that number instead of calling this.

    Raises:
        RolloutError: always: this rollout was not the agent server's.
    """
    raise RolloutError(
        "without a score only the agent server's own rollouts have a number",
        where=f"task {rollout.task.id}",
        fix="give the recipe a score, such as score: judge.py:score",
    )
