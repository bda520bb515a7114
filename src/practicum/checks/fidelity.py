"""ENV-FIDELITY: the tools are not those of production, as its own schema file publishes them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from practicum.checks.fidelity_answers import Answer, check_answers
from practicum.checks.fidelity_schemas import gaps
from practicum.checks.findings import Finding
from practicum.checks.processes.client import NoEnd
from practicum.checks.processes.stage import stage
from practicum.checks.trial import Trial, answer
from practicum.environment.places import is_users, place_of_class, place_of_function
from practicum.environment.tool import collect_tools
from practicum.services.production import ProductionTool, load_production

CODE = "ENV-FIDELITY"
FILES = ("production.json", "production.yaml", "production.yml")
"""Where production's schemas are looked for beside the environment's file, in this order."""

LIKE = 0.6
"""How alike two names have to be for one to be taken for the other."""


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
    refusals: tuple[Answer, ...]


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
    shown = _shown(trial)
    if not shown and any(transcript["fault"] for transcript in trial.transcripts):
        return []  # no episode came as far as to show its tools, which is found elsewhere
    offer = _offer(trial)
    compared = _Comparison(file, published, shown, offer)
    answers = [Answer(**result) for transcript in trial.transcripts for result in transcript["results"]]
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
        return answer(trial.home.ask(offered, None))


def offered(plan: Any) -> Offer:
    """Asked where the environment is loaded."""
    here = stage()
    environment = here.make()
    kind = type(environment)
    own = place_of_class(kind)
    specs = {**collect_tools(kind), **environment.tool_specs()}
    places = {"": own}
    for name, spec in specs.items():
        place = place_of_function(spec.function or getattr(kind, name, None))
        places[name] = place if place and is_users(place.rpartition(":")[0], here.home) else own
    settled = bool(environment.settings())
    spared = {name: spec.parameters for name, spec in collect_tools(kind).items() if settled}
    return Offer(places, spared, tuple(_refusals(environment, plan)))


def _refusals(environment: Any, plan: Any) -> Iterator[Answer]:
    """What each tool says to a call that its schema refuses: errors that an episode may not have met."""
    if plan is None:
        return
    try:
        environment.reset(stage().task(plan), plan.seed)
        for schema in environment.schemas():
            name, arguments = schema["function"]["name"], {"not an argument": True}
            result = environment.call(name, arguments)
            if result.is_error:
                yield Answer(name, arguments, result.text, True)
        environment.close()
    except Exception:
        return  # other checks tell of it


def _shown(trial: Trial) -> dict[str, list[Mapping[str, Any]]]:
    """Every form of each tool that some episode showed."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for transcript in trial.transcripts:
        for tool in transcript["tools"]:
            forms = found.setdefault(tool["function"]["name"], [])
            if tool["function"] not in forms:
                forms.append(tool["function"])
    return found


@dataclass(frozen=True)
class _Comparison:
    file: Path
    published: Mapping[str, ProductionTool]
    shown: Mapping[str, Sequence[Mapping[str, Any]]]
    offer: Offer

    def names(self) -> Iterator[Finding]:
        """Tools that only one side has; a renamed one is one finding."""
        missing = [name for name in self.published if name not in self.shown and name not in self.offer.spared]
        extra = [name for name in self.shown if name not in self.published]
        for name in missing:
            other = self._renamed(name, extra)
            if other:
                extra.remove(other)
                yield self._finding(
                    f"production's tool {name!r} is called {other!r} here",
                    other,
                    [f"- {name}", f"+ {other}"],
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
            forms = self.shown.get(name, ())
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
            each for each in extra if theirs.get("properties") and not gaps(self.shown[each][0]["parameters"], theirs)
        ]
        return next(iter([*near, *same]), "")

    def _finding(self, what: str, tool: str, lines: Iterable[str], fix: str = "", *, warn: bool = False) -> Finding:
        shown = "\n".join([f"--- {self.file.name}", "+++ environment", *dict.fromkeys(lines)])
        where = self.offer.places.get(tool) or self.offer.places[""]
        return Finding.of(CODE, what, where=where, difference=shown, fix=fix, severity="warn" if warn else "fail")


def _words(text: str) -> str:
    return " ".join(text.split())
