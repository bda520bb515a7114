"""Judging rollouts to see how the judge behaves: what it gives, how long it takes, and whether it gives it again."""

import asyncio
import copy
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from practicum.errors import RolloutError
from practicum.scoring import Judge, Judgement, judge
from practicum.trajectory import Rollout


@dataclass
class Measured:
    """What one judge did with some rollouts.

    Attributes:
        first: Its judgement of each, or the error.
        again: The same, asked once more at once.
        later: The same, asked again after all others, in reverse.
        changed: Places of rollouts that it changed.
        seconds: Time of each first judgement.
        stuck: Place of the rollout it never came back from.
    """

    first: list[Judgement | RolloutError] = field(default_factory=list)
    again: list[Judgement | RolloutError] = field(default_factory=list)
    later: dict[int, Judgement | RolloutError] = field(default_factory=dict)
    changed: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    stuck: int | None = None

    @property
    def totals(self) -> list[float | None]:
        """The numbers; None where there is none."""
        return [each.total if isinstance(each, Judgement) else None for each in self.first]


def measure(function: Judge, rollouts: Sequence[Rollout], *, patience_s: float, repeated: int) -> Measured:
    """Judge rollouts, some of them three times.

    It runs in a thread of its own, because a judge that never comes back cannot be stopped.

    Args:
        patience_s: Seconds for one judgement, after which it is held to be stuck.
        repeated: How many of them are judged again, at once and in reverse order at the end.
    """
    found = Measured()
    progress = [0, time.monotonic(), 0]

    async def all_of_them() -> None:
        for at, rollout in enumerate(rollouts):
            progress[:] = [progress[0] + 1, time.monotonic(), at]
            before = _copy(rollout)
            began = time.perf_counter()
            found.first.append(await _judged(function, rollout))
            found.seconds.append(time.perf_counter() - began)
            if before is not None and before != _copy(rollout):
                found.changed.append(at)
            if at < repeated:
                progress[:] = [progress[0] + 1, time.monotonic(), at]
                found.again.append(await _judged(function, rollout))
        for at in reversed(range(min(repeated, len(rollouts)))):
            progress[:] = [progress[0] + 1, time.monotonic(), at]
            found.later[at] = await _judged(function, rollouts[at])

    thread = threading.Thread(target=lambda: asyncio.run(all_of_them()), daemon=True, name="judge")
    thread.start()
    while thread.is_alive():
        thread.join(min(0.05, patience_s))
        if thread.is_alive() and time.monotonic() - progress[1] > patience_s:
            return Measured(list(found.first), list(found.again), {}, [], list(found.seconds), int(progress[2]))
    return found


async def _judged(function: Judge, rollout: Rollout) -> Judgement | RolloutError:
    try:
        return await judge(function, rollout)
    except RolloutError as error:
        return error


def _copy(rollout: Rollout) -> Any:
    """What a judge could change; None where it cannot be copied."""
    try:
        parts = (rollout.task.answer, rollout.task.metadata, rollout.messages, rollout.final_state)
        return copy.deepcopy(parts)
    except Exception:  # the user's own data, of whatever kind
        return None
