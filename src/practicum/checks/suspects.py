"""Which line made an episode differ: a play under a profiler that notes calls with a changing answer."""

import datetime
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from practicum.checks.episodes import Plan, Transcript, playing
from practicum.checks.places import shown, users_frame
from practicum.environment import Environment

_CHANGING: frozenset[Any] = frozenset(
    {
        time.time,
        time.time_ns,
        time.monotonic,
        time.monotonic_ns,
        time.perf_counter,
        time.perf_counter_ns,
        time.localtime,
        time.gmtime,
        time.strftime,
        time.ctime,
        time.mktime,
        os.urandom,
        os.getpid,
        os.getcwd,
        os.listdir,
        os.scandir,
        id,
        hash,
    }
)
_CLOCKS = ("now", "today", "utcnow", "fromtimestamp", "astimezone")


def suspect(make: Callable[[], Environment], plan: Plan, source: str, home: Path) -> tuple[str, str] | None:
    """``file:line`` and name of the last changing call, inside the method ``source`` if one was made there.

    None where none was made: order by hash, shared state and the like call nothing.
    """
    inside: tuple[str, str] | None = None
    anywhere: tuple[str, str] | None = None

    def note(frame: FrameType, event: str, function: Any) -> None:
        nonlocal inside, anywhere
        if event != "c_call" or not _is_changing(function):
            return
        at = users_frame(frame, home)
        if at is not None:
            anywhere = shown(*at), _name(function)
            inside = anywhere if _called_from(frame, source) else inside

    environment = make()
    transcript: Transcript = {}
    previous = sys.getprofile()
    sys.setprofile(note)
    try:
        for _ in playing(environment, plan, transcript, home):
            pass
    finally:
        sys.setprofile(previous)
    return inside or anywhere


def _called_from(frame: FrameType | None, method: str) -> bool:
    while frame is not None:
        if frame.f_code.co_name == method:
            return True
        frame = frame.f_back
    return False


def _is_changing(function: Any) -> bool:
    owner = getattr(function, "__self__", None)
    if isinstance(owner, random.SystemRandom) or _is_global_random(owner):
        return True
    if isinstance(owner, type) and issubclass(owner, datetime.date):
        return function.__name__ in _CLOCKS
    try:
        return function in _CHANGING
    except TypeError:
        return False


def _is_global_random(owner: Any) -> bool:
    return owner is not None and owner is getattr(random.random, "__self__", None)


def _name(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    if _is_global_random(owner):
        return "the global random generator"
    if isinstance(owner, type):
        return f"{owner.__name__}.{function.__name__}"
    module = getattr(function, "__module__", None) or ""
    return f"{module}.{function.__name__}".removeprefix("builtins.").replace("posix.", "os.")
