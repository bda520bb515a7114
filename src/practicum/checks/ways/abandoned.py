"""Episodes that do not end as they should, and the next ones, to which that must make no difference.

A crash is an exception put into one of the user's lines, as running out of memory would be; a cancellation arrives
where an async tool waits; an abandoned episode is one that nobody plays on, closed or not.
"""

import ast
import asyncio
import gc
import inspect
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from practicum.checks.episodes import NOW, Plan, playing
from practicum.checks.processes.stage import stage
from practicum.checks.processes.work import Fork, Trouble, fork
from practicum.checks.watch.line_blame import tracer_of, tracing
from practicum.checks.watch.settings import Leftover, changed_settings, described, settings_now
from practicum.checks.ways.interleaved import aplay
from practicum.checks.ways.repeated import Again
from practicum.environment import Environment
from practicum.environment.places import is_users, place_of_frame, shown

POINTS = 3
"""Lines of each tool that an exception is put into."""

CRASHES = 30
"""Crashes in all, at most."""

TIMES = 3
"""How often the same crash happens: what it takes with it may be one of several."""

_AT_ONCE = 2
_ENOUGH = 2
"""Bad ends after which nothing goes on: each takes its time to be recognized."""

_NOT_CRASHED = ("system_prompt", "schemas", "oracle", "stop")


@dataclass(frozen=True)
class Point:
    """A line of the user's: which plan, which step of it, and how many lines into the step."""

    plan: int
    stage: str
    step: int
    line: int


@dataclass(frozen=True)
class Aftermath:
    """What came after an episode that ended badly.

    Attributes:
        ending: The bad end, in words.
        stage: The tool or method it happened in.
        where: The line, where there is one.
        settings: What it left changed in the process.
        next: The episodes played afterwards.
        trouble: Why they could not be played; None where they could.
    """

    ending: str
    stage: str
    where: str
    settings: tuple[Leftover, ...] = ()
    next: tuple[Again, ...] = ()
    trouble: Trouble | None = None


class Crash(RuntimeError):
    """The exception that is put in."""


def abandon(plans: Sequence[Plan], deadline_s: float) -> list[Aftermath]:
    """End episodes badly in every way, each in a fork, and play others after them."""
    cases: list[tuple[Any, ...]] = [(crash, plans, point) for point in _points(plans, deadline_s)]
    cases += [(drop, plans, number, closed) for number in _varied(plans) for closed in (True, False)]
    if _has_async_tools():
        cases += [(cancel, plans, number, turns) for number in _varied(plans) for turns in (1, 2, 4)]
    aftermaths: list[Aftermath] = []
    under_way: list[tuple[Fork[Aftermath], tuple[Any, ...]]] = []
    for case in [*cases, None]:
        if under_way and (case is None or len(under_way) == _AT_ONCE):
            for pending, asked in under_way:
                answer = pending.result()
                aftermaths.append(_hung(asked, answer) if isinstance(answer, Trouble) else answer)
            under_way = []
        if sum(aftermath.trouble is not None for aftermath in aftermaths) >= _ENOUGH:
            break
        if case is not None:
            under_way.append((fork(*case, deadline_s=deadline_s), case))
    return aftermaths


def crash(plans: Sequence[Plan], point: Point) -> Aftermath:
    """Raise an exception in one line, close the episode as a rollout would, a few times over, and play on."""
    loaded, before = stage(), _Before()
    environment = loaded.make()
    places: list[str] = []
    for _ in range(TIMES):
        with _raising(point) as raised:
            loaded.play(plans[point.plan], environment)
        places += raised
    ending = f"an episode that crashed in {point.stage}"
    return _after(plans, point.plan, ending, point.stage, places[0] if places else "", environment, before)


