"""Whether what tools answered is of the form that production publishes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jsonschema
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from practicum.checks.episodes import call_text
from practicum.checks.findings import Finding
from practicum.environment import Call
from practicum.services.production import ProductionTool
from practicum.text import shortened

_CODE = "ENV-FIDELITY"
_WIDTH = 400


@dataclass(frozen=True)
class Answer:
    """What a tool said to a call."""

    name: str
    arguments: Mapping[str, Any]
    text: str
    is_error: bool


@dataclass(frozen=True)
class _Forms:
    """Validators of one tool's answers; None for what is not published."""

    response: Any
    error: Any
    closed: Any
    """The response, without members that its schema does not name."""


def check_answers(
    published: Mapping[str, ProductionTool], answers: Sequence[Answer], places: Mapping[str, str], file: str
) -> list[Finding]:
    """One finding for each tool and way in which its answers are not of the published form."""
    forms = {name: _forms(tool) for name, tool in published.items()}
    found: dict[tuple[str, str], list[tuple[Answer, str]]] = {}
    for answer in answers:
        if answer.name in forms:
            for kind, problem in _problems(forms[answer.name], answer):
                found.setdefault((answer.name, kind), []).append((answer, problem))
    return [_finding(*key, cases, places, file) for key, cases in found.items()]


def _problems(forms: _Forms, answer: Answer) -> Iterator[tuple[str, str]]:
    as_error = None if forms.error is None else _problem(forms.error, answer.text)
    if answer.is_error:
        if as_error:
            yield "error", as_error
        return
    if forms.response is None:
        return
    problem = _problem(forms.response, answer.text)
    # An agent sees the text only: an error that was returned is as good as one that was raised.
    if problem and (forms.error is None or as_error):
        yield "response", problem
    elif not problem:
        undocumented = _problem(forms.closed, answer.text)
        if undocumented:
            yield "undocumented", undocumented


def _finding(
    name: str, kind: str, cases: Sequence[tuple[Answer, str]], places: Mapping[str, str], file: str
) -> Finding:
    answer, problem = cases[0]
    call = call_text(Call(answer.name, dict(answer.arguments)))
    what, fix = {
        "response": ("answers in another form than production's", "Return what production's schema describes."),
        "error": (
            "fails in another form than production's",
            'Errors reach the agent as {"error": text}: give the environment a transform that writes them as '
            "production does.",
        ),
        "undocumented": (
            "answers with more than production's schema names",
            "Remove it: an agent that learns to read it does not find it in production. Or add it to the schema.",
        ),
    }[kind]
    return Finding.of(
        _CODE,
        f"tool {name!r} {what}",
        where=places.get(name) or places[""],
        difference=f"{file}: {problem}\ncall    {call}\nanswer  {shortened(answer.text, _WIDTH)}\n"
        f"in {len(cases)} {'answer' if len(cases) == 1 else 'answers'}",
        fix=fix,
        severity="warn" if kind == "undocumented" else "fail",
    )


def _forms(tool: ProductionTool) -> _Forms:
    response = None if tool.response is None else _validator(tool.response)
    # A part of allOf cannot be closed by itself: the other parts have members too.
    whole = tool.response is None or '"allOf"' in json.dumps(tool.response)
    closed = response if whole else _validator(_closed(tool.response))
    return _Forms(response, None if tool.error is None else _validator(tool.error), closed)


def _validator(schema: Mapping[str, Any]) -> Any:
    kind = validator_for(dict(schema), default=jsonschema.Draft202012Validator)
    # With a registry of its own it looks for no schema on the network.
    return kind(dict(schema), registry=Registry(), format_checker=kind.FORMAT_CHECKER)


def _problem(validator: Any, text: str) -> str:
    """What is wrong with an answer; empty where it is valid as JSON, or as the text it is."""
    readings: list[Any] = [text]
    with suppress(ValueError):
        readings.insert(0, json.loads(text))
    problems = [_first(validator, reading) for reading in readings]
    return "" if "" in problems else problems[0]


def _first(validator: Any, value: Any) -> str:
    try:
        error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    except Unresolvable as missing:
        return f"the schema refers to what is not there: {missing}"
    if error is None:
        return ""
    path = ".".join(str(part) for part in error.absolute_path)
    return f"{path}: {shortened(error.message, _WIDTH)}" if path else shortened(error.message, _WIDTH)


def _closed(schema: Any) -> Any:
    """The schema with every object's members restricted to those it names, where it does not say itself."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    parts = {"anyOf", "oneOf", "$ref", "if", "dependentSchemas"}
    made = {key: value if key in parts else _closed_member(key, value) for key, value in schema.items()}
    says = {"additionalProperties", "unevaluatedProperties", "patternProperties"} & made.keys()
    if "properties" in made and not says and not parts & made.keys():
        made["additionalProperties"] = False
    return made


def _closed_member(key: str, value: Any) -> Any:
    if key in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
        return {name: _closed(item) for name, item in value.items()}
    return _closed(value) if key in ("items", "prefixItems", "additionalProperties") else value
