"""ENV-FIDELITY: tools or answers are not those of production, as its own schema file publishes them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from practicum.checks.episodes import call_text
from practicum.checks.fidelity_schemas import gaps
from practicum.checks.findings import Finding
from practicum.checks.processes.client import NoEnd
from practicum.checks.processes.stage import stage
from practicum.checks.trial import Trial, result_of
from practicum.environment import Call
from practicum.environment.places import is_users, place_of_class, place_of_function
from practicum.environment.tool import collect_tools
from practicum.services.production import ProductionTool, load_production
from practicum.text import shortened

CODE = "ENV-FIDELITY"
FILES = ("production.json", "production.yaml", "production.yml")
"""Where production's schemas are looked for beside the environment's file, in this order."""

LIKE = 0.6
"""How alike two names have to be for one to be taken for the other."""


@dataclass(frozen=True)
class ToolAnswer:
    """What a tool said to a call."""

    name: str
    arguments: Mapping[str, Any]
    text: str
    is_error: bool


@dataclass(frozen=True)
class Offer:
    """What an environment says of its tools beside what an agent is shown.

    Attributes:
        places: Where each tool is written; under the empty name, the class.
        spared: Tools of the class that this instance's declared settings leave out: name → arguments' schema.
        refusals: Answers to calls that were wrong on purpose.
    """

    places: Mapping[str, str]
    spared: Mapping[str, Mapping[str, Any]]
    refusals: tuple[ToolAnswer, ...]


def production_file(home: Path, given: Path | None = None) -> Path | None:
    """The file to compare with: the one given, else the one beside the environment; None where there is none."""
    beside = (home / name for name in FILES)
    return given or next((path for path in beside if path.is_file()), None)


def check_fidelity(trial: Trial, file: Path) -> list[Finding]:
    """Compare tools, their arguments, their answers and their errors with what production publishes.

    Raises:
        EnvironmentFault: the file is missing, broken or no schema file; names file and line.
    """
    published = {tool.name: tool for tool in load_production(file)}
    forms = _offered_tools(trial)
    if not forms and any(transcript["fault"] for transcript in trial.transcripts):
        return []  # no episode came as far as to show its tools, which is found elsewhere
    offer = _offer(trial)
    compared = _Comparison(file, published, forms, offer)
    answers = [ToolAnswer(**result) for transcript in trial.transcripts for result in transcript["results"]]
    answers += offer.refusals
    return [
        *compared.names(),
        *compared.requests(),
        *check_answers(published, answers, offer.places, file.name),
    ]


def _offer(trial: Trial) -> Offer:
    try:
        return trial.home.ask(offered, trial.plans[0] if trial.plans else None).result()
    except NoEnd:  # a tool that never answers a wrong call
        return result_of(trial.home.ask(offered, None))


def offered(plan: Any) -> Offer:
    """Asked where the environment is loaded."""
    loaded = stage()
    environment = loaded.make()
    kind = type(environment)
    class_place = place_of_class(kind)
    specs = {**collect_tools(kind), **environment.tool_specs()}
    places = {"": class_place}
    for name, spec in specs.items():
        place = place_of_function(spec.function or getattr(kind, name, None))
        places[name] = place if place and is_users(place.rpartition(":")[0], loaded.home) else class_place
    settled = bool(environment.settings())
    spared = {name: spec.parameters for name, spec in collect_tools(kind).items() if settled}
    return Offer(places, spared, tuple(_refusals(environment, plan)))


def _refusals(environment: Any, plan: Any) -> Iterator[ToolAnswer]:
    """What each tool says to a call that its schema refuses: errors that an episode may not have met."""
    if plan is None:
        return
    try:
        environment.reset(stage().task(plan), plan.seed)
        for schema in environment.schemas():
            name, arguments = schema["function"]["name"], {"not an argument": True}
            result = environment.call(name, arguments)
            if result.is_error:
                yield ToolAnswer(name, arguments, result.text, True)
        environment.close()
    except Exception:
        return  # other checks tell of it


def _offered_tools(trial: Trial) -> dict[str, list[Mapping[str, Any]]]:
    """Every form of each tool that some episode showed."""
    forms_by_tool: dict[str, list[Mapping[str, Any]]] = {}
    for transcript in trial.transcripts:
        for tool in transcript["tools"]:
            forms = forms_by_tool.setdefault(tool["function"]["name"], [])
            if tool["function"] not in forms:
                forms.append(tool["function"])
    return forms_by_tool


@dataclass(frozen=True)
class _Comparison:
    file: Path
    published: Mapping[str, ProductionTool]
    offered: Mapping[str, Sequence[Mapping[str, Any]]]
    offer: Offer

    def names(self) -> Iterator[Finding]:
        """Tools that only one side has; a renamed one is one finding."""
        missing = [name for name in self.published if name not in self.offered and name not in self.offer.spared]
        extra = [name for name in self.offered if name not in self.published]
        for name in missing:
            new_name = self._renamed(name, extra)
            if new_name:
                extra.remove(new_name)
                yield self._finding(
                    f"production's tool {name!r} is called {new_name!r} here",
                    new_name,
                    [f"- {name}", f"+ {new_name}"],
                    f"Call it {name!r}, as production does.",
                )
            else:
                fix = "Add the tool; if these settings leave it out, define it with @tool and name them in settings()."
                yield self._finding(f"production's tool {name!r} is not there", "", [f"- {name}"], fix)
        for name in extra:
            fix = "Remove it, or give --production a file that has it: what is trained on it is lost in production."
            yield self._finding(f"tool {name!r} is none of production's", name, [f"+ {name}"], fix)

    def requests(self) -> Iterator[Finding]:
        """Arguments of tools that both have."""
        for name, theirs in self.published.items():
            forms = self.offered.get(name, ())
            schemas = [form["parameters"] for form in forms] or [self.offer.spared.get(name, theirs.request)]
            found = [line for schema in schemas for gap in gaps(schema, theirs.request) for line in gap.lines()]
            if found:
                yield self._finding(f"tool {name!r} takes other arguments than production's", name, found)
            texts = {_words(form.get("description", "")) for form in forms}
            if texts and _words(theirs.description) and texts != {_words(theirs.description)}:
                lines = [f"- {_words(theirs.description)}", *(f"+ {text}" for text in sorted(texts))]
                what = f"tool {name!r} is described in other words than production's"
                yield self._finding(what, name, lines, "Take production's text: the agent reads it.", warn=True)

    def _renamed(self, name: str, extra: Iterable[str]) -> str:
        theirs = self.published[name].request
        near = get_close_matches(name, list(extra), n=1, cutoff=LIKE)
        same = [
            each for each in extra if theirs.get("properties") and not gaps(self.offered[each][0]["parameters"], theirs)
        ]
        return next(iter([*near, *same]), "")

    def _finding(self, title: str, tool: str, lines: Iterable[str], fix: str = "", *, warn: bool = False) -> Finding:
        shown = "\n".join([f"--- {self.file.name}", "+++ environment", *dict.fromkeys(lines)])
        where = self.offer.places.get(tool) or self.offer.places[""]
        return Finding.of(CODE, title, where=where, difference=shown, fix=fix, severity="warn" if warn else "fail")


def _words(text: str) -> str:
    return " ".join(text.split())


_WIDTH = 400


@dataclass(frozen=True)
class _Forms:
    """Validators of one tool's answers; None for what is not published."""

    response: Any
    error: Any
    closed: Any
    """The response, without members that its schema does not name."""


