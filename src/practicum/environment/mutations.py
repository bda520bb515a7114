"""What a tool must leave alone and could still change in place: seen by looking before and after.

Rebinding an attribute is refused when it happens. A list that is only appended to is not an assignment, so plain data
(numbers, text, lists, dicts, sets) on the class and on the instance is compared, up to a size. ``read_only`` objects
that cannot be frozen are compared too.

Episodes run in threads. Only tools are watched: a constructor, ``start``, ``stop``, ``next_user`` and ``final_state``
may well keep something on the class, such as a table that is read once. While another episode is within one of these,
what changes on the class is nobody's fault here.
"""

import functools
import marshal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from practicum.environment.canonical import digest_value
from practicum.environment.declared_state import StateFault, declared
from practicum.environment.parts import own_classes
from practicum.environment.tool import place_of

if TYPE_CHECKING:
    from practicum.environment.base import Environment

WATCHED = 500
"""Values within one attribute up to which it is watched: looking must stay cheap beside the call."""

_NO_REFERENCES = 2
"""The version of ``marshal`` whose bytes depend on the data alone."""

_SCALARS = (type(None), bool, int, float, str, bytes)
_CONTAINERS = (list, dict, set, bytearray)

_Place = tuple[str, Mapping[str, Any], str]
"""A name for people, and where the value stands."""


class _Unwatched:
    """How much unwatched code has begun or ended, and how much is running now, in all threads."""

    def __init__(self) -> None:
        self.lock, self.turns, self.running = threading.Lock(), 0, 0

    def count(self, more: int) -> None:
        with self.lock:
            self.turns, self.running = self.turns + 1, self.running + more


_unwatched = _Unwatched()


@contextmanager
def unwatched() -> Iterator[None]:
    """Around what may keep something on the class."""
    _unwatched.count(1)
    try:
        yield
    finally:
        _unwatched.count(-1)


@dataclass(frozen=True)
class Marks:
    """How everything watched stands, and whether it was alone."""

    values: list[Any]
    turn: int
    alone: bool


class MutationWatch:
    """Watches one episode of an environment. Made once ``start`` has run."""

    def __init__(self, environment: "Environment", attributes: set[str]) -> None:
        kind: type = type(environment)
        values = vars(environment)
        shared = _class_places(kind)
        self._shared = len(shared)
        self._places: list[_Place] = [
            *shared,
            *(
                (f"{kind.__name__}.{name}", values, name)
                for name in sorted(attributes)
                if _watchable(values.get(name), ())
            ),
        ]
        self._guarded = [one for one in declared(kind).values() if one.kind == "read_only" and one.mutable(environment)]

    def marks(self, environment: "Environment") -> Marks:
        """How everything watched stands."""
        turn, alone = _unwatched.turns, not _unwatched.running
        values = [_mark(holder.get(name)) for _, holder, name in self._places]
        return Marks(values + [digest_value(one.initial(environment)) for one in self._guarded], turn, alone)

    def check(self, environment: "Environment", tool: str, before: Marks) -> None:
        """Compare with marks taken before a tool ran.

        Raises:
            StateFault: something changed.
        """
        after = self.marks(environment)
        first = 0 if before.alone and before.turn == _unwatched.turns else self._shared
        if after.values[first:] == before.values[first:]:
            return
        kind = type(environment)
        names = [name for name, _, _ in self._places] + [f"{kind.__name__}.{one.name}" for one in self._guarded]
        pairs = list(zip(names, before.values, after.values, strict=True))
        name = next(name for name, old, new in pairs[first:] if old != new)
        raise StateFault(
            f"{name} was changed by tool {tool!r}, and is no declared state",
            where=place_of(getattr(kind, tool, None)) or kind.__module__,
            allowed="what start(self, task) assigns, or a class attribute made with reset(…) or persist(…)",
            fix=f"make it in start, or declare it: {name.rpartition('.')[2]} = reset(…)",
        )


@functools.lru_cache(maxsize=1024)
def _class_places(kind: type) -> tuple[_Place, ...]:
    return tuple(
        (f"{base.__name__}.{name}", vars(base), name)
        for base in own_classes(kind)
        for name, value in vars(base).items()
        if not name.startswith("__") and name != "_tools" and _watchable(value, _SCALARS)
    )


def _watchable(value: Any, also: tuple[type, ...]) -> bool:
    if type(value) in also:
        return True
    return type(value) in _CONTAINERS and _small(value) and _mark(value) is not None


def _small(value: Any) -> bool:
    """Whether data has few values; False for data within itself."""
    budget, waiting = WATCHED, [value]
    while waiting:
        container = waiting.pop()
        budget -= len(container)
        if budget < 0:
            return False
        inner = (
            container.values() if isinstance(container, dict) else () if isinstance(container, bytearray) else container
        )
        waiting += [one for one in inner if isinstance(one, list | dict | set | tuple | frozenset)]
    return True


def _mark(value: Any) -> Any:
    """What differs once a value has changed; None for what is no plain data."""
    if type(value) not in _CONTAINERS:
        return (type(value), value) if type(value) in _SCALARS else None
    try:
        return marshal.dumps(value, _NO_REFERENCES)
    except ValueError:
        return None
