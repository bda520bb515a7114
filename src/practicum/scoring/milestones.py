"""``hierarchical``: a small penalty per step, a reward for each milestone, and one for success; one number per turn.

Each milestone pays once, at the turn that reaches it, so that walking past it again earns nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from practicum.ranges import exceeds
from practicum.scoring.fields import same
from practicum.scoring.judgement import ABOVE_SCORE, judge
from practicum.trajectory import Judge, Rollout

BY_CALLS = ("work-only", "every-tool", "one-tool")
"""Attacks that reach milestones without a result."""

Reached = Callable[[Rollout], bool]
"""Whether a rollout, or the beginning of one, has reached a milestone. The final state is known at the end only."""


@dataclass(frozen=True)
class Called:
    """A tool call that did not fail, with at least these arguments."""

    tool: str
    arguments: tuple[tuple[str, Any], ...] = ()

    def __call__(self, rollout: Rollout) -> bool:
        """Whether such a call was made."""
        return any(
            call.name == self.tool
            and not call.is_error
            and all(name in call.arguments and same(call.arguments[name], value) for name, value in self.arguments)
            for call in rollout.tool_calls
        )


def called(tool: str, **arguments: Any) -> Called:
    """A milestone: this tool answered without an error."""
    return Called(tool, tuple(arguments.items()))


@dataclass(frozen=True)
class Hierarchical:
    """Per turn: −``step_penalty``, plus what was reached in it; in the last turn ``success_reward`` × the score.

    The penalties together are at most ``most_penalty``. The range is [−1, 1].
    """

    score: Judge
    milestones: tuple[tuple[str, float, Reached], ...]
    success_reward: float
    step_penalty: float
    most_penalty: float

    signed = True

    async def __call__(self, rollout: Rollout) -> tuple[float | list[float], dict[str, float]]:
        """One number per assistant message; components ``steps``, ``milestone/NAME``, ``success``, the score's own."""
        judgement = await judge(self.score, rollout)
        beginnings = prefixes(rollout)
        values = [0.0] * max(1, len(beginnings))
        spent = 0.0
        for turn in range(len(beginnings)):
            cost = min(self.step_penalty, self.most_penalty - spent)
            spent += cost
            values[turn] -= cost
        components = {"steps": -spent}
        for name, weight, reached in self.milestones:
            turn_of = next((turn for turn, beginning in enumerate(beginnings) if reached(beginning)), None)
            components[f"milestone/{name}"] = 0.0 if turn_of is None else weight
            if turn_of is not None:
                values[turn_of] += weight
        earned = self.success_reward * judgement.total
        values[-1] += earned
        components |= {"success": earned, "score": judgement.total}
        components |= {f"score/{key}": value for key, value in judgement.components.items()}
        return (values if len(values) > 1 else values[0]), components

    @property
    def excuses(self) -> dict[str, str]:
        """Milestones are earned without success, and by calls alone."""
        reason = f"milestones, at most {sum(weight for _, weight, _ in self.milestones):g} without success"
        return dict.fromkeys((ABOVE_SCORE, *BY_CALLS), reason) if self.milestones else {}


def hierarchical(
    score: Judge,
    milestones: Mapping[str, tuple[float, Reached]] | None = None,
    *,
    step_penalty: float = 0.01,
    most_penalty: float = 0.2,
) -> Hierarchical:
    """A reward per turn; what milestones leave of 1.0 is for success.

    Args:
        score: In [0, 1]; decides success.
        milestones: Name → (what it pays, whether it is reached), such as ``(0.1, called("get_ticket"))``.
        step_penalty: Cost of a turn.
        most_penalty: Cost of all turns together, at most.

    Raises:
        ValueError: a milestone pays nothing, all of them as much as success or more, or a penalty is negative.
    """
    paid = tuple((name, float(weight), reached) for name, (weight, reached) in (milestones or {}).items())
    total = sum(weight for _, weight, _ in paid)
    if any(weight <= 0 for _, weight, _ in paid) or exceeds(total, 0.5):
        raise ValueError(f"milestones must each pay more than 0 and together less than success, got {total:g} in all")
    if not 0 <= step_penalty <= most_penalty <= 1:
        raise ValueError(f"needs 0 ≤ step_penalty ≤ most_penalty ≤ 1, got {step_penalty!r} and {most_penalty!r}")
    return Hierarchical(score, paid, 1.0 - total, step_penalty, most_penalty)


def prefixes(rollout: Rollout) -> list[Rollout]:
    """The rollout as it stood after each of its turns: what the model said and the results that followed it.

    Only the last, which is the whole rollout, has the final state and the ending.
    """
    ends = rollout.turn_places
    if not ends:
        return []
    beginnings = []
    for start, end in zip(ends, [*ends[1:], None], strict=True):
        messages = rollout.messages[:end]
        if end is None:
            beginnings.append(rollout)
            continue
        # By number, not by id: some agents begin their ids anew in every turn.
        asked = sum(len(rollout.messages[place].get("tool_calls") or ()) for place in ends if place <= start)
        beginning = replace(rollout, messages=messages, tool_calls=rollout.tool_calls[:asked], final_state={})
        said = tuple(place for place in ends if place <= start)
        beginnings.append(replace(beginning, ending="cancelled", sampled_at=said))
    return beginnings
