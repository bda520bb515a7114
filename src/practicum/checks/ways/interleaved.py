"""Episodes under way at the same time: step by step in one thread, on one event loop, in several processes."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from random import Random

from practicum.checks.episodes import Plan, Transcript, acarry_out, following, playing, script
from practicum.checks.processes.stage import stage
from practicum.checks.processes.work import Trouble, fork
from practicum.checks.ways.repeated import Again, play_in_order
from practicum.environment import Environment, ToolResult

TOGETHER = 8
"""Episodes under way at once."""


def groups(plans: Sequence[Plan], copies: int = 1) -> Iterator[list[int]]:
    """The plans' numbers, ``TOGETHER`` at a time, ``copies`` of them so often; the last group begins again in front."""
    numbers, size = list(range(len(plans))), TOGETHER // copies
    for start in range(0, len(numbers), size):
        group = numbers[start : start + size]
        group += numbers[: min(start, size - len(group))]
        yield [number for number in group for _ in range(copies)]


def interleave(plans: Sequence[Plan]) -> list[Again]:
    """Step by step in one thread, whose turn it is drawn by lot."""
    return _in_groups(plans, "interleaved episodes", _mix)


def gather(plans: Sequence[Plan]) -> list[Again]:
    """On one event loop, as rollouts run; where a tool awaits, others go on."""
    return _in_groups(plans, "episodes on one event loop", lambda *group: asyncio.run(_all_at_once(*group)))


def _in_groups(
    plans: Sequence[Plan], name: str, play: Callable[[Sequence[Plan], list[Transcript], Random], None]
) -> list[Again]:
    played: list[Again] = []
    for round, group in enumerate(groups(plans)):
        transcripts: list[Transcript] = [{} for _ in group]
        play([plans[number] for number in group], transcripts, Random(round))
        way = f"among {len(group)} {name}"
        played += [(number, way, transcript) for number, transcript in zip(group, transcripts, strict=True)]
    return played


def _mix(plans: Sequence[Plan], transcripts: list[Transcript], rng: Random) -> None:
    loaded = stage()
    episodes = [
        playing(loaded.make(), loaded.task(plan), plan, transcript, loaded.home)
        for plan, transcript in zip(plans, transcripts, strict=True)
    ]
    # All have begun before the first goes on, or short episodes would be over before others begin.
    under_way = [episode for episode in episodes if not _over(episode)]
    while under_way:
        episode = rng.choice(under_way)
        if _over(episode):
            under_way.remove(episode)


def _over(episode: Iterator[None]) -> bool:
    return next(episode, ...) is ...


async def _all_at_once(plans: Sequence[Plan], transcripts: list[Transcript], rng: Random) -> None:
    loaded = stage()
    await asyncio.gather(
        *(
            aplay(loaded.make(), plan, transcript, Random(rng.random()))
            for plan, transcript in zip(plans, transcripts, strict=True)
        )
    )


async def aplay(environment: Environment, plan: Plan, transcript: Transcript, rng: Random) -> None:
    """Play a plan on the running event loop, giving way to others now and then."""
    loaded = stage()
    steps = script(environment, loaded.task(plan), plan.seed, following(plan), transcript, loaded.home)
    result: ToolResult | None = None
    try:
        call = next(steps)
        while True:
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
            try:
                result = None if call is None else await acarry_out(environment, call)
            except (Exception, SystemExit) as error:
                call = steps.throw(error)
                continue
            call = steps.send(result)
    except StopIteration:
        return


PROCESSES = 3
ALONGSIDE = f"while {PROCESSES} processes played it"
"""How the episodes were played, in words."""


def play_together(plans: Sequence[Plan], deadline_s: float) -> list[Again | Trouble]:
    """All plans in each of a few processes, which share their temporary folder."""
    order = list(range(len(plans)))
    forks = [fork(play_in_order, plans, order, ALONGSIDE, deadline_s=deadline_s) for _ in range(PROCESSES)]
    played: list[Again | Trouble] = []
    for each in forks:
        answer = each.result()
        played += [answer] if isinstance(answer, Trouble) else answer
    return played
