"""Proof that a run folder is what it was: the chain of events, every file whose digest stands in it, no trajectories
besides, and no links in a file's place.

An event's ``data["files"]`` maps paths inside the run folder to SHA-256 digests (``file_digests`` makes
it). The latest mention of a path counts.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from practicum.digests import digest_file, digest_folder
from practicum.errors import LedgerError
from practicum.runs import events, manifest

TRAJECTORIES = "trajectories"
UNRECORDED = "in no event: it was added by hand, or is left of a step cut short long ago; remove it"
CUT_SHORT = "not on record yet: the step that the run was stopped in, which `practicum resume` does again"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and whether it holds."""

    subject: str
    ok: bool
    detail: str


def file_digests(run_folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Digests of files and folders, by their path inside the run folder, for an event's ``data["files"]``."""
    return {path.relative_to(run_folder).as_posix(): _digest(path) for path in paths}


def verify(run_folder: Path) -> list[Finding]:
    """Look at the chain, the manifest and every recorded file. The run is proven when all findings are ok."""
    chain, recorded = _chain(run_folder)
    cut_short = _next_table(recorded)
    return [
        chain,
        _manifest(run_folder),
        *(_file(run_folder, name, recorded[name]) for name in sorted(recorded)),
        *(
            Finding(name, True, CUT_SHORT) if name == cut_short else Finding(name, False, UNRECORDED)
            for name in (_unrecorded(run_folder, recorded) if chain.ok or recorded else ())
        ),
    ]


def _unrecorded(run_folder: Path, recorded: Collection[str]) -> list[str]:
    """Files of trajectories that no event mentions: whoever reads the run's would read them too."""
    found = (path.relative_to(run_folder).as_posix() for path in (run_folder / TRAJECTORIES).rglob("*"))
    return sorted(name for name in found if name not in recorded and not Path(name).name.startswith("."))


def _next_table(recorded: Collection[str]) -> str:
    """The table of the step after the last on record, which a stopped run may leave behind; none beside an output."""
    if "output" in recorded:
        return ""
    steps = (re.fullmatch(rf"{TRAJECTORIES}/step-(\d+)\.parquet", name) for name in recorded)
    last = max((int(match[1]) for match in steps if match), default=0)
    return f"{TRAJECTORIES}/step-{last + 1:06d}.parquet"


def _chain(run_folder: Path) -> tuple[Finding, dict[str, str]]:
    path = run_folder / events.FILE
    try:
        chain = events.read_events(path)
    except LedgerError as error:
        return Finding(events.FILE, False, f"{error.what} ({error.where})"), {}
    recorded: dict[str, str] = {}
    for event in chain:
        recorded |= event.data.get("files", {})
    if not chain:
        return Finding(events.FILE, False, "no events: nothing is proven"), recorded
    if events.torn_tail(path):
        return Finding(events.FILE, False, "the last line is torn; resuming the run records and mends it"), recorded
    return Finding(events.FILE, True, f"{len(chain)} events, chain whole, last hash {chain[-1].hash}"), recorded


def _manifest(run_folder: Path) -> Finding:
    try:
        found = manifest.read_manifest(run_folder)
    except LedgerError as error:
        return Finding(manifest.FILE, False, error.what)
    return Finding(manifest.FILE, True, f"recipe {found.recipe_digest[:12]}, environment {found.environment.id}")


def _file(run_folder: Path, name: str, expected: str) -> Finding:
    path = run_folder / name
    if link := _link_in(path, run_folder):
        return Finding(name, False, f"a link stands in its place: {link}")
    if not path.resolve().is_relative_to(run_folder.resolve()):
        return Finding(name, False, "lies outside the run folder")
    if not path.exists():
        return Finding(name, False, "recorded in the events, but missing")
    actual = _digest(path)
    if actual != expected:
        return Finding(name, False, f"altered: SHA-256 {actual[:12]}, recorded {expected[:12]}")
    return Finding(name, True, f"SHA-256 {expected[:12]} as recorded")


def _link_in(path: Path, run_folder: Path) -> str:
    """The first link on the way to a file, or within a folder; what it leads to may change at any time."""
    way = [path, *(parent for parent in path.parents if parent.is_relative_to(run_folder) and parent != run_folder)]
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    links = (place for place in (*reversed(way), *sorted(inside)) if place.is_symlink())
    return next((place.relative_to(run_folder).as_posix() for place in links), "")


def _digest(path: Path) -> str:
    return digest_folder(path) if path.is_dir() else digest_file(path)
