"""ENV-LABEL, ENV-DUPLICATE, ENV-UNSOLVED: the checks on what is asked, and on whether the oracle solves it."""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from practicum.checks.findings import Finding
from practicum.checks.processes.stage import Stage, stage
from practicum.checks.trial import Trial
from practicum.checks.ways.abandoned import Aftermath
from practicum.checks.ways.solo import SampledTask, has_oracle, written
from practicum.environment.fixtures import thawed
from practicum.environment.places import place_of_method
from practicum.tasks import Task, content_of, is_game
from practicum.text import shortened

OTHERS = 50
"""Tasks with another label that a text is looked for in: what stands there too tells nothing."""

Opening = tuple[str, int, str, str]
"""A task's split and place, what the agent is told first, and the oracle's answer."""


def check_tasks(openings: Sequence[Opening]) -> tuple[dict[str, list[Finding]], dict[str, str]]:
    """Findings of both checks by code, and which of them saw nothing."""
    loaded = stage()
    findings = {"ENV-LABEL": _check_label(loaded, openings), "ENV-DUPLICATE": _check_duplicate(loaded)}
    return findings, _unseen_in_tasks(loaded)


def _check_label(loaded: Stage, openings: Sequence[Opening]) -> list[Finding]:
    """The label stands, in the form of an answer, in what the agent is told first."""
    opened = [(loaded.tasks[split][index], text) for split, index, text, _ in openings]
    answers = {id(loaded.tasks[split][index]): answer for split, index, _, answer in openings}
    prompts = [(task, task.asked) for tasks in loaded.tasks.values() for task in tasks]
    leaks = _leaks(opened, answers) or _leaks(prompts, {})
    if not leaks:
        return []
    task, text, at = leaks[0]
    method = "tasks" if at in task.asked else "system_prompt"
    start = max(0, text.index(at) - 60)
    return [
        Finding.of(
            "ENV-LABEL",
            f"the label stands in the opening messages of {len(leaks)} tasks",
            where=place_of_method(loaded.target.environment, method),
            difference=f"label   {written(task.answer)}\n"
            f"told    …{shortened(text[start:], 60 + len(at) + 60)}\nin task {task.id!r}",
        )
    ]


def _check_duplicate(loaded: Stage) -> list[Finding]:
    """A prompt or an id stands twice, in one split or in two; spaces and case do not count.

    Where all tasks have one prompt, it is label and metadata that may not stand twice.
    """
    content = content_of if is_game(task for tasks in loaded.tasks.values() for task in tasks) else _plain
    earliest: dict[tuple[str, str], tuple[str, Task]] = {}
    copies: dict[tuple[str, str, str], list[tuple[Task, Task]]] = {}
    for split, tasks in loaded.tasks.items():
        for task in tasks:
            for part, value in (("prompt", content(task)), ("id", task.id)):
                if (part, value) in earliest:
                    earlier_split, earlier = earliest[part, value]
                    # Without a label, what is asked for stands elsewhere, and may well be another thing.
                    unlabelled = task.answer is None and earlier.answer is None
                    if part == "prompt" and split == earlier_split and unlabelled:
                        continue
                    copies.setdefault((part, earlier_split, split), []).append((earlier, task))
                else:
                    earliest[part, value] = (split, task)
    return [
        Finding.of(
            "ENV-DUPLICATE",
            f"{len(pairs)} tasks {_in_splits(first, second)} have the {part} of an earlier one",
            where=_tasks_place(loaded, second),
            difference="\n".join(f"{task.id!r}: {shortened(task.asked, 120)}" for task in pairs[0]),
        )
        for (part, first, second), pairs in copies.items()
    ]


def _leaks(openings: Sequence[tuple[Task, str]], answers: Mapping[int, str]) -> list[tuple[Task, str, str]]:
    """(task, text, the part of the text that gives the label away)."""
    leaks = []
    for task, text in openings:
        if not task.answer:
            continue
        rivals = [opening for rival, opening in openings if rival.answer != task.answer][:OTHERS]
        at = _leak(task, text, rivals, answers.get(id(task), ""))
        if at:
            leaks.append((task, text, at))
    return leaks


def _leak(task: Task, text: str, rivals: Sequence[str], answer: str) -> str:
    if not rivals:
        return ""
    label = thawed(task.answer or {})
    exact = [written(label), json.dumps(label, ensure_ascii=False, default=str)]
    # A bare word may well stand in a question; an answer in the form asked for may not.
    exact += [answer.strip()] if re.search(r"[<{\[]", answer) else []
    for form in exact:
        if form in text and not any(form in rival for rival in rivals):
            return form
    patterns = [_answer_form(name, value, len(label) == 1) for name, value in label.items()]
    matches = [pattern.search(text) for pattern in patterns]
    if not all(matches) or any(all(pattern.search(rival) for pattern in patterns) for rival in rivals):
        return ""
    return next(match.group() for match in matches if match)


