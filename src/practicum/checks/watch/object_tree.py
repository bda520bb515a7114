"""Values as trees that can be compared later: what a program keeps, free of addresses and of what libraries hide.

A tree is a tuple: ``("leaf", text)``, ``("map", {key: tree})``, ``("list", [tree])``, ``("bag", {text})`` or
``("object", type, is_library, {attribute: tree})``.
"""

import collections
import contextvars
import functools
import gc
import io
import queue
import random
import sqlite3
import sys
import threading
import types
import weakref
import zlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, Literal

from practicum.environment import Environment, Fixture
from practicum.environment.declared_state import digest_state
from practicum.environment.places import origin

Tree = tuple[Any, ...]

NODES = 100_000
"""Parts of a value after which it is held to be too large to be compared whole."""

_TEXT = 60
_NAMED_ONLY = (Enum, type, types.ModuleType, types.BuiltinFunctionType, Environment, Fixture, weakref.ref)


class Outliner:
    """Draws outlines for one environment; one use draws any number of values."""

    def __init__(self, home: Path, nodes: int = NODES) -> None:
        self._home = home
        self._nodes = self._left = nodes
        self._within: dict[int, int] = {}

    def of(self, value: Any) -> Tree:
        """A value's tree."""
        self._left = self._nodes
        self._within = {}
        return self._tree(value)

    def _tree(self, value: Any) -> Tree:
        text = _scalar(value)
        if text is not None:
            return ("leaf", text)
        key = id(value)
        if key in self._within:
            return ("leaf", f"the value {len(self._within) - self._within[key]} above")
        self._left -= 1
        if self._left < 0:
            return ("leaf", "…")
        self._within[key] = len(self._within)
        try:
            return self._content(value)
        except RecursionError:
            return ("leaf", f"{type(value).__name__}, nested too deep")
        finally:
            self._within.pop(key, None)

    def _content(self, value: Any) -> Tree:
        special = _special(type(value))
        if special is not None:
            return self._special(value, special)
        if isinstance(value, dict | Mapping):
            return self._with_attributes(value, ("map", {_key(key): self._tree(item) for key, item in _pairs(value)}))
        if isinstance(value, list | tuple | collections.deque):
            return self._with_attributes(value, ("list", [self._tree(item) for item in list(value)]))
        if isinstance(value, set | frozenset | Set):
            return ("bag", frozenset(_key(item) for item in list(value)))
        if isinstance(value, types.FunctionType):
            return self._function(value)
        return self._object(value)

    def _special(self, value: Any, special: Any) -> Tree:
        try:
            content = special(value)
        except Exception as error:
            return ("leaf", f"{type(value).__name__}: {type(error).__name__}")
        return content[1] if isinstance(content, _Ready) else self._tree(content)

    def _with_attributes(self, value: Any, tree: Tree) -> Tree:
        """Subclasses of containers may keep attributes of their own."""
        attributes = getattr(value, "__dict__", None)
        if not isinstance(attributes, dict) or not attributes or isinstance(value, types.MappingProxyType):
            return tree
        return (
            "object",
            _name(type(value)),
            self._foreign(type(value)),
            {"its items": tree, **self._members(attributes)},
        )

    def _members(self, attributes: Mapping[str, Any]) -> dict[str, Tree]:
        return {f".{name}": self._tree(item) for name, item in list(attributes.items())}

    def _function(self, value: types.FunctionType) -> Tree:
        if origin(value.__code__.co_filename, self._home) not in ("user", "standard"):
            return ("leaf", value.__qualname__)
        cells = {}
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
            if name != "__class__" and not _is_empty_cell(cell):
                cells[f" closure of {name}"] = self._tree(cell.cell_contents)
        named = dict(zip(_defaulted(value), value.__defaults__ or (), strict=False)) | (value.__kwdefaults__ or {})
        defaults = {f" default of {name}": self._tree(item) for name, item in named.items()}
        own = {name: item for name, item in vars(value).items() if name not in _FUNCTION_ATTRIBUTES}
        return ("object", value.__qualname__, False, {**cells, **defaults, **self._members(own)})

    def _object(self, value: Any) -> Tree:
        kind = type(value)
        foreign = self._foreign(kind)
        try:
            attributes = {**_slots(value), **getattr(value, "__dict__", {})}
        except Exception:
            attributes = {}
        if attributes or kind is object or self._is_users(kind):
            return ("object", _name(kind), foreign, self._members(attributes))
        # Iterators, dates, decimals, compiled patterns and the like: what pickle would write of them.
        return ("object", _name(kind), _is_library(kind), {"its content": ("leaf", _digest(value))})

    def _foreign(self, kind: type) -> bool:
        """Whether a class is a library's: what it keeps to itself is its own business unless results tell."""
        if kind.__module__ in sys.stdlib_module_names or kind.__module__.partition(".")[0] in sys.stdlib_module_names:
            return kind.__module__ not in _DATA_MODULES
        return not self._is_users(kind)

    def _is_users(self, kind: type) -> bool:
        file = getattr(sys.modules.get(kind.__module__), "__file__", None)
        return file is not None and origin(file, self._home) == "user"


