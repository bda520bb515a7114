"""Makes code repair's modules and tasks: ``python -m tools.suites.code_repair.generate``.

``modules.json`` holds every module with its bugs and its cases, what each case must come to found by running the
right module. ``tasks.json`` holds, by level and split, which modules are broken by which bugs, and which cases are
shown as tests. All others are hidden; they tell every combination of the task's bugs, whole or partly repaired, from
the right module. A function occurs in one split only.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

from practicum.files import write_text
from practicum.scoring.executed import Outcome, encoded, last_apart, value_of
from practicum.suites.code_repair.bugs import broken, overlap
from practicum.suites.code_repair.draw import Draw
from tools.suites import fixtures_of
from tools.suites.code_repair import FAMILIES, PIECES

SPLITS = ("train", "validation", "test")
LEVELS: Mapping[int, tuple[int, ...]] = {1: (1,), 2: (2,), 3: (2, 1), 4: (2, 1, 1)}
"""Bugs in each of a level's files."""
SIZES = {"train": 190, "validation": 38, "test": 80}
"""Tasks of a level."""
SHY = 3
"""Every third task has a bug that no shown test meets, where that is possible."""

_HIDDEN = 6
_STEPS = 20_000


@dataclass(frozen=True)
class Broken:
    """One file of a task: the module, its bugs and the cases shown, plainly and where there are traps."""

    name: str
    bugs: tuple[int, ...]
    shown: tuple[int, ...]
    shy: tuple[int, ...]

    @property
    def failing(self) -> list[int]:
        """Hidden cases that the broken module fails."""
        return sorted(fails(self.name, self.bugs) - set(self.shown) - set(self.shy))

    def record(self) -> list[Any]:
        """As ``tasks.json`` has it; the last entry is empty where no test is different with traps."""
        return [self.name, self.bugs, self.shown, self.failing, self.shy if self.shy != self.shown else []]


def splits() -> dict[str, list[str]]:
    """Split → modules: of each family two for test, one for validation, the rest for train."""
    homes: dict[str, list[str]] = {split: [] for split in SPLITS}
    for family, pieces in FAMILIES.items():
        names = Draw("splits", family).shuffled([one.name for one in pieces])
        homes["test"] += names[:2]
        homes["validation"] += names[2:3]
        homes["train"] += names[3:]
    return {split: sorted(names) for split, names in homes.items()}


def tasks(level: int, split: str) -> list[list[Any]]:
    """A level's tasks of a split, each a list of ``Broken.record``."""
    draw = Draw("tasks", level, split)
    drawn: list[list[Any]] = []
    for files in _candidates(level, splits()[split], draw):
        if len(drawn) == SIZES[split]:
            break
        wants_shy = len(drawn) % SHY == 0
        parts = [_with_cases(name, bugs, draw, wants_shy and n == 0) for n, (name, bugs) in enumerate(files)]
        if None not in parts:
            drawn.append([part.record() for part in parts if part is not None])
    return drawn


def _candidates(level: int, names: Sequence[str], draw: Draw) -> Iterator[list[tuple[str, tuple[int, ...]]]]:
    """Modules and bugs of possible tasks, each once; of every module about as many."""
    counts = LEVELS[level]
    if len(counts) == 1:
        piles = [draw.shuffled([(name, bugs) for bugs in _choices(name, counts[0])]) for name in draw.shuffled(names)]
        for turn in range(max(map(len, piles))):
            yield from ([pile[turn]] for pile in piles if turn < len(pile))
        return
    drawn = set()
    for _ in range(50 * SIZES["train"]):
        chosen = draw.shuffled(names)[: len(counts)]
        files = [(name, draw.pick(_choices(name, count))) for name, count in zip(chosen, counts, strict=True)]
        if frozenset(files) not in drawn:
            drawn.add(frozenset(files))
            yield files


@cache
def _choices(name: str, count: int) -> list[tuple[int, ...]]:
    """Sets of bugs that do not touch each other's text."""
    piece = PIECES[name]
    sets = combinations(range(len(piece.bugs)), count)
    return [bugs for bugs in sets if not overlap(piece.source, [piece.bugs[bug] for bug in bugs])]