def drop(plans: Sequence[Plan], number: int, closed: bool) -> Aftermath:
    """Leave an episode in the middle; nobody plays on."""
    loaded, before = stage(), _Before()
    plan = plans[number]
    environment = loaded.make()
    episode = playing(environment, loaded.task(plan), plan, {}, loaded.home)
    for _ in range(1 + max(1, len(plan.calls) // 2)):
        next(episode, None)
    if closed:
        with suppress(Exception):
            environment.close()
        return _after(plans, number, "an episode closed before its end", "stop", "", environment, before)
    del environment, episode
    gc.collect()
    return _after(plans, number, "an episode that was dropped without an end", "stop", "", None, None)


def cancel(plans: Sequence[Plan], number: int, turns: int) -> Aftermath:
    """Cancel an episode while one of its tools waits."""
    loaded, before = stage(), _Before()
    environment = loaded.make()

    async def cut_short() -> None:
        episode = asyncio.ensure_future(aplay(environment, plans[number], {}, Random(0)))
        while not episode.done() and not environment._in_tool:
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        _note_place(episode)
        episode.cancel()
        with suppress(asyncio.CancelledError):
            await episode

    asyncio.run(cut_short())
    at, where = NOW.stage, _waiting_at.pop() if _waiting_at else ""
    with suppress(Exception):
        environment.close()
    return _after(plans, number, f"an episode cancelled in {at}", at, where, environment, before)


_waiting_at: list[str] = []


def _note_place(episode: "asyncio.Task[None]") -> None:
    """Remember where the user's code waits."""
    waiting: Any = episode.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None)
        if frame is not None and is_users(frame.f_code.co_filename, stage().home):
            _waiting_at[:] = [place_of_frame(frame)]
        waiting = getattr(waiting, "cr_await", None)


def _after(
    plans: Sequence[Plan],
    number: int,
    ending: str,
    at: str,
    where: str,
    environment: Environment | None,
    before: "_Before | None",
) -> Aftermath:
    loaded, leftovers = stage(), before.changed() if before is not None else ()
    numbers = [number, (number + 2) % len(plans)]
    instances = [environment, None] if environment is not None else [None]
    played = [(each, f"after {ending}", loaded.play(plans[each], one)) for each in numbers for one in instances]
    return Aftermath(ending, at, where, leftovers, tuple(played))


class _Before:
    """The process's settings as they stood."""

    def __init__(self) -> None:
        self._settings, self._modules = settings_now(), len(sys.modules)

    def changed(self) -> tuple[Leftover, ...]:
        """What stands otherwise now. Libraries that were imported meanwhile may have set things up."""
        after = settings_now()
        if len(sys.modules) != self._modules:
            return ()
        return tuple(
            Leftover(setting.kind, described(self._settings[setting.kind], after[setting.kind]))
            for setting in changed_settings(self._settings, after)
            if not setting.grows
        )


def _hung(case: tuple[Any, ...], trouble: Trouble) -> Aftermath:
    if case[0] is crash:
        at: str = case[2].stage
        return Aftermath(f"an episode that crashed in {at}", at, trouble.where, trouble=trouble)
    ending = "an episode that was cancelled" if case[0] is cancel else "an episode that was dropped"
    return Aftermath(ending, "stop", trouble.where, trouble=trouble)


def _varied(plans: Sequence[Plan]) -> list[int]:
    """The first two plans that differ in the tools they call."""
    first_by_tools: dict[frozenset[str], int] = {}
    for number, plan in enumerate(plans):
        first_by_tools.setdefault(frozenset(call.name for call in plan.calls), number)
    return list(first_by_tools.values())[:2]


def _has_async_tools() -> bool:
    environment = stage().make()
    return any(
        inspect.iscoroutinefunction(spec.function or getattr(environment, name, None))
        for name, spec in environment.tool_specs().items()
    )


def _points(plans: Sequence[Plan], deadline_s: float) -> list[Point]:
    """A few lines of every tool and of start, in the first plan that gets there."""
    reached: set[str] = set()
    points: list[list[Point]] = []
    for number, plan in enumerate(plans):
        names = {"reset", *(call.name for call in plan.calls)}
        if names <= reached:
            continue
        counted = fork(_count, plan, deadline_s=deadline_s).result()
        if isinstance(counted, Trouble):
            continue
        for (at, step), lines in counted.items():
            if at not in reached and at not in _NOT_CRASHED and lines:
                reached.add(at)
                places = sorted({lines * part // (POINTS + 1) for part in range(1, POINTS + 1)} | {lines - 1})
                points.append([Point(number, at, step, place) for place in places[-POINTS:]])
    every = max(1, CRASHES // POINTS)
    return [point for group in points[:: -(-len(points) // every) or 1] for point in group][:CRASHES]


def _count(plan: Plan) -> dict[tuple[str, int], int]:
    loaded = stage()
    counts: dict[tuple[str, int], int] = {}

    def count(_file: str, _line: int) -> None:
        counts[NOW.stage, NOW.step] = counts.get((NOW.stage, NOW.step), 0) + 1

    environment = loaded.make()
    with _each_line(count):
        loaded.play(plan, environment)
    return counts


@contextmanager
def _raising(point: Point) -> Iterator[list[str]]:
    raised: list[str] = []
    lines_left = point.line

    def perhaps(file: str, line: int) -> None:
        nonlocal lines_left
        if raised or (NOW.stage, NOW.step) != (point.stage, point.step):
            return
        if lines_left:
            lines_left -= 1
            return
        raised.append(shown(file, line))
        raise Crash("put in by practicum check")

    with _each_line(perhaps):
        yield raised


@contextmanager
def _each_line(tell: Any) -> Iterator[None]:
    def line(frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "line" and frame.f_lineno in breakable_lines(frame.f_code.co_filename):
            tell(frame.f_code.co_filename, frame.f_lineno)
        return line

    with tracing(tracer_of(stage().home, lambda _: line)):
        yield


_CLEANUP = frozenset({"__exit__", "__aexit__", "__del__", "stop", "close", "aclose"})
_RELEASING = frozenset(
    ["release", "close", "aclose", "shutdown", "terminate", "kill", "cleanup", "rmtree", "unlink", "restore", "chdir"]
)
_SIMPLE = (
    ast.Expr,
    ast.Assign,
    ast.AugAssign,
    ast.AnnAssign,
    ast.Return,
    ast.Assert,
    ast.Delete,
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.Match,
)


@cache
def breakable_lines(file: str) -> frozenset[int]:
    """Lines of a Python file on which a statement begins that may be the one to fail.

    Not in ``except`` and ``finally``, in functions and calls that release things, after the yield of a context
    manager, and not the lines of ``try`` and ``with`` themselves: nothing can guard those.
    """
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    return frozenset(_in_body(tree.body))


def _in_body(body: Sequence[ast.stmt]) -> Iterator[int]:
    for statement in body:
        if isinstance(statement, _SIMPLE) and not _releases(statement):
            yield statement.lineno
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            if statement.name not in _CLEANUP:
                yield from _in_function(statement)
            continue
        for part in ("body", "orelse"):
            yield from _in_body(getattr(statement, part, []))
        if isinstance(statement, ast.Match):
            for case in statement.cases:
                yield from _in_body(case.body)


def _releases(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _RELEASING


def _in_function(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[int]:
    managers = {"contextmanager", "asynccontextmanager"}
    named = {
        node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in function.decorator_list
    }
    yields = [node.lineno for node in ast.walk(function) if isinstance(node, ast.Yield)]
    last = min(yields, default=0) if named & managers else 0
    for line in _in_body(function.body):
        if not last or line < last:
            yield line
