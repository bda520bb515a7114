"""Which of the user's lines to name for an episode that came out another way."""

from practicum.checks.differences import Deviation
from practicum.checks.played import Visit, world_of
from practicum.checks.processes.client import NoEnd, Nursery
from practicum.checks.trial import Trial
from practicum.checks.ways import watched
from practicum.checks.ways.traced import parting, suspect, trace_episode, trace_tasks


def place_of_case(trial: Trial, nursery: Nursery, case: Deviation, *, together: bool) -> tuple[str, str]:
    """``file:line``, and what was called there if that explains it; empty where neither can be told.

    Args:
        together: Whether it differs among other episodes only: then it is what they share that matters.
    """
    difference = case.difference
    if difference.where or difference.refused:
        return difference.where or place_of_change(trial, difference.refused), ""
    plan = trial.plans[case.number]
    try:
        if together:
            return trial.home.ask(watched.blame_shared, plan).result(), ""
        called = trial.home.ask(suspect, plan, difference.source).result()
        return called or (_parting(trial, nursery, case), "")
    except NoEnd as error:
        return error.trouble.where, ""


def place_after_others(trial: Trial, case: Deviation) -> str:
    """The line that made an episode differ after others on its instance; empty where it cannot be told."""
    plan = trial.plans[case.number]
    try:
        first = trial.home.ask(trace_episode, plan).result()
        last = trial.home.ask(trace_episode, plan, trial.plans).result()
    except NoEnd:
        return ""
    return parting(first, last, case.difference.source)


def place_of_change(trial: Trial, refused: str) -> str:
    """The line that first changed the state which a ``StateFault`` names."""
    root = refused.split(maxsplit=1)[0]
    try:
        return trial.home.ask(watched.blame_roots, trial.plans, {root: frozenset()}).result()[root]
    except NoEnd:
        return ""


def place_of_tasks(trial: Trial, nursery: Nursery, visit: Visit, split: str) -> str:
    """The line that made a split's tasks others elsewhere; empty where it cannot be told."""
    elsewhere = nursery.stage(trial.target, visit.world)
    try:
        ours, theirs = (each.ask(trace_tasks, split) for each in (trial.home, elsewhere))
        return parting(ours.result(), theirs.result(), "tasks")
    except NoEnd as error:
        return error.trouble.where
    finally:
        elsewhere.close()


def _parting(trial: Trial, nursery: Nursery, case: Deviation) -> str:
    plan, world = trial.plans[case.number], world_of(case.way)
    ours = trial.home.ask(trace_episode, plan)
    if world is None:
        return parting(ours.result(), trial.home.ask(trace_episode, plan, (), True).result(), case.difference.source)
    elsewhere = nursery.stage(trial.target, world)
    try:
        return parting(ours.result(), elsewhere.ask(trace_episode, plan).result(), case.difference.source)
    finally:
        elsewhere.close()
