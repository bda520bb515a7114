"""Which line of the user's own code is meant: for exceptions, functions and frames."""

import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import practicum

_PACKAGE = Path(practicum.__file__).resolve().parent
_LIBRARIES = tuple(
    f"{Path(sysconfig.get_path(name)).resolve()}/" for name in ("stdlib", "platstdlib", "purelib", "platlib")
)

_CHECKS = f"{Path(__file__).parent}/"


def shown(file: str | Path, line: int) -> str:
    """``/absolute/file:line``; a process's working folder may change while episodes are played."""
    return f"{file}:{line}"


def below(folder: Path, where: str) -> str:
    """A place, its path relative to ``folder`` where it lies below."""
    return where.removeprefix(f"{folder}/")


def is_users(file: str, home: Path) -> bool:
    """Whether a code file is the user's: in the environment's folder, or in no library and not ours."""
    if file.startswith("<"):
        return False
    path = Path(file)
    if path.is_relative_to(home):
        return True
    return not (file.startswith(_LIBRARIES) or path.is_relative_to(_PACKAGE))


def place_of_error(error: BaseException, home: Path) -> str:
    """Where the user's code raised, or called what raised; empty where none of it took part."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if is_users(file, home) and not _checks(file):
            place = shown(file, trace.tb_lineno)
        trace = trace.tb_next
    return place


def place_of_function(function: Any) -> str:
    """Where a function is defined; empty for what is not written in Python."""
    code = getattr(function, "__code__", None)
    return shown(code.co_filename, code.co_firstlineno) if code else ""


def place_of_method(cls: type, name: str) -> str:
    """Where a class's method is defined, if the class or a base of the user's defines it."""
    method: Callable[..., Any] | None = getattr(cls, name, None)
    return place_of_function(method)


def users_frame(frame: FrameType | None, home: Path) -> tuple[str, int] | None:
    """The innermost of the user's frames at or above ``frame``, below the checks that play the episode.

    None where there is none, or where a library's import stands between.
    """
    while frame is not None:
        file = frame.f_code.co_filename
        if _checks(file) or file.startswith("<frozen importlib"):
            return None
        if is_users(file, home):
            return file, frame.f_lineno
        frame = frame.f_back
    return None


def _checks(file: str) -> bool:
    return file.startswith(_CHECKS)
