"""A digest of any value, the same in every process: for the state of an environment.

JSON data is hashed as it is. Everything else is a graph of objects, and two graphs are equal where they unfold to the
same tree: types and contents count, but neither addresses, nor the order of a set, nor whether two equal lists are
one. What nothing can be known of (a lock, a generator, a thread, a socket) counts by its type alone; a class may say
itself what its state is, with a method ``__practicum_state__``.
"""

import copyreg
import functools
import hashlib
import json
import sqlite3
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextvars import Context
from datetime import datetime
from enum import Enum
from pathlib import PurePath
from subprocess import Popen
from threading import Thread
from types import BuiltinFunctionType, FunctionType, MappingProxyType, ModuleType
from typing import Any

HOOK = "__practicum_state__"

ROUNDS = 20
"""How far along its references two nodes on cycles are compared; what they hold themselves always counts."""

_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
"""As ``practicum.digests.canonical_json``, without making an encoder each time."""

_LEAVES = frozenset({type(None), bool, int, float, complex, str, bytes})
"""Types whose ``ascii`` says all there is."""

_Parts = tuple[str, bool, list[Any]]
"""A node's label, whether the order of its children counts, and these."""


def digest_value(value: Any, named: Mapping[int, str] = MappingProxyType({}), hidden: str = "") -> str:
    """SHA-256 (hex), equal for equal data.

    Args:
        value: Anything.
        named: Objects that are described elsewhere, by ``id``: each counts as its name.
        hidden: A text that differs from run to run (a temporary folder's path), left out wherever it stands.
    """
    return _hashed(_json_text(value, hidden) or "graph " + _Graph(named, hidden).digest(value))


def digest_named(values: Mapping[str, Any], beside: list[Any], named: Mapping[int, str], hidden: str) -> str:
    """``digest_value`` of several values and of JSON beside them; one that is no JSON slows no other down."""
    text = _json_text([values, beside], hidden) if values else _encoded(beside)
    if text is None:
        each = {name: digest_value(value, named, hidden) for name, value in values.items()}
        text = "named " + _encoded([each, beside])
    return _hashed(text)


def image_digest(database: sqlite3.Connection, *, settled: bool = True) -> str:
    """SHA-256 (hex) over what a database holds, temporary tables included; of one that cannot be read, the reason.

    Over its pages: that is a hundred times faster than to read the rows. The same statements give the same pages;
    rows that were written and deleted again may leave a trace in them. Over its rows where ``settled`` is false or a
    transaction is open: then the pages may not hold all of it.
    """
    hashed = hashlib.sha256()
    try:
        cursor = database.cursor()
        cursor.row_factory = None
        for schema in schemas(cursor):
            if database.in_transaction or not settled:
                hashed.update(_rows(cursor, schema))
                continue
            image = memoryview(database.serialize(name=schema))
            # Counters, and the version of the library that wrote it, are no content.
            for part in (image[:24], image[28:92], image[100:]):
                hashed.update(part)
    except sqlite3.Error as error:
        return f"unreadable: {type(error).__name__}"
    return hashed.hexdigest()


def schemas(cursor: sqlite3.Cursor) -> list[str]:
    """``main``, and ``temp`` where there are temporary tables. To ask ``temp`` itself would make it: 90 kB."""
    return ["main", "temp"] if len(cursor.execute("PRAGMA database_list").fetchall()) > 1 else ["main"]


def _rows(cursor: sqlite3.Cursor, schema: str) -> bytes:
    master = cursor.execute(f"SELECT type, name, sql FROM {schema}.sqlite_schema ORDER BY type, name").fetchall()
    names = [str(name).replace('"', '""') for kind, name, _ in master if kind == "table"]
    return ascii([master, *(cursor.execute(f'SELECT * FROM {schema}."{name}"').fetchall() for name in names)]).encode()


