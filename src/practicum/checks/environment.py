"""``run_checks``: every check on one environment, one report."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from practicum.checks.behaviour import check_abandon, check_differences, check_faults, check_process
from practicum.checks.bounds import check_bounds
from practicum.checks.catalogue import CHECKS, REPETITIONS, TASKS_PER_SPLIT
from practicum.checks.differences import Causes, Deviation
from practicum.checks.fidelity import check_fidelity, production_file
from practicum.checks.findings import Finding, Report
from practicum.checks.hermetic import allowed_touches, check_candidates, check_touches, check_variables
from practicum.checks.leftover import (
    check_changed,
    check_kept,
    check_left,
    check_left_by_import,
    check_refused,
    is_shared,
    kinds_of_settings,
)
from practicum.checks.played import Played, named
from practicum.checks.processes.client import Nursery
from practicum.checks.processes.work import Trouble
from practicum.checks.processes.world import ELSEWHERE, HOME
from practicum.checks.task_checks import check_solved, check_tasks, unseen_in_bad_ends, unseen_in_play
from practicum.checks.trial import Trial, prepare, result_of
from practicum.checks.watch.outside_access import allowances
from practicum.checks.ways.interleaved import ALONGSIDE
from practicum.environment.places import below
from practicum.environment.target import EnvironmentTarget

Progress = Callable[[str], None]
"""Told each check's title when it is done."""


def run_checks(
    target: EnvironmentTarget,
    *,
    tasks_per_split: int = TASKS_PER_SPLIT,
    seed: int = 0,
    progress: Progress | None = None,
    allow: Mapping[str, str] | None = None,
    recorded: Path | None = None,
    repetitions: int = REPETITIONS,
    production: Path | None = None,
    nursery: Nursery | None = None,
) -> Report:
    """Check an environment: episodes of the oracle, of a random policy and of recorded runs, in processes of their own.

    Args:
        target: What to check.
        tasks_per_split: Tasks played of each split, drawn by ``seed``. Prompts are compared in all tasks.
        allow: Reasons by kind (``network``, ``clock``, ``random``, ``environ``, ``files``, ``subprocess``) of what
            may be touched; they stand in the report.
        recorded: A run's folder (or one Parquet file of trajectories), whose calls are played too.
        repetitions: How often every eight episodes run in eight threads at once: a race shows with some probability.
        production: Schema file of the tools in production; without one, ``production.json`` beside the environment.
        nursery: Warm processes to play in, where many environments are checked; else they are started for this one.

    Raises:
        EnvironmentFault: nothing can be played: no instance can be made, or there are no training tasks; or
            something is allowed without a reason; or production's schema file cannot be read.
        RunError: the recorded run cannot be read.
    """
    began, folder = time.monotonic(), Path.cwd()
    allowed = allowances(allow or {})
    findings: list[Finding] = []
    ran: list[str] = []
    unseen: dict[str, str] = {}
    with ExitStack() as stack:
        processes = nursery or stack.enter_context(Nursery())
        processes.warm(HOME, *ELSEWHERE)
        home = processes.stage(target)
        stack.callback(home.close)
        trial = prepare(target, home, allowed, tasks_per_split, seed, recorded)
        causes = Causes(trial)
        for code, found_now in _all(trial, causes, processes, repetitions, seed, production, unseen):
            if code not in ran:
                ran.append(code)
            findings += [replace(finding, where=below(folder, finding.where)) for finding in found_now]
            if progress is not None:
                progress(CHECKS[code].title)
    order = list(CHECKS)
    reported = {finding.code for finding in findings}
    ran_and_saw = [code for code in ran if code in reported or code not in unseen]
    return Report(
        target=target.name,
        environment=trial.facts.ref,
        checks=tuple(sorted(ran_and_saw, key=order.index)),
        tasks=trial.sampled,
        episodes=len(trial.plans),
        seed=seed,
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.code))),
        seconds=time.monotonic() - began,
        repetitions=repetitions,
        allowed=tuple(allowed_touches(trial)),
        explained={code: by for code, by in causes.explained.items() if code != by},
        skipped={code: unseen[code] for code in order if code in unseen and code not in ran_and_saw},
        recorded=trial.recorded,
    )


