"""What an episode may not touch, because its results would then depend on more than task, seed and actions."""

import sys
import sysconfig
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal, get_args

import practicum
from practicum.environment.places import origin
from practicum.errors import EnvironmentFault

Kind = Literal["network", "clock", "random", "environ", "files", "subprocess"]
KINDS: tuple[Kind, ...] = get_args(Kind)

CONSTRUCTOR = "the constructor"
EPISODE = "an episode"
"""The phase that counts outright; import, constructor and ``tasks`` count where it matters."""


@dataclass(frozen=True)
class Touch:
    """One thing touched.

    Attributes:
        name: In words, such as ``time.time()``.
        where: The user's ``file:line``.
        phase: ``import``, ``the constructor``, ``tasks`` or ``an episode``.
        stage, step: Where in the episode: the tool or method, and its number.
        direct: Whether the user's code did it itself, with no other library's code between.
    """

    kind: Kind
    name: str
    where: str
    phase: str
    stage: str = ""
    step: int = 0
    direct: bool = True


FIXES: Mapping[Kind, str] = {
    "network": "Record what it answers once (practicum's recording tools), keep it beside the environment and answer "
    "from self.fixture(name).",
    "clock": "Take time from self.clock: now(), time(), advance(seconds). To measure how long something takes, use "
    "time.perf_counter.",
    "random": "Draw from self.random, which reset seeds (numpy: default_rng(self.random.getrandbits(64))); make "
    "ids with self.new_id(prefix).",
    "environ": "Take it as an argument of the constructor, and give it in settings(): then it is part of the digest.",
    "files": "Keep what is read in the environment's folder; write to self.scratch, or to a folder that tempfile makes "
    "in start and stop removes.",
    "subprocess": "Compute it in Python, or run it with practicum.sandbox.run_python, which is hermetic and limited.",
}

_QUIET = frozenset(
    {
        "logging",
        "threading",
        "queue",
        "asyncio",
        "concurrent",
        "selectors",
        "multiprocessing",
        "importlib",
        "warnings",
        "traceback",
        "linecache",
        "tempfile",
        "subprocess",
        "unittest",
        "doctest",
        "pdb",
        "bdb",
        "cProfile",
        "profile",
        "timeit",
        "sched",
        "inspect",
        "tracemalloc",
        "site",
        "sysconfig",
        "zoneinfo",
        "encodings",
        "codecs",
        "contextlib",
    }
)
_QUIET_WITH_FILES = frozenset(
    {
        "importlib",
        "linecache",
        "tokenize",
        "traceback",
        "inspect",
        "tempfile",
        "zoneinfo",
        "encodings",
        "mimetypes",
        "sysconfig",
        "pkgutil",
        "zipimport",
        "runpy",
        "ctypes",
        "multiprocessing",
    }
)
_LAUNCHERS = frozenset(
    {
        ("threading", "run"),
        ("threading", "_bootstrap"),
        ("threading", "_bootstrap_inner"),
        ("concurrent.futures.thread", "_worker"),
        ("concurrent.futures.thread", "run"),
        ("asyncio.events", "_run"),
        ("asyncio.base_events", "_run_once"),
        ("asyncio.base_events", "run_forever"),
        ("asyncio.base_events", "run_until_complete"),
        ("asyncio.runners", "run"),
        ("asyncio.threads", "to_thread"),
    }
)
"""Functions of those modules that run what they were given."""

_SYSTEM = ("/etc/", "/proc/", "/sys/", "/usr/", "/lib", "/dev/")
_NOTHING = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty")


@dataclass(frozen=True)
class Blame:
    """Who touched something: the user's frame (None in a thread without one), what it called, and how directly."""

    frame: FrameType | None
    callee: str
    direct: bool


def blame(frame: FrameType | None, home: Path, kind: Kind, callee: str) -> Blame | None:
    """Follow the calls outward to the user's line; None where what stands between answers for itself.

    The standard library's own housekeeping (the time in a log line, the name of a temporary file) is nobody's
    touch, nor is what Practicum's sandbox does on a tool's behalf.
    """
    quiet = {"files": _QUIET_WITH_FILES, "network": frozenset[str](), "subprocess": frozenset[str]()}.get(kind, _QUIET)
    direct = True
    while frame is not None:
        whose = origin(frame.f_code.co_filename, home)
        if whose == "user":
            return Blame(frame, callee, direct)
        if whose in ("sandbox", "import", "checks"):
            return None
        module = frame.f_globals.get("__name__") or ""
        if whose == "standard" and (module, frame.f_code.co_name) not in _LAUNCHERS:
            if module.partition(".")[0] in quiet:
                return None
            callee = _name(module, frame)
        if whose == "library":
            direct, callee = False, _name(module, frame)
        frame = frame.f_back
    return Blame(None, callee, direct)


def _name(module: str, frame: FrameType) -> str:
    inside = frame.f_code.co_qualname.replace("<locals>.", "")
    known = {"random.Random": "random", "posixpath": "os.path", "genericpath": "os.path"}
    name = f"{module}.{inside}()"
    for long, short in known.items():
        name = name.replace(f"{long}.", f"{short}.") if name.startswith(f"{long}.") else name
    return name


def library_folders() -> tuple[str, ...]:
    """Where Python and what is installed lie: whoever may import may read there."""
    paths = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *zoneinfo.TZPATH}
    paths.add(str(Path(practicum.__file__).resolve().parent))
    return tuple(f"{path.rstrip('/')}/" for path in paths if len(path) > 1)


def harmless_path(path: str, *, written: bool, direct: bool) -> bool:
    """Whether a path lies nowhere in particular, or where only libraries look."""
    return path in _NOTHING or (not written and not direct and path.startswith(_SYSTEM))


def allowances(allowed: Mapping[str, str]) -> dict[Kind, str]:
    """Reasons by kind of what is allowed to be touched.

    Raises:
        EnvironmentFault: there is no such kind, or no reason is given.
    """
    reasons: dict[Kind, str] = {}
    for name, reason in allowed.items():
        kind = next((known_kind for known_kind in KINDS if known_kind == name), None)
        if kind is None:
            raise EnvironmentFault(f"nothing called {name!r} can be allowed", allowed=", ".join(KINDS))
        if not reason.strip():
            raise EnvironmentFault(
                f"{name} cannot be allowed without a reason",
                allowed=f'"{name}: why it is needed and why results do not depend on it"',
                fix="write the reason: it goes on record with the report",
            )
        reasons[kind] = reason.strip()
    return reasons
