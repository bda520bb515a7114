"""The circumstances episodes are played in: all that an environment's results may not depend on."""

import builtins
import hashlib
import io
import locale
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from practicum.checks.watch import libc_hooks as taps
from practicum.environment.modules import variables_before_imports
from practicum.environment.places import origin

_DAY_S = 86_400.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_MAX_THREADS")


@dataclass(frozen=True)
class Surroundings:
    """One set of circumstances.

    Attributes:
        name: ``home``, ``east`` or ``west``.
        variables: Environment variables that differ from the caller's.
        clock_s: Seconds that the wall clock is off.
        threads: What the machine says of its processors, and numeric libraries use of them.
        host: The machine's name; empty for the real one.
        shuffled: Whether folders list their files in another order, and text sorts by another alphabet.
        encoding: What text files are taken for where the environment's code names no encoding; empty: as it is.
        order_seed: Shuffles the episodes; None plays them in order.
    """

    name: str
    hash_seed: int
    variables: Mapping[str, str] = field(default_factory=dict)
    clock_s: float = 0.0
    threads: int = 0
    host: str = ""
    shuffled: bool = False
    encoding: str = ""
    order_seed: int | None = None

    @property
    def description(self) -> str:
        """What is different there, in words."""
        parts = [f"PYTHONHASHSEED={self.hash_seed}", *(f"{name}={value}" for name, value in self.variables.items())]
        parts += [f"clock {self.clock_s / _DAY_S:+.0f} days", f"host {self.host!r}, {self.threads} processors"]
        parts += ["other working and temporary folders", "folders listed and text collated in another order"]
        return ", ".join([*parts, f"default encoding {self.encoding or 'UTF-8'}", "episodes in another order"])

    def environment(self) -> dict[str, str]:
        """All variables of a process there."""
        threads = dict.fromkeys(_THREADS, str(self.threads)) if self.threads else {}
        return {**variables_before_imports(), **threads, **self.variables, "PYTHONHASHSEED": str(self.hash_seed)}


HOME = Surroundings("home", 0)
"""As the caller's process is, but for a hash seed that is always the same."""

