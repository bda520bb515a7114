"""A recording: what a live service answered, in one file that replays without it.

The file is JSON, sorted, the same for the same answers whatever order they were given in, one call a line::

    {"format": "practicum-recording/1",
     "source": "openapi: Desk 2.1",
     "redaction": ["token", "password"],
     "tools": {"get_ticket": {"description": "…", "request": {…}, "response": {…}, "error": {…}}},
     "calls": [
      {"tool":"get_ticket","arguments":{"ticket_id":"T1"},"result":{"severity":"high"}},
      {"tool":"get_ticket","arguments":{"ticket_id":"T9"},"error":"HTTP 404: {\\"detail\\":\\"no such ticket\\"}"}
     ]}

``tools`` are JSON Schemas by name, as in production's schema files. A call's answer depends on its arguments only:
a recording is for services that are read, not for those that are written to.
"""

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from practicum.digests import canonical_json, digest
from practicum.environment.fixtures import frozen
from practicum.environment.tool import ToolError
from practicum.files import write_text
from practicum.services.documents import Misshapen, load_document
from practicum.services.openapi_schemas import child
from practicum.services.production import Tools, document_of, tools_from_json_schema
from practicum.text import shortened

FORMAT = "practicum-recording/1"

SHOWN = 400
"""Characters of arguments in an error."""
COMPARED = 2_000
"""Characters of an unrecorded call that recorded ones are compared with; an agent chose how many there are."""


@dataclass(frozen=True)
class Answer:
    """What the service answered: ``value``, or ``error``, the text of a tool error."""

    value: Any = None
    error: str | None = None


