"""All episodes on one instance, twice, with a look after each at what it left and what it changed."""

import asyncio
import gc
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from practicum.checks.episodes import Plan
from practicum.checks.processes.stage import Stage, stage
from practicum.checks.watch.line_blame import Blamer, Probe
from practicum.checks.watch.object_tree import TreeChange
from practicum.checks.watch.patches import content, fixtures, named, patched
from practicum.checks.watch.residue import GRACE, OPENED, ResidueWatch, descriptors, opened_kind
from practicum.checks.watch.roots import Roots, RootState
from practicum.checks.watch.settings import SETTINGS, Leftover, same
from practicum.checks.ways.interleaved import aplay
from practicum.checks.ways.repeated import Again
from practicum.environment.places import place_of_frame, users_frame

_BUDGET_S = 4.0
"""Seconds that looks at the state may take in all; with a large state there are fewer of them."""


Places = frozenset[tuple[tuple[str, ...], str]]
"""Paths within a root, and how each changed."""

_ON_A_LOOP = 6
_ANY = "\0"


@dataclass(frozen=True)
class Left:
    """Something left behind, by which episode, and whether one of the second round left it too."""

    leftover: Leftover
    episode: str
    again: bool


@dataclass(frozen=True)
class Changed:
    """A change of undeclared state: which root, where in it, by which episode, and in which round (1 or 2)."""

    root: str
    change: TreeChange
    episode: str
    round: int


@dataclass(frozen=True)
class Watched:
    """What was seen."""

    leftovers: tuple[Left, ...]
    changed: tuple[Changed, ...]
    again: tuple[Again, ...]


def watch(plans: Sequence[Plan], seed: int) -> Watched:
    """Play every plan on one instance, then all again in another order."""
    loaded = stage()
    private = [folder for folder in (Path.cwd(), Path(os.environ["TMPDIR"])) if folder.is_relative_to(loaded.root)]
    watching = ResidueWatch(loaded.home, tuple(private))
    modules_before, first = fixtures(loaded.home), watching.snapshot()
    watched = _Rounds(loaded, watching, plans)
    order = list(range(len(plans)))
    watched.play(order, 1)
    watched.play(random.Random(seed).sample(order, len(order)), 2)
    changed, again = watched.changed, watched.again
    leftovers = {leftover.leftover: leftover for leftover in watched.leftovers.values()}
    for leftover in patched(modules_before, loaded.home):
        leftovers.setdefault(leftover, Left(leftover, "all episodes", True))
    for leftover in asyncio.run(_left_on_the_loop(loaded, plans)):
        leftovers.setdefault(leftover, Left(leftover, "an episode on an event loop", True))
    # What is still there once every instance is gone, too.
    del watched
    gc.collect()
    kinds = {leftover.kind for leftover in leftovers}
    for leftover in watching.leftovers_since(first):
        if leftover.kind not in kinds:
            leftovers.setdefault(leftover, Left(leftover, "all episodes", True))
    return Watched(tuple(leftovers.values()), tuple(changed), tuple(again))


async def _left_on_the_loop(loaded: Stage, plans: Sequence[Plan]) -> list[Leftover]:
    """Tasks that episodes began on the loop they were played on, and that go on after them."""
    loop, places = asyncio.get_running_loop(), dict[int, str]()

    def begin(loop: asyncio.AbstractEventLoop, coroutine: Any, **named: Any) -> "asyncio.Task[Any]":
        task = asyncio.Task(coroutine, loop=loop, **named)
        places[id(task)] = place_of_frame(users_frame(sys._getframe(1), loaded.home))
        return task

    loop.set_task_factory(begin)
    for plan in plans[:_ON_A_LOOP]:
        await aplay(loaded.make(), plan, {}, random.Random(0))
    unfinished = asyncio.all_tasks() - {asyncio.current_task()}
    if unfinished:
        _, unfinished = await asyncio.wait(unfinished, timeout=GRACE)
    return [Leftover("task", task.get_name(), places.get(id(task), "")) for task in unfinished]