ELSEWHERE = (
    Surroundings(
        "east",
        1031,
        {"TZ": "EAST-14", "LC_ALL": "C", "LANG": "C", "USER": "somebody", "LOGNAME": "somebody"},
        400.25 * _DAY_S,
        1,
        "east.example",
        shuffled=True,
        encoding="latin-1",
        order_seed=1,
    ),
    Surroundings(
        "west",
        4057,
        {"TZ": "WEST+12", "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "USER": "another", "LOGNAME": "another"},
        -40.75 * _DAY_S,
        3,
        "west.example",
        order_seed=2,
    ),
)
"""Two worlds unlike home: the local date differs in at least one of them, and the hour (zones in POSIX form)."""


def arrange(world: Surroundings) -> None:
    """Make this process one of that world. Its variables were set when it was started."""
    time.tzset()
    set_clock(world.clock_s)
    if world.threads:
        vars(os)["cpu_count"] = lambda: world.threads
    if world.host:
        name = os.uname()
        there = os.uname_result((name.sysname, world.host, f"{name.release}-{world.name}", "#1", name.machine))
        vars(os)["uname"] = lambda: there
        for call in ("getuid", "geteuid", "getgid", "getegid"):
            vars(os)[call] = _constant(getattr(os, call)() + len(world.host))
        vars(socket)["gethostname"] = lambda: world.host
        vars(platform)["_uname_cache"] = None
        _be_another_machine(world.host)
    if world.shuffled:
        _shuffle_folders(world.name)
        vars(locale)["strxfrm"] = str.swapcase
        vars(locale)["strcoll"] = _collate
    if world.encoding:
        _let_text_be(world.encoding)


def _be_another_machine(host: str) -> None:
    """Other processors to run on, another disk, another load, files of another time, started by another command."""
    sys.argv[:] = [f"/opt/{host}/train", host]
    vars(os)["sched_getaffinity"] = lambda pid, /: set(range(len(host)))
    vars(os)["getloadavg"] = lambda: (float(len(host)), 1.0, 1.0)
    disk = os.statvfs

    def statvfs(path: Any) -> os.statvfs_result:
        fields = list(disk(path))
        fields[2:5] = [number + 1_000 * len(host) for number in fields[2:5]]
        return os.statvfs_result(fields)

    vars(os)["statvfs"] = statvfs
    for name in ("stat", "lstat"):
        vars(os)[name] = _of_another_time(getattr(os, name), len(host))


def _of_another_time(look: Callable[..., os.stat_result], days: int) -> Callable[..., os.stat_result]:
    """Tells the user's code that files were changed on another day, and lie elsewhere on the disk."""

    def stat(path: Any, **named: Any) -> os.stat_result:
        status = look(path, **named)
        if not _asked_by_a_user(sys._getframe(1)) or _is_fresh(status):
            return status
        times = {name: getattr(status, name) for name in dir(status) if name.startswith("st_")}
        for name in ("st_atime", "st_mtime", "st_ctime"):
            times[name] += days * _DAY_S
            times[f"{name}_ns"] += int(days * _DAY_S * 1e9)
        sequence = [*status[:7], *(number + int(days * _DAY_S) for number in status[7:10])]
        sequence[1] += days  # the number of its place
        return os.stat_result(sequence, times)

    return stat


def _is_fresh(found: os.stat_result) -> bool:
    """Whether it is a file that an episode has just written itself."""
    return found.st_ctime >= _began


def set_clock(seconds: float) -> None:
    """Let the wall clock be off by so much: for everything where the C library could be tapped, else for ``time``."""
    tapped = taps.install()
    if not (tapped and tapped.shift(seconds)) and seconds:
        _shift_python(seconds)


def _shift_python(seconds: float) -> None:
    wall, wall_ns = time.time, time.time_ns
    vars(time)["time"] = lambda: wall() + seconds
    vars(time)["time_ns"] = lambda: wall_ns() + int(seconds * 1e9)
    for name in ("localtime", "gmtime", "ctime"):
        vars(time)[name] = _at_present(getattr(time, name), lambda: wall() + seconds)
    formatted, local = time.strftime, time.localtime
    vars(time)["strftime"] = lambda format, when=None, /: formatted(format, local() if when is None else when)


def _constant(number: int) -> Callable[[], int]:
    return lambda: number


def _at_present(function: Callable[[float], Any], now: Callable[[], float]) -> Callable[..., Any]:
    return lambda seconds=None, /: function(now() if seconds is None else seconds)


def _collate(first: str, second: str) -> int:
    ours, theirs = first.swapcase(), second.swapcase()
    return (ours > theirs) - (ours < theirs)


class _Listing:
    """What ``os.scandir`` gives, in another order."""

    def __init__(self, entries: list[Any]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[Any]:
        return self._entries

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> "_Listing":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries = iter(())


def _shuffle_folders(salt: str) -> None:
    """A file system promises no order; ours would always give the same one."""

    def rank(name: str | bytes) -> bytes:
        return hashlib.sha256(salt.encode() + os.fsencode(name)).digest()

    names, entries = os.listdir, os.scandir
    vars(os)["listdir"] = lambda path=".": sorted(names(path), key=rank)

    def scandir(path: Any = ".") -> _Listing:
        with entries(path) as found:
            return _Listing(sorted(found, key=lambda entry: rank(entry.name)))

    vars(os)["scandir"] = scandir


def _let_text_be(encoding: str) -> None:
    """Text files that the user's own code opens without an encoding are read as another machine would read them."""
    opened = io.open

    def open_text(
        file: Any, mode: str = "r", buffering: int = -1, named_encoding: Any = None, *more: Any, **named: Any
    ) -> Any:
        named_encoding = named.pop("encoding", named_encoding)
        if "b" not in mode and named_encoding in (None, "locale") and _asked_by_a_user(sys._getframe(1)):
            named_encoding = encoding
        return opened(file, mode, buffering, named_encoding, *more, **named)

    vars(io)["open"] = vars(builtins)["open"] = open_text
    # pathlib asks this first; in Python's UTF-8 mode it would say "utf-8".
    vars(io)["text_encoding"] = lambda encoding, stacklevel=2: "locale" if encoding is None else encoding


_NOWHERE = Path("/nowhere")
_ON_BEHALF = ("pathlib", "genericpath", "posixpath")
_began = time.time()


def _asked_by_a_user(frame: FrameType) -> bool:
    """Whether a frame is of the user's code, or of pathlib's and the like on its behalf."""
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_ON_BEHALF):
        frame = frame.f_back
    return origin(frame.f_code.co_filename, _NOWHERE) == "user"