def _json_text(value: Any, hidden: str) -> str | None:
    """A value as JSON; None where JSON would not give it back as it was."""
    try:
        text = _encoded(value)
        if json.loads(text) != value:
            return None
    except (TypeError, ValueError, RecursionError):
        return None
    return text.replace(json.dumps(hidden, ensure_ascii=False)[1:-1], "") if hidden else text


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class _Graph:
    """Objects as nodes. A child is a leaf itself, or a node's number in a tuple of one; a digest likewise."""

    def __init__(self, named: Mapping[int, str], hidden: str) -> None:
        self._known, self._hidden = named, hidden
        self._numbers: dict[int, tuple[int]] = {}
        self._values: list[Any] = []  # they stay alive, so that no two of them share an id
        self._nodes: list[_Parts] = []

    def digest(self, value: Any) -> str:
        """The value's digest."""
        self._child([value])
        for item in self._values:  # grows meanwhile
            label, ordered, parts = self._opened(item)
            if self._hidden:
                parts = [part.replace(self._hidden, "") if type(part) is str else part for part in parts]
            self._nodes.append(
                (label, ordered, [part if type(part) in _LEAVES else self._child(part) for part in parts])
            )
        return self._coloured()

    def _child(self, value: Any) -> Any:
        number = self._numbers.get(id(value))
        if number is None:
            if id(value) in self._known:
                return f"known {self._known[id(value)]}"
            number = self._numbers[id(value)] = (len(self._values),)
            self._values.append(value)
        return number

    def _opened(self, value: Any) -> _Parts:
        kind = type(value)
        if kind in (dict, MappingProxyType):
            return self._mapping(value)
        if kind in (list, tuple, set, frozenset):
            return kind.__name__, kind in (list, tuple), list(value)
        if hasattr(kind, HOOK):
            return kind.__qualname__, True, [getattr(value, HOOK)()]
        for types, told in _SPECIAL:
            if isinstance(value, types):
                label, parts = told(value)
                return f"{kind.__qualname__} {label}", True, parts
        return self._object(value, kind.__qualname__)

    def _mapping(self, value: Mapping[Any, Any]) -> _Parts:
        if all(type(key) is str for key in value):
            keys = sorted(value)
            told = [key.replace(self._hidden, "") for key in keys] if self._hidden else keys
            return f"dict {told}", True, [value[key] for key in keys]
        return "pairs", False, list(value.items())

    def _object(self, value: Any, name: str) -> _Parts:
        """By what pickle would write of it: the constructor's arguments, attributes, items."""
        reducer = copyreg.dispatch_table.get(type(value))
        try:
            reduced = reducer(value) if reducer else value.__reduce_ex__(4)
            if isinstance(reduced, str):
                return f"{name} {reduced}", True, []
            function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
            items_and_pairs = [None if items is None else list(items), None if pairs is None else dict(pairs)]
            if function is copyreg.__newobj__:  # type: ignore[attr-defined]
                arguments = arguments[1:]
        except Exception:  # a lock, a generator, a connection; or a class that cannot be pickled
            arguments, state, items_and_pairs = (), getattr(value, "__dict__", None), []
        if type(state) is not dict:
            return name, True, [*arguments, state, *items_and_pairs]
        kind: type = type(value)
        caches = _caches(kind)
        label, ordered, attributes = self._mapping({key: item for key, item in state.items() if key not in caches})
        return f"{name} {label}", True, [*(attributes if ordered else [set(attributes)]), *arguments, *items_and_pairs]

    def _coloured(self) -> str:
        """The first node's digest: from the leaves up, and on cycles by rounds until no round tells more apart."""
        colours: list[tuple[str]] = [("",)] * len(self._nodes)
        waiting = [0] * len(self._nodes)
        parents: list[list[int]] = [[] for _ in self._nodes]
        for number, (_, _, children) in enumerate(self._nodes):
            for child in {child[0] for child in children if type(child) is tuple}:
                waiting[number] += 1
                parents[child].append(number)
        ready = [number for number, pending in enumerate(waiting) if not pending]
        for number in ready:  # grows meanwhile
            colours[number] = self._colour(number, colours)
            for parent in parents[number]:
                waiting[parent] -= 1
                if not waiting[parent]:
                    ready.append(parent)
        cyclic = [number for number, pending in enumerate(waiting) if pending]
        kinds: set[tuple[str]] = set()
        for _ in range(ROUNDS if cyclic else 0):
            new = [self._colour(number, colours) for number in cyclic]
            for number, colour in zip(cyclic, new, strict=True):
                colours[number] = colour
            before, kinds = len(kinds), set(new)
            if len(kinds) == before:
                break
        return ascii((colours[0], sorted(kinds)))

    def _colour(self, number: int, colours: list[tuple[str]]) -> tuple[str]:
        label, ordered, children = self._nodes[number]
        shown_children = [colours[child[0]] if type(child) is tuple else child for child in children]
        try:
            text = ascii((label, shown_children if ordered else sorted(map(ascii, shown_children))))
        except ValueError:  # a number of thousands of digits
            exact = [f"int {child:x}" if type(child) is int else child for child in shown_children]
            text = ascii((label, exact if ordered else sorted(map(ascii, exact))))
        return (hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest(),)


_RUNNING = (AbstractEventLoop, Future, Executor, Thread, Popen, Context)
"""What works rather than holds: its numbers are this process's."""

_SPECIAL: tuple[tuple[Any, Callable[[Any], tuple[str, list[Any]]]], ...] = (
    ((type, FunctionType, BuiltinFunctionType), lambda value: (value.__qualname__, [])),
    (ModuleType, lambda value: (value.__name__, [])),
    (_RUNNING, lambda value: ("", [])),
    (Enum, lambda value: (str(value.name), [value.value] if value.name is None else [])),
    (datetime, lambda value: (f"{value.fold} {value.replace(tzinfo=None).isoformat()}", [value.tzinfo])),
    (PurePath, lambda value: ("", [str(value)])),
    (bytearray, lambda value: ("", [bytes(value)])),
    ((set, frozenset), lambda value: ("", [frozenset(value), getattr(value, "__dict__", None)])),
    (sqlite3.Connection, lambda value: (image_digest(value), [])),
    (sqlite3.Row, lambda value: ("", [value.keys(), tuple(value)])),
)
"""Types that pickle would not write, or not as what they are: a label, and children."""


@functools.cache
def _caches(kind: type) -> frozenset[str]:
    """Attributes that are computed from the others when first asked for."""
    found = (vars(base).items() for base in kind.__mro__)
    return frozenset(name for each in found for name, one in each if isinstance(one, functools.cached_property))
