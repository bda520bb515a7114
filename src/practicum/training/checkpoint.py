"""Checkpoints: what a run needs to go on at step k + 1 as if it had never stopped.

Every random number of step k is derived from the recipe's seed and k, so weights, moments and the step's number
are the whole state. A checkpoint is written beside its place and renamed into it; its files' digests stand in it
last. One that does not match its digests is passed over for the one before, with a message.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from practicum.digests import digest_file
from practicum.engine.protocol import Learner
from practicum.files import write_folder

STATE = "state.json"
KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on disk."""

    step: int
    folder: Path

    @property
    def digest(self) -> str:
        """SHA-256 of the file that holds the digests of all others."""
        return digest_file(self.folder / STATE)


def save_checkpoint(run_folder: Path, step: int, learner: Learner) -> Checkpoint:
    """Write the checkpoint of a finished step and drop all but the newest ``KEPT``."""

    def fill(target: Path) -> None:
        learner.save(target)
        files = {path.name: digest_file(path) for path in sorted(target.iterdir())}
        (target / STATE).write_text(json.dumps({"step": step, "files": files}) + "\n")

    folder = run_folder / "checkpoints" / f"step-{step:06d}"
    write_folder(folder, fill)
    for old in _folders(run_folder)[:-KEPT]:
        shutil.rmtree(old)
    return Checkpoint(step, folder)


def latest_checkpoint(run_folder: Path, message: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint; damaged ones are reported and passed over."""
    for folder in reversed(_folders(run_folder)):
        problem = _problem(folder)
        if problem is None:
            return Checkpoint(_step(folder), folder)
        message(f"checkpoint {folder.name} is damaged ({problem}): going back to the one before it")
    return None


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
