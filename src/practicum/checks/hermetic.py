"""ENV-HERMETIC: what an episode touched beside its own state."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from practicum.checks.causes import Case, Causes
from practicum.checks.differences import Difference
from practicum.checks.findings import Finding, Note
from practicum.checks.processes.client import NoEnd, Nursery, StageHandle
from practicum.checks.trial import Trial
from practicum.checks.watch.outside_access import CONSTRUCTOR, EPISODE, FIXES, Kind, Touch
from practicum.checks.ways import solo
from practicum.environment.modules import variables_before_imports

_DAY_S = 86_400.0
_ANOTHER_TIME_S = 400.25 * _DAY_S
_PLAYED = 4
"""Episodes that an experiment plays."""

_LISTED = 5
_ONE_BY_ONE = 4
_NEVER_VARIED = ("PATH", "TMPDIR", "TEMP", "TMP", "LD_", "PYTHON", "PRACTICUM_")

_VERBS: Mapping[Kind, str] = {
    "network": "reaches for the network",
    "clock": "reads the wall clock",
    "random": "draws random numbers that the episode's seed does not decide",
    "environ": "reads what the process was started with",
    "files": "touches files outside of its folder",
    "subprocess": "starts another program",
}


@dataclass(frozen=True)
class _Seen:
    touch: Touch
    label: str


def check_touches(trial: Trial) -> list[Finding]:
    """What counts as a fault whatever comes of it: touched in an episode by the user's own code."""
    return _findings(each for each in _all(trial) if trial.is_fault(each.touch))


def allowed_touches(trial: Trial) -> list[Note]:
    """What was touched with a reason, kind by kind."""
    notes = []
    for kind, reason in trial.allowed.items():
        seen = [each.touch for each in _all(trial) if each.touch.kind == kind]
        places = list(dict.fromkeys(f"{touch.where}  {touch.what}" for touch in seen))
        notes.append(Note(kind, reason, tuple(places[:_LISTED])))
    return notes


def check_variables(trial: Trial, causes: Causes, nursery: Nursery) -> list[Finding]:
    """Environment variables read when the environment is loaded, that make a difference: by trying other values."""
    # Libraries read many on their own account.
    seen = [each for each in _candidates(trial) if each.touch.kind == "environ" and each.touch.direct]
    names = sorted({name for each in seen for name in [_variable(each.touch)] if name})
    now = variables_before_imports()
    groups = [[name] for name in names] if len(names) <= _ONE_BY_ONE else [names]
    findings = []
    for group in groups:
        guilty = [each for each in seen if _variable(each.touch) in group]
        # Another value may be no value to the environment, and none may be its default.
        tries: list[dict[str, str | None]] = [{name: _another(now.get(name)) for name in group}]
        tries += [dict.fromkeys(group)] if any(name in now for name in group) else []
        for values in tries:
            evidence = _experiment(trial, causes, nursery, range(len(trial.plans)), variables=values)
            if evidence is not None:
                findings += _findings(guilty, f"{evidence.text}\nwith {_in_words(values)}")
                break
    return findings


def _in_words(values: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} not set" if value is None else f"{name}={value!r}" for name, value in values.items())


def check_candidates(
    trial: Trial, causes: Causes, nursery: Nursery, here: Sequence[Case], elsewhere: Sequence[Case], *, others: bool
) -> list[Finding]:
    """What is a fault only if results depend on it, where some differ that nothing explains yet.

    That is what libraries read on their own account, and what was read when the environment was loaded. An
    experiment decides: the same circumstances again for what is random, and another time for the clock.

    Args:
        here: Cases in the process that the environment was loaded in once; what import and ``tasks`` read is the same
            in all of them.
        elsewhere: Cases in processes that loaded it anew.
        others: Whether the tasks were others there, or nothing could be played.
    """
    known = {case.difference.kind for case in here}
    new = [case for case in elsewhere if case.difference.kind not in known]
    findings = _tried(trial, causes, nursery, here, frozenset({EPISODE, CONSTRUCTOR})) if here else []
    if not findings and (new or others):
        findings = _tried(trial, causes, nursery, new, frozenset({EPISODE, CONSTRUCTOR, "import", "tasks"}))
    return findings


