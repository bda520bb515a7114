"""Checkpoints: what a run needs to go on at step k + 1 as if it had never stopped.

Every random number of step k is derived from the recipe's seed and k, so weights, moments and the step's number
are the whole state of synchronous training. Where sampling runs ahead, the groups that are ready and not yet trained
on are part of it (``OpenGroups``); rollouts under way are begun anew. A checkpoint is written beside its place and
renamed into it; its files' digests stand in it last. One that does not match its digests is passed over for the one
before, with a message.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from practicum.digests import digest_file
from practicum.engine.protocol import Learner
from practicum.errors import RunError
from practicum.files import write_folder
from practicum.store import read_trajectories, write_trajectories
from practicum.trajectory import Trajectory

STATE = "state.json"
OPEN_STATE, OPEN_TABLE = "open.json", "open.parquet"


@dataclass(frozen=True)
class OpenGroups:
    """What was collected ahead of training: ``GroupBuffer.state()`` and the ready groups' trajectories."""

    state: Mapping[str, Any]
    trajectories: Sequence[Trajectory]


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on disk."""

    step: int
    folder: Path

    @property
    def digest(self) -> str:
        """SHA-256 of the file that holds the digests of all others."""
        return digest_file(self.folder / STATE)

    @property
    def foothold(self) -> Mapping[str, Any] | None:
        """How the foothold came about that it was written after; None where it was written after something else."""
        found: Mapping[str, Any] | None = json.loads((self.folder / STATE).read_text(encoding="utf-8")).get("foothold")
        return found


def save_checkpoint(
    run_folder: Path,
    step: int,
    learner: Learner,
    open_groups: OpenGroups | None = None,
    *,
    foothold: Mapping[str, Any] | None = None,
    keep: int = 2,
    keep_first: bool = False,
) -> Checkpoint:
    """Write the checkpoint of a finished step and drop all but the newest ``keep``.

    Args:
        run_folder: The run.
        step: The finished step; 0 is the start of reinforcement.
        learner: What is saved.
        open_groups: What was collected ahead of training, where anything was.
        foothold: How the foothold came about that it ends, for the ledger: kept in the checkpoint, so that a kill
            between the two loses nothing.
        keep: So many stay, this one included.
        keep_first: Keep that of step 0 too, which the reference policy of ``kl_coef`` is read from.
    """

    def fill(target: Path) -> None:
        learner.save(target)
        if open_groups is not None:
            (target / OPEN_STATE).write_text(json.dumps(open_groups.state) + "\n")
            write_trajectories(target / OPEN_TABLE, open_groups.trajectories)
        files = {path.name: digest_file(path) for path in sorted(target.iterdir())}
        state = {"step": step, "files": files, **({"foothold": foothold} if foothold is not None else {})}
        (target / STATE).write_text(json.dumps(state) + "\n")

    folder = run_folder / "checkpoints" / f"step-{step:06d}"
    write_folder(folder, fill)
    # Later ones are of a course that is being done again: damaged, or they would have been gone on from.
    for later in [old for old in _folders(run_folder) if _step(old) > step]:
        shutil.rmtree(later)
    for old in _folders(run_folder)[:-keep]:
        if not (keep_first and _step(old) == 0):
            shutil.rmtree(old)
    return Checkpoint(step, folder)


def latest_checkpoint(run_folder: Path, message: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint, or None where there is none yet; damaged ones are reported and passed over.

    Raises:
        RunError: there are checkpoints, and all are damaged. Beginning again from nothing would not be going on.
    """
    damaged: list[str] = []
    for folder in reversed(_folders(run_folder)):
        problem = _problem(folder)
        if problem is None:
            for each in damaged:
                message(f"checkpoint {each}: going back to the one before it")
            return Checkpoint(_step(folder), folder)
        damaged.append(f"{folder.name} is damaged ({problem})")
    if damaged:
        raise RunError(
            f"no checkpoint of the run is whole: {', '.join(damaged)}",
            where=str(run_folder / "checkpoints"),
            fix="put one back from a copy, or start a new run with --run NAME",
        )
    return None


def read_open_groups(run_folder: Path, step: int) -> OpenGroups | None:
    """What the checkpoint of a step (already found whole) holds of groups ahead of training."""
    folder = run_folder / "checkpoints" / f"step-{step:06d}"
    if not (folder / OPEN_STATE).exists():
        return None
    state = json.loads((folder / OPEN_STATE).read_text())
    return OpenGroups(state, read_trajectories(folder / OPEN_TABLE))


def first_checkpoint(run_folder: Path) -> Checkpoint:
    """That of step 0, where reinforcement started from.

    Raises:
        RunError: it is gone or damaged.
    """
    checkpoint = Checkpoint(0, run_folder / "checkpoints" / "step-000000")
    problem = _problem(checkpoint.folder)
    if problem is not None:
        raise RunError(
            f"the checkpoint that reinforcement started from, which kl_coef measures from, is damaged ({problem})",
            where=str(checkpoint.folder),
            fix="put it back from a copy, or start a new run with --run NAME",
        )
    return checkpoint


def newest_step(run_folder: Path) -> int:
    """Step of the newest checkpoint, whole or not; 0 where there is none."""
    return max(map(_step, _folders(run_folder)), default=0)


def _folders(run_folder: Path) -> list[Path]:
    return sorted(path for path in (run_folder / "checkpoints").glob("step-*") if path.is_dir())


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _problem(folder: Path) -> str | None:
    try:
        state = json.loads((folder / STATE).read_text())
        if state["step"] != _step(folder):
            return f"it says that it is of step {state['step']}"
        for name, expected in state["files"].items():
            if digest_file(folder / name) != expected:
                return f"{name} does not match its digest"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{STATE} or what it names cannot be read: {type(error).__name__} {error}"
    return None
