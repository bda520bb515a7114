"""The checks on how an environment behaves: repeated, at the same time, elsewhere, after a bad end, and when over."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from practicum.checks.blame import place_of_case, place_of_tasks
from practicum.checks.differences import Causes, Deviation, grouped
from practicum.checks.episodes import Plan
from practicum.checks.findings import Finding
from practicum.checks.leftover import and_others
from practicum.checks.played import Visit
from practicum.checks.processes.client import Nursery
from practicum.checks.processes.work import Trouble
from practicum.checks.trial import Trial
from practicum.checks.ways.abandoned import Aftermath
from practicum.environment.declared_state import StateFault
from practicum.text import shortened


def check_faults(trial: Trial, causes: Causes) -> list[Finding]:
    """ENV-FAULT: an exception other than ``ToolError`` escaped."""
    by_place: dict[tuple[str, str, str], list[tuple[Mapping[str, str], str]]] = {}
    faults = [(fault, "outside an episode") for fault in trial.loaded.faults]
    for number, (plan, transcript) in enumerate(zip(trial.plans, trial.transcripts, strict=True)):
        fault = transcript["fault"]
        if fault and fault["type"] != StateFault.__name__:
            if causes.touched(number, 5 + 2 * len(transcript["results"])):
                causes.explained.setdefault("ENV-FAULT", "ENV-HERMETIC")
            else:
                faults.append((fault, plan.label))
    for fault, label in faults:
        by_place.setdefault((fault["stage"], fault["type"], fault["where"]), []).append((fault, label))
    return [
        Finding.of(
            "ENV-FAULT",
            f"{fault['type']} escaped from {fault['stage']}{and_others(len(alike))}",
            where=fault["where"] or trial.place(fault["stage"]),
            difference=f"{fault['type']}: {fault['message']}\nin {label}",
        )
        for alike in by_place.values()
        for fault, label in alike[:1]
    ]


def check_differences(
    trial: Trial,
    causes: Causes,
    nursery: Nursery,
    code: str,
    cases: Sequence[Deviation],
    troubles: Iterable[Trouble] = (),
    first: str = "played alone",
) -> list[Finding]:
    """The cases that nothing explains, one finding for each kind; and episodes that came to no end."""
    findings = []
    unexplained = causes.unexplained(code, cases)
    # The environment refuses a change of shared state to whoever is in a tool then: what the change did says more.
    reported = [case for case in unexplained if not case.difference.refused] or unexplained
    for alike in grouped(reported):
        case = alike[0]
        plan, source = trial.plans[case.number], case.difference.source
        where, caller = place_of_case(trial, nursery, case, together=code == "ENV-INTERLEAVE")
        title = f"{case.difference.place} differs{and_others(len({one.number for one in alike}))}"
        calls = f"\nthe line calls {caller}" if caller else ""
        evidence = f"{case.difference.unified(first, case.way)}\nin {plan.label}{calls}"
        findings.append(Finding.of(code, title, where=where or trial.place(source), difference=evidence))
    causes.explain_kinds(code, unexplained)
    if not findings:
        for trouble in list(troubles)[:1]:
            by = causes.shared or ("ENV-HERMETIC" if causes.any_touched() else "")
            if by:
                causes.explained.setdefault(code, by)
            else:
                where = trouble.where or trial.place("")
                findings.append(Finding.of(code, "episodes come to no end", where=where, difference=trouble.reason))
    return findings


def check_abandon(trial: Trial, causes: Causes, aftermaths: Sequence[Aftermath], usual: set[str]) -> list[Finding]:
    """ENV-ABANDON: an episode that ended badly changed a setting, the next episodes, or kept them from ending."""
    code, findings = "ENV-ABANDON", list[Finding]()
    reported: set[tuple[str, str]] = set()
    for aftermath in aftermaths:
        where = aftermath.where or trial.place(aftermath.stage)
        for leftover in aftermath.settings:
            # What every episode leaves is found already, and so is what is in the way of others.
            if causes.knows(aftermath.stage):
                causes.explained.setdefault(code, causes.knows(aftermath.stage))
            elif leftover.kind not in usual and (leftover.kind, aftermath.stage) not in reported:
                reported.add((leftover.kind, aftermath.stage))
                title = f"{aftermath.ending} leaves a changed {leftover.kind} behind"
                findings.append(Finding.of(code, title, where=where, difference=leftover.name or leftover.kind))
        cause = causes.shared or causes.knows(aftermath.stage) or causes.reported_under("ENV-INTERLEAVE")
        if aftermath.trouble is not None and cause:
            causes.explained.setdefault(code, cause)
        elif aftermath.trouble is not None and ("trouble", aftermath.stage) not in reported:
            reported.add(("trouble", aftermath.stage))
            title = f"after {aftermath.ending} the next one comes to no end"
            findings.append(Finding.of(code, title, where=where, difference=aftermath.trouble.reason))
    if findings:
        return findings
    for aftermath in aftermaths:
        for alike in grouped(causes.unexplained(code, causes.cases(aftermath.next))):
            case = alike[0]
            if causes.knows(case.difference.source):
                causes.explained.setdefault(code, causes.knows(case.difference.source))
                continue
            evidence = f"{case.difference.unified('played alone', case.way)}\nin {trial.plans[case.number].label}"
            where = aftermath.where or trial.place(aftermath.stage)
            findings.append(Finding.of(code, f"{case.difference.place} differs", where=where, difference=evidence))
            causes.explain_kinds(code, alike)
    return findings


def check_process(
    trial: Trial, causes: Causes, nursery: Nursery, visits: Sequence[Visit], elsewhere: Sequence[Deviation]
) -> list[Finding]:
    """ENV-PROCESS: other processes, under other circumstances, give the same tasks and messages."""
    for visit in visits:
        if visit.problem is not None or visit.strange is not None:
            if causes.loading_touched() or causes.everything:
                causes.explained.setdefault("ENV-PROCESS", "ENV-HERMETIC")
                return []
            if visit.problem is not None:
                return [_no_visit(visit, visit.problem)]
            return [_strange(trial, nursery, visit, visit.strange or {})]
    found = check_differences(trial, causes, nursery, "ENV-PROCESS", elsewhere, first="this process")
    return found or _paths_told(trial)


def _paths_told(trial: Trial) -> list[Finding]:
    """The agent is told where the environment lies, which is elsewhere on every machine."""
    path = re.compile(rf"(?<![\w/.]){re.escape(str(trial.target.home))}(?![\w-])")
    by_source: dict[str, tuple[str, Plan]] = {}
    for plan, transcript in zip(trial.plans, trial.transcripts, strict=True):
        texts = [("system_prompt", message["content"]) for message in transcript["messages"]]
        # An agent that names a path may be answered with it.
        texts += [
            (each["name"], each["text"]) for each in transcript["results"] if not path.search(str(each["arguments"]))
        ]
        for source, text in texts:
            at = path.search(text)
            if at is not None:
                by_source.setdefault(source, (shortened(text[max(0, at.start() - 40) :], 160), plan))
    return [
        Finding.of(
            "ENV-PROCESS",
            f"{source} tells where the environment lies on this machine",
            where=trial.place(source),
            difference=f"…{text}\nin {plan.label}",
        )
        for source, (text, plan) in by_source.items()
    ]


def _no_visit(visit: Visit, problem: Trouble) -> Finding:
    what = "the environment cannot be played in a fresh process"
    evidence = f"{problem.reason}\nwith {visit.world.description}"
    return Finding.of("ENV-PROCESS", what, where=problem.where, difference=evidence)


def _strange(trial: Trial, nursery: Nursery, visit: Visit, strange: Mapping[str, Any]) -> Finding:
    return Finding.of(
        "ENV-PROCESS",
        f"task {strange['index']} of split {strange['split']!r} is another one in a fresh process",
        where=place_of_tasks(trial, nursery, visit, strange["split"]) or trial.place("tasks"),
        difference=f"- {strange['here']}\n+ {strange['there']}\nwith {visit.world.description}",
    )
