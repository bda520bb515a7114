"""ENV-UNBOUNDED: a tool's argument, a result or an episode may be of any size."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from practicum.checks.findings import Finding
from practicum.checks.trial import Trial
from practicum.environment.calling import RESULT_LIMIT

_BOUNDED_FORMATS = frozenset({"date", "date-time", "time", "duration", "uuid", "ipv4", "ipv6"})


TURNS = 1_000
"""Model calls that an episode may be allowed."""


def check_bounds(trial: Trial) -> list[Finding]:
    """One warning for every tool with an argument that has no maximum, or with a result too long to be shown."""
    return [*_arguments(trial), *_results(trial), *_turns(trial)]


def _results(trial: Trial) -> list[Finding]:
    longest: dict[str, tuple[int, str]] = {}
    for plan, transcript in zip(trial.plans, trial.transcripts, strict=True):
        for result in transcript["results"]:
            longest[result["name"]] = max(longest.get(result["name"], (0, "")), (len(result["text"]), plan.label))
    return [
        Finding.of(
            "ENV-UNBOUNDED",
            f"a result of {name!r} is longer than an agent is shown",
            severity="warn",
            where=trial.place(name),
            difference=f"cut after {RESULT_LIMIT:,} characters\nin {label}",
            fix="Give results in pages of a fixed size, or cut them and say so.",
        )
        for name, (length, label) in longest.items()
        if length > RESULT_LIMIT
    ]


def _turns(trial: Trial) -> list[Finding]:
    turns = trial.facts.max_turns
    if turns <= TURNS:
        return []
    title, evidence = f"an episode may take {turns:,} model calls", f"max_turns = {turns}; at most {TURNS:,} are fine"
    fix = "Set max_turns to half as many again as the oracle needs."
    place = trial.place("__init__")
    return [Finding.of("ENV-UNBOUNDED", title, severity="warn", where=place, difference=evidence, fix=fix)]


def _arguments(trial: Trial) -> list[Finding]:
    tools = trial.transcripts[0]["tools"] if trial.transcripts else []
    findings = []
    for tool in tools:
        function = tool["function"]
        schema = function["parameters"]
        open_ends = list(_open_ends(schema, schema.get("$defs", {}), ""))
        if open_ends:
            what = f"arguments of tool {function['name']!r} have no maximum"
            where, listed = trial.place(function["name"]), "\n".join(open_ends)
            findings.append(Finding.of("ENV-UNBOUNDED", what, severity="warn", where=where, difference=listed))
    return findings


def _open_ends(schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Iterable[str]:
    """``argument: what it lacks`` for every part of a schema without a maximum."""
    for name, field in schema.get("properties", {}).items():
        yield from _open_parts(field, definitions, f"{path}.{name}" if path else name)


def _open_parts(field: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Iterable[str]:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        # Without the definition itself, so that one that contains itself comes to an end.
        rest = {key: value for key, value in definitions.items() if key != name}
        yield from _open_parts(definitions.get(name, {"const": None}), rest, path)
        return
    if "enum" in field or "const" in field:
        return
    for union in ("anyOf", "oneOf", "allOf"):
        for part in field.get(union, ()):
            yield from _open_parts(part, definitions, path)
    kind = field.get("type")
    if kind == "string" and not _is_bounded_text(field):
        yield f"{path}: text without maxLength"
    elif kind in ("integer", "number") and not _has_both_ends(field):
        yield f"{path}: number without minimum and maximum"
    elif kind == "array":
        if "maxItems" not in field:
            yield f"{path}: list without maxItems"
        yield from _open_items(field, definitions, path)
    elif kind == "object":
        if field.get("additionalProperties", "properties" not in field) and "maxProperties" not in field:
            yield f"{path}: mapping without maxProperties"
        yield from _open_ends(field, definitions, path)
    elif kind is None and not any(union in field for union in ("anyOf", "oneOf", "allOf")):
        yield f"{path}: anything at all"


def _open_items(field: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Iterable[str]:
    """Of a list: of the items that have a place of their own, and of the others, if there can be any."""
    first = field.get("prefixItems", ())
    for number, part in enumerate(first):
        yield from _open_parts(part, definitions, f"{path}[{number}]")
    if len(first) < field.get("maxItems", len(first) + 1) and field.get("items") is not False:
        yield from _open_parts(field.get("items", {}), definitions, f"{path}[]")


def _is_bounded_text(field: Mapping[str, Any]) -> bool:
    pattern = field.get("pattern", "")
    fixed = pattern.startswith("^") and pattern.endswith("$") and not re.search(r"[*+]|,\}", pattern)
    return "maxLength" in field or field.get("format") in _BOUNDED_FORMATS or fixed


def _has_both_ends(field: Mapping[str, Any]) -> bool:
    low = "minimum" in field or "exclusiveMinimum" in field
    return low and ("maximum" in field or "exclusiveMaximum" in field)
