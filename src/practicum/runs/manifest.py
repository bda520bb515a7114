"""The manifest of a run: digests and versions of everything that decided its outcome, in one file."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from practicum.digests import digest
from practicum.errors import LedgerError
from practicum.files import write_text
from practicum.tasks import TaskSet
from practicum.trajectory import EnvironmentRef

FILE = "manifest.json"


@dataclass(frozen=True)
class Machine:
    """Where a run ran. ``git`` is the commit of the user's folder and whether files differed from it.

    ``processor``, ``instructions`` and ``dtype`` decide how sums are rounded; empty in runs of older versions.
    """

    python: str
    platform: str
    threads: int
    packages: Mapping[str, str]
    git: Mapping[str, Any] | None
    processor: str = ""
    instructions: str = ""
    dtype: str = ""

    @property
    def rounding(self) -> dict[str, Any]:
        """What a figure was rounded on, to stand beside it."""
        return {name: getattr(self, name) for name in ("processor", "instructions", "dtype", "threads")}


@dataclass(frozen=True)
class Manifest:
    """What was trained, on which environment, data, reward, code. Digests are SHA-256 in hex."""

    environment: EnvironmentRef
    tools: Mapping[str, str]
    """Tool name → digest of its schema."""
    seeds: Mapping[str, int]
    data: Mapping[str, Mapping[str, Any]]
    """Split (train, validation, test) → name, number of tasks, digest; of a dataset, which column was what."""
    reward: str
    score: str
    recipe: Mapping[str, Any]
    model: Mapping[str, str]
    """``name`` and ``digest`` of the weights."""
    tokenizer: str
    machine: Machine
    recipe_digest: str = field(default="")

    def __post_init__(self) -> None:
        actual = digest(dict(self.recipe))
        if self.recipe_digest not in ("", actual):
            raise LedgerError(
                "the manifest's recipe does not have the digest beside it",
                allowed=f"{actual} for the recipe that stands there",
                fix="restore the manifest from a copy",
            )
        object.__setattr__(self, "recipe_digest", actual)


def tool_digests(tools: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Tool name → digest of its OpenAI function schema."""
    return {tool["function"]["name"]: digest(dict(tool)) for tool in tools}


def data_digests(splits: Mapping[str, TaskSet]) -> dict[str, dict[str, Any]]:
    """Split → name, number of tasks and digest over all of them in order; of a dataset also its columns by role."""
    return {split: _data_digest(tasks) for split, tasks in splits.items()}


def _data_digest(tasks: TaskSet) -> dict[str, Any]:
    columns = {} if tasks.columns is None else {"columns": tasks.columns.named()}
    return {"name": tasks.name, "tasks": len(tasks), "digest": tasks.digest, **columns}


def describe_machine(
    threads: int, folder: Path, *, processor: str = "", instructions: str = "", dtype: str = ""
) -> Machine:
    """This interpreter, its packages, the state of the git repository around ``folder`` (if any), what computes."""
    packages = {dist.name: dist.version for dist in distributions() if dist.name}
    ordered = dict(sorted(packages.items(), key=lambda item: item[0].lower()))
    state = git_state(folder)
    return Machine(
        platform.python_version(), platform.platform(), threads, ordered, state, processor, instructions, dtype
    )


def git_state(folder: Path) -> dict[str, Any] | None:
    """``{"commit", "changed"}`` (whether tracked files differ from it); None outside a repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "changed": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def write_manifest(run_folder: Path, manifest: Manifest) -> Path:
    """Write ``manifest.json`` atomically and return its path.

    Raises:
        LedgerError: something in it is not JSON.
    """
    path = run_folder / FILE
    try:
        text = json.dumps(asdict(manifest), indent=2, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise LedgerError(f"the manifest cannot be written: {error}", where=str(path)) from error
    write_text(path, text + "\n")
    return path


def read_manifest(run_folder: Path) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        LedgerError: it is missing, not JSON, incomplete, or its recipe was changed.
    """
    path = run_folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        environment, machine = EnvironmentRef(**values.pop("environment")), Machine(**values.pop("machine"))
        return Manifest(**values, environment=environment, machine=machine)
    except LedgerError as error:
        raise LedgerError(error.what, where=str(path), allowed=error.allowed, fix=error.fix) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise LedgerError(
            f"not a manifest: {error}",
            where=str(path),
            allowed="an object with " + ", ".join(item.name for item in fields(Manifest)),
            fix="restore the file from a copy",
        ) from error


def _git(folder: Path, *arguments: str) -> str | None:
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=quiet, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
