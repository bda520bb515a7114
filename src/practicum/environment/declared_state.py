"""An environment's state: what may change in an episode, when it may be assigned, and what is carried to the next.

    class Shop(Environment):
        basket = reset(list)                  # fresh in every episode
        prices = read_only(load_prices)       # the same for all, and frozen
        visits = persist(0, version="1")      # every episode begins with version 1's value

What ``start`` assigns on ``self`` is reset state too. A tool that rebinds any other attribute is an
``EnvironmentFault``: such state would leak from one episode into the next.
"""

import copy
import functools
import json
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import quote

from practicum.environment.canonical import digest_named, digest_value
from practicum.environment.fixtures import frozen, immutable
from practicum.environment.resources import Resources
from practicum.errors import EnvironmentFault
from practicum.files import write_text
from practicum.tasks import Task

if TYPE_CHECKING:
    from practicum.environment.base import Environment

Kind = Literal["reset", "read_only", "persist"]

_MISSING = object()
_LOADING = threading.RLock()


class StateFault(EnvironmentFault):
    """State changed that is not declared, or that is declared read_only."""


class Declared:
    """A declared state variable: a descriptor that keeps each instance's value."""

    def __init__(self, kind: Kind, value: Any, version: str = "") -> None:
        self.kind, self.version = kind, version
        self.name = ""
        self._value = value
        self._loaded: dict[Path | None, Any] = {}
        self._mutable: bool | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: "Environment | None", owner: type) -> Any:
        if instance is None:
            return self
        if self.kind == "read_only":
            return self.initial(instance)
        values = instance.__dict__.setdefault("_declared", {})
        if self.name not in values:
            values[self.name] = self.initial(instance)
        return values[self.name]

    def __set__(self, instance: "Environment", value: Any) -> None:
        if value is self:
            return  # a dataclass, whose field has this declaration as its default
        where = f"{type(instance).__name__}.{self.name}"
        if self.kind == "read_only":
            raise StateFault(
                f"{where} is declared read_only, and was assigned",
                where=caller_place(),
                fix=f"declare it as {self.name} = reset(…), or leave it alone",
            )
        if instance.task is None:
            raise StateFault(
                f"{where} is declared {self.kind}, and was assigned outside an episode, where nothing would keep it",
                where=caller_place(),
                fix=f"assign it in start(self, task), or give its declaration the value: {self.name} = {self.kind}(…)",
            )
        instance.__dict__.setdefault("_declared", {})[self.name] = value

    def initial(self, instance: "Environment") -> Any:
        """What an episode begins with."""
        if self.kind == "reset":
            return self._fresh()
        # What was published lies beside the class's file, which a subclass may have elsewhere.
        place = instance.folder if self.kind == "persist" else None
        value = self._loaded.get(place, _MISSING)
        if value is _MISSING:
            with _LOADING:
                if place not in self._loaded:
                    self._loaded[place] = self._load(place)
                value = self._loaded[place]
        return value if place is None else copy.deepcopy(value)

    def mutable(self, instance: "Environment") -> bool:
        """Whether something in a ``read_only`` value could not be frozen."""
        value = self.initial(instance)
        if self._mutable is None:
            self._mutable = not immutable(value)
        return self._mutable

    def _load(self, place: Path | None) -> Any:
        if place is None:
            try:
                return frozen(self._fresh())
            except RecursionError as error:
                raise EnvironmentFault(
                    f"{self.name} is declared read_only and contains itself", fix="give data without cycles"
                ) from error
        path = published_path(place, self.name, self.version)
        return _read(path) if path.exists() else self._fresh()

    def _fresh(self) -> Any:
        return self._value() if callable(self._value) else copy.deepcopy(self._value)

    def describe(self, instance: "Environment") -> list[Any]:
        """JSON for the environment's digest. What ``reset`` makes may be drawn at random; its code counts."""
        value = None if self.kind == "reset" else digest_value(self.initial(instance))
        return [self.name, self.kind, self.version, value]


def reset(factory: Callable[[], Any] | Any) -> Any:
    """State that every episode begins with anew: a function without arguments, or a value that is copied."""
    return Declared("reset", factory)


def read_only(value: Callable[[], Any] | Any) -> Any:
    """State that nothing changes: loaded once (a function is called), and frozen.

    Lists become tuples, dicts read-only mappings, sets frozen sets, at every depth. What cannot be frozen (an
    object of a class of your own) is compared after every call.
    """
    return Declared("read_only", value)


def persist(value: Callable[[], Any] | Any, version: str) -> Any:
    """State carried from episode to episode on purpose.

    Every episode begins with the value of ``version``: what ``publish`` wrote, or ``value`` where nothing was
    published under it. Episodes therefore stay independent of each other; carrying on is an explicit step.
    """
    if not isinstance(version, str) or not version:
        raise EnvironmentFault(f"the version of persistent state is {version!r}", allowed='text, as in version="1"')
    return Declared("persist", value, version)


