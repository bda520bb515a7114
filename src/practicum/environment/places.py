"""Which line of the user's own code is meant: for exceptions, functions and frames."""

import inspect
import linecache
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, Literal

_PACKAGE = Path(__file__).resolve().parents[1]
_STANDARD = tuple(f"{Path(sysconfig.get_path(name)).resolve()}/" for name in ("stdlib", "platstdlib"))
_SHARED = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
_INSTALLED = tuple(
    f"{Path(shelf).resolve()}/" for shelf in (*map(sysconfig.get_path, ("purelib", "platlib")), *_SHARED)
)
"""Where libraries lie: this interpreter's own folders, and those that it shares with another (the system's, say)."""
_CHECKS = f"{_PACKAGE / 'checks'}/"
_SANDBOX = f"{_PACKAGE / 'sandbox'}/"

Origin = Literal["user", "checks", "sandbox", "practicum", "standard", "library", "import"]
"""Whose code a file is."""


@cache
def origin(file: str, home: Path) -> Origin:
    """Whose code stands in a file, for an environment whose file lies in ``home``."""
    rules: tuple[tuple[str | tuple[str, ...], Origin], ...] = (
        (_CHECKS, "checks"),
        ("<frozen importlib", "import"),
        ("<", "standard"),  # frozen modules, and what dataclasses, named tuples and the like make at run time
        (f"{home}/", "user"),
        (_SANDBOX, "sandbox"),
        (f"{_PACKAGE}/", "practicum"),
        (_INSTALLED, "library"),
        (_STANDARD, "standard"),
        ("/", "user"),
    )
    # Python's own files have absolute paths; compiled libraries name their sources as they please.
    return next((whose for start, whose in rules if file.startswith(start)), "library")


def shown(file: str | Path, line: int) -> str:
    """``/absolute/file:line``; a process's working folder may change while episodes are played."""
    return f"{file}:{line}"


def below(folder: Path, where: str) -> str:
    """A place, its path relative to ``folder`` where it lies below."""
    return where.removeprefix(f"{folder}/")


def is_users(file: str, home: Path) -> bool:
    """Whether a code file is the user's: in the environment's folder, or in no library and not ours."""
    return origin(file, home) == "user"


def place_of_error(error: BaseException, home: Path) -> str:
    """Where the user's code raised, or called what raised; empty where none of it took part."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if is_users(file, home):
            place = shown(file, trace.tb_lineno)
        trace = trace.tb_next
    return place


def place_of_function(function: Any) -> str:
    """Where a function is defined; empty for what is not written in Python."""
    code = getattr(inspect.unwrap(function) if callable(function) else function, "__code__", None)
    if code is None:
        return ""
    line: int = code.co_firstlineno
    # A function's first line is its first decorator's; what people look for is the def.
    while linecache.getline(code.co_filename, line).lstrip().startswith("@"):
        line += 1
    return shown(code.co_filename, line)


def place_of_method(cls: type, name: str) -> str:
    """Where a class's method is defined, if the class or a base of the user's defines it."""
    method: Callable[..., Any] | None = getattr(cls, name, None)
    return place_of_function(method)


def place_of_class(cls: type) -> str:
    """Where a class is defined."""
    try:
        return shown(inspect.getsourcefile(cls) or "", inspect.getsourcelines(cls)[1])
    except (OSError, TypeError):
        return ""


def users_frame(frame: FrameType | None, home: Path) -> FrameType | None:
    """The innermost of the user's frames at or above ``frame``, below the checks that play the episode.

    None where there is none, or where a library's import stands between.
    """
    while frame is not None:
        whose = origin(frame.f_code.co_filename, home)
        if whose in ("checks", "import"):
            return None
        if whose == "user":
            return frame
        frame = frame.f_back
    return None


def place_of_frame(frame: FrameType | None) -> str:
    """``file:line`` where a frame stands; empty for None."""
    return shown(frame.f_code.co_filename, frame.f_lineno) if frame is not None else ""