class Recording:
    """Recorded answers, by tool and canonical arguments.

    Args:
        tools: The tools, with their schemas.
        answers: Tool → canonical JSON of the arguments → answer.
        source: What was recorded, in words.
        redaction: Names of the rules that secrets were found by.
        allowed: Place → reason why what looks like a secret there is none.
    """

    def __init__(
        self,
        tools: Tools,
        answers: Mapping[str, Mapping[str, Answer]],
        source: str = "",
        redaction: tuple[str, ...] = (),
        allowed: Mapping[str, str] | None = None,
    ) -> None:
        self.tools, self.source, self.redaction = tools, source, redaction
        self.allowed = dict(allowed or {})
        self._answers = {tool: dict(sorted(answers.get(tool, {}).items())) for tool in sorted(t.name for t in tools)}
        self._requests = {tool.name: tool.request for tool in tools}
        self._nearest = functools.lru_cache(maxsize=1024)(self._find_nearest)

    def __len__(self) -> int:
        return sum(map(len, self._answers.values()))

    @classmethod
    def load(cls, path: Path | str) -> "Recording":
        """Read a recording's file.

        Raises:
            EnvironmentFault: it is missing, broken, of another format, or says a call twice; names file and line.
        """
        path = Path(path)
        try:
            return cls._of(load_document(path))
        except Misshapen as error:
            raise error.at(path) from error

    def with_answers(self, answers: Mapping[str, Mapping[str, Answer]]) -> "Recording":
        """The same tools with other answers."""
        return Recording(self.tools, answers, self.source, self.redaction, self.allowed)

    @property
    def answers(self) -> Mapping[str, Mapping[str, Answer]]:
        """Tool → canonical JSON of the arguments → answer."""
        return self._answers

    def answer(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """What was recorded for a call, frozen.

        Raises:
            ToolError: the service answered with an error, or the call was not recorded; then it names the nearest.
        """
        if tool not in self._requests:
            raise ToolError(f"unknown tool {tool!r}; recorded: {', '.join(self._answers)}")
        try:
            key = call_key(arguments, self._requests[tool])
        except ValueError as error:
            raise ToolError(f"invalid arguments for {tool}: {error}") from error
        recorded = self._answers[tool].get(key)
        if recorded is None:
            raise ToolError(f"no recorded answer for {_call(tool, key)}; {self._nearest(tool, key[:COMPARED])}")
        if recorded.error is not None:
            raise ToolError(recorded.error)
        return frozen(recorded.value)

    def document(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "format": FORMAT,
            "source": self.source,
            "redaction": list(self.redaction),
            **({"allowed": dict(sorted(self.allowed.items()))} if self.allowed else {}),
            **document_of(sorted(self.tools, key=lambda tool: tool.name), "json-schema"),
            "calls": [
                {"tool": tool, "arguments": json.loads(key), **_outcome(answer)}
                for tool, answers in self._answers.items()
                for key, answer in answers.items()
            ],
        }

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of tools and answers."""
        document = self.document()
        return digest([document["tools"], document["calls"]])

    def write(self, path: Path | str) -> None:
        """Write the file: beside its place, synced, renamed."""
        document = self.document()
        calls = document.pop("calls")
        head = json.dumps(document, indent=1, sort_keys=False, ensure_ascii=False, allow_nan=False)
        lines = ",\n".join(f"  {_line(call)}" for call in calls)
        body = f"[\n{lines}\n ]" if calls else "[]"
        write_text(Path(path), f'{head[:-2]},\n "calls": {body}\n}}\n')

    @classmethod
    def _of(cls, doc: Any) -> "Recording":
        form = doc.get("format") if isinstance(doc, Mapping) else None
        if form != FORMAT:
            raise Misshapen(
                f"format {form!r} is not one this version reads" if form else "this is no recording",
                ("format",) if form else (),
                allowed=f'"format": "{FORMAT}"',
                fix="make one with practicum record, or update Practicum",
            )
        tools = tools_from_json_schema({"tools": child(doc, "tools", (), dict)})
        requests = {tool.name: tool.request for tool in tools}
        answers: dict[str, dict[str, Answer]] = {}
        for index, call in enumerate(child(doc, "calls", (), list)):
            place = ("calls", index)
            tool, arguments, answer = _checked(call, requests, place)
            key = canonical_json(arguments)
            if key in answers.setdefault(tool, {}):
                raise Misshapen(f"{_call(tool, key)} is recorded twice", place, fix="remove one of them")
            answers[tool][key] = answer
        redaction = child(doc, "redaction", (), list, default=[])
        allowed = {str(place): str(reason) for place, reason in child(doc, "allowed", (), dict, default={}).items()}
        return cls(tools, answers, str(doc.get("source", "")), tuple(map(str, redaction)), allowed)

    def _find_nearest(self, tool: str, key: str) -> str:
        found = nearest(key, self._answers[tool])
        return f"nothing is recorded for {tool}" if found is None else f"nearest recorded: {_call(tool, found)}"


def _checked(
    call: Any, requests: Mapping[str, Mapping[str, Any]], place: tuple[str | int, ...]
) -> tuple[str, dict[str, Any], Answer]:
    keys = set(call) if isinstance(call, Mapping) else set()
    if keys not in ({"tool", "arguments", "result"}, {"tool", "arguments", "error"}):
        raise Misshapen("this is no recorded call", place, allowed="tool, arguments, and result or error")
    tool = call["tool"]
    if tool not in requests:
        raise Misshapen(f"there is no tool {tool!r}", (*place, "tool"), allowed=", ".join(requests))
    if not isinstance(call["arguments"], Mapping):
        raise Misshapen("arguments are no object", (*place, "arguments"))
    if "error" in call and not isinstance(call["error"], str):
        raise Misshapen("an error is no text", (*place, "error"))
    answer = Answer(error=call["error"]) if "error" in call else Answer(call["result"])
    return tool, canonical_arguments(call["arguments"], requests[tool]), answer


def _outcome(answer: Answer) -> dict[str, Any]:
    return {"result": answer.value} if answer.error is None else {"error": answer.error}


def _line(call: Mapping[str, Any]) -> str:
    return json.dumps(call, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _call(tool: str, key: str) -> str:
    return f"{tool}({shortened(key, SHOWN)})"


def canonical_arguments(arguments: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as a recording keeps them: defaults of the schema filled in, 5.0 as 5.

    Args:
        arguments: The call's.
        request: The tool's JSON Schema.
    """
    properties = request.get("properties")
    known = properties.items() if isinstance(properties, Mapping) else ()
    defaults = {
        name: schema["default"] for name, schema in known if isinstance(schema, Mapping) and "default" in schema
    }
    filled = _whole({**defaults, **arguments})
    return {name: filled[name] for name in sorted(filled)}


def call_key(arguments: Mapping[str, Any], request: Mapping[str, Any]) -> str:
    """Canonical JSON of the arguments: equal for calls that must have the same answer.

    Raises:
        ValueError: a number that JSON has no form for.
    """
    return canonical_json(canonical_arguments(arguments, request))


def nearest(missing: str, recorded: Iterable[str]) -> str | None:
    """The recorded key with the smallest edit distance; of equally near ones the first in order of text."""
    best: str | None = None
    least = -1
    for key in sorted(recorded):
        if best is not None and abs(len(key) - len(missing)) >= least:
            continue
        distance = edit_distance(missing, key)
        if best is None or distance < least:
            best, least = key, distance
    return best


def edit_distance(a: str, b: str) -> int:
    """Insertions, deletions and replacements that make ``b`` of ``a`` (Levenshtein).

    The bit-parallel algorithm of Myers (1999) as Hyyrö (2003) gives it, on Python's long integers: one step for
    each character of ``b``, so that thousands of recorded calls can be compared while an agent waits.
    """
    start = 0
    shorter = min(len(a), len(b))
    while start < shorter and a[start] == b[start]:
        start += 1
    end = 0
    while end < shorter - start and a[-1 - end] == b[-1 - end]:
        end += 1
    a, b = a[start : len(a) - end], b[start : len(b) - end]
    if not a or not b:
        return len(a) + len(b)
    places: dict[str, int] = {}
    for index, character in enumerate(a):
        places[character] = places.get(character, 0) | 1 << index
    mask, last = (1 << len(a)) - 1, 1 << len(a) - 1
    up, down, distance = mask, 0, len(a)
    for character in b:
        match = places.get(character, 0)
        diagonal = (((match & up) + up) ^ up) | match | down
        right, minus = down | ~(diagonal | up) & mask, up & diagonal
        distance += bool(right & last) - bool(minus & last)
        right, minus = (right << 1 | 1) & mask, minus << 1 & mask
        up, down = minus | ~(diagonal | right) & mask, right & diagonal
    return distance


def _whole(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
