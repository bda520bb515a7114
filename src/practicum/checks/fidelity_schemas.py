"""Two JSON Schemas compared by what they accept, not by how they are written.

``$ref``, ``allOf`` of parts, ``const``, ``nullable`` unions and the order of things make no difference. Bounds count
where the other schema gives them; what production leaves open may be bounded.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from practicum.text import shortened

Schema = Mapping[str, Any]

_NAMES_AND_TEXTS = ("$comment", "$id", "$schema", "description", "title", "example", "examples", "externalDocs", "xml")
_SAID_ONLY = frozenset(
    [*_NAMES_AND_TEXTS, "$defs", "definitions", "deprecated", "discriminator", "readOnly", "writeOnly"]
)
"""Keywords that change nothing about what is accepted."""

_LOWER = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
_UPPER = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
_BOUNDS = (*_LOWER, *_UPPER, "pattern", "format", "multipleOf", "uniqueItems")
_OWN = frozenset(["type", "enum", "anyOf", "properties", "required", "additionalProperties", "items", "default"])
_NUMBER_FORMATS = frozenset(["int32", "int64", "float", "double", "decimal"])
_SHOWN = 160


@dataclass(frozen=True)
class SchemaGap:
    """One thing in which two schemas differ, each side in words."""

    path: str
    theirs: str
    ours: str

    def lines(self) -> list[str]:
        """As a diff shows it: production's side first."""
        at = f"{self.path}: " if self.path else ""
        return [f"- {at}{self.theirs}", f"+ {at}{self.ours}"]


def gaps(ours: Schema, theirs: Schema) -> list[SchemaGap]:
    """In what the environment's schema of arguments differs from production's."""
    return list(dict.fromkeys(_Pair(ours, theirs).compare(ours, theirs)))


def plain(schema: Any, root: Schema) -> dict[str, Any]:
    """The schema with references followed, parts put together, and one way to say each thing.

    Members, items and alternatives keep their form. ``type`` is a sorted list.
    """
    return _plain(schema, root, frozenset())


class _Pair:
    """Two root schemas, which references lead into. Gaps are named relative to the two parts compared."""

    def __init__(self, ours: Schema, theirs: Schema) -> None:
        self.ours, self.theirs = ours, theirs
        self._known: dict[str, tuple[SchemaGap, ...]] = {}

    def compare(self, ours: Any, theirs: Any) -> tuple[SchemaGap, ...]:
        key = _json([ours, theirs])
        if key not in self._known:
            self._known[key] = ()  # two that contain themselves are equal unless something else in them differs
            self._known[key] = tuple(self._compared(plain(ours, self.ours), plain(theirs, self.theirs)))
        return self._known[key]

    def _compared(self, a: Schema, b: Schema) -> Iterator[SchemaGap]:
        if _kind(a) != _kind(b):
            yield SchemaGap("", _words(b), _words(a))
            return
        if "anyOf" in a:
            yield from self._alternatives(a["anyOf"], b["anyOf"])
        yield from self._members(a, b)
        if "items" in a or "items" in b:
            yield from self._at("[]", a.get("items", {}), b.get("items", {}))
        yield from _limits(a, b)

    def _at(self, name: str, ours: Any, theirs: Any) -> Iterator[SchemaGap]:
        for gap in self.compare(ours, theirs):
            between = "." if gap.path and not gap.path.startswith("[") else ""
            yield replace(gap, path=f"{name}{between}{gap.path}")

    def _alternatives(self, ours: Sequence[Any], theirs: Sequence[Any]) -> Iterator[SchemaGap]:
        unmatched = list(ours)
        for alternative in theirs:
            match = next((candidate for candidate in unmatched if not self.compare(candidate, alternative)), None)
            if match is None:
                yield SchemaGap("", f"may be {_words(alternative)}", "may not")
            else:
                unmatched.remove(match)
        for alternative in unmatched:
            yield SchemaGap("", "may not", f"may be {_words(alternative)}")

    def _members(self, a: Schema, b: Schema) -> Iterator[SchemaGap]:
        ours, theirs = a.get("properties", {}), b.get("properties", {})
        for name in dict.fromkeys([*theirs, *ours]):
            mine, published = ("required" if name in each.get("required", ()) else "optional" for each in (a, b))
            if name not in ours:
                yield SchemaGap(name, f"{published}, {_words(plain(theirs[name], self.theirs))}", "not there")
            elif name not in theirs:
                yield SchemaGap(name, "not there", f"{mine}, {_words(plain(ours[name], self.ours))}")
            else:
                if mine != published:
                    yield SchemaGap(name, published, mine)
                optional = mine == published == "optional"
                yield from self._at(
                    name, self._left_out(ours[name], theirs[name]) if optional else ours[name], theirs[name]
                )
        yield from self._further(a, b)

    def _left_out(self, ours: Any, theirs: Any) -> Any:
        """Ours without the null that stands for leaving the argument out, which is how Python says it."""
        a = plain(ours, self.ours)
        if a.get("default", 0) is not None or "null" in _kinds(plain(theirs, self.theirs)):
            return ours
        without_null = {key: value for key, value in a.items() if key != "default"}
        if "enum" in without_null:
            without_null["enum"] = [value for value in without_null["enum"] if value is not None]
        elif "anyOf" in without_null:
            without_null["anyOf"] = [each for each in without_null["anyOf"] if _kinds(each) != {"null"}]
            without_null = without_null["anyOf"][0] if len(without_null["anyOf"]) == 1 else without_null
        elif "type" in without_null:
            without_null["type"] = [kind for kind in without_null["type"] if kind != "null"]
        return without_null

    def _further(self, a: Schema, b: Schema) -> Iterator[SchemaGap]:
        """Members that neither names: refused, or of what form."""
        mine, published = a.get("additionalProperties", True), b.get("additionalProperties", True)
        typed = [isinstance(each, Mapping) and bool(plain(each, {})) for each in (mine, published)]
        if published is False and mine is not False and "object" in _kinds(a):
            yield SchemaGap("any other", "refused", "accepted")
        elif typed[1] and mine is False:
            yield SchemaGap("any other", _words(plain(published, self.theirs)), "refused")
        elif any(typed):
            yield from self._at("any other", mine, published)


