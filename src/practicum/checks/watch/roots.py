"""Where an environment could keep what nobody declared: its modules, classes, functions and instances."""

import ast
import functools
import marshal
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from practicum.checks.watch.object_tree import Outliner, Tree, TreeChange, changes, numpy_specials
from practicum.environment import Environment
from practicum.environment.declared_state import CORE, Declared
from practicum.environment.places import is_users

_ABSENT: Tree = ("leaf", "None")
_CORE = frozenset(vars(Environment)) | CORE
"""Attributes of an instance that are Practicum's own."""


@dataclass(frozen=True)
class RootState:
    """One root as it stood: plain data as bytes, from which it can be made again; all else as an outline."""

    plain: bytes
    tree: Tree


class Roots:
    """Everything of the user's that outlives an episode."""

    def __init__(self, home: Path, instance: Environment) -> None:
        self._home, self._instance = home, instance
        self._outliner = Outliner(home)

    def snapshot(self) -> dict[str, RootState]:
        """Every root as it stands now, by its name."""
        numpy_specials()
        return {name: self._state(value) for name, value in self._values()}

    def read(self, name: str) -> RootState:
        """One root as it stands now; as None where there is none of that name."""
        value = next((value for found, value in self._values() if found == name), None)
        return self._state(value)

    def differences(
        self, before: Mapping[str, RootState], after: Mapping[str, RootState]
    ) -> Iterator[tuple[str, TreeChange]]:
        """The roots that differ, and each place in them."""
        for name in after.keys() | before.keys():
            for change in self.difference(before.get(name), after.get(name)):
                yield name, change

    def difference(self, before: RootState | None, after: RootState | None) -> list[TreeChange]:
        """Each place in which one root differs."""
        if before == after:
            return []
        if before is not None and after is not None and before.plain and after.plain:
            was, now = marshal.loads(before.plain), marshal.loads(after.plain)
            return list(self._plain_changes(was, now, ()))
        return list(changes(self._tree(before), self._tree(after)))

    def _plain_changes(self, before: Any, after: Any, path: tuple[str, ...]) -> Iterator[TreeChange]:
        # Goes down only where something differs, so that it takes no longer in a large fixture.
        if type(before) is type(after) is dict and before.keys() == after.keys():
            for key in before:
                if before[key] != after[key]:
                    yield from self._plain_changes(before[key], after[key], (*path, repr(key)))
        elif type(before) is type(after) and isinstance(before, list | tuple) and len(before) == len(after):
            for number, (ours, theirs) in enumerate(zip(before, after, strict=True)):
                if ours != theirs:
                    yield from self._plain_changes(ours, theirs, (*path, str(number)))
        else:
            yield from changes(self._outliner.of(before), self._outliner.of(after), path)

    def _tree(self, kept: RootState | None) -> Tree:
        if kept is None:
            return _ABSENT
        return self._outliner.of(marshal.loads(kept.plain)) if kept.plain else kept.tree

    def _state(self, value: Any) -> RootState:
        if type(value) in _PLAIN:
            try:
                # Version 2 writes no references, which depend on who else holds a value.
                return RootState(marshal.dumps(value, 2), ())
            except ValueError:
                pass
        return RootState(b"", self._outliner.of(value))

    def _values(self) -> Iterator[tuple[str, Any]]:
        visited: set[int] = set()
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(module, types.ModuleType) and isinstance(file, str) and is_users(file, self._home):
                yield from self._in_module(module, visited)
        name = type(self._instance).__qualname__
        started = self._instance.__dict__.get("_started", ())
        for attribute, value in list(self._instance.__dict__.items()):
            if attribute not in _CORE and attribute not in started:
                yield f"{name}().{attribute}", value

    def _in_module(self, module: types.ModuleType, visited: set[int]) -> Iterator[tuple[str, Any]]:
        short = module.__name__.rpartition(".")[2]
        # A file that was loaded by its path has a long name with its stem at the end.
        short = Path(str(module.__file__)).stem if short.startswith("practicum_file_") else short
        foreign = _imported(str(module.__file__), self._home)
        for name, value in list(vars(module).items()):
            if name.startswith("__") or name in foreign or isinstance(value, types.ModuleType):
                continue
            if isinstance(value, type):
                if value.__module__ == module.__name__ and id(value) not in visited:
                    yield from self._in_class(value, visited)
            elif not _is_constant(value) and id(value) not in visited:
                visited.add(id(value))
                yield f"{short}.{name}", value
            elif _is_constant(value):
                yield f"{short}.{name}", value

    def _in_class(self, kind: type, visited: set[int]) -> Iterator[tuple[str, Any]]:
        visited.add(id(kind))
        for name, value in list(vars(kind).items()):
            if (name.startswith("__") and name.endswith("__")) or name in ("_tools", "_abc_impl"):
                continue
            label = f"{kind.__qualname__}.{name}"
            if isinstance(value, type):
                if value.__module__ == kind.__module__ and id(value) not in visited:
                    yield from self._in_class(value, visited)
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
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            source = getattr(sys.modules.get(node.module or ""), "__file__", None)
            if source is None or not is_users(source, home):
                imported |= {alias.asname or alias.name for alias in node.names}
    return frozenset(imported)


def _declared(variable: Declared) -> Any:
    attributes = vars(variable)
    loaded = attributes.get("_loaded")
    if variable.kind == "reset":
        return attributes.get("_value")
    return [loaded] if type(loaded) is not object else []


def _is_constant(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | bytes | functools.partial)


_OF_A_MEMBER = frozenset({"_name_", "__objclass__", "_sort_order_"})
_PLAIN = frozenset({dict, list, tuple, set, frozenset, str, bytes, int, float, bool, type(None)})
