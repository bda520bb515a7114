"""Judging rollouts to see how the judge behaves, and what its numbers show.

-RAISES, -RANGE, -REPEAT, -SLOW, REWARD-FLAT, -ABOVE, -RANK, -COMPONENTS, EVAL-UNSOLVED.
"""

import asyncio
import copy
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeVar

from practicum.checks.findings import Finding
from practicum.errors import RolloutError
from practicum.ranges import exceeds, reaches
from practicum.scoring import Judge, Judgement, judge
from practicum.scoring.judgement import ABOVE_SCORE, excuses_of, is_out_of_range
from practicum.text import shortened
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
    measured = Measured()
    progress = [0, time.monotonic(), 0]

    async def all_of_them() -> None:
        for at, rollout in enumerate(rollouts):
            progress[:] = [progress[0] + 1, time.monotonic(), at]
            before = _copy(rollout)
            began = time.perf_counter()
            measured.first.append(await _judged(function, rollout))
            measured.seconds.append(time.perf_counter() - began)
            if before is not None and before != _copy(rollout):
                measured.changed.append(at)
            if at < repeated:
                progress[:] = [progress[0] + 1, time.monotonic(), at]
                measured.again.append(await _judged(function, rollout))
        for at in reversed(range(min(repeated, len(rollouts)))):
            progress[:] = [progress[0] + 1, time.monotonic(), at]
            measured.later[at] = await _judged(function, rollouts[at])

    thread = threading.Thread(target=lambda: asyncio.run(all_of_them()), daemon=True, name="judge")
    thread.start()
    while thread.is_alive():
        thread.join(min(0.05, patience_s))
        if thread.is_alive() and time.monotonic() - progress[1] > patience_s:
            return Measured(
                list(measured.first), list(measured.again), {}, [], list(measured.seconds), int(progress[2])
            )
    return measured


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


SLOW_S = 2.0
"""Seconds from which a judgement is slow."""


def check_behaviour(
    prefix: str, rollouts: Sequence[Rollout], measured: Measured, where: str, slow_s: float
) -> list[Finding]:
    """Does it raise, stay in range, repeat itself, and come back?"""
    findings = []
    if measured.stuck is not None:
        evidence = told_of(rollouts[measured.stuck])
        findings.append(
            Finding.of(f"{prefix}-SLOW", "it never came back from a rollout", where=where, difference=evidence)
        )
    elif measured.seconds and median(measured.seconds) > slow_s:
        title = (
            f"half of {len(measured.seconds)} rollouts took more than {median(measured.seconds):.2g} s each to judge"
        )
        findings.append(Finding.of(f"{prefix}-SLOW", title, where=where, severity="warn"))
    errors = [(at, each) for at, each in enumerate(measured.first) if isinstance(each, RolloutError)]
    for code, wanted in ((f"{prefix}-RANGE", True), (f"{prefix}-RAISES", False)):
        some = [(at, error) for at, error in errors if is_out_of_range(error) is wanted]
        if some:
            at, error = some[0]
            title = f"{error.what}, on {len(some)} of {len(measured.first)} rollouts"
            findings.append(Finding.of(code, shortened(title, 300), where=where, difference=told_of(rollouts[at])))
    return findings + _check_repeat(prefix, rollouts, measured, where)


def check_oracle(
    rollouts: Sequence[Rollout], totals: Sequence[float | None], threshold: float, where: str
) -> list[Finding]:
    """The oracle's rollouts are successes."""
    failed = [
        (rollout, total)
        for rollout, total in zip(rollouts, totals, strict=True)
        if not reaches(total or 0.0, threshold)
    ]
    if not failed:
        return []
    rollout, total = failed[0]
    title = f"the oracle's rollouts of {len(failed)} of {len(rollouts)} tasks are no success"
    evidence = f"score {total if total is not None else 'none'}, success from {threshold:g}\n{told_of(rollout)}"
    return [Finding.of("EVAL-UNSOLVED", title, where=where, difference=evidence)]


def check_reward(
    reward: Judge,
    rollouts: Sequence[Rollout],
    rewards: Measured,
    scores: Sequence[float | None],
    threshold: float,
    where: str,
    *,
    walkthroughs: int,
    synthetic: bool,
) -> list[Finding]:
    """How the reward of baseline rollouts stands to their score; the first ``walkthroughs`` are the oracle's.

    ``synthetic`` rollouts without an oracle may well be equally worthless: that all earn the same is a warning.
    """
    pairs = [
        (rollout, paid, score)
        for rollout, paid, score in zip(rollouts, rewards.totals, scores, strict=True)
        if paid is not None and score is not None
    ]
    baseline = [paid for paid in rewards.totals[walkthroughs:] if paid is not None]
    findings = [*_flat(baseline, where, sure=bool(walkthroughs) or not synthetic), *_components(rewards, where)]
    above = overpaid(pairs, threshold)
    if above and ABOVE_SCORE not in excuses_of(reward):
        rollout, paid, score = above[0]
        title = f"{len(above)} of {len(pairs)} baseline rollouts earn more than they score"
        evidence = f"reward {paid:g}, score {score:g}\n{told_of(rollout)}"
        findings.append(Finding.of("REWARD-ABOVE", title, where=where, difference=evidence))
    ranked, least = paid_like_success(pairs, threshold)
    if ranked:
        rollout, paid, score = ranked[0]
        title = f"{len(ranked)} rollouts without success earn at least the {least:g} that a success earns"
        evidence = f"reward {paid:g}, score {score:g}\n{told_of(rollout)}"
        findings.append(Finding.of("REWARD-RANK", title, where=where, difference=evidence))
    return findings


