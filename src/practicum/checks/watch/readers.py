"""Who reads what: C functions, Python functions and audit events by the kind of thing they touch."""

import ast
import datetime
import genericpath
import getpass
import importlib
import linecache
import locale
import os
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from practicum.checks.watch.outside_access import Kind

DRAWS = frozenset({"random", "getrandbits"})
"""The methods of a generator that all others draw through."""

EVENTS: Mapping[str, Kind] = {
    "socket.connect": "network",
    "socket.bind": "network",
    "socket.sendto": "network",
    "socket.sendmsg": "network",
    "socket.getaddrinfo": "network",
    "socket.gethostbyname": "network",
    "socket.gethostbyaddr": "network",
    "socket.getnameinfo": "network",
    "subprocess.Popen": "subprocess",
    "os.system": "subprocess",
    "os.fork": "subprocess",
    "os.forkpty": "subprocess",
    "os.posix_spawn": "subprocess",
    "os.spawn": "subprocess",
    "os.exec": "subprocess",
    "pty.spawn": "subprocess",
}
"""Audit events that are a touch, whatever their arguments."""

CLOCKS: Mapping[Any, Kind] = {
    time.time: "clock",
    time.time_ns: "clock",
    datetime.datetime.now: "clock",
    datetime.datetime.utcnow: "clock",
    datetime.datetime.today: "clock",
    datetime.date.today: "clock",
    os.urandom: "random",
}
"""C functions by name, for machines on which the C library cannot be tapped."""

_Reader = Callable[[FrameType], str]


def _variable(frame: FrameType) -> str:
    key = frame.f_locals.get("key")
    return f"the environment variable {os.fsdecode(key) if isinstance(key, str | bytes) else '?'}"


def _locale(frame: FrameType) -> str:
    return "the machine's locale" if frame.f_locals.get("locale") == "" else ""


_VARIABLES: list[tuple[Any, _Reader]] = [
    (type(os.environ).__getitem__, _variable),
    (type(os.environ).__iter__, lambda frame: "all environment variables"),
    (locale.setlocale, _locale),
    (locale.getdefaultlocale, lambda frame: "the machine's locale"),
    (locale.getpreferredencoding, lambda frame: "the machine's locale"),
]
VARIABLE_READERS: Mapping[CodeType, _Reader] = {
    function.__code__: reader for function, reader in _VARIABLES if hasattr(function, "__code__")
}
"""Python functions that read variables, by their code: however they were imported, it is the same."""

_LOOKS: list[tuple[Any, str]] = [
    *((getattr(genericpath, name), "path") for name in ("exists", "isfile")),
    *((getattr(genericpath, name), "s") for name in ("isdir",)),
    *((getattr(genericpath, name), "filename") for name in ("getsize", "getmtime", "getatime", "getctime")),
    *((getattr(Path, name), "self") for name in ("stat", "lstat", "exists", "is_file", "is_dir")),
]
FILE_LOOKS: Mapping[CodeType, str] = {
    function.__code__: argument for function, argument in _LOOKS if hasattr(function, "__code__")
}
"""Python functions that look at a file without opening it, and the argument that names it: no audit event tells."""


def c_name(function: Any) -> str:
    """A C function as people call it."""
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", "?")
    if isinstance(owner, type):
        return f"{owner.__name__}.{function.__name__}()"
    module = getattr(function, "__module__", None)
    if owner is not None and not hasattr(owner, "__spec__"):
        module = None
    text = f"{module}.{name}()" if isinstance(module, str) else f"{name}()"
    return text.removeprefix("builtins.").replace("posix.", "os.").removeprefix("_")


@dataclass(frozen=True)
class GlobalGenerator:
    """How NumPy's global generator stands."""

    key: bytes
    position: int
    spare: bool

    def drawn_since(self, before: "GlobalGenerator") -> bool:
        """Whether numbers were drawn, rather than only a seed set."""
        return self.spare or self.position != _FRESH or (self.key == before.key and self.position != before.position)


_FRESH = 624
"""The position of a Mersenne twister that was seeded and not yet drawn from."""


def numpy_generator() -> GlobalGenerator | None:
    """NumPy's global generator as it stands; None where NumPy is not loaded."""
    if not hasattr(sys.modules.get("numpy"), "ndarray"):
        return None
    # NumPy loads this part when it is first asked for, and by then a number was drawn.
    module = importlib.import_module("numpy.random")
    kind, key, position, spare, _ = module.get_state()
    return GlobalGenerator(key[:8].tobytes(), position, bool(spare)) if kind == "MT19937" else None


_NAMED = (uuid, secrets, getpass, random)
"""Loaded, so that their functions are known by name before the user's code imports them."""


def throws_entropy_away(frame: FrameType | None) -> bool:
    """Whether what the frame is calling just now is ``numpy.random.RandomState`` with a seed."""
    # While NumPy is being loaded, its generators are not there yet.
    generator = getattr(sys.modules.get("numpy.random"), "RandomState", None)
    if frame is None or generator is None:
        return False
    call = _call_under_way(frame)
    if call is None or _resolved(call.func, frame) is not generator:
        return False
    given = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "seed")]
    return bool(given) and not (isinstance(given[0], ast.Constant) and given[0].value is None)


def _call_under_way(frame: FrameType) -> ast.Call | None:
    """The call expression that the frame's present instruction stands for; None where its source is not at hand."""
    positions = list(frame.f_code.co_positions())
    at = frame.f_lasti // 2
    first, last, start, end = positions[at] if at < len(positions) else (None,) * 4
    if first is None or last is None or start is None or end is None:
        return None
    lines = [line.encode() for line in linecache.getlines(frame.f_code.co_filename, frame.f_globals)[first - 1 : last]]
    if not lines:
        return None
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    try:
        expression = ast.parse(b"".join(lines).decode().strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    return expression if isinstance(expression, ast.Call) else None


def _resolved(name: ast.expr, frame: FrameType) -> Any:
    """What a dotted name stands for in the frame; None where it stands for nothing, or is no name."""
    if isinstance(name, ast.Attribute):
        return getattr(_resolved(name.value, frame), name.attr, None)
    if isinstance(name, ast.Name):
        return frame.f_locals.get(name.id, frame.f_globals.get(name.id))
    return None
