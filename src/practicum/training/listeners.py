"""What a step came to, and what listens to a trainer: the run folder, where it is written down, and the terminal.

A trainer tells its listeners what happened. What ``RunRecorder`` writes of a step also says later whether the run still
learns (``course``); nothing else in them changes what the trainer does next.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from practicum.monitor.metrics import step_metrics
from practicum.monitor.progress import TrainingView
from practicum.recipe import Recipe
from practicum.runs.checkpoint import Checkpoint
from practicum.runs.folder import Run
from practicum.runs.manifest import file_digests
from practicum.store import write_trajectories
from practicum.tasks import TaskSet
from practicum.trajectory import Group, Trajectory


@dataclass(frozen=True)
class StepTimes:
    """When parts of a step began and ended (``time.monotonic``)."""

    began: float
    """Collecting began."""
    collected: float
    """All it trains on was there."""
    learned: float
    """The gradient was taken."""


@dataclass(frozen=True)
class StepOutcome:
    """What a step came to."""

    step: int
    groups: Sequence[Group]
    advantages: Mapping[str, np.ndarray]
    trained: Sequence[Group]
    learned: Mapping[str, float]
    """The learner's numbers, and ``policy_update``: seconds that it took to bring the new weights to the sampler."""
    repetitive: Sequence[str]
    """Rollouts that the repetition filter took."""
    age: Callable[[int], int]
    """Policy version of a token → its staleness in this step."""
    discarded: int
    untrained: Sequence[Trajectory]
    times: StepTimes

    def metrics(self, recipe: Recipe, n_tasks: int) -> dict[str, float]:
        """By their names in ``monitor.names``; of a run over so many training tasks."""
        times, numbers = self.times, dict(self.learned)
        updated = numbers.pop("policy_update", 0.0)
        metrics = step_metrics(
            self.groups,
            {id: list(values) for id, values in self.advantages.items()},
            step=self.step,
            epoch=(self.step - 1) / (n_tasks // recipe.global_batch_size),
            age=self.age,
            discarded_stale=self.discarded,
            untrained=self.untrained,
            trained=self.trained,
            planned=recipe.global_batch_size * recipe.group_size,
            learner=numbers,
            timings={
                "rollout": times.collected - times.began,
                "wait": times.collected - times.began,
                "training": times.learned - times.collected,
                "policy_update": updated,
                "step": time.monotonic() - times.began,
            },
        )
        if recipe.max_repeated_tokens is not None:
            metrics["rollout/filtered"] = float(len(self.repetitive))
        return metrics


class TrainingListener(Protocol):
    """What a trainer says as it goes."""

    def phase(self, name: str) -> None:
        """What begins now: rollouts, gradient step, validation, checkpoint."""
        ...

    def collected(self, step: int, trajectories: Sequence[Trajectory]) -> None:
        """A step's rollouts have ended; nothing has looked at them yet."""
        ...

    def learned(self, step: int, trajectories: Sequence[Trajectory], metrics: Mapping[str, float]) -> None:
        """A step is over."""
        ...

    def validated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Validation tasks were played after a step."""
        ...

    def saved(self, step: int, checkpoint: Checkpoint, seconds: float) -> None:
        """A checkpoint was written."""
        ...


class RunRecorder:
    """Writes into the run folder: trajectories, metrics, ledger, and how the terminal shows what is going on.

    Args:
        run: Where everything is recorded.
        train: The training tasks, whose prompts traces show.
        view: The terminal.
    """

    def __init__(self, run: Run, train: TaskSet, view: TrainingView) -> None:
        self._run, self._train, self._view = run, train, view

    def phase(self, name: str) -> None:
        """See ``TrainingListener``."""
        self._view.phase(name)

    def collected(self, step: int, trajectories: Sequence[Trajectory]) -> None:
        """See ``TrainingListener``. Before anything can refuse them: what went wrong is in them."""
        write_trajectories(step_table(self._run.folder, step), trajectories)

    def learned(self, step: int, trajectories: Sequence[Trajectory], metrics: Mapping[str, float]) -> None:
        """See ``TrainingListener``."""
        run, table = self._run, step_table(self._run.folder, step)
        run.record_metrics("rl", step, dict(metrics))
        run.record_trajectories(trajectories, {task.id: task.prompt for task in self._train})
        names = ("rollout/reward/mean", "training/loss", "training/grad_norm")
        numbers = {name: metrics[name] for name in names if name in metrics}
        run.events.append("step", {"step": step, **numbers, "files": file_digests(run.folder, [table])})

    def validated(self, step: int, metrics: Mapping[str, float]) -> None:
        """See ``TrainingListener``."""
        self._run.record_metrics("validation", step, dict(metrics))

    def saved(self, step: int, checkpoint: Checkpoint, seconds: float) -> None:
        """See ``TrainingListener``."""
        self._run.record_metrics("checkpoint", step, {"timing_s/save_checkpoint": seconds})
        self._run.events.append("checkpoint", {"step": step, "digest": checkpoint.digest})


def step_table(folder: Path, step: int) -> Path:
    """The file of a step's trajectories in a run folder."""
    return folder / "trajectories" / f"step-{step:06d}.parquet"


def show_step(
    view: TrainingView,
    recipe: Recipe,
    step: int,
    metrics: Mapping[str, float],
    held_out: float | None,
    shortfall: Sequence[str],
) -> None:
    """Tell the terminal about a finished step and the validation after it, where there was one."""
    tokens = sum(metrics.get(f"rollout/tokens/{part}_mean", 0.0) for part in ("prompt", "response"))
    rollouts = recipe.global_batch_size * recipe.group_size
    view.step(
        step,
        reward=metrics.get("rollout/reward/mean"),
        begun=metrics.get("rollout/reward/begun_mean"),
        held_out=held_out,
        groups_without_signal=int(metrics["analysis/zero_adv_groups"]),
        groups=recipe.global_batch_size,
        tokens_per_s=tokens * rollouts / max(metrics["timing_s/step"], 1e-9),
        shortfall=shortfall,
    )