class _Rounds:
    """Rounds of episodes on one instance, and what was seen after each."""

    def __init__(self, here: Stage, watching: ResidueWatch, plans: Sequence[Plan]) -> None:
        self.leftovers: dict[Leftover, Left] = {}
        self.changed: list[Changed] = []
        self.again: list[Again] = []
        self._here, self._watching, self._plans = here, watching, plans
        self._instance = here.make()
        self._roots = Roots(here.home, self._instance)
        began = time.monotonic()
        self._snapshot = self._roots.snapshot()
        looks = max(3, int(_BUDGET_S / max(time.monotonic() - began, 1e-6)))
        self._every = -(-2 * len(plans) // looks)

    def play(self, order: Sequence[int], round: int) -> None:
        """Play the plans in this order."""
        for turn, number in enumerate(order, start=1):
            plan = self._plans[number]
            # What a constructor does to its class happens whenever an instance is made.
            self._here.make()
            before = self._watching.snapshot()
            transcript = self._here.play(plan, self._instance)
            self.again.append((number, "the same instance, after other episodes", transcript))
            for each in self._watching.leftovers_since(before):
                episode = self.leftovers[each].episode if each in self.leftovers else plan.label
                self.leftovers[each] = Left(each, episode, round == 2)
            if turn % self._every == 0 or turn == len(order):
                self._look(plan, round)

    def _look(self, plan: Plan, round: int) -> None:
        snapshot = self._roots.snapshot()
        for root, change in self._roots.differences(self._snapshot, snapshot):
            self.changed.append(Changed(root, change, plan.label, round))
        self._snapshot = snapshot


def blame_leftovers(plans: Sequence[Plan], kinds: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """The line that changed each kind of setting, opened what stayed open, or replaced what has such a dotted name."""
    loaded = stage()
    probes: dict[str, Probe] = {setting.kind: setting.read for setting in SETTINGS if setting.kind in kinds}
    probes |= {kind: partial(_opened, kind) for kind in kinds if kind in OPENED}
    probes |= {name: partial(_named, name) for name in names}

    def changed(name: str, was: Any, now: Any) -> bool:
        return was[0] is not None and was != now if name in names else not same(was, now)

    blamer = Blamer(loaded.home, probes, changed)
    with blamer.watching():
        for plan in plans:
            loaded.play(plan)
    return blamer.found


def blame_roots(plans: Sequence[Plan], guilty: Mapping[str, Places]) -> dict[str, str]:
    """The line that changed each root in one of these places; where none did in one step, the first to change it."""
    loaded = stage()
    instance = loaded.make()
    roots = Roots(loaded.home, instance)

    def changed(name: str, was: RootState, now: RootState) -> bool:
        root, _, any = name.partition(_ANY)
        differences = roots.difference(was, now)
        return bool(differences) if any else _among(differences, guilty[root])

    probes = {name + any: partial(roots.read, name) for name in guilty for any in ("", f"{_ANY}any")}
    blamer = Blamer(loaded.home, probes, changed)
    with blamer.watching():
        for plan in plans:
            loaded.make()
            loaded.play(plan, instance)
            if all(name in blamer.found for name in guilty):
                break
    return {name: blamer.found.get(name) or blamer.found.get(f"{name}{_ANY}any") or "" for name in guilty}


def blame_shared(plan: Plan) -> str:
    """The line that changes something which episodes share, be it only for a moment; empty where none does."""
    loaded = stage()
    loaded.play(plan)  # what is made once and kept is there now
    instance = loaded.make()
    roots = Roots(loaded.home, instance)
    own = f"{type(instance).__qualname__}()."
    probes: dict[str, Any] = {name: partial(roots.read, name) for name in roots.snapshot() if not name.startswith(own)}
    probes |= {setting.kind: setting.read for setting in SETTINGS}
    settings = {setting.kind for setting in SETTINGS}

    def changed(name: str, was: Any, now: Any) -> bool:
        return not same(was, now) if name in settings else bool(roots.difference(was, now))

    blamer = Blamer(loaded.home, probes, changed, inside=True)
    with blamer.watching():
        loaded.play(plan, instance)
    return next(iter(blamer.found.values()), "")


def _among(differences: Sequence[TreeChange], places: Places) -> bool:
    return any((change.path, change.kind) in places for change in differences)


def _named(name: str) -> tuple[Any, Any]:
    """What stands under a name, by identity, and what that holds."""
    value = named(name)
    return None if value is None else id(value), content(value) if isinstance(value, dict | list | set) else None


def _opened(kind: str) -> frozenset[tuple[str, str]]:
    return frozenset((number, name) for number, name in descriptors() if opened_kind(name) == kind)
