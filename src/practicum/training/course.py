"""Does a run still learn? Told from what it records anyway: groups without signal, and success on validation tasks.

A group whose rollouts are all paid alike says nothing. Where most groups are such and success is high, there is nothing
left to learn; where success is low, the policy has settled on something that is not right, and more steps of the same
kind change nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from practicum.recipe import Recipe
from practicum.runs.repair import whole_lines

SILENT = 0.6
"""From this share of groups without signal on, over the last steps, learning has stopped."""
LAST = 3
"""Steps that this share is averaged over."""
LEARNED = 0.95
"""From this success on there is little left to learn."""


@dataclass(frozen=True)
class Course:
    """A run's steps and validations so far.

    Attributes:
        silent: Share of each step's groups whose advantages were all zero.
        reward: Mean reward of each step.
        success: After some steps, the step and the mean score of validation tasks.
        seconds: What each step took.
    """

    silent: Sequence[float]
    success: Sequence[tuple[int, float]]
    seconds: Sequence[float]
    reward: Sequence[float] = ()

    @classmethod
    def of(cls, folder: Path) -> "Course":
        """What a run folder has on record."""
        path = folder / "metrics.jsonl"
        lines = whole_lines(path) if path.exists() else []
        steps = [line["metrics"] for line in lines if line["phase"] == "rl"]
        return cls(
            silent=[_share(metrics) for metrics in steps],
            success=[
                (line["step"], line["metrics"]["val/score/mean"])
                for line in lines
                if line["phase"] == "validation" and "val/score/mean" in line["metrics"]
            ],
            seconds=[metrics.get("timing_s/step", 0.0) for metrics in steps],
            reward=[metrics.get("rollout/reward/mean", 0.0) for metrics in steps],
        )

    @property
    def silent_lately(self) -> float:
        """Share of groups without signal over the last steps; 0 before the first."""
        lately = self.silent[-LAST:]
        return sum(lately) / len(lately) if lately else 0.0

    @property
    def stopped(self) -> bool:
        """Whether groups have too little left to say."""
        return self.silent_lately >= SILENT

    @property
    def rising(self) -> bool:
        """Whether the last validation was better than the one before, and leaves something to learn."""
        if not self.success:
            return False
        before = self.success[-2][1] if len(self.success) > 1 else 0.0
        return before < self.success[-1][1] < LEARNED


def divergence(folder: Path, metrics: Mapping[str, float], family: str) -> dict[str, float]:
    """``{family}/divergence``, 1 − held-out score / reward of the last training step; empty where there is neither.

    The reward is hacked, or the policy has learnt its training tasks by heart, where it grows towards 1.
    """
    rewards = Course.of(folder).reward
    reward = rewards[-1] if rewards else 0.0
    score = metrics.get(f"{family}/score/mean")
    return {f"{family}/divergence": 1 - score / reward} if reward > 0 and score is not None else {}


def goes_on(course: Course, recipe: Recipe, *, extra: int, seconds: float) -> bool:
    """Whether training goes on beyond its last step, until the next validation.

    Args:
        course: So far.
        recipe: ``extend_steps`` and ``extend_minutes`` bound it.
        extra: Steps it has already had beyond its last.
        seconds: What the run has taken in all.
    """
    planned = recipe.val_every or 1
    if extra + planned > recipe.extend_steps or course.stopped or not course.rising:
        return False
    if recipe.extend_minutes is None:
        return True
    per_step = sum(course.seconds[-LAST:]) / max(len(course.seconds[-LAST:]), 1)
    return seconds + planned * per_step <= recipe.extend_minutes * 60


def verdict(course: Course, recipe: Recipe, success: float) -> str | None:
    """One line on why a run's success is not higher, with what to change; None where there is nothing to say.

    Args:
        course: The whole of it.
        recipe: What it was trained by.
        success: Held-out success of the trained model, sampled where it was.
    """
    if not course.silent or success >= LEARNED:
        return None
    groups = recipe.global_batch_size
    silent = round(course.silent_lately * groups)
    if course.stopped and not any(course.reward[-LAST:]):
        return (
            f"learning had stopped: {silent} of {groups} groups without signal, and nothing was paid. What never "
            "succeeds cannot be reinforced: a foothold (warmstart_demonstrations), or easier tasks"
        )
    if course.stopped:
        return (
            f"learning had stopped: {silent} of {groups} groups without signal at {success:.0%}. The policy settled "
            f"before it was right: {_keeps_answers(recipe)}; another seed tells whether it was chance"
        )
    if course.rising:
        return (
            f"it was still learning at {success:.0%}: {silent} of {groups} groups without signal. "
            f"Raise max_steps (now {recipe.max_steps}) or extend_steps"
        )
    return None


def _keeps_answers(recipe: Recipe) -> str:
    """What keeps answers alive that are right for few prompts: what the recipe lacks of it, then what else may help."""
    if recipe.advantage_method != "max_rl" or recipe.group_size < 8:
        return (
            f"try advantage_method=max_rl with group_size=8 (now {recipe.advantage_method}, {recipe.group_size}), "
            "which gives no answer up because it is right for few, and pay less for what is no success"
        )
    return (
        f"try a larger group_size (now {recipe.group_size}) or global_batch_size, or a lower learning_rate "
        f"(now {recipe.learning_rate:g}) with warmup_steps"
    )


def _share(metrics: Mapping[str, Any]) -> float:
    """Share of a step's groups whose rollouts were all paid alike; groups lost to failures are no such groups."""
    silent, valid = metrics.get("analysis/zero_adv_groups", 0.0), metrics.get("analysis/batch_valid_ratio", 1.0)
    if not silent or valid >= 1:
        return 0.0
    return float(silent - metrics.get("analysis/groups_left_out", 0.0)) * (1 - valid) / silent
