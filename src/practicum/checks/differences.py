"""Where two transcripts of one episode first part, and how to show it."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from practicum.checks.episodes import Transcript, call_text, shortened
from practicum.environment import Call
from practicum.environment.declared_state import StateFault

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
    left, right = _lines(before), _lines(after)
    lines = list(difflib.unified_diff(left, right, first, second, lineterm="", n=2))
    if not lines:
        # Equal once laid out: they differ in spaces or in the order of keys.
        lines = list(difflib.unified_diff([before], [after], first, second, lineterm=""))
    shift = _common(before, after) if len(left) == len(right) == 1 else 0
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
    try:
        value = json.loads(text)
    except ValueError:
        return text.splitlines() or [""]
    return _pretty(value).splitlines() if isinstance(value, dict | list) else text.splitlines() or [""]


def _common(first: str, second: str) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(first), len(second)))


def _windowed(line: str, start: int) -> str:
    if start and len(line) > WIDTH:
        return shortened(f"{line[0]}…{line[start + 1 :]}", WIDTH)
    return shortened(line, WIDTH)
