"""AGENT-RANGE, -FLAT, -ABOVE, -RANK: the reward that an agent reports, beside the score of the same rollout."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from practicum.checks.findings import Finding
from practicum.checks.scores.measured import overpaid, paid_like_success
from practicum.ranges import exceeds
from practicum.scoring.judgement import ABOVE_SCORE, excuses_of
from practicum.trajectory import Judge, Trajectory

CODES = ("AGENT-RANGE", "AGENT-FLAT", "AGENT-ABOVE", "AGENT-RANK")


@dataclass(frozen=True)
class Paid:
    """One rollout's reported reward and its score; None where there is none."""

    rollout: str
    task: str
    reward: float
    score: float | None

    def __str__(self) -> str:
        score = "none" if self.score is None else f"{self.score:g}"
        return f"task    {self.task}\nrollout {self.rollout}\nreward  {self.reward:g}, score {score}"


def paid_of(trajectories: Iterable[Trajectory]) -> list[Paid]:
    """Of each rollout that counts, if any came to its end with a reward: the policy's failures count with 0."""
    counting = [trajectory for trajectory in trajectories if trajectory.rewards and trajectory.is_conclusive]
    if not any(trajectory.error is None for trajectory in counting):
        return []
    return [Paid(trajectory.id, trajectory.task_id, trajectory.reward, trajectory.score) for trajectory in counting]


def check_rewards(
    paid: Sequence[Paid], threshold: float, where: str, *, recorded: bool, excused: bool
) -> tuple[list[Finding], dict[str, str]]:
    """What the reported rewards show, and of which question they show nothing.

    Args:
        recorded: Whether they are a baseline's; those of a script may well be equally worthless, which is a warning.
        excused: Whether it is documented why the reward is above the score.
    """
    if not paid:
        return [], dict.fromkeys(CODES, "no rollout with a reported reward is on record, and none came to its end here")
    pairs = [(each, each.reward, each.score) for each in paid if each.score is not None]
    ranked, least = paid_like_success(pairs, threshold)
    unseen = {}
    if len(paid) < 2:
        unseen["AGENT-FLAT"] = "there is only one reported reward"
    if not pairs:
        unseen["AGENT-ABOVE"] = "no rollout has a score beside its reported reward"
    if math.isinf(least):
        unseen["AGENT-RANK"] = "no rollout is a success"
    findings = [*_range(paid, where), *_flat(paid, where, sure=recorded)]
    if ranked:
        title = f"{len(ranked)} rollouts without success are reported with the {least:g} of a success, or more"
        findings.append(Finding.of("AGENT-RANK", title, where=where, difference=str(ranked[0][0])))
    above = [] if excused else overpaid(pairs, threshold)
    if above:
        title = f"{len(above)} of {len(pairs)} rollouts are reported with more than they score"
        findings.append(Finding.of("AGENT-ABOVE", title, where=where, difference=str(above[0][0])))
    return findings, unseen


def is_excused(*judges: Judge | None) -> bool:
    """Whether the reward or the score beside the environment documents why reward is above score."""
    return any(judge is not None and ABOVE_SCORE in excuses_of(judge) for judge in judges)


def _range(paid: Sequence[Paid], where: str) -> list[Finding]:
    outside = [each for each in paid if exceeds(abs(each.reward), 1.0)]
    if not outside:
        return []
    what = f"{len(outside)} of {len(paid)} reported rewards are outside of [-1, 1]"
    return [Finding.of("AGENT-RANGE", what, where=where, difference=str(outside[0]))]


def _flat(paid: Sequence[Paid], where: str, *, sure: bool) -> list[Finding]:
    if len(paid) < 2 or len({round(each.reward, 9) for each in paid}) > 1:
        return []
    what = f"all {len(paid)} rollouts are reported with {paid[0].reward:g}"
    return [Finding.of("AGENT-FLAT", what, where=where, severity="fail" if sure else "warn")]