def declared(kind: type) -> Mapping[str, Declared]:
    """A class's state variables by name, base classes first."""
    return _declared(kind)


def publish(environment: "Environment", name: str, version: str) -> Path:
    """Write the present value of a ``persist`` variable as a new version, beside the environment's file.

    Raises:
        EnvironmentFault: no such variable, a value that is not JSON, or a version that is there already or in use.
    """
    variable = declared(type(environment)).get(name)
    if variable is None or variable.kind != "persist":
        known = [each for each, one in declared(type(environment)).items() if one.kind == "persist"]
        raise EnvironmentFault(
            f"{type(environment).__name__} has no persistent state {name!r}", allowed=", ".join(known) or "none"
        )
    path = published_path(environment.folder, name, version)
    if path.exists() or version == variable.version:
        problem = "is published already" if path.exists() else "is what episodes begin with now"
        raise EnvironmentFault(
            f"version {version} of {name} {problem}", where=str(path), fix="publish a new version, then declare it"
        )
    value = getattr(environment, name)
    try:
        text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
        if json.loads(text) != value:
            raise ValueError("it would be read back as something else (a tuple as a list, a number as a text key)")
    except (TypeError, ValueError, RecursionError) as error:
        raise EnvironmentFault(f"{name} is not JSON and cannot be published: {error}") from error
    path.parent.mkdir(exist_ok=True)
    write_text(path, text + "\n")
    return path


def published_path(folder: Path, name: str, version: str) -> Path:
    """Where a published version stands."""
    return folder / "state" / f"{name}@{quote(version, safe='')}.json"


def digest_state(value: Any) -> str:
    """SHA-256 of any value: equal for equal data, and free of memory addresses."""
    return digest_value(value)


def episode_digest(variables: Mapping[str, Any], resources: Resources) -> str:
    """SHA-256 of an episode's whole state; does not depend on where its temporary folder lies."""
    return digest_named(variables, resources.digest(), resources.named_objects(), resources.hidden)


def caller_place() -> str:
    """``file:line`` of the innermost frame outside this package."""
    here = str(Path(__file__).parent)
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


@functools.lru_cache(maxsize=1024)
def _declared(kind: type) -> Mapping[str, Declared]:
    variables: dict[str, Declared] = {}
    for base in reversed(kind.__mro__):
        variables |= {name: value for name, value in vars(base).items() if isinstance(value, Declared)}
    return {name: value for name, value in variables.items() if getattr(kind, name, None) is value}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise EnvironmentFault(f"published state cannot be read: {error}", where=f"{path}{line}") from error


RESERVED = frozenset({"task", "transitions", "parts", "digest", "folder", "ref"})
"""What an environment's own attributes cannot be called."""

CORE = RESERVED | {
    "random",
    "_resources",
    "_declared",
    "_started",
    "_kept",
    "_watch",
    "_digest",
    "_in_tool",
    "_in_start",
}
"""Attributes that are the core's, and no part of an episode's state."""


class Attributes:
    """Keeps the attributes an environment was made with apart from those of its episodes."""

    task: Task | None

    _tools: ClassVar[Mapping[str, Any]] = {}
    _in_tool = False
    _in_start = False

    def __setattr__(self, name: str, value: Any) -> None:
        if name in RESERVED or name in self._tools:
            if name == "task" and value is self.task:
                return
            whose = "one of its tools" if name in self._tools else "Practicum's own"
            raise EnvironmentFault(
                f"{type(self).__name__}.{name} was assigned, and is {whose}",
                where=caller_place(),
                fix="give the attribute another name",
            )
        if self._in_start:
            self.__dict__["_started"].add(name)
        elif self._in_tool:
            self._refuse_undeclared(name)
        elif "_kept" in self.__dict__ and name not in CORE:
            self.__dict__["_kept"][name] = value
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if self._in_tool:
            self._refuse_undeclared(name)
        elif not self._in_start:
            self.__dict__.get("_kept", {}).pop(name, None)
        object.__delattr__(self, name)

    def _refuse_undeclared(self, name: str) -> None:
        # Declared state and properties know themselves what may be set.
        if name not in self.__dict__["_started"] and not hasattr(getattr(type(self), name, None), "__set__"):
            raise StateFault(
                f"{type(self).__name__}.{name} changed in an episode, and is no declared state",
                where=caller_place(),
                allowed="what start(self, task) assigns, or a class attribute made with reset(…) or persist(…)",
                fix=f"assign self.{name} in start, or declare it: {name} = reset(…)",
            )
