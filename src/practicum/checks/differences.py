"""Where two transcripts of one episode first part, how to show it, and which differences an earlier finding explains.

One fault shows in many ways: a clock in a result makes it differ when repeated, interleaved and elsewhere. Only the
cause is reported; a difference is explained by what its own episode touched, by state that changed, by a setting
that was left, or by a difference of its kind that was reported before.
"""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from practicum.checks.episodes import Transcript, call_text, parting_place
from practicum.checks.trial import Trial
from practicum.checks.watch.outside_access import EPISODE
from practicum.environment import Call
from practicum.environment.declared_state import StateFault
from practicum.text import json_or_text, shortened

LINES = 24
WIDTH = 160


@dataclass(frozen=True)
class Difference:
    """The first part in which two transcripts differ.

    ``part`` is ``tools``, ``system_prompt``, ``prompt``, ``result``, ``final_state`` or ``fault``; ``source``
    the method that gave it; ``place`` says it in words.
    """

    part: str
    source: str
    place: str
    first: str
    second: str
    number: int = 0
    """Of the result, counted from 1."""
    where: str = ""
    """The user's line, where it was an exception that made the difference."""
    refused: str = ""
    """What the environment itself refused, where one of the two ended in a ``StateFault``."""

    @property
    def kind(self) -> tuple[str, str]:
        """Differences of one kind have one cause, most likely."""
        return self.part, self.source

    def unified(self, first: str, second: str) -> str:
        """A unified diff under the two names."""
        return unified(self.first, self.second, first, second)


def first_difference(first: Transcript, second: Transcript) -> Difference | None:
    """None where both are equal, byte for byte."""
    ended_otherwise = _kind(first["fault"]) != _kind(second["fault"])
    if ended_otherwise and any(each["fault"] and not each["messages"] for each in (first, second)):
        return _in_fault(first, second)  # before there was anything to compare
    found = _in_told(first, second) or _in_results(first, second)
    if found is not None:
        return found
    if ended_otherwise:
        return _in_fault(first, second)
    if first["final_state"] != second["final_state"]:
        states = _pretty(first["final_state"]), _pretty(second["final_state"])
        return Difference("final_state", "final_state", "final_state", *states)
    return None


def unified(before: str, after: str, first: str, second: str) -> str:
    """A unified diff of two texts; JSON is laid out first, long lines are cut around what differs."""
    ours, theirs = _lines(before), _lines(after)
    lines = list(difflib.unified_diff(ours, theirs, first, second, lineterm="", n=2))
    if not lines:
        # Equal once laid out: they differ in spaces or in the order of keys.
        lines = list(difflib.unified_diff([before], [after], first, second, lineterm=""))
    shift = parting_place(before, after) if len(ours) == len(theirs) == 1 else 0
    start = max(0, shift - WIDTH // 2)
    cut = [line if number < 3 else _windowed(line, start) for number, line in enumerate(lines)]
    more = [f" … {len(cut) - LINES} more lines"] if len(cut) > LINES else []
    return "\n".join(cut[:LINES] + more)


def _in_told(first: Transcript, second: Transcript) -> Difference | None:
    if _text(first["messages"]) != _text(second["messages"]):
        return _in_opening(first["messages"], second["messages"])
    if _text(first["tools"]) != _text(second["tools"]):
        return Difference("tools", "schemas", "the tools offered", _pretty(first["tools"]), _pretty(second["tools"]))
    return None


def _in_results(first: Transcript, second: Transcript) -> Difference | None:
    for number, (ours, theirs) in enumerate(zip(first["results"], second["results"], strict=False), start=1):
        if (ours["text"], ours["is_error"]) != (theirs["text"], theirs["is_error"]):
            place = f"the result of call {number}, {call_text(Call(ours['name'], ours['arguments']))}"
            return Difference("result", ours["name"], place, ours["text"], theirs["text"], number)
    return None


def _in_fault(first: Transcript, second: Transcript) -> Difference:
    faults = first["fault"], second["fault"]
    told = [fault for fault in faults if fault]
    source, where = told[0]["stage"], next((fault["where"] for fault in reversed(told) if fault["where"]), "")
    refused = next((fault["message"] for fault in told if fault["type"] == StateFault.__name__), "")
    texts = _fault_text(faults[0]), _fault_text(faults[1])
    return Difference("fault", source, f"an exception in {source}", *texts, where=where, refused=refused)


def _in_opening(first: list[Mapping[str, Any]], second: list[Mapping[str, Any]]) -> Difference:
    texts = [{message["role"]: message["content"] for message in messages} for messages in (first, second)]
    ours, theirs = texts
    if ours.get("system") != theirs.get("system"):
        pair = ours.get("system", ""), theirs.get("system", "")
        return Difference("system_prompt", "system_prompt", "the system prompt", *pair)
    return Difference("prompt", "tasks", "the prompt", ours.get("user", ""), theirs.get("user", ""))


def _kind(fault: Mapping[str, str] | None) -> tuple[str, str] | None:
    return (fault["stage"], fault["type"]) if fault else None


def _fault_text(fault: Mapping[str, str] | None) -> str:
    if fault is None:
        return "no exception"
    return f"{fault['type']}: {fault['message']}  ({fault['where'] or fault['stage']})"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)


def _lines(text: str) -> list[str]:
    value = json_or_text(text)
    return _pretty(value).splitlines() if isinstance(value, dict | list) else text.splitlines() or [""]


def _windowed(line: str, start: int) -> str:
    if start and len(line) > WIDTH:
        return shortened(f"{line[0]}…{line[start + 1 :]}", WIDTH)
    return shortened(line, WIDTH)


@dataclass(frozen=True)
class Deviation:
    """An episode that came out another way than it does alone."""

    number: int
    way: str
    """How it was played, in words."""
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

    def cases(self, played: Iterable[tuple[int, str, Transcript]]) -> list[Deviation]:
        """Every episode that differs from how it was alone."""
        deviations = []
        for number, way, transcript in played:
            alone = self.trial.transcripts[number]
            difference = first_difference(alone, transcript)
            if difference is not None:
                deviations.append(Deviation(number, way, difference, _step(difference, alone, transcript)))
        return deviations

    def unexplained(self, code: str, cases: Sequence[Deviation]) -> list[Deviation]:
        """The cases that no finding so far explains; the rest is noted under their check's code."""
        remaining = []
        for case in cases:
            cause = self._cause(case)
            if cause:
                self.explained |= {code: self.explained.get(code, cause)} if code else {}
            else:
                remaining.append(case)
        return remaining

    def explain_kinds(self, code: str, cases: Iterable[Deviation]) -> None:
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

    def reported_under(self, code: str) -> str:
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

    def _cause(self, case: Deviation) -> str:
        if self.touched(case.number, case.step) or self.loading_touched():
            return "ENV-HERMETIC"
        return (
            self.everything or self._plans.get(case.number) or self.shared or self._kinds.get(case.difference.kind, "")
        )


def grouped(cases: Iterable[Deviation]) -> list[list[Deviation]]:
    """Cases with one cause, most likely: those of one kind of difference."""
    groups: dict[Any, list[Deviation]] = {}
    for case in cases:
        groups.setdefault(case.difference.kind, []).append(case)
    return list(groups.values())


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
