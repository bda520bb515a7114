"""ENV-STATE: undeclared or read-only state changed."""

from collections.abc import Iterable, Sequence

from practicum.checks.causes import Case, Causes
from practicum.checks.findings import Finding
from practicum.checks.processes.client import NoEnd
from practicum.checks.trial import Trial
from practicum.checks.ways import repeated, watched
from practicum.checks.ways.traced import parting, trace_episode
from practicum.checks.ways.watched import Changed, Watched
from practicum.environment.declared_state import StateFault

_LISTED = 5
_ROOTS = 3
_TIMES = 2


def check_refused(trial: Trial, changed: Sequence[Finding]) -> list[Finding]:
    """A tool changed what is not declared: the environment itself refuses that.

    Where a look at the state found the same change, with its line, it is not told twice.
    """
    told = {finding.what.split()[0].replace("()", "") for finding in changed}
    found: dict[tuple[str, str], list[str]] = {}
    messages: dict[tuple[str, str], str] = {}
    for plan, transcript in zip(trial.plans, trial.transcripts, strict=True):
        fault = transcript["fault"]
        if fault and fault["type"] == StateFault.__name__:
            key = (fault["stage"], fault["where"])
            found.setdefault(key, []).append(plan.label)
            messages.setdefault(key, fault["message"].splitlines()[0])
    return [
        Finding.of(
            "ENV-STATE",
            messages[stage, where] + others(len(labels)),
            where=where or place_of_change(trial, messages[stage, where]) or trial.place(stage),
            difference=f"in {stage}, {labels[0]}",
        )
        for (stage, where), labels in found.items()
        if messages[stage, where].split()[0] not in told
    ]


def check_changed(trial: Trial, seen: Watched) -> list[Finding]:
    """State that is no cache changed in place.

    A cache only ever goes from nothing to something, and stays: what a second round of the same episodes changes
    again, or what was something else before, is state.
    """
    guilty = [each for each in seen.changed if _is_state(each, seen.changed)]
    return _findings(trial, guilty, "changed in an episode, and is no declared state")


def check_kept(trial: Trial, causes: Causes, seen: Watched, cases: Sequence[Case]) -> list[Finding]:
    """Results depend on what was played before: by what looks like a cache that was filled, or out of sight."""
    if not cases or not _depends_on_others(trial, causes, sorted({case.number for case in cases})):
        return []
    case = cases[0]
    evidence = f"{case.difference.unified('played alone', case.how)}\nin {trial.plans[case.number].label}"
    if seen.changed:
        what = "is kept from one episode to the next, and results depend on it"
        return _findings(trial, seen.changed, what, evidence)
    what = f"{case.difference.place} depends on the episodes before, by something kept where nobody looks"
    where = _place_after_others(trial, case) or trial.place(case.difference.source)
    return [Finding.of("ENV-STATE", what, where=where, difference=evidence)]


def _depends_on_others(trial: Trial, causes: Causes, numbers: Sequence[int]) -> bool:
    """Whether episodes come out as ever when played alone, however often, and otherwise after others."""
    alone = [number for number in numbers[:_ROOTS] for _ in range(_TIMES)]
    try:
        again = [trial.home.ask(repeated.play_stirred, trial.plans[number]) for number in alone]
        if causes.cases((number, "", each.result()) for number, each in zip(alone, again, strict=True)):
            return False
        last = [(number, trial.home.ask(repeated.play_last, trial.plans, number)) for number in numbers[:_ROOTS]]
        return bool(causes.cases((number, "", each.result()) for number, each in last))
    except NoEnd:
        return False


def _place_after_others(trial: Trial, case: Case) -> str:
    plan = trial.plans[case.number]
    try:
        first = trial.home.ask(trace_episode, plan).result()
        last = trial.home.ask(trace_episode, plan, trial.plans).result()
    except NoEnd:
        return ""
    return parting(first, last, case.difference.source)


def place_of_change(trial: Trial, refused: str) -> str:
    """The line that first changed the state which a ``StateFault`` names."""
    root = refused.split(maxsplit=1)[0]
    try:
        return trial.home.ask(watched.blame_roots, trial.plans, {root: frozenset()}).result()[root]
    except NoEnd:
        return ""


def others(count: int) -> str:
    """What to add to a finding that was seen in so many episodes."""
    return f" (and in {count - 1} other episodes)" if count > 1 else ""


def _is_state(each: Changed, all: Sequence[Changed]) -> bool:
    change = each.change
    if change.library:
        return False
    if change.how == "changed":
        return True
    alike = [one for one in all if one.root == each.root and one.change.path == change.path]
    grown = [one for one in alike if one.change.how in ("grew", "filled")]
    if change.how == "shrank":
        # A cache may drop what it has; what was there from the beginning is not its own to drop.
        return not grown
    # The second round asks for nothing new; what is filled again has to be filled with the same.
    return min(one.round for one in grown) == 2 or len({one.change.now for one in grown}) > 1


def _findings(trial: Trial, guilty: Iterable[Changed], what: str, evidence: str = "") -> list[Finding]:
    by_root: dict[str, list[Changed]] = {}
    for each in guilty:
        by_root.setdefault(each.root, []).append(each)
    roots = list(by_root)[:_ROOTS]
    if not roots:
        return []
    where = {root: frozenset((each.change.path, each.change.how) for each in by_root[root]) for root in roots}
    try:
        places = trial.home.ask(watched.blame_roots, trial.plans, where).result()
    except NoEnd:
        places = {}
    findings = []
    for root in roots:
        alike = by_root[root]
        lines = list(
            dict.fromkeys(f"{root}{each.change.name}: {each.change.was} → {each.change.now}" for each in alike)
        )
        shown = lines[:_LISTED] + ([f"… and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else [])
        shown += [f"in {alike[0].episode}", *([evidence] if evidence else [])]
        place = places.get(root, "") or trial.place("start")
        findings.append(Finding.of("ENV-STATE", f"{root} {what}", where=place, difference="\n".join(shown)))
    return findings