def _limits(a: Schema, b: Schema) -> Iterator[SchemaGap]:
    for key in _BOUNDS:
        if key in b and a.get(key) != b[key]:
            yield SchemaGap("", f"{key} {_json(b[key])}", f"{key} {_json(a[key])}" if key in a else f"no {key}")
    if "default" in a and "default" in b and a["default"] != b["default"]:
        yield SchemaGap("", f"default {_json(b['default'])}", f"default {_json(a['default'])}")
    for key in sorted((a.keys() | b.keys()) - _OWN - set(_BOUNDS)):
        if a.get(key) != b.get(key):
            sides = (f"{key} {_json(each[key])}" if key in each else f"no {key}" for each in (b, a))
            yield SchemaGap("", *sides)


def _plain(schema: Any, root: Schema, followed: frozenset[str]) -> dict[str, Any]:
    if isinstance(schema, bool) or not isinstance(schema, Mapping):
        return {} if schema is not False else {"not": {}}
    merged = {key: value for key, value in schema.items() if key not in _SAID_ONLY}
    parts = [(part, followed) for part in merged.pop("allOf", ())]
    reference = merged.pop("$ref", None)
    if isinstance(reference, str) and reference not in followed:
        parts.append((_target(reference, root), followed | {reference}))
    merged = _tidy(merged, root, followed)
    for part, through in parts:
        merged = _tidy(_intersection(merged, _plain(part, root, through)), root, followed)
    return merged


def _tidy(schema: dict[str, Any], root: Schema, followed: frozenset[str]) -> dict[str, Any]:
    tidied = dict(schema)
    if isinstance(tidied.get("type"), str):
        tidied["type"] = [tidied["type"]]
    if "const" in tidied:
        tidied["enum"] = [tidied.pop("const")]
    if "anyOf" in tidied or "oneOf" in tidied:
        tidied = _united(tidied, root, followed)
    if "properties" in tidied and not {"type", "enum", "anyOf"} & tidied.keys():
        tidied["type"] = ["object"]
    kinds = set(tidied.get("type", ()))
    if kinds:
        tidied["type"] = sorted(kinds - {"integer"} if "number" in kinds else kinds)
    if "enum" in tidied:
        # The values say their type themselves.
        allowed = tidied.pop("type", None)
        values = [value for value in tidied["enum"] if allowed is None or _kind_of(value) & set(allowed)]
        tidied["enum"] = sorted(values, key=_json)
    if tidied.get("format") in _NUMBER_FORMATS:
        del tidied["format"]
    if kinds == {"integer"}:
        for exclusive, bound, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
            if isinstance(tidied.get(exclusive), int):
                tidied[bound] = tidied.pop(exclusive) + step
    for key, nothing in (("minLength", 0), ("minItems", 0), ("minProperties", 0), ("uniqueItems", False)):
        if key in tidied and tidied[key] == nothing:
            del tidied[key]
    return tidied


