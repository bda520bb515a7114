"""All the ways of playing at once: each piece of work begins when a processor is free."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from practicum.checks.processes.client import DEADLINE_S, NoEnd, Nursery
from practicum.checks.processes.work import Trouble
from practicum.checks.processes.world import ELSEWHERE
from practicum.checks.trial import Trial
from practicum.checks.visits import Visit, visit
from practicum.checks.ways.abandoned import Aftermath, abandon
from practicum.checks.ways.interleaved import gather, interleave
from practicum.checks.ways.repeated import Again, repeat
from practicum.checks.ways.threaded import thread
from practicum.checks.ways.together import play_together
from practicum.checks.ways.watched import Watched, watch

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


class Played:
    """The ways of playing, begun. Each method waits for what it gives."""

    def __init__(self, trial: Trial, nursery: Nursery, repetitions: int, seed: int) -> None:
        home, plans = trial.home, list(trial.plans)
        slowest = max((each.seconds for each in trial.alone), default=0.0)
        one = max(_LEAST_ALONE_S, _SLOWER * slowest)
        all = min(max(_LEAST_S, _SLOWER * sum(each.seconds for each in trial.alone)), DEADLINE_S)
        self._travellers = ThreadPoolExecutor(len(ELSEWHERE), "practicum-check-visit")
        self._visits = [self._travellers.submit(visit, nursery, trial, world) for world in ELSEWHERE]
        self._watched = home.ask(watch, plans, seed, deadline_s=all)
        self._repeated = home.ask(repeat, plans, deadline_s=all)
        self._at_once: list[Future[Sequence[Again | Trouble]]] = [
            home.ask(interleave, plans, deadline_s=all),
            home.ask(gather, plans, deadline_s=all),
            home.ask(thread, plans, repetitions, deadline_s=all),
            home.ask(play_together, plans, all, deadline_s=_WAITING_S),
        ]
        self._abandoned = home.ask(abandon, plans, one, deadline_s=_WAITING_S)

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
        for each in self._at_once:
            answer = _or_trouble(each)
            for one in [answer] if isinstance(answer, Trouble) else answer:
                if isinstance(one, Trouble):
                    troubles.append(one)
                else:
                    again.append(one)
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