def check_answers(
    published: Mapping[str, ProductionTool], answers: Sequence[ToolAnswer], places: Mapping[str, str], file: str
) -> list[Finding]:
    """One finding for each tool and way in which its answers are not of the published form."""
    forms = {name: _forms(tool) for name, tool in published.items()}
    problems: dict[tuple[str, str], list[tuple[ToolAnswer, str]]] = {}
    for answer in answers:
        if answer.name in forms:
            for kind, problem in _problems(forms[answer.name], answer):
                problems.setdefault((answer.name, kind), []).append((answer, problem))
    return [_finding(*key, cases, places, file) for key, cases in problems.items()]


def _problems(forms: _Forms, answer: ToolAnswer) -> Iterator[tuple[str, str]]:
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
    name: str, kind: str, cases: Sequence[tuple[ToolAnswer, str]], places: Mapping[str, str], file: str
) -> Finding:
    answer, problem = cases[0]
    call = call_text(Call(answer.name, dict(answer.arguments)))
    title, fix = {
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
        CODE,
        f"tool {name!r} {title}",
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
    closed = {key: value if key in parts else _closed_member(key, value) for key, value in schema.items()}
    says = {"additionalProperties", "unevaluatedProperties", "patternProperties"} & closed.keys()
    if "properties" in closed and not says and not parts & closed.keys():
        closed["additionalProperties"] = False
    return closed


def _closed_member(key: str, value: Any) -> Any:
    if key in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
        return {name: _closed(item) for name, item in value.items()}
    return _closed(value) if key in ("items", "prefixItems", "additionalProperties") else value
