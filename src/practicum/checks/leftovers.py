"""What an episode leaves in its process: snapshots before and after, and an audit trail that names the lines.

Only for a process of its own: an audit hook cannot be removed again.
"""

import gc
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from practicum.checks.places import shown, users_frame

GRACE = 0.5
"""Seconds that threads and processes told to end may still take."""


@dataclass(frozen=True)
class Leftover:
    """One thing left behind: its kind, its name, and the line that made it where that is known."""

    kind: str
    name: str
    where: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain JSON-able data."""
        return asdict(self)


@dataclass(frozen=True)
class Snapshot:
    """What can be left behind, as it stands now."""

    threads: Mapping[int, str]
    processes: Mapping[int, str]
    descriptors: Mapping[str, str]
    variables: Mapping[str, str]
    folder: str
    filters: tuple[Any, ...]
    modules: int
    files: frozenset[str]


@dataclass
class Watch:
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
        sys.addaudithook(self._hear)
        # Python 3.11 raises no audit event for a thread.
        started = threading.Thread.start

        def start(thread: threading.Thread) -> None:
            self._note("thread")
            started(thread)

        setattr(threading.Thread, "start", start)  # noqa: B010 (mypy refuses the plain assignment)

    def snapshot(self) -> Snapshot:
        """The process as it is."""
        return Snapshot(
            threads={thread.ident or 0: thread.name for thread in threading.enumerate()},
            processes=dict(_children()),
            descriptors=dict(_descriptors()),
            variables=dict(os.environ),
            folder=_folder(),
            filters=tuple(warnings.filters),
            modules=len(sys.modules),
            files=frozenset(str(path) for folder in self.folders for path in folder.rglob("*")),
        )

    def left(self, before: Snapshot) -> list[Leftover]:
        """What is there now and was not before; variables, folder and filters are put back."""
        after = self.snapshot()
        deadline = time.monotonic() + GRACE
        while self._patient and _running(before, after) and time.monotonic() < deadline:
            time.sleep(0.01)
            after = self.snapshot()
        # Waiting again for what did not end the first time would only take long.
        self._patient = self._patient and not _running(before, after)
        found = [*self._started(before, after), *self._files(before, after), *self._settings(before, after)]
        self._written.clear()
        return found

    def _started(self, before: Snapshot, after: Snapshot) -> Iterator[Leftover]:
        for ident, name in after.threads.items():
            if ident not in before.threads:
                yield self._leftover("thread", name)
        for pid, name in after.processes.items():
            if pid not in before.processes:
                yield self._leftover("process", name)
        for key, name in after.descriptors.items():
            if before.descriptors.get(key) != name:
                kind = "connection" if name.startswith("socket:") else "open file"
                yield self._leftover(kind, "a socket" if kind == "connection" else name)

    def _files(self, before: Snapshot, after: Snapshot) -> Iterator[Leftover]:
        new = {path for path in after.files - before.files if "__pycache__" not in path}
        written = {path for path in self._written if path not in before.files and Path(path).exists()}
        for path in sorted(new | written):
            existed = self._written.get(path, False)
            yield Leftover("changed file" if existed else "file", path, self._places.get(("file", path), ""))

    def _settings(self, before: Snapshot, after: Snapshot) -> Iterator[Leftover]:
        for name in sorted(before.variables.keys() | after.variables.keys()):
            if before.variables.get(name) != after.variables.get(name):
                place = self._places.get(("environment variable", name))
                if place is not None or before.modules == after.modules:
                    yield Leftover("environment variable", name, place or "")
        if after.folder != before.folder:
            yield self._leftover("working folder", after.folder)
        # Libraries set filters when first imported; the user's code does it in every episode.
        if after.filters != before.filters and after.modules == before.modules:
            yield Leftover("warnings filter", "warnings.filters")
        _put_back(before, after)

    def _leftover(self, kind: str, name: str) -> Leftover:
        return Leftover(kind, name, self._places.get((kind, name)) or self._places.get((kind, ""), ""))

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        kind = _EVENTS.get(event)
        if kind is None:
            return
        at = users_frame(sys._getframe(1), self.home)
        if at is None:
            return
        place = shown(*at)
        if kind == "file":
            self._hear_of_file(_path(args[0]), place, event != "open" or _writes(args))
        elif kind == "environment variable":
            self._places[(kind, os.fsdecode(args[0]))] = place
        else:
            self._places[(kind, "")] = place

    def _note(self, kind: str) -> None:
        at = users_frame(sys._getframe(2), self.home)
        if at is not None:
            self._places[(kind, "")] = shown(*at)

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


def collected(watch: Watch, before: Snapshot) -> list[Leftover]:
    """What is left once every instance is gone, too."""
    gc.collect()
    return watch.left(before)


def _put_back(before: Snapshot, after: Snapshot) -> None:
    if after.variables != before.variables:
        os.environ.clear()
        os.environ.update(before.variables)
    if after.folder != before.folder:
        os.chdir(before.folder)
    if after.filters != before.filters:
        vars(warnings)["filters"][:] = before.filters


def _folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "one that is removed"


def _running(before: Snapshot, after: Snapshot) -> bool:
    return bool(after.threads.keys() - before.threads or after.processes.keys() - before.processes)


def _writes(args: tuple[Any, ...]) -> bool:
    mode, flags = args[1], args[2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _path(value: Any) -> str:
    if isinstance(value, int):
        return ""
    text = os.fsdecode(value)
    return "" if text in ("", ":memory:") else str(Path(text).absolute())


def _descriptors() -> Iterator[tuple[str, str]]:
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208 (a Path would open a descriptor of its own)
        try:
            yield entry, os.readlink(f"/proc/self/fd/{entry}")  # noqa: PTH115
        except OSError:
            continue


def _children() -> Iterator[tuple[int, str]]:
    """Processes started by this one, dead and unfetched ones too; not multiprocessing's own bookkeeper."""
    own, tracker = str(os.getpid()), _tracker()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != own:
            try:
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            name, _, rest = stat.partition("(")[2].rpartition(")")
            if rest.split()[1] == own and int(entry.name) != tracker:
                yield int(entry.name), name


def _tracker() -> int | None:
    module = sys.modules.get("multiprocessing.resource_tracker")
    return getattr(getattr(module, "_resource_tracker", None), "_pid", None)
