"""The checks on how an environment behaves: repeated, at the same time, elsewhere, after a bad end, and when over."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from practicum.checks.causes import Case, Causes, grouped
from practicum.checks.episodes import Plan, shortened
from practicum.checks.findings import Finding
from practicum.checks.guilty import place_of_case, place_of_tasks
from practicum.checks.processes.client import Nursery
from practicum.checks.processes.work import Trouble
from practicum.checks.trial import Trial
from practicum.checks.undeclared import others
from practicum.checks.visits import Visit
from practicum.checks.ways.abandoned import Aftermath
from practicum.environment.declared_state import StateFault


def check_faults(trial: Trial, causes: Causes) -> list[Finding]:
    """ENV-FAULT: an exception other than ``ToolError`` escaped."""
    found: dict[tuple[str, str, str], list[tuple[Mapping[str, str], str]]] = {}
    told = [(fault, "outside an episode") for fault in trial.loaded.faults]
    for number, (plan, transcript) in enumerate(zip(trial.plans, trial.transcripts, strict=True)):
        fault = transcript["fault"]
        if fault and fault["type"] != StateFault.__name__:
            if causes.touched(number, 5 + 2 * len(transcript["results"])):
                causes.explained.setdefault("ENV-FAULT", "ENV-HERMETIC")
            else:
                told.append((fault, plan.label))
    for fault, label in told:
        found.setdefault((fault["stage"], fault["type"], fault["where"]), []).append((fault, label))
    return [
        Finding.of(
            "ENV-FAULT",
            f"{fault['type']} escaped from {fault['stage']}{others(len(alike))}",
            where=fault["where"] or trial.place(fault["stage"]),
            difference=f"{fault['type']}: {fault['message']}\nin {label}",
        )
        for alike in found.values()
        for fault, label in alike[:1]
    ]


def check_differences(
    trial: Trial,
    causes: Causes,
    nursery: Nursery,
    code: str,
    cases: Sequence[Case],
    troubles: Iterable[Trouble] = (),
    first: str = "played alone",
) -> list[Finding]:
    """The cases that nothing explains, one finding for each kind; and episodes that came to no end."""
    findings = []
    left = causes.unexplained(code, cases)
    # The environment refuses a change of shared state to whoever is in a tool then: what the change did says more.
    told = [case for case in left if not case.difference.refused] or left
    for alike in grouped(told):
        case = alike[0]
        plan, source = trial.plans[case.number], case.difference.source
        where, caller = place_of_case(trial, nursery, case, together=code == "ENV-INTERLEAVE")
        what = f"{case.difference.place} differs{others(len({one.number for one in alike}))}"
        calls = f"\nthe line calls {caller}" if caller else ""
        evidence = f"{case.difference.unified(first, case.how)}\nin {plan.label}{calls}"
        findings.append(Finding.of(code, what, where=where or trial.place(source), difference=evidence))
    causes.explain_kinds(code, left)
    if not findings:
        for trouble in list(troubles)[:1]:
            by = causes.shared or ("ENV-HERMETIC" if causes.any_touched() else "")
            if by:
                causes.explained.setdefault(code, by)
            else:
                where = trouble.where or trial.place("")
                findings.append(Finding.of(code, "episodes come to no end", where=where, difference=trouble.what))
    return findings


def check_abandon(trial: Trial, causes: Causes, aftermaths: Sequence[Aftermath], left: set[str]) -> list[Finding]:
    """ENV-ABANDON: an episode that ended badly changed a setting, the next episodes, or kept them from ending."""
    code, findings = "ENV-ABANDON", list[Finding]()
    seen: set[tuple[str, str]] = set()
    for aftermath in aftermaths:
        where = aftermath.where or trial.place(aftermath.stage)
        for each in aftermath.settings:
            # What every episode leaves is found already, and so is what is in the way of others.
            if causes.knows(aftermath.stage):
                causes.explained.setdefault(code, causes.knows(aftermath.stage))
            elif each.kind not in left and (each.kind, aftermath.stage) not in seen:
                seen.add((each.kind, aftermath.stage))
                what = f"{aftermath.how} leaves a changed {each.kind} behind"
                findings.append(Finding.of(code, what, where=where, difference=each.name or each.kind))
        by = causes.shared or causes.knows(aftermath.stage) or causes.told("ENV-INTERLEAVE")
        if aftermath.trouble is not None and by:
            causes.explained.setdefault(code, by)
        elif aftermath.trouble is not None and ("trouble", aftermath.stage) not in seen:
            seen.add(("trouble", aftermath.stage))
            what = f"after {aftermath.how} the next one comes to no end"
            findings.append(Finding.of(code, what, where=where, difference=aftermath.trouble.what))
    if findings:
        return findings
    for aftermath in aftermaths:
        for alike in grouped(causes.unexplained(code, causes.cases(aftermath.next))):
            case = alike[0]
            if causes.knows(case.difference.source):
                causes.explained.setdefault(code, causes.knows(case.difference.source))
                continue
            evidence = f"{case.difference.unified('played alone', case.how)}\nin {trial.plans[case.number].label}"
            where = aftermath.where or trial.place(aftermath.stage)
            findings.append(Finding.of(code, f"{case.difference.place} differs", where=where, difference=evidence))
            causes.explain_kinds(code, alike)
    return findings


def check_process(
    trial: Trial, causes: Causes, nursery: Nursery, visits: Sequence[Visit], elsewhere: Sequence[Case]
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
    found: dict[str, tuple[str, Plan]] = {}
    for plan, transcript in zip(trial.plans, trial.transcripts, strict=True):
        told = [("system_prompt", message["content"]) for message in transcript["messages"]]
        # An agent that names a path may be answered with it.
        told += [
            (each["name"], each["text"]) for each in transcript["results"] if not path.search(str(each["arguments"]))
        ]
        for source, text in told:
            at = path.search(text)
            if at is not None:
                found.setdefault(source, (shortened(text[max(0, at.start() - 40) :], 160), plan))
    return [
        Finding.of(
            "ENV-PROCESS",
            f"{source} tells where the environment lies on this machine",
            where=trial.place(source),
            difference=f"…{text}\nin {plan.label}",
        )
        for source, (text, plan) in found.items()
    ]


def _no_visit(visit: Visit, problem: Trouble) -> Finding:
    what = "the environment cannot be played in a fresh process"
    evidence = f"{problem.what}\nwith {visit.world.description}"
    return Finding.of("ENV-PROCESS", what, where=problem.where, difference=evidence)


def _strange(trial: Trial, nursery: Nursery, visit: Visit, strange: Mapping[str, Any]) -> Finding:
    return Finding.of(
        "ENV-PROCESS",
        f"task {strange['index']} of split {strange['split']!r} is another one in a fresh process",
        where=place_of_tasks(trial, nursery, visit, strange["split"]) or trial.place("tasks"),
        difference=f"- {strange['here']}\n+ {strange['there']}\nwith {visit.world.description}",
    )
