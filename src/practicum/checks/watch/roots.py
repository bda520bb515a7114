"""Where an environment could keep what nobody declared: its modules, classes, functions and instances."""

import ast
import functools
import marshal
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from practicum.checks.watch.changes import Change, changes
from practicum.checks.watch.object_tree import Outliner, Tree, numpy_specials
from practicum.environment import Environment
from practicum.environment.declared_state import CORE, Declared
from practicum.environment.places import is_users

Getter = Callable[[], Any]

_ABSENT: Tree = ("leaf", "None")
_CORE = frozenset(vars(Environment)) | CORE
"""Attributes of an instance that are Practicum's own."""


@dataclass(frozen=True)
class Kept:
    """One root as it stood: plain data as bytes, from which it can be made again; all else as an outline."""

    plain: bytes
    tree: Tree


class Roots:
    """Everything of the user's that outlives an episode."""

    def __init__(self, home: Path, instance: Environment) -> None:
        self._home, self._instance = home, instance
        self._outliner = Outliner(home)

    def snapshot(self) -> dict[str, Kept]:
        """Every root as it stands now, by its name."""
        numpy_specials()
        return {name: self._kept(value) for name, value in self._values()}

    def read(self, name: str) -> Kept:
        """One root as it stands now; as None where there is none of that name."""
        value = next((value for found, value in self._values() if found == name), None)
        return self._kept(value)

    def differences(self, before: Mapping[str, Kept], after: Mapping[str, Kept]) -> Iterator[tuple[str, Change]]:
        """The roots that differ, and each place in them."""
        for name in after.keys() | before.keys():
            for change in self.difference(before.get(name), after.get(name)):
                yield name, change

    def difference(self, before: Kept | None, after: Kept | None) -> list[Change]:
        """Each place in which one root differs."""
        if before == after:
            return []
        if before is not None and after is not None and before.plain and after.plain:
            was, now = marshal.loads(before.plain), marshal.loads(after.plain)
            return list(self._plain_changes(was, now, ()))
        return list(changes(self._tree(before), self._tree(after)))

    def _plain_changes(self, was: Any, now: Any, path: tuple[str, ...]) -> Iterator[Change]:
        # Goes down only where something differs, so that it takes no longer in a large fixture.
        if type(was) is type(now) is dict and was.keys() == now.keys():
            for key in was:
                if was[key] != now[key]:
                    yield from self._plain_changes(was[key], now[key], (*path, repr(key)))
        elif type(was) is type(now) and isinstance(was, list | tuple) and len(was) == len(now):
            for number, (ours, theirs) in enumerate(zip(was, now, strict=True)):
                if ours != theirs:
                    yield from self._plain_changes(ours, theirs, (*path, str(number)))
        else:
            yield from changes(self._outliner.of(was), self._outliner.of(now), path)

    def _tree(self, kept: Kept | None) -> Tree:
        if kept is None:
            return _ABSENT
        return self._outliner.of(marshal.loads(kept.plain)) if kept.plain else kept.tree

    def _kept(self, value: Any) -> Kept:
        if type(value) in _PLAIN:
            try:
                # Version 2 writes no references, which depend on who else holds a value.
                return Kept(marshal.dumps(value, 2), ())
            except ValueError:
                pass
        return Kept(b"", self._outliner.of(value))

    def _values(self) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(module, types.ModuleType) and isinstance(file, str) and is_users(file, self._home):
                yield from self._in_module(module, seen)
        name = type(self._instance).__qualname__
        started = self._instance.__dict__.get("_started", ())
        for attribute, value in list(self._instance.__dict__.items()):
            if attribute not in _CORE and attribute not in started:
                yield f"{name}().{attribute}", value

    def _in_module(self, module: types.ModuleType, seen: set[int]) -> Iterator[tuple[str, Any]]:
        short = module.__name__.rpartition(".")[2]
        # A file that was loaded by its path has a long name with its stem at the end.
        short = Path(str(module.__file__)).stem if short.startswith("practicum_file_") else short
        foreign = _imported(str(module.__file__), self._home)
        for name, value in list(vars(module).items()):
            if name.startswith("__") or name in foreign or isinstance(value, types.ModuleType):
                continue
            if isinstance(value, type):
                if value.__module__ == module.__name__ and id(value) not in seen:
                    yield from self._in_class(value, seen)
            elif not _is_constant(value) and id(value) not in seen:
                seen.add(id(value))
                yield f"{short}.{name}", value
            elif _is_constant(value):
                yield f"{short}.{name}", value

    def _in_class(self, kind: type, seen: set[int]) -> Iterator[tuple[str, Any]]:
        seen.add(id(kind))
        for name, value in list(vars(kind).items()):
            if (name.startswith("__") and name.endswith("__")) or name in ("_tools", "_abc_impl"):
                continue
            label = f"{kind.__qualname__}.{name}"
            if isinstance(value, type):
                if value.__module__ == kind.__module__ and id(value) not in seen:
                    yield from self._in_class(value, seen)
            elif isinstance(value, Declared):
                yield label, _declared(value)
            elif issubclass(kind, Enum) and isinstance(value, kind):
                yield label, {name: held for name, held in vars(value).items() if name not in _OF_A_MEMBER}
            else:
                yield label, value


@functools.cache
def _imported(file: str, home: Path) -> frozenset[str]:
    """Names that a module took from others that are not the user's: what they keep is not its own."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    taken = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            source = getattr(sys.modules.get(node.module or ""), "__file__", None)
            if source is None or not is_users(source, home):
                taken |= {alias.asname or alias.name for alias in node.names}
    return frozenset(taken)


def _declared(variable: Declared) -> Any:
    held = vars(variable)
    loaded = held.get("_loaded")
    if variable.kind == "reset":
        return held.get("_value")
    return [loaded] if type(loaded) is not object else []


def _is_constant(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | bytes | functools.partial)


_OF_A_MEMBER = frozenset({"_name_", "__objclass__", "_sort_order_"})
_PLAIN = frozenset({dict, list, tuple, set, frozenset, str, bytes, int, float, bool, type(None)})
