"""ENV-LEFTOVER: files, processes, threads, connections, settings or patches remain after an episode."""

from collections.abc import Mapping, Sequence

from practicum.checks.episodes import listed
from practicum.checks.findings import Finding
from practicum.checks.processes.client import NoEnd, Nursery
from practicum.checks.trial import Trial
from practicum.checks.watch.outside_access import Touch
from practicum.checks.watch.residue import OPENED
from practicum.checks.watch.settings import SETTINGS, Leftover
from practicum.checks.ways import watched
from practicum.checks.ways.watched import Left, Watched

_GROWING = frozenset(setting.kind for setting in SETTINGS if setting.grows)
_SETTINGS = frozenset(setting.kind for setting in SETTINGS)
_PATCHES = frozenset(
    {"replaced function", "replaced value", "replaced module", "stub module", "new name", "changed registry"}
)
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
        leftover.name if leftover.kind in _PATCHES else leftover.kind for leftover in leftovers if not leftover.where
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
    return bool(findings) and bool(kinds & (_SETTINGS | _PATCHES))


def _sentence(actor: str, kind: str) -> str:
    if kind in _PATCHES:
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
    names = [each.name for each in unplaced if each.kind in _PATCHES]
    if not kinds and not names:
        return {}
    try:
        return trial.home.ask(watched.blame_leftovers, trial.plans, kinds, names).result()
    except NoEnd:
        return {}
