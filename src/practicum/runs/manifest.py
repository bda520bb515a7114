"""The manifest of a run, digests and versions of everything that decided its outcome; and the proof of its folder.

Proven is a folder that is what it was: the chain of events, every file whose digest stands in it, no trajectories
besides, and no links in a file's place. An event's ``data["files"]`` maps paths inside the run folder to SHA-256
digests (``file_digests`` makes it). The latest mention of a path counts.
"""

import json
import os
import platform
import re
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from practicum.digests import digest, digest_file, digest_folder
from practicum.errors import LedgerError
from practicum.files import write_text
from practicum.runs import events
from practicum.tasks import TaskSet
from practicum.trajectory import EnvironmentRef

FILE = "manifest.json"
TRAJECTORIES = "trajectories"
UNRECORDED = "in no event: it was added by hand, or is left of a step cut short long ago; remove it"
CUT_SHORT = "not on record yet: the step that the run was stopped in, which `practicum resume` does again"


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
    rule_settings: Mapping[str, str] = field(default_factory=dict)
    """``score`` and ``reward`` → digest in which Practicum's own code is its name; empty in runs of before 2026-12."""
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
        answer = subprocess.run(
            ["git", *arguments], cwd=folder, env=quiet, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


@dataclass(frozen=True)
class Proof:
    """One thing that was looked at, and whether it holds."""

    subject: str
    ok: bool
    detail: str


def file_digests(run_folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Digests of files and folders, by their path inside the run folder, for an event's ``data["files"]``."""
    return {path.relative_to(run_folder).as_posix(): _digest(path) for path in paths}


def verify(run_folder: Path) -> list[Proof]:
    """Look at the chain, the manifest and every recorded file. The run is proven when all findings are ok."""
    chain, recorded = _chain(run_folder)
    cut_short = _next_table(recorded)
    return [
        chain,
        _manifest_whole(run_folder),
        *(_file(run_folder, name, recorded[name]) for name in sorted(recorded)),
        *(
            Proof(name, True, CUT_SHORT) if name == cut_short else Proof(name, False, UNRECORDED)
            for name in (_unrecorded(run_folder, recorded) if chain.ok or recorded else ())
        ),
    ]


def _unrecorded(run_folder: Path, recorded: Collection[str]) -> list[str]:
    """Files of trajectories that no event mentions: whoever reads the run's would read them too."""
    tables = (path.relative_to(run_folder).as_posix() for path in (run_folder / TRAJECTORIES).rglob("*"))
    return sorted(name for name in tables if name not in recorded and not Path(name).name.startswith("."))


def _next_table(recorded: Collection[str]) -> str:
    """The table of the step after the last on record, which a stopped run may leave behind; none beside an output."""
    if "output" in recorded:
        return ""
    steps = (re.fullmatch(rf"{TRAJECTORIES}/step-(\d+)\.parquet", name) for name in recorded)
    last = max((int(match[1]) for match in steps if match), default=0)
    return f"{TRAJECTORIES}/step-{last + 1:06d}.parquet"


def _chain(run_folder: Path) -> tuple[Proof, dict[str, str]]:
    path = run_folder / events.FILE
    try:
        chain = events.read_events(path)
    except LedgerError as error:
        return Proof(events.FILE, False, f"{error.what} ({error.where})"), {}
    recorded: dict[str, str] = {}
    for event in chain:
        recorded |= event.data.get("files", {})
    if not chain:
        return Proof(events.FILE, False, "no events: nothing is proven"), recorded
    if events.torn_tail(path):
        return Proof(events.FILE, False, "the last line is torn; resuming the run records and mends it"), recorded
    return Proof(events.FILE, True, f"{len(chain)} events, chain whole, last hash {chain[-1].hash}"), recorded


def _manifest_whole(run_folder: Path) -> Proof:
    try:
        manifest = read_manifest(run_folder)
    except LedgerError as error:
        return Proof(FILE, False, error.what)
    return Proof(FILE, True, f"recipe {manifest.recipe_digest[:12]}, environment {manifest.environment.id}")


def _file(run_folder: Path, name: str, expected: str) -> Proof:
    path = run_folder / name
    if link := _link_in(path, run_folder):
        return Proof(name, False, f"a link stands in its place: {link}")
    if not path.resolve().is_relative_to(run_folder.resolve()):
        return Proof(name, False, "lies outside the run folder")
    if not path.exists():
        return Proof(name, False, "recorded in the events, but missing")
    actual = _digest(path)
    if actual != expected:
        return Proof(name, False, f"altered: SHA-256 {actual[:12]}, recorded {expected[:12]}")
    return Proof(name, True, f"SHA-256 {expected[:12]} as recorded")


def _link_in(path: Path, run_folder: Path) -> str:
    """The first link on the way to a file, or within a folder; what it leads to may change at any time."""
    way = [path, *(parent for parent in path.parents if parent.is_relative_to(run_folder) and parent != run_folder)]
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    links = (place for place in (*reversed(way), *sorted(inside)) if place.is_symlink())
    return next((place.relative_to(run_folder).as_posix() for place in links), "")


def _digest(path: Path) -> str:
    return digest_folder(path) if path.is_dir() else digest_file(path)
