"""ENV-LEFTOVER: files, processes, threads, connections, settings or patches remain after an episode."""

from collections.abc import Mapping, Sequence

from practicum.checks.findings import Finding
from practicum.checks.processes.client import NoEnd, Nursery
from practicum.checks.trial import Trial
from practicum.checks.watch.outside_access import Touch
from practicum.checks.watch.residue import OPENED
from practicum.checks.watch.settings import SETTINGS, Leftover
from practicum.checks.ways import watched
from practicum.checks.ways.watched import Left, Watched

_LISTED = 5
_GROWING = frozenset(setting.kind for setting in SETTINGS if setting.grows)
_SETTINGS = frozenset(setting.kind for setting in SETTINGS)
_PATCHES = frozenset(
    {"replaced function", "replaced value", "replaced module", "stub module", "new name", "changed registry"}
)
_BY_TOUCH = {"file": "files", "changed file": "files", "connection": "network", "process": "subprocess"}
"""What a touch leaves is the touch's matter."""


def check_left(trial: Trial, seen: Watched) -> list[Finding]:
    """What episodes left."""
    faults = [touch for alone in trial.alone for touch in alone.touches if trial.is_fault(touch)]
    counted = [each for each in seen.left if (each.leftover.kind not in _GROWING or each.again)]
    counted = [each for each in counted if not _touched(each.leftover, faults)]
    places = _blamed(trial, counted)
    found: dict[tuple[str, str], list[Left]] = {}
    for each in counted:
        kind = each.leftover.kind.removeprefix("changed ")
        where = each.leftover.where or places.get(each.leftover.kind, "") or places.get(each.leftover.name, "")
        found.setdefault((kind, where), []).append(each)
    findings = []
    for (kind, where), alike in found.items():
        names = [f"{each.leftover.kind} {each.leftover.name}".rstrip() for each in alike]
        listed = names[:_LISTED] + ([f"… and {len(names) - _LISTED} more"] if len(names) > _LISTED else [])
        findings.append(
            Finding.of(
                "ENV-LEFTOVER",
                _sentence("an episode", kind),
                where=where or trial.place("start"),
                difference="\n".join([*listed, f"in {alike[0].episode}"]),
            )
        )
    return findings


def check_left_by_import(trial: Trial, nursery: Nursery) -> list[Finding]:
    """What loading the environment's modules changed for everyone in the process."""
    read = any(touch.what == "the machine's locale" for touch in trial.loaded.touches)
    left = [each for each in trial.loaded.leftovers if not (read and each.kind == "locale")]
    located = [each for each in left if each.where]
    unplaced = [each.name if each.kind in _PATCHES else each.kind for each in left if not each.where]
    if unplaced:
        again = nursery.stage(trial.target, blamed=tuple(unplaced))
        located += [each for each in again.loaded.leftovers if each.where]
        again.close()
    found = {(each.kind, each.where): each for each in located}
    return [
        Finding.of(
            "ENV-LEFTOVER",
            _sentence("importing the environment", each.kind),
            where=each.where,
            difference=each.name or each.kind,
            fix="Do it in start and undo it in stop, or leave it to the program that runs the environment.",
        )
        for each in found.values()
    ]


def kinds_of_settings(seen: Watched) -> set[str]:
    """The kinds of settings that whole episodes leave changed."""
    return {each.leftover.kind for each in seen.left if each.leftover.kind in _SETTINGS}


def is_shared(findings: Sequence[Finding], seen: Watched, trial: Trial) -> bool:
    """Whether something was left that other episodes see."""
    kinds = {each.leftover.kind for each in seen.left} | {each.kind for each in trial.loaded.leftovers}
    return bool(findings) and bool(kinds & (_SETTINGS | _PATCHES))


def _sentence(who: str, kind: str) -> str:
    if kind in _PATCHES:
        return f"{who} leaves a {kind} behind"
    if kind in _SETTINGS:
        return f"{who} leaves a changed {kind} behind"
    return f"{who} leaves a{'n' if kind[0] in 'aeiou' else ''} {kind} behind"


def _touched(left: Leftover, faults: Sequence[Touch]) -> bool:
    if left.kind == "open file" and left.name.startswith("pipe:"):
        return any(touch.kind == "subprocess" and touch.where == left.where for touch in faults)
    kind = _BY_TOUCH.get(left.kind)
    if kind is not None:
        alike = [touch for touch in faults if touch.kind == kind]
        return any(kind != "files" or touch.where == left.where or left.name in touch.what for touch in alike)
    if "random generator" in left.kind:
        name = "numpy" if "numpy" in left.kind else "random."
        return any(touch.kind == "random" and touch.what.startswith(name) for touch in faults)
    if left.kind == "environment variable":
        return any(touch.kind == "environ" and left.name in touch.what for touch in faults)
    return left.kind == "locale" and any(touch.what == "the machine's locale" for touch in faults)


def _blamed(trial: Trial, left: Sequence[Left]) -> Mapping[str, str]:
    """Places by the kind of a setting, or by the name of what was replaced."""
    unplaced = [each.leftover for each in left if not each.leftover.where]
    kinds = [each.kind for each in unplaced if each.kind in _SETTINGS | OPENED]
    names = [each.name for each in unplaced if each.kind in _PATCHES]
    places: dict[str, str] = {}
    try:
        if kinds:
            places |= trial.home.ask(watched.blame_settings, trial.plans, kinds).result()
        if names:
            places |= trial.home.ask(watched.blame_patches, trial.plans, names).result()
    except NoEnd:
        return places
    return places
