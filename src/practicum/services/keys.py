"""What makes two calls the same call, and which recorded call is nearest to one that was not recorded."""

from collections.abc import Iterable, Mapping
from typing import Any

from practicum.digests import canonical_json


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


def nearest(wanted: str, recorded: Iterable[str]) -> str | None:
    """The recorded key with the smallest edit distance; of equally near ones the first in order of text."""
    best: str | None = None
    least = -1
    for key in sorted(recorded):
        if best is not None and abs(len(key) - len(wanted)) >= least:
            continue
        distance = edit_distance(wanted, key)
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
        right, left = down | ~(diagonal | up) & mask, up & diagonal
        distance += bool(right & last) - bool(left & last)
        right, left = (right << 1 | 1) & mask, left << 1 & mask
        up, down = left | ~(diagonal | right) & mask, right & diagonal
    return distance


def _whole(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