def _all(
    trial: Trial,
    causes: Causes,
    nursery: Nursery,
    repetitions: int,
    seed: int,
    production: Path | None,
    unseen: dict[str, str],
) -> Iterator[tuple[str, list[Finding]]]:
    """Each check's code and findings, causes before what follows from them; ``unseen`` is told who saw nothing."""
    with Played(trial, nursery, repetitions, seed) as played:
        variables = check_variables(trial, causes, nursery)
        if variables:
            causes.everything = "ENV-HERMETIC"
        yield "ENV-HERMETIC", [*check_touches(trial), *variables]
        yield "ENV-FAULT", check_faults(trial, causes)
        watched, repeated = played.watched(), played.repeated()
        troubles = [outcome for outcome in (watched, repeated) if isinstance(outcome, Trouble)]
        again = causes.cases([] if isinstance(repeated, Trouble) else repeated)
        state, leftovers = list[Finding](), check_left_by_import(trial, nursery)
        settings: set[str] = set()
        if not isinstance(watched, Trouble):
            again += causes.cases(watched.again)
            state += check_changed(trial, watched)
            leftovers += check_left(trial, watched)
            settings = kinds_of_settings(watched)
            causes.share("ENV-LEFTOVER", is_shared(leftovers, watched, trial))
            causes.share("ENV-STATE", bool(state))
            if not state:
                state = check_kept(trial, causes, watched, causes.unexplained("ENV-REPEAT", again))
                causes.share("ENV-STATE", bool(state))
            yield "ENV-LEFTOVER", leftovers
        else:
            unseen |= dict.fromkeys(("ENV-LEFTOVER", "ENV-STATE"), f"episodes on one instance: {watched.reason}")
        state += check_refused(trial, state)
        causes.share("ENV-STATE", bool(state))
        yield "ENV-STATE", state
        at_once, visits = played.at_once(), played.visits()
        elsewhere = [case for visit in visits for case in causes.cases(named(visit))]
        together = _of_company(causes.cases(at_once.again), elsewhere)
        at_home, away = causes.unexplained("", [*again, *together]), causes.unexplained("", elsewhere)
        others_differ = any(visit.problem or visit.strange for visit in visits)
        if at_home or away or others_differ:
            yield "ENV-HERMETIC", check_candidates(trial, causes, nursery, at_home, away, others_differ=others_differ)
        yield "ENV-REPEAT", check_differences(trial, causes, nursery, "ENV-REPEAT", again, troubles)
        yield "ENV-INTERLEAVE", check_differences(trial, causes, nursery, "ENV-INTERLEAVE", together, at_once.troubles)
        yield "ENV-PROCESS", check_process(trial, causes, nursery, visits, elsewhere)
        aftermaths = played.abandoned()
        unseen |= unseen_in_bad_ends(trial, aftermaths)
        yield "ENV-ABANDON", check_abandon(trial, causes, aftermaths, settings)
    unseen |= unseen_in_play(trial)
    yield from _of_tasks(trial, unseen)
    yield "ENV-UNBOUNDED", check_bounds(trial)
    published = production_file(trial.target.home, production)
    if published is not None:
        yield "ENV-FIDELITY", check_fidelity(trial, published)


def _of_tasks(trial: Trial, unseen: dict[str, str]) -> Iterator[tuple[str, list[Finding]]]:
    """The checks on what is asked, and whether the oracle solves it."""
    yield "ENV-UNSOLVED", check_solved(trial)
    openings = [(sampled.split, sampled.index, sampled.opening, sampled.answer) for sampled in trial.samples]
    of_tasks, unseen_in_tasks = result_of(trial.home.ask(check_tasks, openings))
    unseen |= unseen_in_tasks
    yield from of_tasks.items()


def _of_company(together: Sequence[Deviation], elsewhere: Sequence[Deviation]) -> list[Deviation]:
    """Without what differs in any other process anyway, alone or not."""
    in_one = {case.difference.kind for case in together if case.way != ALONGSIDE}
    anyway = {case.difference.kind for case in elsewhere} - in_one
    return [case for case in together if case.way != ALONGSIDE or case.difference.kind not in anyway]
