"""What Python's audit events say of files, and which of them an episode may open.

Its folder's, its own temporary ones, and what Python itself is made of.
"""

import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from practicum.checks.watch.outside_access import harmless_path, library_folders

Listener = Callable[[str, tuple[Any, ...]], None]

_listeners: list[Listener] = []
_installed = False


def listen_to_audit(listener: Listener) -> None:
    """Tell ``listener`` of every audit event of this process from now on."""
    global _installed  # noqa: PLW0603 (one hook a process)
    if listener not in _listeners:
        _listeners.append(listener)
    if not _installed:
        _installed = True
        sys.addaudithook(_hear)


class _Busy(threading.local):
    listening = False


_busy = _Busy()


def _hear(event: str, args: tuple[Any, ...]) -> None:
    # What listeners do raises events too.
    if event in _IDLE or _busy.listening:
        return
    _busy.listening = True
    try:
        for listener in tuple(_listeners):
            listener(event, args)
    finally:
        _busy.listening = False


def writes(args: tuple[Any, ...]) -> bool:
    """Whether an ``open`` event is one for writing."""
    mode, flags = args[1], args[2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)


def nameless(event: str, args: tuple[Any, ...]) -> bool:
    """Whether an event opens a temporary file without a name: its path is a folder's."""
    return event == "open" and writes(args) and isinstance(args[0], str | bytes) and Path(os.fsdecode(args[0])).is_dir()


_WRITING = 0o3 | 0o100  # O_WRONLY, O_RDWR, O_CREAT
_IDLE = frozenset(
    {"sys._getframe", "object.__getattr__", "object.__setattr__", "compile", "exec", "import", "marshal.loads"}
)


@dataclass(frozen=True)
class FileAccess:
    """A file that was opened, listed, made, changed or removed."""

    path: str
    written: bool
    verb: str

    @property
    def words(self) -> str:
        """In words, the same wherever the temporary files lie."""
        temporary = os.environ.get("TMPDIR", "")
        inside = bool(temporary) and self.path.startswith(temporary)
        return f"{self.verb} {'$TMPDIR' + self.path[len(temporary) :] if inside else self.path}"


class FileRules:
    """Tells foreign files from allowed ones, and knows the temporary ones that an episode made itself."""

    def __init__(self) -> None:
        self._readable: tuple[str, ...] = ()
        self._home = ""
        self._datasets: tuple[str, ...] = ()
        self._own: list[str] = []
        self._phase = ""

    def begin(self, home: Path, datasets: tuple[Path, ...], phase: str) -> None:
        """A phase begins; what an earlier one made is not this one's own."""
        self._home, self._datasets, self._phase = f"{home}/", tuple(f"{path}/" for path in datasets), phase
        self._readable = (self._home, *library_folders())
        self._own.clear()

    def access_of(self, event: str, args: tuple[Any, ...]) -> FileAccess | None:
        """What an audit event says of a file; None where it speaks of none."""
        if event in _OWN_EVENTS:
            self._own.append(_absolute(args[0]))
            return None
        reader = _EVENTS.get(event)
        return reader(event, args) if reader else None

    def foreign(self, access: FileAccess, *, direct: bool) -> bool:
        """Whether touching the file is a fault."""
        path = access.path
        if "__pycache__" in path or harmless_path(path, written=access.written, direct=direct):
            return False
        if any(path == own or path.startswith(f"{own}/") for own in self._own):
            return False
        if access.written:
            return True
        # Outside of an episode there is nothing but the folder, too; a listing of the folder itself is fine.
        return not f"{path}/".startswith((*self._readable, *self._datasets))


def looked_at(path: str | os.PathLike[str]) -> FileAccess:
    """A file whose presence, size or times were asked for."""
    return FileAccess(_absolute(path), False, "looks at")


def _opened(event: str, args: tuple[Any, ...]) -> FileAccess | None:
    if isinstance(args[0], int):
        return None
    if nameless(event, args):
        return None
    written = writes(args)
    return FileAccess(_absolute(args[0]), written, "writes" if written else "reads")


def _listed(_event: str, args: tuple[Any, ...]) -> FileAccess | None:
    return None if isinstance(args[0], int) else FileAccess(_absolute(args[0] or "."), False, "lists")


def _changed(event: str, args: tuple[Any, ...]) -> FileAccess | None:
    descriptors = [arg for arg in args[1:] if isinstance(arg, int) and arg >= 0]
    relative = isinstance(args[0], str | bytes) and not Path(os.fsdecode(args[0])).is_absolute()
    if isinstance(args[0], int) or (relative and descriptors and event in _RELATIVE):
        return None
    return FileAccess(_absolute(args[0]), True, "changes")


def _moved(_event: str, args: tuple[Any, ...]) -> FileAccess | None:
    return None if isinstance(args[1], int) else FileAccess(_absolute(args[1]), True, "writes")


def _database(_event: str, args: tuple[Any, ...]) -> FileAccess | None:
    name = os.fsdecode(args[0]) if isinstance(args[0], str | bytes | os.PathLike) else ""
    if name in ("", ":memory:") or "mode=memory" in name or name.startswith("file::memory:"):
        return None
    read_only = name.startswith("file:") and ("mode=ro" in name or "immutable=1" in name)
    plain = name.removeprefix("file:").partition("?")[0]
    return FileAccess(_absolute(plain), not read_only, "opens the database")


_Reader = Callable[[str, tuple[Any, ...]], FileAccess | None]

_OWN_EVENTS = frozenset({"tempfile.mkstemp", "tempfile.mkdtemp"})
_RELATIVE = frozenset({"os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.utime"})
"""These tell of a folder's descriptor that the path is relative to."""

_EVENTS: Mapping[str, _Reader] = {
    "open": _opened,
    "os.listdir": _listed,
    "os.scandir": _listed,
    "os.mkdir": _changed,
    "os.remove": _changed,
    "os.rmdir": _changed,
    "os.truncate": _changed,
    "os.chmod": _changed,
    "os.chown": _changed,
    "os.utime": _changed,
    "os.rename": _moved,
    "os.link": _moved,
    "os.symlink": _moved,
    "sqlite3.connect": _database,
}


def _absolute(path: Any) -> str:
    return os.path.normpath(Path.cwd() / os.fsdecode(path))
