"""Schemas that others wrote without bounds get them, and what foreign tools return becomes plain JSON data."""

import datetime
import math
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

TEXT, ITEMS, NUMBER = 20_000, 100, 1e12

_LIMITS: Mapping[str, Mapping[str, Any]] = {
    "string": {"maxLength": TEXT},
    "array": {"maxItems": ITEMS},
    "object": {"maxProperties": ITEMS},
    "integer": {"minimum": -int(NUMBER), "maximum": int(NUMBER)},
    "number": {"minimum": -NUMBER, "maximum": NUMBER},
}

_CLOSED: Mapping[str, Any] = {"additionalProperties": False}


def bounded(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema with a bound wherever it has none; arguments it does not name are refused."""
    names_its_fields = "properties" in schema and schema.get("type") == "object"
    return {**_bounded(schema), **({} if not names_its_fields or "additionalProperties" in schema else _CLOSED)}


def _bounded(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    inner: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions"):
            inner[key] = {name: _bounded(part) for name, part in value.items()}
        elif key in ("anyOf", "oneOf", "allOf"):
            inner[key] = [_bounded(part) for part in value]
        else:
            inner[key] = _bounded(value) if key in ("items", "additionalProperties") else value
    if "enum" in schema or "const" in schema:
        return inner
    kinds = schema.get("type")
    for kind in [kinds] if isinstance(kinds, str) else kinds or ():
        if kind != "object" or "properties" not in schema:
            inner = {**inner, **{key: limit for key, limit in _LIMITS.get(kind, {}).items() if key not in inner}}
    return inner


def plain(value: Any) -> Any:
    """The value as JSON data.

    NumPy scalars and arrays become numbers and lists, what is not a number becomes null, dates ISO text, sets sorted
    lists, tables lists of rows; anything else its text.
    """
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    return _foreign(value)


def _foreign(value: Any) -> Any:
    if type(value).__name__ in ("NAType", "NaTType"):
        return None  # what pandas puts where nothing is
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    # NumPy's scalars and arrays, then pandas' tables.
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if hasattr(value, "to_dict"):
        return plain(value.to_dict("records") if hasattr(value, "columns") else value.to_dict())
    return str(value)
