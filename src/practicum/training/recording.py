"""What listens to a trainer: the run folder, where all of it is written down, and the terminal.

A trainer tells its listeners what happened; none of them changes what it does next.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from practicum.monitor.progress import TrainingView
from practicum.recipe import Recipe
from practicum.runs.checkpoint import Checkpoint
from practicum.runs.folder import Run
from practicum.runs.verify import file_digests
from practicum.store import write_trajectories
from practicum.tasks import TaskSet
from practicum.trajectory import Trajectory


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
