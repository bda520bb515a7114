"""ENV-STATE: undeclared or read-only state changed."""

from collections.abc import Iterable, Sequence

from practicum.checks.blame import place_after_others, place_of_change
from practicum.checks.differences import Causes, Deviation
from practicum.checks.episodes import listed
from practicum.checks.findings import Finding
from practicum.checks.processes.client import NoEnd
from practicum.checks.trial import Trial
from practicum.checks.ways import repeated, watched
from practicum.checks.ways.watched import Changed, Watched
from practicum.environment.state import StateFault

_ROOTS = 3
_TIMES = 2


def check_refused(trial: Trial, changed: Sequence[Finding]) -> list[Finding]:
    """A tool changed what is not declared: the environment itself refuses that.

    Where a look at the state found the same change, with its line, it is not told twice.
    """
    reported = {finding.what.split()[0].replace("()", "") for finding in changed}
    labels_by_place: dict[tuple[str, str], list[str]] = {}
    messages: dict[tuple[str, str], str] = {}
    for plan, transcript in zip(trial.plans, trial.transcripts, strict=True):
        fault = transcript["fault"]
        if fault and fault["type"] == StateFault.__name__:
            key = (fault["stage"], fault["where"])
            labels_by_place.setdefault(key, []).append(plan.label)
            messages.setdefault(key, fault["message"].splitlines()[0])
    return [
        Finding.of(
            "ENV-STATE",
            messages[stage, where] + and_others(len(labels)),
            where=where or place_of_change(trial, messages[stage, where]) or trial.place(stage),
            difference=f"in {stage}, {labels[0]}",
        )
        for (stage, where), labels in labels_by_place.items()
        if messages[stage, where].split()[0] not in reported
    ]


def check_changed(trial: Trial, watched_plays: Watched) -> list[Finding]:
    """State that is no cache changed in place.

    A cache only ever goes from nothing to something, and stays: what a second round of the same episodes changes
    again, or what was something else before, is state.
    """
    state_changes = [changed for changed in watched_plays.changed if _is_state(changed, watched_plays.changed)]
    return _findings(trial, state_changes, "changed in an episode, and is no declared state")


def check_kept(trial: Trial, causes: Causes, watched_plays: Watched, cases: Sequence[Deviation]) -> list[Finding]:
    """Results depend on what was played before: by what looks like a cache that was filled, or out of sight."""
    if not cases or not _depends_on_others(trial, causes, sorted({case.number for case in cases})):
        return []
    case = cases[0]
    evidence = f"{case.difference.unified('played alone', case.way)}\nin {trial.plans[case.number].label}"
    if watched_plays.changed:
        title = "is kept from one episode to the next, and results depend on it"
        return _findings(trial, watched_plays.changed, title, evidence)
    title = f"{case.difference.place} depends on the episodes before, by something kept where nobody looks"
    where = place_after_others(trial, case) or trial.place(case.difference.source)
    return [Finding.of("ENV-STATE", title, where=where, difference=evidence)]


def _depends_on_others(trial: Trial, causes: Causes, numbers: Sequence[int]) -> bool:
    """Whether episodes come out as ever when played alone, however often, and otherwise after others."""
    alone = [number for number in numbers[:_ROOTS] for _ in range(_TIMES)]
    try:
        again = [trial.home.ask(repeated.play_stirred, trial.plans[number]) for number in alone]
        if causes.cases((number, "", played.result()) for number, played in zip(alone, again, strict=True)):
            return False
        last = [(number, trial.home.ask(repeated.play_last, trial.plans, number)) for number in numbers[:_ROOTS]]
        return bool(causes.cases((number, "", played.result()) for number, played in last))
    except NoEnd:
        return False


def and_others(count: int) -> str:
    """What to add to a finding that was seen in so many episodes."""
    return f" (and in {count - 1} other episodes)" if count > 1 else ""


def _is_state(changed: Changed, changes: Sequence[Changed]) -> bool:
    change = changed.change
    if change.library:
        return False
    if change.kind == "changed":
        return True
    alike = [
        other_change
        for other_change in changes
        if other_change.root == changed.root and other_change.change.path == change.path
    ]
    grown = [other_change for other_change in alike if other_change.change.kind in ("grew", "filled")]
    if change.kind == "shrank":
        # A cache may drop what it has; what was there from the beginning is not its own to drop.
        return not grown
    # The second round asks for nothing new; what is filled again has to be filled with the same.
    return (
        min(other_change.round for other_change in grown) == 2
        or len({other_change.change.after for other_change in grown}) > 1
    )


def _findings(trial: Trial, changes: Iterable[Changed], title: str, evidence: str = "") -> list[Finding]:
    by_root: dict[str, list[Changed]] = {}
    for changed in changes:
        by_root.setdefault(changed.root, []).append(changed)
    roots = list(by_root)[:_ROOTS]
    if not roots:
        return []
    where = {root: frozenset((changed.change.path, changed.change.kind) for changed in by_root[root]) for root in roots}
    try:
        places = trial.home.ask(watched.blame_roots, trial.plans, where).result()
    except NoEnd:
        places = {}
    findings = []
    for root in roots:
        alike = by_root[root]
        lines = list(
            dict.fromkeys(
                f"{root}{changed.change.name}: {changed.change.before} → {changed.change.after}" for changed in alike
            )
        )
        lines_shown = [*listed(lines), f"in {alike[0].episode}", *([evidence] if evidence else [])]
        place = places.get(root, "") or trial.place("start")
        findings.append(Finding.of("ENV-STATE", f"{root} {title}", where=place, difference="\n".join(lines_shown)))
    return findings