def _with_cases(name: str, bugs: tuple[int, ...], draw: Draw, wants_shy: bool) -> Broken | None:
    """The cases to show: one that meets each bug, two that pass; or None where too little is left to hide."""
    order = draw.shuffled(range(len(PIECES[name].cases)))
    passing = [case for case in order if case not in fails(name, bugs)][:2]
    meeting = [_meeting(name, bug, bugs, order) for bug in bugs]
    if None in meeting:
        return None
    visible = sorted({case for case in (*meeting, *passing) if case is not None})
    shy = visible
    if wants_shy:
        # The last bug is met by no shown test: what they say about it, they say by accident.
        unmet = [case for case in order if case not in fails(name, bugs[-1:])]
        remaining = [_meeting(name, bug, bugs, unmet) for bug in bugs[:-1]]
        fine = [case for case in unmet if case not in fails(name, bugs)][:2]
        if None not in remaining and len(fine) == 2:
            shy = sorted({case for case in (*remaining, *fine) if case is not None})
    hidden = set(order) - set(visible) - set(shy)
    partly = [some for size in range(1, len(bugs) + 1) for some in combinations(bugs, size)]
    if len(hidden) < _HIDDEN or not all(fails(name, some) & hidden for some in partly):
        return None
    return Broken(name, bugs, tuple(visible), tuple(shy))


def _meeting(name: str, bug: int, bugs: tuple[int, ...], order: Sequence[int]) -> int | None:
    """The first case that fails by one bug alone and with all of them."""
    both = fails(name, (bug,)) & fails(name, bugs)
    return next((case for case in order if case in both), None)


@cache
def fails(name: str, bugs: tuple[int, ...]) -> frozenset[int]:
    """Cases that a module with some of its bugs fails."""
    piece = PIECES[name]
    source = broken(piece.source, [piece.bugs[bug] for bug in bugs])
    right = outcomes(piece.source, piece.cases)
    return frozenset(n for n, said in enumerate(outcomes(source, piece.cases)) if said != right[n])


@cache
def outcomes(source: str, cases: tuple[str, ...]) -> list[Outcome]:
    """What each case comes to with a module of ours, which is run right here."""
    return [_outcome(source, code) for code in cases]


def _outcome(source: str, code: str) -> Outcome:
    remaining = _STEPS

    def step(*_: Any) -> Any:
        nonlocal remaining
        remaining -= 1
        if not remaining:
            raise TimeoutError
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        value = value_of(source, *last_apart(code))
    except Exception as error:
        return Outcome("raised", name=type(error).__name__)
    finally:
        sys.settrace(before)
    # Told apart as the judge tells values apart.
    return Outcome("value", encoded(value), text=repr(value))


def modules() -> dict[str, Any]:
    """Every module: source, bugs and cases, a case as ``[code, "gives" or "raises", what]``."""
    described = {}
    for name, piece in PIECES.items():
        right = outcomes(piece.source, piece.cases)
        cases = [
            [code, "raises", said.name] if said.kind == "raised" else [code, "gives", said.text]
            for code, said in zip(piece.cases, right, strict=True)
        ]
        bugs = [[bug.kind, bug.right, bug.wrong] for bug in piece.bugs]
        described[name] = {"source": piece.source, "bugs": bugs, "cases": cases}
    return described


def _lines(entries: Mapping[str, str]) -> str:
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {text}" for name, text in entries.items()) + "\n}\n"


def _list(entries: Sequence[Any]) -> str:
    return "[\n" + ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries) + "\n]"


def write_fixtures(folder: Path) -> None:
    """Write the modules and the tasks into a folder."""
    described = {name: json.dumps(one, separators=(",", ":"), ensure_ascii=False) for name, one in modules().items()}
    write_text(folder / "modules.json", _lines(described))
    levels = {str(level): _lines({split: _list(tasks(level, split)) for split in SPLITS}).rstrip() for level in LEVELS}
    write_text(folder / "tasks.json", _lines(levels))


if __name__ == "__main__":
    write_fixtures(fixtures_of("code_repair"))
