"""Which line made an episode differ: by what the user's code holds after each line, or by calls that answer anew."""

import datetime
import linecache
import locale
import os
import random
import re
import socket
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from practicum.checks.episodes import NOW, Plan
from practicum.checks.processes.stage import Stage, stage
from practicum.checks.watch.line_blame import LineTracer, tracer_of, tracing
from practicum.checks.watch.object_tree import Outliner, Tree
from practicum.checks.watch.outside_access import blame
from practicum.checks.ways.repeated import Heap, let_threads_dawdle
from practicum.environment.declared_state import CORE
from practicum.environment.places import place_of_frame, shown

LOOKS = 3_000
"""Lines after which no more are looked at."""

_INSTANCE = -1
_TEMPORARY = re.compile(r"tmp[a-z0-9_]{8}")
_PARTS = 400
"""Parts of a value that are looked at."""


@dataclass(frozen=True)
class Step:
    """A line that was carried out.

    Attributes:
        where: ``file:line``.
        stage: The tool or method of the episode.
        call: Which call of the function it is, counted over the episode.
        checksums: Of what the function held afterwards: its variables by name, the instance's as ``self.name``.
        arguments: Names of the function's arguments.
    """

    where: str
    stage: str
    call: int
    checksums: dict[str, int]
    arguments: tuple[str, ...]


Trace = list[Step]


def trace_episode(plan: Plan, before: Sequence[Plan] = (), stirred: bool = False) -> Trace:
    """The lines of one episode, after others on its instance; ``stirred``: memory lies elsewhere, threads dawdle."""
    loaded = stage()
    environment = loaded.make()
    for earlier in before:
        loaded.play(earlier, environment)
    if stirred:
        let_threads_dawdle(loaded.home)
        Heap().stir()
    with _stepping(loaded) as steps:
        loaded.play(plan, environment)
    return steps


def trace_tasks(split: str) -> Trace:
    """The lines that make a split's tasks."""
    loaded = stage()
    NOW.begin("tasks")
    with _stepping(loaded) as steps:
        loaded.target.tasks(split)
    return steps


def parting(first: Sequence[Step], second: Sequence[Step], at: str) -> str:
    """The line that made the two hold other things: what a difference within the stage ``at`` comes from, if any does.

    Empty where they never part.
    """
    found = list(_partings(first, second))
    inside = [origin for step, origin in found if step.stage == at]
    return next((step.where for step in (*inside, *(origin for _, origin in found))), "")


def _partings(first: Sequence[Step], second: Sequence[Step]) -> Iterator[tuple[Step, Step]]:
    """Each step after which something new differs, and the step that it comes from."""
    apart: dict[tuple[int, str], Step | None] = {}
    """Calls and names of what differs (the instance's belong to no call), and since when; None: it was given so."""
    before: Step | None = None
    calls: set[int] = set()
    for ours, theirs in zip(first, second, strict=False):
        if (ours.where, ours.call) != (theirs.where, theirs.call):
            # The line before decided which way to go.
            if before is not None:
                yield before, before
            return
        names = {name for name, checksum in ours.checksums.items() if theirs.checksums.get(name) != checksum}
        if ours.call not in calls:
            apart |= {(ours.call, name): None for name in names.intersection(ours.arguments)}
        origins = [
            since for (call, name), since in apart.items() if call in (ours.call, _INSTANCE) and _says(ours, name)
        ]
        new = {(_INSTANCE if name.startswith("self.") else ours.call, name) for name in names} - apart.keys()
        # What comes of an argument is the caller's doing.
        if new and None not in origins:
            origin = next((since for since in origins if since is not None), ours)
            yield ours, origin
            apart |= dict.fromkeys(new, origin)
        else:
            apart |= dict.fromkeys(new)
        calls.add(ours.call)
        before = ours


def _says(step: Step, name: str) -> bool:
    """Whether a step's line names something."""
    file, _, line = step.where.rpartition(":")
    return re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", linecache.getline(file, int(line))) is not None


@contextmanager
def _stepping(loaded: Stage) -> Iterator[Trace]:
    steps: Trace = []
    with tracing(_stepper(loaded, steps)):
        yield steps


def _stepper(loaded: Stage, steps: Trace) -> LineTracer:
    outliner = Outliner(loaded.home, _PARTS)
    calls = 0

    def enter(frame: FrameType) -> LineTracer | None:
        nonlocal calls
        if len(steps) >= LOOKS:
            return None
        code = frame.f_code
        calls += 1
        number, last = calls, 0
        arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

        def line(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal last
            if last:  # something was carried out
                checksums = _checksums(outliner, frame, _came_of_it(event, arg), loaded)
                steps.append(Step(shown(code.co_filename, last), NOW.stage, number, checksums, arguments))
            last = frame.f_lineno
            return line

        return line

    return tracer_of(loaded.home, enter)


def _came_of_it(event: str, arg: Any) -> Any:
    """What a line gave its caller, or the text of what it raised; None where it went on."""
    return arg if event == "return" else str(arg[1]) if event == "exception" else None


def _checksums(outliner: Outliner, frame: FrameType, result: Any, loaded: Stage) -> dict[str, int]:
    instance = getattr(frame.f_locals.get("self"), "__dict__", {})
    values = {name: value for name, value in frame.f_locals.items() if name != "self"}
    values |= {f"self.{name}": value for name, value in list(instance.items()) if name not in CORE}
    texts = {name: _same_everywhere(_text(outliner.of(value)), loaded) for name, value in values.items()}
    texts["the result"] = _text(outliner.of(result))
    return {name: zlib.crc32(text.encode("utf-8", "replace")) for name, text in texts.items()}


def _same_everywhere(text: str, loaded: Stage) -> str:
    """Without what is fine as long as nobody is told: where temporary files lie."""
    return _TEMPORARY.sub("tmp", text.replace(str(loaded.root), "$ROOT"))


def _text(tree: Tree) -> str:
    """The same for equal values, in any process."""
    kind, *parts = tree
    if kind == "bag":
        return f"bag {sorted(parts[0])}"
    if kind == "map":
        return f"map {[(key, _text(inner)) for key, inner in parts[0].items()]}"
    if kind == "list":
        return f"list {[_text(inner) for inner in parts[0]]}"
    if kind == "object":
        return f"{parts[0]} {[(key, _text(inner)) for key, inner in parts[2].items()]}"
    return str(parts[0])


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
    loaded = stage()
    last_call: tuple[str, str] | None = None

    def note(frame: FrameType, event: str, function: Any) -> None:
        nonlocal last_call
        if event != "c_call" or not _is_changing(function) or NOW.stage != source:
            return
        by = blame(frame, loaded.home, "clock", _name(function))
        if by is not None and by.frame is not None:
            last_call = place_of_frame(by.frame), by.callee

    environment = loaded.make()
    previous = sys.getprofile()
    sys.setprofile(note)
    try:
        loaded.play(plan, environment)
    finally:
        sys.setprofile(previous)
    return last_call


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
