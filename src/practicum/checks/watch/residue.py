"""What an episode leaves in its process: snapshots before and after, and an audit trail that names the lines.

Only for a process of its own: an audit hook cannot be removed again.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from practicum.checks.watch.file_access import listen_to_audit, nameless, writes
from practicum.checks.watch.settings import Leftover, changed_settings, described, put_back, settings_now
from practicum.checks.watch.suspended import Suspended, suspended
from practicum.environment.places import place_of_frame, users_frame

GRACE = 0.5
"""Seconds that threads and processes told to end may still take."""


@dataclass(frozen=True)
class Snapshot:
    """What can be left behind, as it stands now."""

    threads: Mapping[int, str]
    processes: Mapping[int, str]
    descriptors: Mapping[str, str]
    settings: Mapping[str, Any]
    modules: int
    files: frozenset[str]
    suspended: Mapping[int, Suspended]


@dataclass
class ResidueWatch:
    """Watches one process from now on.

    Args:
        home: Folder of the user's environment.
        folders: Private folders (working folder, temporary folder) in which every new file counts.
    """

    home: Path
    folders: tuple[Path, ...]
    _places: dict[tuple[str, str], str] = field(default_factory=dict)
    _written: dict[str, bool] = field(default_factory=dict)
    _patient: bool = True

    def __post_init__(self) -> None:
        listen_to_audit(self._hear)
        # Python 3.11 raises no audit event for a thread.
        started = threading.Thread.start

        def start(thread: threading.Thread) -> None:
            at = users_frame(sys._getframe(1), self.home)
            if at is not None:
                self._places[("thread", "")] = place_of_frame(at)
            started(thread)

        setattr(threading.Thread, "start", start)  # noqa: B010 (mypy refuses the plain assignment)

    def snapshot(self) -> Snapshot:
        """The process as it is."""
        return Snapshot(
            threads={thread.ident or 0: thread.name for thread in threading.enumerate()},
            processes=dict(_children()),
            descriptors=dict(descriptors()),
            settings=settings_now(),
            modules=len(sys.modules),
            files=frozenset(str(path) for folder in self.folders for path in folder.rglob("*")),
            suspended=suspended(self.home),
        )

    def leftovers_since(self, before: Snapshot) -> list[Leftover]:
        """What is there now and was not before; settings are put back."""
        after = self.snapshot()
        deadline = time.monotonic() + GRACE
        while self._patient and _running(before, after) and time.monotonic() < deadline:
            time.sleep(0.01)
            after = self.snapshot()
        # Waiting again for what did not end the first time would only take long.
        self._patient = self._patient and not _running(before, after)
        leftovers = [
            *self._started(before, after),
            *self._files(before, after),
            *self._settings(before, after),
            *self._suspended(before, after),
        ]
        self._written.clear()
        return leftovers

    def _started(self, before: Snapshot, after: Snapshot) -> Iterator[Leftover]:
        for ident, name in after.threads.items():
            if ident not in before.threads:
                yield self._leftover("thread", name)
        for pid, name in after.processes.items():
            if pid not in before.processes:
                yield self._leftover("process", name)
        for key, name in after.descriptors.items():
            if before.descriptors.get(key) != name:
                kind = opened_kind(name)
                yield self._leftover(kind, "a socket" if kind == "connection" else name)

    def _files(self, before: Snapshot, after: Snapshot) -> Iterator[Leftover]:
        new = {path for path in after.files - before.files if "__pycache__" not in path}
        written = {path for path in self._written if path not in before.files and Path(path).exists()}
        for path in sorted(new | written):
            existed = self._written.get(path, False)
            yield Leftover("changed file" if existed else "file", path, self._places.get(("file", path), ""))

    def _settings(self, before: Snapshot, after: Snapshot) -> Iterator[Leftover]:
        changed = changed_settings(before.settings, after.settings)
        put_back(before.settings, changed)
        for setting in changed:
            # Libraries set things up when they are first imported; the user's code does it in every episode.
            place = self._places.get((setting.kind, ""), "")
            if place or before.modules == after.modules:
                was, now = before.settings[setting.kind], after.settings[setting.kind]
                yield Leftover(setting.kind, described(was, now), place)

    def _suspended(self, before: Snapshot, after: Snapshot) -> Iterator[Leftover]:
        for key, each in after.suspended.items():
            if key not in before.suspended and each.has_cleanup():
                yield Leftover(each.kind, each.name, each.where)

    def _leftover(self, kind: str, name: str) -> Leftover:
        return Leftover(kind, name, self._places.get((kind, name)) or self._places.get((kind, ""), ""))

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        kind = _EVENTS.get(event)
        if kind is None:
            return
        at = users_frame(sys._getframe(2), self.home)
        if at is None:
            return
        place = place_of_frame(at)
        if kind == "file" and not nameless(event, args):
            self._hear_of_file(_path(args[0]), place, event != "open" or writes(args))
        elif kind != "file":
            self._places[(kind, "")] = place

    def _hear_of_file(self, path: str, place: str, written: bool) -> None:
        if not path or path.startswith("/dev/") or "__pycache__" in path:
            return
        self._places[("open file", path)] = place
        if written:
            self._written.setdefault(path, Path(path).exists())
            self._places[("file", path)] = place


_EVENTS: Mapping[str, str] = {
    "open": "file",
    "os.mkdir": "file",
    "sqlite3.connect": "file",
    "os.putenv": "environment variable",
    "os.unsetenv": "environment variable",
    "os.chdir": "working folder",
    "subprocess.Popen": "process",
    "os.fork": "process",
    "os.posix_spawn": "process",
    "socket.__new__": "connection",
}
"""Audit event → what it may leave."""


def _running(before: Snapshot, after: Snapshot) -> bool:
    return bool(after.threads.keys() - before.threads or after.processes.keys() - before.processes)


def _path(value: Any) -> str:
    if isinstance(value, int):
        return ""
    text = os.fsdecode(value)
    return "" if text in ("", ":memory:") else str(Path(text).absolute())


OPENED = frozenset({"open file", "connection"})


def opened_kind(name: str) -> str:
    """What a descriptor of that name is: an open file or a connection."""
    return "connection" if name.startswith("socket:") else "open file"


def descriptors() -> Iterator[tuple[str, str]]:
    """Number and name of everything this process holds open."""
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208 (a Path would open a descriptor of its own)
        try:
            yield entry, os.readlink(f"/proc/self/fd/{entry}")  # noqa: PTH115
        except OSError:
            continue


def _children() -> Iterator[tuple[int, str]]:
    """Processes started by this one, dead and unfetched ones too; not multiprocessing's own bookkeeper."""
    this_process, tracker = os.getpid(), _tracker()
    # Programs whose handle is gone, and that ended after it: Python itself fetches them, when it next starts one.
    getattr(subprocess, "_cleanup", lambda: None)()
    for task in Path("/proc/self/task").iterdir():
        try:
            pids = (task / "children").read_text(encoding="ascii").split()
        except OSError:
            continue
        for pid in map(int, pids):
            if pid not in (this_process, tracker):
                yield pid, _name_of(pid)


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a process that ended"


def _tracker() -> int | None:
    module = sys.modules.get("multiprocessing.resource_tracker")
    return getattr(getattr(module, "_resource_tracker", None), "_pid", None)
