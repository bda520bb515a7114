"""The same episodes elsewhere: in worlds that differ in all that an environment may not depend on."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from practicum.checks.episodes import Transcript
from practicum.checks.processes.client import NoEnd, Nursery
from practicum.checks.processes.stage import stage
from practicum.checks.processes.work import Trouble
from practicum.checks.processes.world import ELSEWHERE, World
from practicum.checks.trial import Trial
from practicum.checks.ways.repeated import Again, play_in_order
from practicum.environment.target import task_record


@dataclass(frozen=True)
class Visit:
    """What came of playing in a world.

    Attributes:
        problem: Why nothing could be played there; None where it could.
        strange: The first task that is another one there: split, index, here, there.
        played: Each plan's number and transcript.
    """

    world: World
    problem: Trouble | None = None
    strange: Mapping[str, Any] | None = None
    played: tuple[tuple[int, Transcript], ...] = ()


def visit(nursery: Nursery, trial: Trial, world: World) -> Visit:
    """Load the environment there and play every plan, in another order."""
    there = nursery.stage(trial.target, world)
    try:
        if there.loaded.error is not None:
            error = there.loaded.error
            return Visit(world, Trouble(str(error), error.where))
        other = _first_strange(trial.loaded.digests, there.loaded.digests)
        if other is not None:
            split, index = other
            records = [each.ask(record, split, index).result() for each in (trial.home, there)]
            return Visit(world, strange={"split": split, "index": index, "here": records[0], "there": records[1]})
        order = random.Random(world.order_seed).sample(range(len(trial.plans)), len(trial.plans))
        played = there.ask(play_in_order, trial.plans, order, world.name).result()
        found = {number: transcript for number, _, transcript in played}
        return Visit(world, played=tuple(sorted(found.items())))
    except NoEnd as error:
        return Visit(world, error.trouble)
    finally:
        there.close()


def named(visit: Visit) -> Iterator[Again]:
    """What was played there, with the circumstances in words."""
    for number, transcript in visit.played:
        yield number, _how(visit.world), transcript


def world_of(how: str) -> World | None:
    """The world that ``named`` said something was played in."""
    return next((world for world in ELSEWHERE if _how(world) == how), None)


def _how(world: World) -> str:
    return f"a process with {world.description}"


def record(split: str, index: int) -> str:
    """A task of this process's stage, in words."""
    listed = stage().tasks.get(split, [])
    return repr(task_record(listed[index])) if index < len(listed) else "no such task"


def _first_strange(here: Mapping[str, Sequence[str]], there: Mapping[str, Sequence[str]]) -> tuple[str, int] | None:
    for split in dict.fromkeys([*here, *there]):
        ours, theirs = here.get(split, ()), there.get(split, ())
        if list(ours) != list(theirs):
            pairs = enumerate(zip(ours, theirs, strict=False))
            return split, next((i for i, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
    return None
