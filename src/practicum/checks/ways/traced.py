"""Which line made an episode differ: what the user's code holds after each line, compared between two plays."""

import linecache
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from practicum.checks.episodes import NOW, Plan
from practicum.checks.processes.stage import Stage, stage
from practicum.checks.watch.object_tree import Outliner, Tree
from practicum.checks.ways.perturbed import Heap, let_threads_dawdle
from practicum.environment.declared_state import CORE
from practicum.environment.places import is_users, shown

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
        held: Checksums of what the function held afterwards: its variables by name, the instance's as ``self.name``.
        given: Names of the function's arguments.
    """

    where: str
    stage: str
    call: int
    held: dict[str, int]
    given: tuple[str, ...]


Trace = list[Step]


def trace_episode(plan: Plan, before: Sequence[Plan] = (), stirred: bool = False) -> Trace:
    """The lines of one episode, after others on its instance; ``stirred``: memory lies elsewhere, threads dawdle."""
    here = stage()
    environment = here.make()
    for each in before:
        here.play(each, environment)
    if stirred:
        let_threads_dawdle(here.home)
        Heap().stir()
    with _tracing(here) as steps:
        here.play(plan, environment)
    return steps


def trace_tasks(split: str) -> Trace:
    """The lines that make a split's tasks."""
    here = stage()
    NOW.begin("tasks")
    with _tracing(here) as steps:
        here.target.tasks(split)
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
        names = {name for name, held in ours.held.items() if theirs.held.get(name) != held}
        if ours.call not in calls:
            apart |= {(ours.call, name): None for name in names.intersection(ours.given)}
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
def _tracing(here: Stage) -> Iterator[Trace]:
    steps: Trace = []
    sys.settrace(_tracer(here, steps))
    try:
        yield steps
    finally:
        sys.settrace(None)


def _tracer(here: Stage, steps: Trace) -> Callable[[FrameType, str, Any], Any]:
    outliner = Outliner(here.home, _PARTS)
    calls = 0

    def call(frame: FrameType, _event: str, _arg: Any) -> Any:
        nonlocal calls
        code = frame.f_code
        if len(steps) >= LOOKS or not is_users(code.co_filename, here.home):
            return None
        calls += 1
        number, last = calls, 0
        given = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

        def line(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal last
            if last:  # something was carried out
                held = _held(outliner, frame, _came_of_it(event, arg), here)
                steps.append(Step(shown(code.co_filename, last), NOW.stage, number, held, given))
            last = frame.f_lineno
            return line

        return line

    return call


def _came_of_it(event: str, arg: Any) -> Any:
    """What a line gave its caller, or the text of what it raised; None where it went on."""
    return arg if event == "return" else str(arg[1]) if event == "exception" else None


def _held(outliner: Outliner, frame: FrameType, result: Any, here: Stage) -> dict[str, int]:
    instance = getattr(frame.f_locals.get("self"), "__dict__", {})
    held = {name: value for name, value in frame.f_locals.items() if name != "self"}
    held |= {f"self.{name}": value for name, value in list(instance.items()) if name not in CORE}
    texts = {name: _same_everywhere(_text(outliner.of(value)), here) for name, value in held.items()}
    texts["the result"] = _text(outliner.of(result))
    return {name: zlib.crc32(text.encode("utf-8", "replace")) for name, text in texts.items()}


def _same_everywhere(text: str, here: Stage) -> str:
    """Without what is fine as long as nobody is told: where temporary files lie."""
    return _TEMPORARY.sub("tmp", text.replace(str(here.root), "$ROOT"))


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
