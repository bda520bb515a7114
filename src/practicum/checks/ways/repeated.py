"""The same episodes again: on a fresh instance, on the same one, one after the other."""

from collections.abc import Sequence

from practicum.checks.episodes import Plan, Transcript
from practicum.checks.processes.stage import stage
from practicum.checks.ways.perturbed import Heap, let_threads_dawdle

Again = tuple[int, str, Transcript]
"""A plan's number, how it was played, and what came of it."""


def repeat(plans: Sequence[Plan]) -> list[Again]:
    """Each plan three times. Threads dawdle and memory is stirred, as they are on a busy machine."""
    here, heap, played = stage(), Heap(), list[Again]()
    let_threads_dawdle(stage().home)
    for number, plan in enumerate(plans):
        heap.stir()
        instance = here.make()
        for how, environment in (
            ("a fresh instance", instance),
            ("the same instance, second episode", instance),
            ("another fresh instance", here.make()),
        ):
            played.append((number, how, here.play(plan, environment)))
            heap.stir()
    return played


def play_stirred(plan: Plan) -> Transcript:
    """One plan alone, with threads that dawdle and memory that was stirred."""
    let_threads_dawdle(stage().home)
    Heap().stir()
    return stage().play(plan)


def play_last(plans: Sequence[Plan], number: int) -> Transcript:
    """One plan, after all of them, on the same instance."""
    here = stage()
    instance = here.make()
    for plan in plans:
        here.play(plan, instance)
    return here.play(plans[number], instance)


def play_in_order(plans: Sequence[Plan], order: Sequence[int], how: str) -> list[Again]:
    """Each plan once, on fresh instances, in the given order."""
    here = stage()
    return [(number, how, here.play(plans[number])) for number in order]
