"""Eight episodes in eight threads: whose line runs next is drawn by lot, or left to Python at its most restless.

A race that needs a switch at one certain line hardly ever shows when Python chooses. So in most repetitions the threads
pass a baton: only its holder runs, and after any of the user's lines it may have to hand it on.
"""

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from practicum.checks.episodes import Plan, Transcript, fault, unplayed
from practicum.checks.processes.stage import stage
from practicum.checks.watch.line_blame import LineTracer, tracer_of
from practicum.checks.ways.interleaved import groups
from practicum.checks.ways.repeated import Again

_RESTLESS_S = 1e-5
"""Seconds after which Python lets another thread run; its own choice is 0.005."""

_WAYS = (1.0, 0.3, None, 0.7)
"""How often a line's end hands the baton on, by repetition: always is in step, line by line; None is without one."""

_EACH = 2
"""Threads that play the same plan: rollouts of one task run side by side."""

_STUCK_S = 0.004
"""Seconds after which a holder that does nothing is held to be waiting for someone else."""

_MOST_STUCK = 250
"""How often the baton is taken from one that waits; after that all run freely, for what they share has a lock."""

_STEPS = 20_000
"""Lines after which all run freely: by then the threads have met everywhere."""


def thread(plans: Sequence[Plan], repetitions: int) -> list[Again]:
    """Every group of plans, ``repetitions`` times."""
    played: list[Again] = []
    before = sys.getswitchinterval()
    sys.setswitchinterval(_RESTLESS_S)
    try:
        for repetition in range(repetitions):
            for round, group in enumerate(groups(plans, _EACH)):
                rng, hand_on = Random(1000 * repetition + round), _WAYS[repetition % len(_WAYS)]
                transcripts = _at_once([plans[number] for number in group], rng, hand_on)
                way = f"among {len(group)} threads, repetition {repetition + 1}"
                played += [(number, way, transcript) for number, transcript in zip(group, transcripts, strict=True)]
    finally:
        sys.setswitchinterval(before)
    return played


def _at_once(plans: Sequence[Plan], rng: Random, hand_on: float | None) -> list[Transcript]:
    loaded = stage()
    transcripts: list[Transcript] = [{} for _ in plans]
    together = threading.Barrier(len(plans))
    passed = Baton(len(plans), hand_on, rng, loaded.home) if hand_on else None

    def run(number: int) -> None:
        plan = plans[number]
        together.wait()
        try:
            if passed is not None:
                passed.join(number)
            transcripts[number] = loaded.play(plan)
        except BaseException as error:
            transcripts[number] = unplayed(fault(error, "the thread", loaded.home))
        finally:
            if passed is not None:
                passed.leave(number)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(plans))]
    for player in threads:
        player.start()
    for player in threads:
        player.join()
    return transcripts


_open, _read, _close = os.open, os.read, os.close  # as they are now: the user's code may replace them
_setting = threading.Lock()
"""Held while a tracer is set: Python refuses when two threads do it at once."""


class Baton:
    """Lets one thread run at a time, and another after any line of the user's code."""

    def __init__(self, members: int, hand_on: float, rng: Random, home: Path) -> None:
        self._rng, self._home, self._process, self._hand_on = rng, home, os.getpid(), hand_on
        self._turns = [threading.Semaphore(0) for _ in range(members)]
        self._there: dict[int, int] = {}
        """Those who take part, and their threads' numbers in the operating system."""
        self._holder: int | None = None
        self._steps = self._stuck = 0
        self._lock = threading.Lock()

    def join(self, number: int) -> None:
        """The calling thread takes part from now on."""
        with self._lock:
            self._there[number] = threading.get_native_id()
            if self._holder is None:
                self._holder = number
        with _setting:
            sys.settrace(self._tracer(number))

    def leave(self, number: int) -> None:
        """The calling thread is through."""
        with _setting:
            sys.settrace(None)
        with self._lock:
            self._there.pop(number, None)
            if self._holder == number:
                self._pass_on()

    def _tracer(self, number: int) -> LineTracer:
        def line(_frame: FrameType, event: str, _arg: Any) -> Any:
            if event == "line":
                self._step(number)
            return line

        return tracer_of(self._home, lambda _: line)

    def _step(self, number: int) -> None:
        if self._steps > _STEPS or os.getpid() != self._process:
            return
        with self._lock:
            self._steps += 1
            if self._holder == number:
                if len(self._there) < 2 or self._rng.random() > self._hand_on:
                    return
                self._pass_on()
                if self._holder == number:
                    return
        self._wait(number)

    def _wait(self, number: int) -> None:
        while self._steps <= _STEPS:
            steps_before = self._steps
            if self._turns[number].acquire(timeout=_STUCK_S):
                if self._holder == number:
                    return
                continue
            with self._lock:
                if self._holder == number:
                    return
                # The holder waits for a lock that one of us has, or sleeps: somebody has to go on.
                if self._steps == steps_before and self._holder_sleeps():
                    self._holder = number
                    self._stuck += 1
                    self._steps += _STEPS if self._stuck > _MOST_STUCK else 0
                    return

    def _holder_sleeps(self) -> bool:
        """Whether the holder waits, rather than being ready to run on a machine that has no time for it."""
        native = self._there.get(-1 if self._holder is None else self._holder)
        try:
            stat = _open(f"/proc/self/task/{native}/stat", os.O_RDONLY)
        except OSError:
            return True
        try:
            return _read(stat, 512).rpartition(b")")[2].split()[:1] != [b"R"]
        finally:
            _close(stat)

    def _pass_on(self) -> None:
        members = sorted(self._there)
        if self._hand_on == 1.0 and members and self._holder is not None:
            later = [number for number in members if number > self._holder]
            self._holder = later[0] if later else members[0]
        else:
            self._holder = self._rng.choice(members) if members else None
        if self._holder is not None:
            self._turns[self._holder].release()