def _scalar(value: Any) -> str | None:
    """The text of what has no parts, or is known by its name; None for all else."""
    if value is None or isinstance(value, bool | int | float | complex):
        return repr(value)
    if isinstance(value, str | bytes):
        return repr(value) if len(value) <= _TEXT else f"{value[:_TEXT]!r}… {_checksum(value)}"
    return _name(value) if isinstance(value, _NAMED_ONLY) else None


def _checksum(value: str | bytes) -> int:
    return zlib.crc32(value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass"))


class _Ready(tuple[None, Tree]):
    """A tree that is drawn already."""


def _is_library(kind: type) -> bool:
    return kind.__module__.partition(".")[0] not in sys.stdlib_module_names


_DATA_MODULES = frozenset(
    {"builtins", "collections", "types", "itertools", "array", "decimal", "fractions", "datetime"}
)
_FUNCTION_ATTRIBUTES = frozenset({"__wrapped__", "__practicum_tool__", "__isabstractmethod__"})


def _digest(value: Any) -> str:
    try:
        return digest_state(value)
    except Exception as error:
        return type(error).__name__


def _leaf(text: str) -> _Ready:
    return _Ready((None, ("leaf", text)))


def _generator(value: Any) -> Any:
    frame = value.gi_frame
    return ["ended"] if frame is None else [frame.f_lasti, dict(frame.f_locals)]


def _database(value: sqlite3.Connection) -> Any:
    return _leaf(f"a database {digest_state(value)} in {'a' if value.in_transaction else 'no'} transaction")


def _stream(value: Any) -> Any:
    return _leaf(
        f"closed {value.name}" if value.closed else f"{value.name} open at {value.tell() if value.seekable() else '?'}"
    )


def _cache(value: Any) -> Any:
    """What a functools cache holds: the collector knows, though Python does not say."""
    for referent in gc.get_referents(value):
        if isinstance(referent, dict) and "__wrapped__" not in referent:
            return {"cached": {_key(key): _cached(item) for key, item in referent.items()}}
    return []


def _cached(item: Any) -> Any:
    if type(item).__name__ != "_lru_list_elem":
        return item
    return [each for each in gc.get_referents(item) if not isinstance(each, type)][-1:]


def _array(value: Any) -> Any:
    return _leaf(f"array {value.dtype} {value.shape} {_digest(value.tobytes())}")


_SPECIAL: dict[type, Any] = {
    PurePath: lambda value: _leaf(f"the path {value}"),
    random.Random: lambda value: _leaf(f"a generator at {_digest(value.getstate())}"),
    sqlite3.Connection: _database,
    sqlite3.Cursor: lambda value: _leaf("a cursor"),
    types.GeneratorType: _generator,
    types.CoroutineType: lambda value: _leaf("a coroutine"),
    types.MethodType: lambda value: [value.__func__],
    types.CellType: lambda value: [] if _is_empty_cell(value) else [value.cell_contents],
    functools.partial: lambda value: [value.func, value.args, value.keywords],
    staticmethod: lambda value: [value.__func__],
    classmethod: lambda value: [value.__func__],
    property: lambda value: [value.fget, value.fset],
    functools.cached_property: lambda value: [value.func],
    functools._lru_cache_wrapper: _cache,
    contextvars.ContextVar: lambda value: [value.get(None)],
    threading.local: vars,
    type(threading.Lock()): lambda value: _leaf("a lock, held" if value.locked() else "a lock, free"),
    threading.Semaphore: lambda value: _leaf(f"a semaphore at {value._value}"),
    threading.Event: lambda value: _leaf(f"an event, {'set' if value.is_set() else 'not set'}"),
    queue.Queue: lambda value: list(value.queue),
    io.StringIO: lambda value: _leaf("closed") if value.closed else [value.getvalue(), value.tell()],
    io.BytesIO: lambda value: _leaf("closed") if value.closed else [value.getvalue(), value.tell()],
    io.IOBase: _stream,
}
"""How to look into what shows nothing by itself."""


_known: dict[type, Any] = {}


def _special(kind: type) -> Any:
    if kind not in _known:
        _known[kind] = next((_SPECIAL[base] for base in kind.__mro__ if base in _SPECIAL), None)
    return _known[kind]


def numpy_specials() -> None:
    """Know NumPy's arrays and generators, once it is loaded."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "ndarray") or numpy.ndarray in _SPECIAL:
        return
    _known.clear()
    _SPECIAL[numpy.ndarray] = _array
    generators = sys.modules.get("numpy.random")
    if generators is not None:
        _SPECIAL[generators.Generator] = lambda value: _leaf(
            f"a generator at {_digest(repr(value.bit_generator.state))}"
        )
        _SPECIAL[generators.RandomState] = lambda value: _leaf(f"a generator at {_digest(repr(value.get_state()))}")


def _is_empty_cell(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is cell
    except ValueError:
        return True


def _defaulted(function: types.FunctionType) -> tuple[str, ...]:
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    return names[len(names) - len(function.__defaults__ or ()) :]


def _slots(value: Any) -> dict[str, Any]:
    names: list[str] = []
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
    return {name: getattr(value, name) for name in names if name not in _NO_SLOTS and hasattr(value, name)}


_NO_SLOTS = frozenset({"__dict__", "__weakref__"})


def _pairs(value: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return list(value.items())


def _key(value: Any) -> str:
    if isinstance(value, str | int | float | bool | bytes | type(None)):
        return repr(value)
    if isinstance(value, tuple | frozenset):
        inner = [_key(item) for item in value]
        return f"({', '.join(inner if isinstance(value, tuple) else sorted(inner))})"
    if isinstance(value, Enum | Environment | type | types.FunctionType | types.ModuleType):
        return _name(value)
    return f"{type(value).__name__} {_digest(value)[:12]}"


def _name(value: Any) -> str:
    if isinstance(value, Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, Environment):
        return f"an instance of {type(value).__qualname__}"
    return str(getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or type(value).__qualname__)


ChangeKind = Literal["filled", "grew", "shrank", "changed"]
"""``filled``: nothing, or something empty, became something. ``grew``, ``shrank``: a mapping or set gained or lost
an entry. ``changed``: something became another thing, or a list grew that held something."""


@dataclass(frozen=True)
class TreeChange:
    """One place in which a value changed.

    Attributes:
        path: Names and keys that lead to it.
        library: Whether it lies inside a library's own object.
        before, after: Short texts.
    """

    path: tuple[str, ...]
    kind: ChangeKind
    library: bool
    before: str
    after: str

    @property
    def name(self) -> str:
        """The place as code would say it."""
        return "".join(part if part[:1] in (".", " ") else f"[{part}]" for part in self.path)


def changes(before: Tree, after: Tree, path: tuple[str, ...] = (), library: bool = False) -> Iterator[TreeChange]:
    """Every place in which they differ, outermost first where all of it became another thing."""
    if before == after:
        return
    kinds = before[0], after[0]
    if kinds == ("map", "map"):
        yield from _of_entries(before[1], after[1], path, library)
    elif kinds == ("bag", "bag"):
        for item in sorted(after[1] - before[1]):
            yield TreeChange((*path, item), "grew", library, "nothing", item)
        for item in sorted(before[1] - after[1]):
            yield TreeChange((*path, item), "shrank", library, item, "nothing")
    elif kinds == ("object", "object") and before[1] == after[1]:
        yield from _of_entries(before[3], after[3], path, library or before[2])
    elif kinds == ("list", "list") and len(before[1]) == len(after[1]):
        for number, (was, now) in enumerate(zip(before[1], after[1], strict=True)):
            yield from changes(was, now, (*path, str(number)), library)
    else:
        kind: ChangeKind = "filled" if is_empty(before) else "changed"
        yield TreeChange(path, kind, library, short(before), short(after))


def _of_entries(
    before: dict[str, Tree], after: dict[str, Tree], path: tuple[str, ...], library: bool
) -> Iterator[TreeChange]:
    for key in before.keys() | after.keys():
        if key not in before:
            yield TreeChange((*path, key), "grew", library, "nothing", short(after[key]))
        elif key not in after:
            yield TreeChange((*path, key), "shrank", library, short(before[key]), "nothing")
        else:
            yield from changes(before[key], after[key], (*path, key), library)


def is_empty(tree: Tree) -> bool:
    """Whether nothing stands there yet: None, False, zero, an empty text or container, or a bare mark for that."""
    if tree[0] == "leaf":
        return tree[1] in _EMPTY
    if tree[0] == "object":
        return all(name == "its items" and is_empty(inner) for name, inner in tree[3].items())
    return not tree[1]


_EMPTY = frozenset({"None", "False", "0", "0.0", "''", "b''", "Ellipsis", "NotImplemented"})


def short(tree: Tree) -> str:
    """A tree in a few words."""
    if tree[0] == "leaf":
        return str(tree[1])
    if tree[0] == "object":
        return f"{tree[1]} object"
    names = {"map": "a mapping", "list": "a list", "bag": "a set"}
    return f"{names[tree[0]]} of {len(tree[1])}"
