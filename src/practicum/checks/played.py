"""All the ways of playing at once, here and elsewhere: each piece of work begins when a processor is free."""

import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from practicum.checks.episodes import Transcript, parting_place
from practicum.checks.processes.client import DEADLINE_S, NoEnd, Nursery
from practicum.checks.processes.stage import stage
from practicum.checks.processes.work import Trouble
from practicum.checks.processes.world import ELSEWHERE, Surroundings
from practicum.checks.trial import Trial
from practicum.checks.ways.abandoned import Aftermath, abandon
from practicum.checks.ways.interleaved import gather, interleave, play_together
from practicum.checks.ways.repeated import Again, play_in_order, repeat
from practicum.checks.ways.threaded import thread
from practicum.checks.ways.watched import Watched, watch
from practicum.environment.target import task_record

T = TypeVar("T")

_LEAST_S = 5.0
_LEAST_ALONE_S = 2.0
_WAITING_S = 600.0
"""Seconds for work that only waits for forks of its own, which have their deadlines."""

_SLOWER = 30.0
"""How much longer than alone an episode may take before it is held to hang."""


@dataclass(frozen=True)
class AtOnce:
    """Episodes that were under way at the same time, and those that came to no end."""

    again: tuple[Again, ...]
    troubles: tuple[Trouble, ...]


@dataclass(frozen=True)
class Visit:
    """What came of playing in a world.

    Attributes:
        problem: Why nothing could be played there; None where it could.
        strange: The first task that is another one there: split, index, here, there.
        played: Each plan's number and transcript.
    """

    world: Surroundings
    problem: Trouble | None = None
    strange: Mapping[str, Any] | None = None
    played: tuple[tuple[int, Transcript], ...] = ()


class Played:
    """The ways of playing, begun. Each method waits for what it gives."""

    def __init__(self, trial: Trial, nursery: Nursery, repetitions: int, seed: int) -> None:
        home, plans = trial.home, list(trial.plans)
        slowest = max((played_alone.seconds for played_alone in trial.alone), default=0.0)
        one_s = max(_LEAST_ALONE_S, _SLOWER * slowest)
        all_s = min(max(_LEAST_S, _SLOWER * sum(played_alone.seconds for played_alone in trial.alone)), DEADLINE_S)
        self._travellers = ThreadPoolExecutor(len(ELSEWHERE), "practicum-check-visit")
        self._visits = [self._travellers.submit(visit, nursery, trial, world) for world in ELSEWHERE]
        self._watched = home.ask(watch, plans, seed, deadline_s=all_s)
        self._repeated = home.ask(repeat, plans, deadline_s=all_s)
        self._at_once: list[Future[Sequence[Again | Trouble]]] = [
            home.ask(interleave, plans, deadline_s=all_s),
            home.ask(gather, plans, deadline_s=all_s),
            home.ask(thread, plans, repetitions, deadline_s=all_s),
            home.ask(play_together, plans, all_s, deadline_s=_WAITING_S),
        ]
        self._abandoned = home.ask(abandon, plans, one_s, deadline_s=_WAITING_S)

    def __enter__(self) -> "Played":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._travellers.shutdown(wait=True, cancel_futures=True)

    def watched(self) -> Watched | Trouble:
        """All episodes on one instance, twice."""
        return _or_trouble(self._watched)

    def repeated(self) -> list[Again] | Trouble:
        """Every episode three times."""
        return _or_trouble(self._repeated)

    def at_once(self) -> AtOnce:
        """Interleaved, on one event loop, in threads, in processes."""
        again: list[Again] = []
        troubles: list[Trouble] = []
        for pending in self._at_once:
            answer = _or_trouble(pending)
            for outcome in [answer] if isinstance(answer, Trouble) else answer:
                if isinstance(outcome, Trouble):
                    troubles.append(outcome)
                else:
                    again.append(outcome)
        return AtOnce(tuple(again), tuple(troubles))

    def abandoned(self) -> list[Aftermath]:
        """After a bad end."""
        answer = _or_trouble(self._abandoned)
        if isinstance(answer, Trouble):
            return [Aftermath("an episode that ended badly", "start", answer.where, trouble=answer)]
        return answer

    def visits(self) -> list[Visit]:
        """Elsewhere."""
        return [each.result() for each in self._visits]


def _or_trouble(asked: "Future[T]") -> T | Trouble:
    try:
        return asked.result()
    except NoEnd as error:
        return error.trouble


def visit(nursery: Nursery, trial: Trial, world: Surroundings) -> Visit:
    """Load the environment there and play every plan, in another order."""
    elsewhere = nursery.stage(trial.target, world)
    try:
        if elsewhere.loaded.error is not None:
            error = elsewhere.loaded.error
            return Visit(world, Trouble(str(error), error.where))
        other = _first_strange(trial.loaded.digests, elsewhere.loaded.digests)
        if other is not None:
            split, index = other
            records = [each.ask(record, split, index).result() for each in (trial.home, elsewhere)]
            return Visit(world, strange={"split": split, "index": index, "here": records[0], "there": records[1]})
        order = random.Random(world.order_seed).sample(range(len(trial.plans)), len(trial.plans))
        played = elsewhere.ask(play_in_order, trial.plans, order, world.name).result()
        transcripts = {number: transcript for number, _, transcript in played}
        return Visit(world, played=tuple(sorted(transcripts.items())))
    except NoEnd as error:
        return Visit(world, error.trouble)
    finally:
        elsewhere.close()


def named(visit: Visit) -> Iterator[Again]:
    """What was played there, with the circumstances in words."""
    for number, transcript in visit.played:
        yield number, _in_words(visit.world), transcript


def world_of(how: str) -> Surroundings | None:
    """The world that ``named`` said something was played in."""
    return next((world for world in ELSEWHERE if _in_words(world) == how), None)


def _in_words(world: Surroundings) -> str:
    return f"a process with {world.description}"


def record(split: str, index: int) -> str:
    """A task of this process's stage, in words."""
    listed = stage().tasks.get(split, [])
    return repr(task_record(listed[index])) if index < len(listed) else "no such task"


def _first_strange(here: Mapping[str, Sequence[str]], there: Mapping[str, Sequence[str]]) -> tuple[str, int] | None:
    for split in dict.fromkeys([*here, *there]):
        ours, theirs = here.get(split, ()), there.get(split, ())
        if list(ours) != list(theirs):
            return split, parting_place(ours, theirs)
    return None
