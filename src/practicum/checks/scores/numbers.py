"""-RAISES, -RANGE, -REPEAT, -SLOW, REWARD-FLAT, -ABOVE, -RANK, -COMPONENTS, EVAL-UNSOLVED: what the numbers show."""

from collections.abc import Sequence
from statistics import median

from practicum.checks.episodes import shortened
from practicum.checks.findings import Finding
from practicum.checks.scores.measure import Measured
from practicum.errors import RolloutError
from practicum.ranges import exceeds, reaches
from practicum.scoring import Judge, Judgement
from practicum.scoring.judgement import ABOVE_SCORE, excuses_of, is_out_of_range
from practicum.trajectory import Rollout

SLOW_S = 2.0
"""Seconds from which a judgement is slow."""


def check_behaviour(
    prefix: str, rollouts: Sequence[Rollout], found: Measured, where: str, slow_s: float
) -> list[Finding]:
    """Does it raise, stay in range, repeat itself, and come back?"""
    findings = []
    if found.stuck is not None:
        told = told_of(rollouts[found.stuck])
        findings.append(Finding.of(f"{prefix}-SLOW", "it never came back from a rollout", where=where, difference=told))
    elif found.seconds and median(found.seconds) > slow_s:
        what = f"half of {len(found.seconds)} rollouts took more than {median(found.seconds):.2g} s each to judge"
        findings.append(Finding.of(f"{prefix}-SLOW", what, where=where, severity="warn"))
    errors = [(at, each) for at, each in enumerate(found.first) if isinstance(each, RolloutError)]
    for code, wanted in ((f"{prefix}-RANGE", True), (f"{prefix}-RAISES", False)):
        some = [(at, error) for at, error in errors if is_out_of_range(error) is wanted]
        if some:
            at, error = some[0]
            what = f"{error.what}, on {len(some)} of {len(found.first)} rollouts"
            findings.append(Finding.of(code, shortened(what, 300), where=where, difference=told_of(rollouts[at])))
    return findings + _check_repeat(prefix, rollouts, found, where)


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
    what = f"the oracle's rollouts of {len(failed)} of {len(rollouts)} tasks are no success"
    evidence = f"score {total if total is not None else 'none'}, success from {threshold:g}\n{told_of(rollout)}"
    return [Finding.of("EVAL-UNSOLVED", what, where=where, difference=evidence)]


def check_reward(
    reward: Judge,
    rollouts: Sequence[Rollout],
    rewards: Measured,
    scores: Sequence[float | None],
    threshold: float,
    where: str,
    *,
    walkthroughs: int,
    made: bool,
) -> list[Finding]:
    """How the reward of baseline rollouts stands to their score; the first ``walkthroughs`` are the oracle's.

    Rollouts that were ``made`` without an oracle may well be equally worthless: that all earn the same is a warning.
    """
    pairs = [
        (rollout, paid, score)
        for rollout, paid, score in zip(rollouts, rewards.totals, scores, strict=True)
        if paid is not None and score is not None
    ]
    baseline = [paid for paid in rewards.totals[walkthroughs:] if paid is not None]
    findings = [*_flat(baseline, where, sure=bool(walkthroughs) or not made), *_components(rewards, where)]
    wins = [paid for _, paid, score in pairs if reaches(score, threshold)]
    above = sorted(
        (
            (rollout, paid, score)
            for rollout, paid, score in pairs
            if exceeds(paid, score) and not reaches(score, threshold)
        ),
        key=lambda each: each[2] - each[1],
    )
    if above and ABOVE_SCORE not in excuses_of(reward):
        rollout, paid, score = above[0]
        what = f"{len(above)} of {len(pairs)} baseline rollouts earn more than they score"
        evidence = f"reward {paid:g}, score {score:g}\n{told_of(rollout)}"
        findings.append(Finding.of("REWARD-ABOVE", what, where=where, difference=evidence))
    ranked = [each for each in pairs if wins and not reaches(each[2], threshold) and reaches(each[1], min(wins))]
    if ranked:
        rollout, paid, score = max(ranked, key=lambda each: each[1])
        what = f"{len(ranked)} rollouts without success earn at least the {min(wins):g} that a success earns"
        evidence = f"reward {paid:g}, score {score:g}\n{told_of(rollout)}"
        findings.append(Finding.of("REWARD-RANK", what, where=where, difference=evidence))
    return findings


def told_of(rollout: Rollout) -> str:
    """A rollout in three lines."""
    calls = ", ".join(call.name for call in rollout.tool_calls) or "none"
    return f"task    {rollout.task.id}\ncalls   {shortened(calls, 160)}\nanswer  {shortened(rollout.answer, 300)!r}"


def _check_repeat(prefix: str, rollouts: Sequence[Rollout], found: Measured, where: str) -> list[Finding]:
    if found.changed:
        what = f"it changes the rollout that it judges ({len(found.changed)} of {len(found.first)})"
        evidence = told_of(rollouts[found.changed[0]])
        return [Finding.of(f"{prefix}-REPEAT", what, where=where, difference=evidence)]
    at_once = [at for at, each in enumerate(found.again) if _differs(found.first[at], each)]
    later = [at for at, each in sorted(found.later.items()) if _differs(found.first[at], each)]
    if not at_once and not later:
        return []
    at = (at_once or later)[0]
    other = found.again[at] if at_once else found.later[at]
    how = "judged twice, one after the other," if at_once else "judged again after others"
    share = f"{len(at_once or later)} of {len(found.later) or len(found.again)}"
    what = f"the same rollout, {how} gets another number ({share})"
    evidence = f"-{_number(found.first[at])}\n+{_number(other)}\n{told_of(rollouts[at])}"
    return [Finding.of(f"{prefix}-REPEAT", what, where=where, difference=evidence)]


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
        what = "it logs no components: of what it is made cannot be seen"
        return [Finding.of("REWARD-COMPONENTS", what, where=where, severity="warn")]
    missing = sorted(frozenset.union(*names) - frozenset.intersection(*names))
    # Per-field components differ where tasks have different fields.
    missing = [name for name in missing if "/" not in name]
    if not missing:
        return []
    what = f"some rollouts lack components that others have: {', '.join(missing[:5])}"
    return [Finding.of("REWARD-COMPONENTS", what, where=where, severity="warn")]


def _differs(one: Judgement | RolloutError, other: Judgement | RolloutError) -> bool:
    """Numbers, or whether there is one; components may differ."""
    if isinstance(one, Judgement) and isinstance(other, Judgement):
        return one.values != other.values
    return type(one) is not type(other)


def _number(judged: Judgement | RolloutError) -> str:
    if isinstance(judged, RolloutError):
        return judged.what
    return f"{judged.total!r}" if len(judged.values) == 1 else f"{list(judged.values)!r}"
