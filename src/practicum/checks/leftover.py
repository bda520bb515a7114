"""ENV-LEFTOVER and ENV-STATE: what remains after an episode, in its process and in what the user's code keeps."""

from collections.abc import Iterable, Mapping, Sequence

from practicum.checks.blame import place_after_others, place_of_change
from practicum.checks.differences import Causes, Deviation
from practicum.checks.episodes import listed
from practicum.checks.findings import Finding
from practicum.checks.processes.client import NoEnd, Nursery
from practicum.checks.trial import Trial
from practicum.checks.watch.outside_access import Touch
from practicum.checks.watch.patches import PATCHES
from practicum.checks.watch.residue import OPENED
from practicum.checks.watch.settings import SETTINGS, Leftover
from practicum.checks.ways import repeated, watched
from practicum.checks.ways.watched import Changed, Left, Watched
from practicum.environment.declared_state import StateFault

_GROWING = frozenset(setting.kind for setting in SETTINGS if setting.grows)
_SETTINGS = frozenset(setting.kind for setting in SETTINGS)
_BY_TOUCH = {"file": "files", "changed file": "files", "connection": "network", "process": "subprocess"}
"""What a touch leaves is the touch's matter."""


def check_left(trial: Trial, watched_plays: Watched) -> list[Finding]:
    """What episodes left."""
    faults = [touch for alone in trial.alone for touch in alone.touches if trial.is_fault(touch)]
    counted = [
        residue for residue in watched_plays.leftovers if (residue.leftover.kind not in _GROWING or residue.again)
    ]
    counted = [residue for residue in counted if not _touched(residue.leftover, faults)]
    places = _blamed(trial, counted)
    by_kind: dict[tuple[str, str], list[Left]] = {}
    for residue in counted:
        kind = residue.leftover.kind.removeprefix("changed ")
        where = residue.leftover.where or places.get(residue.leftover.kind, "") or places.get(residue.leftover.name, "")
        by_kind.setdefault((kind, where), []).append(residue)
    findings = []
    for (kind, where), alike in by_kind.items():
        names = [f"{residue.leftover.kind} {residue.leftover.name}".rstrip() for residue in alike]
        findings.append(
            Finding.of(
                "ENV-LEFTOVER",
                _sentence("an episode", kind),
                where=where or trial.place("start"),
                difference="\n".join([*listed(names), f"in {alike[0].episode}"]),
            )
        )
    return findings


def check_left_by_import(trial: Trial, nursery: Nursery) -> list[Finding]:
    """What loading the environment's modules changed for everyone in the process."""
    read = any(touch.name == "the machine's locale" for touch in trial.loaded.touches)
    leftovers = [leftover for leftover in trial.loaded.leftovers if not (read and leftover.kind == "locale")]
    located = [leftover for leftover in leftovers if leftover.where]
    unplaced = [
        leftover.name if leftover.kind in PATCHES else leftover.kind for leftover in leftovers if not leftover.where
    ]
    if unplaced:
        replayed = nursery.stage(trial.target, blamed=tuple(unplaced))
        located += [leftover for leftover in replayed.loaded.leftovers if leftover.where]
        replayed.close()
    by_place = {(leftover.kind, leftover.where): leftover for leftover in located}
    return [
        Finding.of(
            "ENV-LEFTOVER",
            _sentence("importing the environment", leftover.kind),
            where=leftover.where,
            difference=leftover.name or leftover.kind,
            fix="Do it in start and undo it in stop, or leave it to the program that runs the environment.",
        )
        for leftover in by_place.values()
    ]


def kinds_of_settings(seen: Watched) -> set[str]:
    """The kinds of settings that whole episodes leave changed."""
    return {each.leftover.kind for each in seen.leftovers if each.leftover.kind in _SETTINGS}


def is_shared(findings: Sequence[Finding], seen: Watched, trial: Trial) -> bool:
    """Whether something was left that other episodes see."""
    kinds = {each.leftover.kind for each in seen.leftovers} | {each.kind for each in trial.loaded.leftovers}
    return bool(findings) and bool(kinds & (_SETTINGS | PATCHES))


def _sentence(actor: str, kind: str) -> str:
    if kind in PATCHES:
        return f"{actor} leaves a {kind} behind"
    if kind in _SETTINGS:
        return f"{actor} leaves a changed {kind} behind"
    return f"{actor} leaves a{'n' if kind[0] in 'aeiou' else ''} {kind} behind"


def _touched(leftover: Leftover, faults: Sequence[Touch]) -> bool:
    if leftover.kind == "open file" and leftover.name.startswith("pipe:"):
        return any(touch.kind == "subprocess" and touch.where == leftover.where for touch in faults)
    kind = _BY_TOUCH.get(leftover.kind)
    if kind is not None:
        alike = [touch for touch in faults if touch.kind == kind]
        return any(kind != "files" or touch.where == leftover.where or leftover.name in touch.name for touch in alike)
    if "random generator" in leftover.kind:
        name = "numpy" if "numpy" in leftover.kind else "random."
        return any(touch.kind == "random" and touch.name.startswith(name) for touch in faults)
    if leftover.kind == "environment variable":
        return any(touch.kind == "environ" and leftover.name in touch.name for touch in faults)
    return leftover.kind == "locale" and any(touch.name == "the machine's locale" for touch in faults)


def _blamed(trial: Trial, left: Sequence[Left]) -> Mapping[str, str]:
    """Places by the kind of a setting, or by the name of what was replaced."""
    unplaced = [each.leftover for each in left if not each.leftover.where]
    kinds = [each.kind for each in unplaced if each.kind in _SETTINGS | OPENED]
    names = [each.name for each in unplaced if each.kind in PATCHES]
    if not kinds and not names:
        return {}
    try:
        return trial.home.ask(watched.blame_leftovers, trial.plans, kinds, names).result()
    except NoEnd:
        return {}


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
