"""The checks on what an environment asks: solvable, not answered in the question, asked once, with bounds."""

import asyncio
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from practicum.checks.episodes import Demonstration, shortened
from practicum.checks.findings import Finding
from practicum.checks.trial import Trial, has_oracle
from practicum.environment.fixtures import thawed
from practicum.errors import RolloutError
from practicum.scoring import judge
from practicum.tasks import Task

OTHERS = 50
"""Tasks with another label that a text is looked for in: what stands there too tells nothing."""

_BOUNDED_FORMATS = frozenset({"date", "date-time", "time", "duration", "uuid", "ipv4", "ipv6"})


def check_solved(trial: Trial) -> list[Finding]:
    """ENV-UNSOLVED: the oracle comes to no answer, or to one the score does not give 1."""
    where = trial.place("oracle")
    if not has_oracle(trial.target.environment):
        what = "there is no oracle: nothing shows that the tasks can be solved"
        fix = "Define oracle(self, task): yield Call(name, arguments), receive each result, return the answer."
        return [Finding.of("ENV-UNSOLVED", what, severity="warn", where=trial.place("__init__"), fix=fix)]
    found: dict[str, list[tuple[Demonstration, str]]] = {}
    for demonstration in trial.demonstrations:
        if demonstration.transcript["fault"] is None:
            kind, evidence = _unsolved(trial, demonstration)
            if kind:
                found.setdefault(kind, []).append((demonstration, evidence))
    findings = [
        Finding.of(
            "ENV-UNSOLVED",
            f"{kind} on {len(cases)} of {len(trial.demonstrations)} tasks",
            where=cases[0][0].where or where,
            difference=f"{cases[0][1]}\nin task {cases[0][0].task.id!r}",
        )
        for kind, cases in found.items()
    ]
    return findings + _too_long(trial, where)


def check_label(trial: Trial) -> list[Finding]:
    """ENV-LABEL: the label stands, in the form of an answer, in what the agent is told first."""
    answers = {id(demonstration.task): demonstration.answer for demonstration in trial.demonstrations}
    played = {id(plan.task): (plan, text) for plan, text in zip(trial.plans, trial.transcripts, strict=True)}
    opened = [
        (plan.task, "\n".join(message["content"] for message in transcript["messages"]))
        for plan, transcript in played.values()
    ]
    asked = [(task, task.prompt) for tasks in trial.tasks.values() for task in tasks]
    leaks = _leaks(opened, answers) or _leaks(asked, {})
    if not leaks:
        return []
    task, text, at = leaks[0]
    method = "tasks" if at in task.prompt else "system_prompt"
    start = max(0, text.index(at) - 60)
    return [
        Finding.of(
            "ENV-LABEL",
            f"the label stands in the opening messages of {len(leaks)} tasks",
            where=trial.place(method),
            difference=f"label   {_written(task.answer)}\n"
            f"told    …{shortened(text[start:], 60 + len(at) + 60)}\nin task {task.id!r}",
        )
    ]


def check_duplicate(trial: Trial) -> list[Finding]:
    """ENV-DUPLICATE: a prompt or an id stands twice, in one split or in two; spaces and case do not count."""
    seen: dict[tuple[str, str], tuple[str, Task]] = {}
    found: dict[tuple[str, str, str], list[tuple[Task, Task]]] = {}
    for split, tasks in trial.tasks.items():
        for task in tasks:
            for what, value in (("prompt", _plain(task.prompt)), ("id", task.id)):
                if (what, value) in seen:
                    earlier_split, earlier = seen[what, value]
                    found.setdefault((what, earlier_split, split), []).append((earlier, task))
                else:
                    seen[what, value] = (split, task)
    return [
        Finding.of(
            "ENV-DUPLICATE",
            f"{len(pairs)} tasks {_in_splits(first, second)} have the {what} of an earlier one",
            where=_tasks_place(trial, second),
            difference="\n".join(f"{task.id!r}: {shortened(task.prompt, 120)}" for task in pairs[0]),
        )
        for (what, first, second), pairs in found.items()
    ]


def check_bounds(trial: Trial) -> list[Finding]:
    """ENV-UNBOUNDED: a tool's argument may be of any size. One warning a tool."""
    tools = trial.transcripts[0]["tools"] if trial.transcripts else []
    findings = []
    for tool in tools:
        function = tool["function"]
        schema = function["parameters"]
        open_ends = list(_open_ends(schema, schema.get("$defs", {}), ""))
        if open_ends:
            what = f"arguments of tool {function['name']!r} have no maximum"
            where, listed = trial.place(function["name"]), "\n".join(open_ends)
            findings.append(Finding.of("ENV-UNBOUNDED", what, severity="warn", where=where, difference=listed))
    return findings


def _unsolved(trial: Trial, demonstration: Demonstration) -> tuple[str, str]:
    """What went wrong, and the evidence; both empty where the oracle solved the task."""
    if demonstration.problem:
        return "the oracle fails", demonstration.problem
    score = trial.target.score
    if score is None:
        return "", ""
    evidence = f"oracle  {demonstration.answer}\nlabel   {_written(demonstration.task.answer)}"
    try:
        judgement = asyncio.run(judge(score, demonstration.rollout()))
    except RolloutError as error:
        return "the score fails", f"{error}\n{evidence}"
    if judgement.total >= 1 - 1e-9:
        return "", ""
    parts = "".join(f"\n{name} = {value:g}" for name, value in judgement.components.items())
    return "the oracle does not score 1", f"score   {judgement.total:g}\n{evidence}{parts}"


