"""``tiers``: success above 0, failure 0, degenerate below 0.

A failure that tried and one that gave up look the same to a score of all or nothing; in a group where nobody
succeeds, the difference is the only thing there is to learn.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from practicum.ranges import reaches
from practicum.scoring.base import Judge, judge
from practicum.trajectory import Rollout

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
        found = await judge(self.score, rollout)
        succeeded = reaches(found.total, self.threshold)
        hopeless = not succeeded and bool(self.judged_by(rollout))
        components = {"tier/success": float(succeeded), "tier/degenerate": float(hopeless), "score": found.total}
        components |= {f"score/{key}": value for key, value in found.components.items()}
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