def _tried(
    trial: Trial, causes: Causes, nursery: Nursery, cases: Sequence[Case], phases: frozenset[str]
) -> list[Finding]:
    numbers = sorted({case.number for case in cases}) or range(len(trial.plans))
    candidates = [each for each in _candidates(trial) if each.touch.phase in phases]
    for kind, clock_s in (("random", 0.0), ("clock", _ANOTHER_TIME_S)):
        seen = [each for each in candidates if each.touch.kind == kind]
        evidence = _experiment(trial, causes, nursery, numbers, clock_s=clock_s) if seen else None
        if evidence is None:
            continue
        guilty = _those_that_count(trial, seen, evidence)
        if guilty and (evidence.all or any(each.touch.phase != EPISODE for each in guilty)):
            causes.everything = "ENV-HERMETIC"
        elif guilty:
            causes.explain_plans("ENV-HERMETIC", evidence.numbers)
        if guilty:
            return _findings(guilty, evidence.text)
    return []


@dataclass(frozen=True)
class _Evidence:
    text: str
    numbers: tuple[int, ...]
    all: bool
    """Whether the tasks differ, and with them everything."""


def _those_that_count(trial: Trial, seen: Sequence[_Seen], evidence: _Evidence) -> list[_Seen]:
    """What was touched on loading, and in the episodes that differ."""
    labels = {trial.plans[number].label for number in evidence.numbers}
    return [each for each in seen if each.touch.phase != EPISODE or each.label in labels]


def _experiment(
    trial: Trial,
    causes: Causes,
    nursery: Nursery,
    numbers: Iterable[int],
    *,
    clock_s: float = 0.0,
    variables: Mapping[str, str | None] | None = None,
) -> _Evidence | None:
    """What another loading of the same environment shows; None where it is equal."""
    there = nursery.stage(trial.target, clock_s=clock_s, variables=variables)
    try:
        return _compared(trial, causes, there, list(numbers)[:_PLAYED])
    finally:
        there.close()


def _compared(trial: Trial, causes: Causes, there: StageHandle, numbers: Sequence[int]) -> _Evidence | None:
    if there.loaded.error is not None:
        return _Evidence(f"it cannot be loaded: {there.loaded.error}", (), True)
    if there.loaded.digests != trial.loaded.digests:
        return _Evidence("its tasks are others each time", (), True)
    found: dict[int, Difference] = {}
    for number in numbers:
        try:
            again = there.ask(solo.play_alone, trial.plans[number]).result().transcript
        except NoEnd as error:
            return _Evidence(f"an episode cannot be played: {error.trouble.what}", (number,), True)
        for case in causes.unexplained("", causes.cases([(number, "loaded again", again)])):
            found[number] = case.difference
    if not found:
        return None
    number, first = next(iter(found.items()))
    shown = f"{first.place} differs\n{first.unified('played first', 'loaded again')}\nin {trial.plans[number].label}"
    return _Evidence(shown, tuple(found), False)


def _all(trial: Trial) -> list[_Seen]:
    seen = [_Seen(touch, "") for touch in trial.loaded.touches]
    for sampled in trial.samples:
        seen += [_Seen(touch, f"task {sampled.plans[0].task!r}, the oracle") for touch in sampled.touches]
    for plan, alone in zip(trial.plans, trial.alone, strict=True):
        seen += [_Seen(touch, plan.label) for touch in alone.touches]
    return seen


def _candidates(trial: Trial) -> list[_Seen]:
    return [each for each in _all(trial) if each.touch.kind not in trial.allowed and not trial.is_fault(each.touch)]


def _findings(seen: Iterable[_Seen], evidence: str = "") -> list[Finding]:
    by_place: dict[tuple[Kind, str], list[_Seen]] = {}
    for each in seen:
        by_place.setdefault((each.touch.kind, each.touch.where), []).append(each)
    findings = []
    for (kind, where), alike in by_place.items():
        touch = alike[0].touch
        names = list(dict.fromkeys(each.touch.what for each in alike))
        listed = names[:_LISTED] + ([f"… and {len(names) - _LISTED} more"] if len(names) > _LISTED else [])
        at = f"in {touch.stage}, {alike[0].label}" if touch.phase == EPISODE else f"during {touch.phase}"
        who = touch.phase if touch.phase in (EPISODE, CONSTRUCTOR) else f"the environment's {touch.phase}"
        what = f"{who} {_VERBS[kind]}: {names[0]}"
        shown = "\n".join([*listed, at, *([evidence] if evidence else [])])
        findings.append(Finding.of("ENV-HERMETIC", what, where=where, difference=shown, fix=FIXES[kind]))
    return findings


def _variable(touch: Touch) -> str:
    name = touch.what.removeprefix("the environment variable ")
    return "" if name == touch.what or name.startswith(_NEVER_VARIED) else name


def _another(value: str | None) -> str:
    if value is None:
        return "1"
    return str(int(value) + 1) if value.isdigit() else f"{value}1"
