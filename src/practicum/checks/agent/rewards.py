"""AGENT-RANGE, -FLAT, -ABOVE, -RANK: the reward that an agent reports, beside the score of the same rollout."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from practicum.checks.findings import Finding
from practicum.ranges import exceeds, reaches
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
    counting = [each for each in trajectories if each.rewards and each.is_conclusive]
    if not any(each.error is None for each in counting):
        return []
    return [Paid(each.id, each.task_id, each.reward, each.score) for each in counting]


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
    pairs = [(each, each.score) for each in paid if each.score is not None]
    wins = [each.reward for each, score in pairs if reaches(score, threshold)]
    unseen = {}
    if len(paid) < 2:
        unseen["AGENT-FLAT"] = "there is only one reported reward"
    if not pairs:
        unseen["AGENT-ABOVE"] = "no rollout has a score beside its reported reward"
    if not wins:
        unseen["AGENT-RANK"] = "no rollout is a success"
    findings = [*_range(paid, where), *_flat(paid, where, sure=recorded), *_rank(pairs, wins, threshold, where)]
    return findings + ([] if excused else _above(pairs, threshold, where)), unseen


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


def _above(pairs: Sequence[tuple[Paid, float]], threshold: float, where: str) -> list[Finding]:
    above = [(each, score) for each, score in pairs if exceeds(each.reward, score) and not reaches(score, threshold)]
    if not above:
        return []
    worst = max(above, key=lambda pair: pair[0].reward - pair[1])[0]
    what = f"{len(above)} of {len(pairs)} rollouts are reported with more than they score"
    return [Finding.of("AGENT-ABOVE", what, where=where, difference=str(worst))]


def _rank(pairs: Sequence[tuple[Paid, float]], wins: Sequence[float], threshold: float, where: str) -> list[Finding]:
    if not wins:
        return []
    ranked = [each for each, score in pairs if not reaches(score, threshold) and reaches(each.reward, min(wins))]
    if not ranked:
        return []
    worst = max(ranked, key=lambda each: each.reward)
    what = f"{len(ranked)} rollouts without success are reported with the {min(wins):g} of a success, or more"
    return [Finding.of("AGENT-RANK", what, where=where, difference=str(worst))]