def _answer_form(name: str, value: Any, alone: bool) -> re.Pattern[str]:
    """``name: value``, ``name = value``, ``name is value``; for the only field ``answer: value`` too."""
    names = [re.escape(name).replace("_", "[ _-]?")]
    names += ["answer", "label", "solution", "expected"] if alone else []
    shown = value if isinstance(value, str) else written(value)
    between = r"[\"'\s]*(?:[:=→]|\bis\b|\bare\b)[\"'\s]*"
    return re.compile(rf"(?<!\w)(?:{'|'.join(names)}){between}{re.escape(shown)}(?!\w)", re.IGNORECASE)


def _plain(task: Task) -> str:
    return " ".join(unicodedata.normalize("NFKC", task.asked).casefold().split())


def _in_splits(first: str, second: str) -> str:
    return f"of split {second!r}" if first == second else f"of split {second!r}, found in {first!r} too,"


def _tasks_place(loaded: Stage, split: str) -> str:
    dataset = loaded.target.datasets.get(split)
    return str(dataset) if dataset else place_of_method(loaded.target.environment, "tasks")


def check_solved(trial: Trial) -> list[Finding]:
    """One finding for each way in which the oracle fails."""
    where = trial.place("oracle")
    if not has_oracle(trial.target.environment):
        what = "there is no oracle: nothing shows that the tasks can be solved"
        fix = "Define oracle(self, task): yield Call(name, arguments), receive each result, return the answer."
        return [Finding.of("ENV-UNSOLVED", what, severity="warn", where=trial.place("__init__"), fix=fix)]
    by_kind: dict[str, list[SampledTask]] = {}
    for sampled in trial.samples:
        # What was touched is found already, and may well be why.
        if sampled.unsolved and not trial.touched(sampled.touches):
            by_kind.setdefault(sampled.unsolved.kind, []).append(sampled)
    findings = [
        Finding.of(
            "ENV-UNSOLVED",
            f"{kind} on {len(cases)} of {len(trial.samples)} tasks",
            where=(cases[0].unsolved and cases[0].unsolved.where) or where,
            difference=f"{cases[0].unsolved and cases[0].unsolved.evidence}\nin task {cases[0].plans[0].task!r}",
        )
        for kind, cases in by_kind.items()
    ]
    return findings + _too_long(trial, where)


def _too_long(trial: Trial, where: str) -> list[Finding]:
    turns = trial.facts.max_turns
    # One that fails, for going on for ever say, shows nothing of how many turns are needed.
    finished = [each for each in trial.samples if not (each.unsolved and each.unsolved.kind == "the oracle fails")]
    longest = max((len(sampled.plans[0].calls) + 1 for sampled in finished), default=0)
    if longest <= turns:
        return []
    title = f"the oracle takes {longest} model calls, one a turn; max_turns is {turns}"
    fix = f"Set max_turns to at least {longest}; half as many again leaves room to learn."
    return [
        Finding.of(
            "ENV-UNSOLVED",
            title,
            severity="warn",
            where=where,
            difference=f"needed     {longest}\nmax_turns  {turns}",
            fix=fix,
        )
    ]


def _unseen_in_tasks(loaded: Stage) -> dict[str, str]:
    every = [task for tasks in loaded.tasks.values() for task in tasks]
    labels = [task.answer for task in every if task.answer]
    unseen = {}
    if not labels:
        unseen["ENV-LABEL"] = "no task has a label"
    elif all(label == labels[0] for label in labels) and len(labels) == len(every):
        unseen["ENV-LABEL"] = "all tasks have the same label: none can be told from what others are asked"
    if len(every) < 2:
        unseen["ENV-DUPLICATE"] = "there is only one task"
    return unseen


def unseen_in_play(trial: Trial) -> dict[str, str]:
    """Of the checks that need an answer of the oracle, or tools that were shown, by code."""
    unseen = {}
    played = [
        transcript
        for plan, transcript in zip(trial.plans, trial.transcripts, strict=True)
        if plan.origin == "oracle" and not transcript["fault"]
    ]
    if has_oracle(trial.target.environment):
        if not played:
            unseen["ENV-UNSOLVED"] = "no episode of the oracle came to its end"
        elif trial.target.score is None:
            unseen["ENV-UNSOLVED"] = "there is no score to judge the oracle's answers by"
    if not any(transcript["tools"] for transcript in trial.transcripts):
        faulty = any(transcript["fault"] for transcript in trial.transcripts)
        reason = "no episode came as far as to show its tools" if faulty else "the environment has no tools"
        unseen["ENV-UNBOUNDED"] = reason
        if faulty:
            unseen["ENV-FIDELITY"] = reason
    return unseen


def unseen_in_bad_ends(trial: Trial, aftermaths: Sequence[Aftermath]) -> dict[str, str]:
    """Of the check on episodes that end badly: without calls and lines there is nothing to leave half done."""
    if any(each.where or each.trouble is not None for each in aftermaths):
        return {}
    if any(transcript["tools"] for transcript in trial.transcripts):
        return {}
    return {"ENV-ABANDON": "there is no tool to call, and no line of the environment's own runs in an episode"}
