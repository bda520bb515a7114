"""ENV-HERMETIC: what an episode touched beside its own state."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from practicum.checks.differences import Causes, Deviation, Difference
from practicum.checks.episodes import listed
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
        places = list(dict.fromkeys(f"{touch.where}  {touch.name}" for touch in seen))
        notes.append(Note(kind, reason, tuple(places[:_LISTED])))
    return notes


def check_variables(trial: Trial, causes: Causes, nursery: Nursery) -> list[Finding]:
    """Environment variables read when the environment is loaded, that make a difference: by trying other values."""
    # Libraries read many on their own account.
    reads = [read for read in _candidates(trial) if read.touch.kind == "environ" and read.touch.direct]
    names = sorted({name for read in reads for name in [_variable(read.touch)] if name})
    environ = variables_before_imports()
    groups = [[name] for name in names] if len(names) <= _ONE_BY_ONE else [names]
    findings = []
    for group in groups:
        suspects = [read for read in reads if _variable(read.touch) in group]
        # Another value may be no value to the environment, and none may be its default.
        tries: list[dict[str, str | None]] = [{name: _another(environ.get(name)) for name in group}]
        tries += [dict.fromkeys(group)] if any(name in environ for name in group) else []
        for values in tries:
            evidence = _experiment(trial, causes, nursery, range(len(trial.plans)), variables=values)
            if evidence is not None:
                findings += _findings(suspects, f"{evidence.text}\nwith {_in_words(values)}")
                break
    return findings


def _in_words(values: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} not set" if value is None else f"{name}={value!r}" for name, value in values.items())


def check_candidates(
    trial: Trial,
    causes: Causes,
    nursery: Nursery,
    at_home: Sequence[Deviation],
    elsewhere: Sequence[Deviation],
    *,
    others_differ: bool,
) -> list[Finding]:
    """What is a fault only if results depend on it, where some differ that nothing explains yet.

    That is what libraries read on their own account, and what was read when the environment was loaded. An
    experiment decides: the same circumstances again for what is random, and another time for the clock.

    Args:
        at_home: Cases in the process that the environment was loaded in once; what import and ``tasks`` read is the
            same in all of them.
        elsewhere: Cases in processes that loaded it anew.
        others_differ: Whether the tasks were others there, or nothing could be played.
    """
    kinds_at_home = {case.difference.kind for case in at_home}
    new = [case for case in elsewhere if case.difference.kind not in kinds_at_home]
    findings = _tried(trial, causes, nursery, at_home, frozenset({EPISODE, CONSTRUCTOR})) if at_home else []
    if not findings and (new or others_differ):
        findings = _tried(trial, causes, nursery, new, frozenset({EPISODE, CONSTRUCTOR, "import", "tasks"}))
    return findings


def _tried(
    trial: Trial, causes: Causes, nursery: Nursery, cases: Sequence[Deviation], phases: frozenset[str]
) -> list[Finding]:
    numbers = sorted({case.number for case in cases}) or range(len(trial.plans))
    candidates = [suspect for suspect in _candidates(trial) if suspect.touch.phase in phases]
    for kind, clock_s in (("random", 0.0), ("clock", _ANOTHER_TIME_S)):
        suspects = [suspect for suspect in candidates if suspect.touch.kind == kind]
        evidence = _experiment(trial, causes, nursery, numbers, clock_s=clock_s) if suspects else None
        if evidence is None:
            continue
        guilty = _those_that_count(trial, suspects, evidence)
        if guilty and (evidence.all or any(suspect.touch.phase != EPISODE for suspect in guilty)):
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


def _those_that_count(trial: Trial, suspects: Sequence[_Seen], evidence: _Evidence) -> list[_Seen]:
    """What was touched on loading, and in the episodes that differ."""
    labels = {trial.plans[number].label for number in evidence.numbers}
    return [suspect for suspect in suspects if suspect.touch.phase != EPISODE or suspect.label in labels]


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
    elsewhere = nursery.stage(trial.target, clock_s=clock_s, variables=variables)
    try:
        return _compared(trial, causes, elsewhere, list(numbers)[:_PLAYED])
    finally:
        elsewhere.close()


def _compared(trial: Trial, causes: Causes, elsewhere: StageHandle, numbers: Sequence[int]) -> _Evidence | None:
    if elsewhere.loaded.error is not None:
        return _Evidence(f"it cannot be loaded: {elsewhere.loaded.error}", (), True)
    if elsewhere.loaded.digests != trial.loaded.digests:
        return _Evidence("its tasks are others each time", (), True)
    differences: dict[int, Difference] = {}
    for number in numbers:
        try:
            again = elsewhere.ask(solo.play_alone, trial.plans[number]).result().transcript
        except NoEnd as error:
            return _Evidence(f"an episode cannot be played: {error.trouble.reason}", (number,), True)
        for case in causes.unexplained("", causes.cases([(number, "loaded again", again)])):
            differences[number] = case.difference
    if not differences:
        return None
    number, first = next(iter(differences.items()))
    evidence = f"{first.place} differs\n{first.unified('played first', 'loaded again')}\nin {trial.plans[number].label}"
    return _Evidence(evidence, tuple(differences), False)


def _all(trial: Trial) -> list[_Seen]:
    touches = [_Seen(one_touch, "") for one_touch in trial.loaded.touches]
    for sampled in trial.samples:
        touches += [_Seen(one_touch, f"task {sampled.plans[0].task!r}, the oracle") for one_touch in sampled.touches]
    for plan, alone in zip(trial.plans, trial.alone, strict=True):
        touches += [_Seen(one_touch, plan.label) for one_touch in alone.touches]
    return touches


def _candidates(trial: Trial) -> list[_Seen]:
    return [each for each in _all(trial) if each.touch.kind not in trial.allowed and not trial.is_fault(each.touch)]


def _findings(touches: Iterable[_Seen], evidence: str = "") -> list[Finding]:
    by_place: dict[tuple[Kind, str], list[_Seen]] = {}
    for labelled in touches:
        by_place.setdefault((labelled.touch.kind, labelled.touch.where), []).append(labelled)
    findings = []
    for (kind, where), alike in by_place.items():
        touch = alike[0].touch
        names = list(dict.fromkeys(labelled.touch.name for labelled in alike))
        at = f"in {touch.stage}, {alike[0].label}" if touch.phase == EPISODE else f"during {touch.phase}"
        actor = touch.phase if touch.phase in (EPISODE, CONSTRUCTOR) else f"the environment's {touch.phase}"
        what = f"{actor} {_VERBS[kind]}: {names[0]}"
        shown = "\n".join([*listed(names), at, *([evidence] if evidence else [])])
        findings.append(Finding.of("ENV-HERMETIC", what, where=where, difference=shown, fix=FIXES[kind]))
    return findings


def _variable(touch: Touch) -> str:
    name = touch.name.removeprefix("the environment variable ")
    return "" if name == touch.name or name.startswith(_NEVER_VARIED) else name


def _another(value: str | None) -> str:
    if value is None:
        return "1"
    return str(int(value) + 1) if value.isdigit() else f"{value}1"
