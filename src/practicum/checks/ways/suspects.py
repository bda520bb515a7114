"""Which line made an episode differ: a play under a profiler that notes calls with a changing answer."""

import datetime
import locale
import os
import random
import socket
import sys
import time
from types import FrameType
from typing import Any

from practicum.checks.episodes import NOW, Plan
from practicum.checks.processes.stage import stage
from practicum.checks.watch.outside_access import blame
from practicum.environment.places import place_of_frame

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
        os.uname,
        os.cpu_count,
        locale.strxfrm,
        locale.strcoll,
        socket.gethostname,
        id,
        hash,
    }
)
_CLOCKS = ("now", "today", "utcnow", "fromtimestamp", "astimezone")


def suspect(plan: Plan, source: str) -> tuple[str, str] | None:
    """``file:line`` and name of the last call with a changing answer that the tool or method ``source`` made.

    None where none was made: order by hash, shared state and the like call nothing.
    """
    here = stage()
    found: tuple[str, str] | None = None

    def note(frame: FrameType, event: str, function: Any) -> None:
        nonlocal found
        if event != "c_call" or not _is_changing(function) or NOW.stage != source:
            return
        by = blame(frame, here.home, "clock", _name(function))
        if by is not None and by.frame is not None:
            found = place_of_frame(by.frame), by.callee

    environment = here.make()
    previous = sys.getprofile()
    sys.setprofile(note)
    try:
        here.play(plan, environment)
    finally:
        sys.setprofile(previous)
    return found


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
