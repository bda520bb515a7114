"""Which differences there are between the ways of playing, and which of them an earlier finding explains.

One fault shows in many ways: a clock in a result makes it differ when repeated, interleaved and elsewhere. Only the
cause is reported; a difference is explained by what its own episode touched, by state that changed, by a setting
that was left, or by a difference of its kind that was reported before.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from practicum.checks.differences import Difference, first_difference
from practicum.checks.episodes import Transcript
from practicum.checks.trial import Trial
from practicum.checks.watch.outside_access import EPISODE


@dataclass(frozen=True)
class Case:
    """An episode that came out another way than it does alone."""

    number: int
    how: str
    difference: Difference
    step: int
    """How many stages of the episode had begun where it differs."""


@dataclass
class Causes:
    """What was found so far, and thereby explained."""

    trial: Trial
    explained: dict[str, str] = field(default_factory=dict)
    """Code of a check → code of the one that explains what it saw."""
    shared: str = ""
    """The code of a finding that explains differences between episodes of one process."""
    everything: str = ""
    """The code of a finding that explains whatever differs."""
    _kinds: dict[tuple[str, str], str] = field(default_factory=dict)
    _plans: dict[int, str] = field(default_factory=dict)

    def share(self, code: str, found: bool) -> None:
        """Something that episodes share was found to change; the last one told of explains."""
        self.shared = code if found else self.shared

    def cases(self, played: Iterable[tuple[int, str, Transcript]]) -> list[Case]:
        """Every episode that differs from how it was alone."""
        found = []
        for number, how, transcript in played:
            alone = self.trial.transcripts[number]
            difference = first_difference(alone, transcript)
            if difference is not None:
                found.append(Case(number, how, difference, _step(difference, alone, transcript)))
        return found

    def unexplained(self, code: str, cases: Sequence[Case]) -> list[Case]:
        """The cases that no finding so far explains; the rest is noted under their check's code."""
        left = []
        for case in cases:
            by = self._cause(case)
            if by:
                self.explained |= {code: self.explained.get(code, by)} if code else {}
            else:
                left.append(case)
        return left

    def explain_kinds(self, code: str, cases: Iterable[Case]) -> None:
        """Differences of these kinds were reported."""
        for case in cases:
            self._kinds.setdefault(case.difference.kind, code)

    def explain_plans(self, code: str, numbers: Iterable[int]) -> None:
        """Whatever differs in these episodes was reported."""
        for number in numbers:
            self._plans.setdefault(number, code)

    def knows(self, source: str) -> str:
        """The code under which differences that a tool or method gave were reported; empty if none were."""
        return next((code for (_, by), code in self._kinds.items() if by == source), "")

    def told(self, code: str) -> str:
        """The code, if differences were reported under it."""
        return code if code in self._kinds.values() else ""

    def touched(self, number: int, step: int) -> bool:
        """Whether an episode had touched something by then that counts as a fault."""
        touches = self.trial.alone[number].touches
        return any(touch.step <= step and self.trial.is_fault(touch) for touch in touches)

    def any_touched(self) -> bool:
        """Whether any episode touched something that counts as a fault."""
        return any(self.trial.touched(alone.touches) for alone in self.trial.alone)

    def loading_touched(self) -> bool:
        """Whether import, constructor or ``tasks`` touched something that counts as a fault."""
        return any(touch.phase != EPISODE and self.trial.is_fault(touch) for touch in self.trial.loaded.touches)

    def _cause(self, case: Case) -> str:
        if self.touched(case.number, case.step) or self.loading_touched():
            return "ENV-HERMETIC"
        return (
            self.everything or self._plans.get(case.number) or self.shared or self._kinds.get(case.difference.kind, "")
        )


def grouped(cases: Iterable[Case]) -> list[list[Case]]:
    """Cases with one cause, most likely: those of one kind of difference."""
    found: dict[Any, list[Case]] = {}
    for case in cases:
        found.setdefault(case.difference.kind, []).append(case)
    return list(found.values())


def _step(difference: Difference, alone: Transcript, other: Transcript) -> int:
    results = max(len(alone["results"]), len(other["results"]))
    where: dict[str, Callable[[], int]] = {
        "prompt": lambda: 0,
        "system_prompt": lambda: 2,
        "tools": lambda: 3,
        "result": lambda: 3 + 2 * difference.number,
        "fault": lambda: 5 + 2 * results,
        "final_state": lambda: 5 + 2 * results,
    }
    return where[difference.part]()