def _too_long(trial: Trial, where: str) -> list[Finding]:
    turns = trial.target.make().max_turns
    longest = max((len(demonstration.calls) + 1 for demonstration in trial.demonstrations), default=0)
    if longest <= turns:
        return []
    what = f"the oracle takes {longest} model calls, one a turn; max_turns is {turns}"
    fix = f"Set max_turns to at least {longest}; half as many again leaves room to learn."
    return [Finding.of("ENV-UNSOLVED", what, severity="warn", where=where, fix=fix)]


def _leaks(told: Sequence[tuple[Task, str]], answers: Mapping[int, str]) -> list[tuple[Task, str, str]]:
    """(task, text, the part of the text that gives the label away)."""
    found = []
    for task, text in told:
        if not task.answer:
            continue
        others = [other for rival, other in told if rival.answer != task.answer][:OTHERS]
        at = _leak(task, text, others, answers.get(id(task), ""))
        if at:
            found.append((task, text, at))
    return found


def _leak(task: Task, text: str, others: Sequence[str], answer: str) -> str:
    if not others:
        return ""
    label = thawed(task.answer or {})
    exact = [_written(label), json.dumps(label, ensure_ascii=False, default=str)]
    # A bare word may well stand in a question; an answer in the form asked for may not.
    exact += [answer.strip()] if re.search(r"[<{\[]", answer) else []
    for form in exact:
        if form in text and not any(form in other for other in others):
            return form
    patterns = [_answer_form(name, value, len(label) == 1) for name, value in label.items()]
    matches = [pattern.search(text) for pattern in patterns]
    if not all(matches) or any(all(pattern.search(other) for pattern in patterns) for other in others):
        return ""
    return next(match.group() for match in matches if match)


def _answer_form(name: str, value: Any, alone: bool) -> re.Pattern[str]:
    """``name: value``, ``name = value``, ``name is value``; for the only field ``answer: value`` too."""
    names = [re.escape(name).replace("_", "[ _-]?")]
    names += ["answer", "label", "solution", "expected"] if alone else []
    written = value if isinstance(value, str) else _written(value)
    between = r"[\"'\s]*(?:[:=→]|\bis\b|\bare\b)[\"'\s]*"
    return re.compile(rf"(?<!\w)(?:{'|'.join(names)}){between}{re.escape(written)}(?!\w)", re.IGNORECASE)


def _written(label: Any) -> str:
    """A label, or a part of one, as JSON; what is no JSON in it as Python prints it."""
    return json.dumps(thawed(label), sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def _plain(prompt: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", prompt).casefold().split())


def _in_splits(first: str, second: str) -> str:
    return f"of split {second!r}" if first == second else f"of split {second!r}, found in {first!r} too,"


def _tasks_place(trial: Trial, split: str) -> str:
    dataset = trial.target.datasets.get(split)
    return str(dataset) if dataset else trial.place("tasks")


def _open_ends(schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Iterable[str]:
    """``argument: what it lacks`` for every part of a schema without a maximum."""
    for name, field in schema.get("properties", {}).items():
        yield from _open_parts(field, definitions, f"{path}.{name}" if path else name)


def _open_parts(field: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Iterable[str]:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        # Without the definition itself, so that one that contains itself comes to an end.
        rest = {key: value for key, value in definitions.items() if key != name}
        yield from _open_parts(definitions.get(name, {"const": None}), rest, path)
        return
    if "enum" in field or "const" in field:
        return
    for union in ("anyOf", "oneOf", "allOf"):
        for part in field.get(union, ()):
            yield from _open_parts(part, definitions, path)
    kind = field.get("type")
    if kind == "string" and not _is_bounded_text(field):
        yield f"{path}: text without maxLength"
    elif kind in ("integer", "number") and not _has_both_ends(field):
        yield f"{path}: number without minimum and maximum"
    elif kind == "array":
        if "maxItems" not in field:
            yield f"{path}: list without maxItems"
        yield from _open_parts(field.get("items", {}), definitions, f"{path}[]")
    elif kind == "object":
        if field.get("additionalProperties", "properties" not in field) and "maxProperties" not in field:
            yield f"{path}: mapping without maxProperties"
        yield from _open_ends(field, definitions, path)
    elif kind is None and not any(union in field for union in ("anyOf", "oneOf", "allOf")):
        yield f"{path}: anything at all"


def _is_bounded_text(field: Mapping[str, Any]) -> bool:
    pattern = field.get("pattern", "")
    fixed = pattern.startswith("^") and pattern.endswith("$") and not re.search(r"[*+]|,\}", pattern)
    return "maxLength" in field or field.get("format") in _BOUNDED_FORMATS or fixed


def _has_both_ends(field: Mapping[str, Any]) -> bool:
    low = "minimum" in field or "exclusiveMinimum" in field
    return low and ("maximum" in field or "exclusiveMaximum" in field)
