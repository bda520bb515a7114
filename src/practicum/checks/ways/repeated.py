"""The same episodes again: on a fresh instance, on the same one, one after the other, on a machine that is busy."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import thread as pools
from pathlib import Path
from types import FrameType
from typing import Any

from practicum.checks.episodes import Plan, Transcript
from practicum.checks.processes.stage import stage
from practicum.checks.watch.line_blame import LineTracer, tracer_of

Again = tuple[int, str, Transcript]
"""A plan's number, how it was played, and what came of it."""


def repeat(plans: Sequence[Plan]) -> list[Again]:
    """Each plan three times. Threads dawdle and memory is stirred, as they are on a busy machine."""
    loaded, heap, played = stage(), Heap(), list[Again]()
    let_threads_dawdle(stage().home)
    for number, plan in enumerate(plans):
        heap.stir()
        instance = loaded.make()
        for way, environment in (
            ("a fresh instance", instance),
            ("the same instance, second episode", instance),
            ("another fresh instance", loaded.make()),
        ):
            played.append((number, way, loaded.play(plan, environment)))
            heap.stir()
    return played


def play_stirred(plan: Plan) -> Transcript:
    """One plan alone, with threads that dawdle and memory that was stirred."""
    let_threads_dawdle(stage().home)
    Heap().stir()
    return stage().play(plan)


def play_last(plans: Sequence[Plan], number: int) -> Transcript:
    """One plan, after all of them, on the same instance."""
    loaded = stage()
    instance = loaded.make()
    for plan in plans:
        loaded.play(plan, instance)
    return loaded.play(plans[number], instance)


def play_in_order(plans: Sequence[Plan], order: Sequence[int], way: str) -> list[Again]:
    """Each plan once, on fresh instances, in the given order."""
    loaded = stage()
    return [(number, way, loaded.play(plans[number])) for number in order]


_MOST_S = 0.003
"""Seconds that a thread or a pool's work may begin late."""

_MOST_A_LINE_S = 0.0003
_PAUSES = 200
"""How often one thread waits after a line of the user's."""


def let_threads_dawdle(home: Path) -> None:
    """Every thread, and every piece of work of a pool, begins late, and a thread waits now and then between lines."""
    rng = random.Random(7)

    def dawdling(run: Any) -> Any:
        def late(self: Any) -> None:
            time.sleep(rng.random() * _MOST_S)
            run(self)

        return late

    for kind in (threading.Thread, pools._WorkItem):
        setattr(kind, "run", dawdling(kind.run))  # noqa: B010 (mypy refuses the plain assignment)
    threading.settrace(_pausing(home, rng))


def _pausing(home: Path, rng: random.Random) -> LineTracer:
    pauses_left: dict[int, int] = {}

    def line(_frame: FrameType, event: str, _arg: Any) -> Any:
        me = threading.get_ident()
        if event == "line" and pauses_left.setdefault(me, _PAUSES) and rng.random() < 0.5:
            pauses_left[me] -= 1
            time.sleep(rng.random() * _MOST_A_LINE_S)
        return line

    return tracer_of(home, lambda _: line)


class Heap:
    """Takes up memory in odd places, so that objects made later lie elsewhere than those made before."""

    def __init__(self) -> None:
        self._rng = random.Random(11)
        self._held: list[Any] = []

    def stir(self) -> None:
        """Let go of some, take some more."""
        self._rng.shuffle(self._held)
        del self._held[len(self._held) // 2 :]
        for _ in range(self._rng.randrange(50, 150)):
            self._held.append(self._rng.choice(_MAKERS)())


class _Thing:
    pass


_MAKERS: tuple[Callable[[], Any], ...] = (
    object,
    list,
    dict,
    set,
    _Thing,
    lambda: [None] * 9,
    lambda: bytearray(100),
    lambda: {"a": []},
)