PaidPair = TypeVar("PaidPair", bound=tuple[Any, float, float])
"""A rollout, its reward and its score."""


def overpaid(pairs: Sequence[PaidPair], threshold: float) -> list[PaidPair]:
    """Rollouts without success that are paid more than they score, the widest gap first."""
    above = [pair for pair in pairs if exceeds(pair[1], pair[2]) and not reaches(pair[2], threshold)]
    return sorted(above, key=lambda pair: pair[2] - pair[1])


def paid_like_success(pairs: Sequence[PaidPair], threshold: float) -> tuple[list[PaidPair], float]:
    """Rollouts without success that are paid as a success is, the best paid first; and the least a success is paid."""
    least = min((reward for _, reward, score in pairs if reaches(score, threshold)), default=math.inf)
    ranked = [pair for pair in pairs if not reaches(pair[2], threshold) and reaches(pair[1], least)]
    return sorted(ranked, key=lambda pair: -pair[1]), least


def told_of(rollout: Rollout) -> str:
    """A rollout in three lines."""
    calls = ", ".join(call.name for call in rollout.tool_calls) or "none"
    return f"task    {rollout.task.id}\ncalls   {shortened(calls, 160)}\nanswer  {shortened(rollout.answer, 300)!r}"


def _check_repeat(prefix: str, rollouts: Sequence[Rollout], measured: Measured, where: str) -> list[Finding]:
    if measured.changed:
        title = f"it changes the rollout that it judges ({len(measured.changed)} of {len(measured.first)})"
        evidence = told_of(rollouts[measured.changed[0]])
        return [Finding.of(f"{prefix}-REPEAT", title, where=where, difference=evidence)]
    at_once = [at for at, each in enumerate(measured.again) if _differs(measured.first[at], each)]
    later = [at for at, each in sorted(measured.later.items()) if _differs(measured.first[at], each)]
    if not at_once and not later:
        return []
    at = (at_once or later)[0]
    second = measured.again[at] if at_once else measured.later[at]
    how = "judged twice, one after the other," if at_once else "judged again after others"
    share = f"{len(at_once or later)} of {len(measured.later) or len(measured.again)}"
    title = f"the same rollout, {how} gets another number ({share})"
    evidence = f"-{_number(measured.first[at])}\n+{_number(second)}\n{told_of(rollouts[at])}"
    return [Finding.of(f"{prefix}-REPEAT", title, where=where, difference=evidence)]


def _flat(baseline: Sequence[float], where: str, *, sure: bool) -> list[Finding]:
    numbers = {round(paid, 9) for paid in baseline}
    if len(baseline) < 2 or len(numbers) > 1:
        return []
    what = f"all {len(baseline)} baseline rollouts earn {numbers.pop():g}"
    return [Finding.of("REWARD-FLAT", what, where=where, severity="fail" if sure else "warn")]


def _components(rewards: Measured, where: str) -> list[Finding]:
    names = [frozenset(each.components) for each in rewards.first if isinstance(each, Judgement)]
    if not names:
        return []
    if not any(names):
        title = "it logs no components: of what it is made cannot be seen"
        return [Finding.of("REWARD-COMPONENTS", title, where=where, severity="warn")]
    missing = sorted(frozenset.union(*names) - frozenset.intersection(*names))
    # Per-field components differ where tasks have different fields.
    missing = [name for name in missing if "/" not in name]
    if not missing:
        return []
    title = f"some rollouts lack components that others have: {', '.join(missing[:5])}"
    return [Finding.of("REWARD-COMPONENTS", title, where=where, severity="warn")]


def _differs(first: Judgement | RolloutError, second: Judgement | RolloutError) -> bool:
    """Numbers, or whether there is one; components may differ."""
    if isinstance(first, Judgement) and isinstance(second, Judgement):
        return first.values != second.values
    return type(first) is not type(second)


def _number(judged: Judgement | RolloutError) -> str:
    if isinstance(judged, RolloutError):
        return judged.what
    return f"{judged.total!r}" if len(judged.values) == 1 else f"{list(judged.values)!r}"


def unseen_of_reward(
    paid: Sequence[float | None], scored: Sequence[float | None], threshold: float, *, walkthroughs: int
) -> dict[str, str]:
    """Of the checks that compare a reward with the score, by code; the first ``walkthroughs`` are the oracle's."""
    unseen = {}
    pairs = [(a, b) for a, b in zip(paid, scored, strict=False) if a is not None and b is not None]
    if sum(number is not None for number in paid[walkthroughs:]) < 2:
        unseen["REWARD-FLAT"] = "fewer than two baseline rollouts have a reward"
    if not pairs:
        unseen["REWARD-ABOVE"] = "no rollout has both a reward and a score"
    if not any(reaches(score, threshold) for _, score in pairs):
        unseen["REWARD-RANK"] = "no rollout is a success"
    if not any(number is not None for number in paid):
        unseen["REWARD-COMPONENTS"] = "no rollout has a reward"
    return unseen