def _united(schema: dict[str, Any], root: Schema, followed: frozenset[str]) -> dict[str, Any]:
    """Alternatives of different types as one schema: a bound of one type says nothing about the others."""
    remainder = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
    listed = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    alternatives: list[dict[str, Any]] = []
    for alternative in listed:
        flat = _plain(alternative, root, followed)
        alternatives += flat["anyOf"] if set(flat) == {"anyOf"} else [flat]
    if "anyOf" in schema and "oneOf" in schema:
        return {**remainder, "anyOf": alternatives, "oneOf": []}
    if all("enum" in alternative or _kinds(alternative) <= {"null", "boolean"} for alternative in alternatives):
        values = [value for alternative in alternatives for value in alternative.get("enum", _values(alternative))]
        return {**remainder, "enum": [*{_json(value): value for value in values}.values()]}
    kinds = [_kinds(alternative) for alternative in alternatives]
    every = set[str]().union(*kinds)
    apart = sum(map(len, kinds)) == len(every) and all(kinds) and not {"integer", "number"} <= every
    if not apart or any("enum" in alternative or "anyOf" in alternative for alternative in alternatives):
        return {**remainder, "anyOf": alternatives}
    whole: dict[str, Any] = {}
    for alternative in alternatives:
        whole |= {key: value for key, value in alternative.items() if key != "type"}
    return {**remainder, **whole, "type": sorted(every)}


def _intersection(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """What accepts only what two schemas accept."""
    merged = {**second, **first}
    for key in first.keys() & second.keys():
        a, b = first[key], second[key]
        if key == "properties":
            merged[key] = {
                **b,
                **{name: {"allOf": [value, b[name]]} if name in b else value for name, value in a.items()},
            }
        elif key == "required":
            merged[key] = [*dict.fromkeys([*b, *a])]
        elif key in ("type", "enum"):
            merged[key] = [value for value in a if value in b]
        elif key in _LOWER or key in _UPPER:
            merged[key] = max(a, b) if key in _LOWER else min(a, b)
        elif key == "additionalProperties":
            merged[key] = a if b is True else b if a is True else False if False in (a, b) else {"allOf": [a, b]}
        elif key == "items":
            merged[key] = {"allOf": [a, b]}
    return merged


def _target(reference: str, root: Schema) -> Any:
    value: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        value = value.get(name, {}) if isinstance(value, Mapping) and name else value
    return value


def _kind(schema: Schema) -> str:
    """What decides first whether two schemas can be equal: the types, or the values."""
    if "enum" in schema:
        return f"one of {', '.join(map(_json, schema['enum']))}"
    if "anyOf" in schema:
        return "one of several"
    return " or ".join(schema.get("type", ())) or "anything"


def _kinds(schema: Schema) -> set[str]:
    if "enum" in schema:
        return set[str]().union(*(_kind_of(value) for value in schema["enum"]))
    if "anyOf" in schema:
        return set[str]().union(*(_kinds(each) for each in schema["anyOf"]))
    return set(schema.get("type", ()))


def _kind_of(value: Any) -> set[str]:
    """The types that a value has."""
    if isinstance(value, bool) or value is None:
        return {"null" if value is None else "boolean"}
    if isinstance(value, int | float):
        return {"integer", "number"} if float(value).is_integer() else {"number"}
    return {"string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"}


def _values(schema: Schema) -> list[Any]:
    """All values of a type that has few."""
    kinds = _kinds(schema)
    return [*([None] if "null" in kinds else []), *([False, True] if "boolean" in kinds else [])]


def _words(schema: Schema) -> str:
    bounds = [f"{key} {_json(schema[key])}" for key in _BOUNDS if key in schema]
    return shortened(", ".join([_kind(schema), *bounds]), _SHOWN)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
