"""Recorded data an environment answers from: read-only, and clear about what was never recorded."""

import dataclasses
import difflib
import functools
import heapq
import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType, MappingProxyType
from typing import Any, NoReturn
from uuid import UUID

from practicum.digests import digest
from practicum.environment.tool import ToolError
from practicum.errors import EnvironmentFault

NEAR = 32
"""Keys that are compared at length with one that was not recorded."""

KEY_SHOWN = 80
"""Characters of a key that was not recorded which the agent is told, and which are compared."""


_IMMUTABLE = (
    *(type(None), bool, int, float, complex, str, bytes, range, Enum, type, FunctionType, BuiltinFunctionType),
    *(date, time, timedelta, tzinfo, Decimal, Fraction, PurePath, UUID, re.Pattern),
)


class Fixture(Mapping[str, Any]):
    """One recorded table: canonical key → response. Unknown keys are a deterministic tool error."""

    def __init__(self, name: str, rows: Mapping[str, Any]) -> None:
        self.name = name
        self._rows = {key: frozen(value) for key, value in rows.items()}

    @classmethod
    def load(cls, path: Path) -> "Fixture":
        """Read a JSON object of key → response.

        Raises:
            EnvironmentFault: no such file, or broken JSON (with the line), or a key that stands twice in one object.
        """
        try:
            rows = json.loads(
                path.read_text(encoding="utf-8"), object_pairs_hook=_without_doubles, parse_constant=_refused
            )
        except FileNotFoundError as error:
            raise EnvironmentFault("no such fixture", where=str(path), fix="record it, or mend its name") from error
        except json.JSONDecodeError as error:
            raise EnvironmentFault(f"broken fixture: {error.msg}", where=f"{path}:{error.lineno}") from error
        except (OSError, ValueError, RecursionError) as error:
            raise EnvironmentFault(f"broken fixture: {error}", where=str(path)) from error
        if not isinstance(rows, dict):
            raise EnvironmentFault("a fixture must be a JSON object of key → response", where=str(path))
        return cls(path.stem, rows)

    def __getitem__(self, key: str) -> Any:
        if key not in self._rows:
            asked = str(key)[:KEY_SHOWN]
            near = self._nearest(asked)
            raise ToolError(f"no record {asked!r} in {self.name}{near and f'; nearest recorded: {near}'}")
        return self._rows[key]

    def get(self, key: str, default: Any = None) -> Any:
        """The response, or ``default`` where none was recorded."""
        return self._rows.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __practicum_state__(self) -> list[str]:
        return [self.name, self._digest]

    @functools.cached_property
    def _digest(self) -> str:
        return digest(thawed(self._rows))

    def _nearest(self, key: str) -> str:
        """The recorded key most like the one asked for; empty where nothing is recorded."""
        # A full comparison of every key would take longer than all the rest of a call.
        counts = set(key)
        likely = heapq.nsmallest(NEAR, self._rows, key=lambda row: (len(counts ^ set(row)), abs(len(row) - len(key))))
        return next(iter(difflib.get_close_matches(key, likely, n=1, cutoff=0.0)), "")


def frozen(value: Any) -> Any:
    """Data that nothing can change: lists become tuples, objects read-only mappings, sets frozen; the rest as it is."""
    if isinstance(value, dict | MappingProxyType):
        return MappingProxyType({key: frozen(item) for key, item in value.items()})
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(frozen, value))
    if isinstance(value, list | tuple | deque):
        return tuple(frozen(item) for item in value)
    if isinstance(value, set | frozenset):
        return frozenset(value)
    return bytes(value) if isinstance(value, bytearray) else value


def immutable(value: Any) -> bool:
    """Whether nothing can change in ``value``, at any depth."""
    if isinstance(value, MappingProxyType):
        return all(immutable(item) for item in value.values())
    if isinstance(value, tuple | frozenset):
        return all(map(immutable, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [getattr(value, field.name) for field in dataclasses.fields(value)]
        return bool(type(value).__dataclass_params__.frozen) and all(map(immutable, fields))  # type: ignore[attr-defined]
    return isinstance(value, (*_IMMUTABLE, Fixture))


def thawed(value: Any) -> Any:
    """Plain JSON data from whatever a tool returned.

    Raises:
        TypeError: a mapping's key is neither text nor a number, or two keys would be the same text.
    """
    if isinstance(value, Mapping):
        plain = {key if type(key) is str else _key(key): thawed(item) for key, item in value.items()}
        if len(plain) < len(value):
            raise TypeError("two keys of a mapping are the same as text")
        return plain
    if isinstance(value, tuple | list):
        return [thawed(item) for item in value]
    return value


def _key(key: Any) -> str:
    """A key as JSON would write it."""
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, bool | int | float):
        return json.dumps(key, allow_nan=False)
    raise TypeError(f"keys must be text, not {type(key).__name__}")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise ValueError(f"key {key!r} stands twice in one object")
        members[key] = value
    return members


def _refused(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
