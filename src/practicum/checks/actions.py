"""Calls a clumsy agent would make: seeded draws over the tools' schemas, valid, odd and invalid ones."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from practicum.environment import Call

CALLS = 6
"""Calls of one random episode."""

_ODD_TEXTS = ("", " ", "x", "nothing", "0", "-1", "A1", "Ünïcode ✓", "null", "'; --", "a" * 300)
_ODD_NUMBERS = (0, 1, -1, 2, 7, 100, 10**9)
_DEPTH = 3


def random_calls(tools: Sequence[Mapping[str, Any]], values: Sequence[Any], rng: random.Random) -> tuple[Call, ...]:
    """A random episode's calls.

    Args:
        tools: OpenAI function schemas.
        values: Values seen in an episode of the same task; drawn from often, so that calls reach real records.
    """
    functions = [tool["function"] for tool in tools]
    return tuple(_call(functions, values, rng) for _ in range(CALLS))


def values_in(data: Any) -> list[Any]:
    """All scalars in JSON data, in order, each once."""
    if isinstance(data, Mapping):
        values = [scalar for item in data.values() for scalar in values_in(item)]
    elif isinstance(data, list | tuple):
        values = [scalar for item in data for scalar in values_in(item)]
    else:
        return [] if data is None else [data]
    return list({(type(scalar), scalar): scalar for scalar in values}.values())


def _call(functions: Sequence[Mapping[str, Any]], values: Sequence[Any], rng: random.Random) -> Call:
    if not functions or rng.random() < 0.05:
        return Call("no_such_tool", {})
    function = rng.choice(functions)
    schema = function["parameters"]
    fields, required = schema.get("properties", {}), schema.get("required", [])
    arguments = {
        name: _value(field, schema, values, rng)
        for name, field in fields.items()
        if name in required or rng.random() < 0.5
    }
    return Call(function["name"], _spoiled(arguments, rng) if rng.random() < 0.15 else arguments)


def _spoiled(arguments: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The arguments with one thing wrong: one missing, one too many, or one of another type."""
    kind = rng.randrange(3) if arguments else 1
    if kind == 1:
        return {**arguments, "unasked_for": 1}
    name = rng.choice(list(arguments))
    rest = {key: value for key, value in arguments.items() if key != name}
    return rest if kind == 0 else {**rest, name: {"not": ["what", "was", "asked"]}}


def _value(
    schema: Mapping[str, Any],
    root: Mapping[str, Any],
    values: Sequence[Any],
    rng: random.Random,
    depth: int = 0,
) -> Any:
    if "$ref" in schema:
        schema = root.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {})
    if "const" in schema:
        return schema["const"]
    choices = schema.get("enum")
    if choices:
        return rng.choice(choices)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return _value(rng.choice(schema[union]), root, values, rng, depth)
    kind = schema.get("type", "string")
    if kind == "array":
        length = 0 if depth >= _DEPTH else _length(schema, rng)
        return [_value(schema.get("items", {}), root, values, rng, depth + 1) for _ in range(length)]
    if kind == "object":
        fields = {} if depth >= _DEPTH else schema.get("properties", {})
        return {name: _value(field, root, values, rng, depth + 1) for name, field in fields.items()}
    return _scalar(kind, schema, values, rng)


def _length(schema: Mapping[str, Any], rng: random.Random) -> int:
    least = schema.get("minItems", 0)
    return rng.randint(least, max(least, min(schema.get("maxItems", 3), 3)))


def _scalar(kind: str, schema: Mapping[str, Any], values: Sequence[Any], rng: random.Random) -> Any:
    if kind == "null":
        return None
    if kind == "boolean":
        return rng.random() < 0.5
    if kind in ("integer", "number"):
        numbers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
        pool = numbers if numbers and rng.random() < 0.5 else _within(schema)
        return rng.choice(pool)
    texts = [value for value in values if isinstance(value, str) and len(value) <= 200]
    return rng.choice(texts if texts and rng.random() < 0.7 else _ODD_TEXTS)


def _within(schema: Mapping[str, Any]) -> Sequence[int]:
    low, high = schema.get("minimum"), schema.get("maximum")
    inside = [n for n in _ODD_NUMBERS if (low is None or n >= low) and (high is None or n <= high)]
    edges = [int(edge) for edge in (low, high) if edge is not None]
    return [*inside, *edges] or _ODD_NUMBERS
