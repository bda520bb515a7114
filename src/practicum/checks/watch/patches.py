"""Functions of other people's modules and classes that were replaced, and modules that were put in others' place."""

import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from practicum.checks.watch.settings import Leftover
from practicum.environment.places import is_users, origin

_OURS = ("practicum.checks",)
_LOOSE = frozenset({"sys", "builtins", "os"})
"""Modules that state is smuggled in on: a new public name there counts."""


PATCHES = frozenset(
    {"replaced function", "replaced value", "replaced module", "stub module", "new name", "changed registry"}
)
"""Kinds of what ``patched`` tells of."""


@dataclass(frozen=True)
class Fixtures:
    """Every name of every module and class that is not the user's, and the modules themselves."""

    names: Mapping[tuple[str, str], Mapping[str, Any]]
    modules: Mapping[str, types.ModuleType]
    registries: Mapping[str, Any]
    """Public tables and lists of the standard library, by dotted name, with what they held."""


def fixtures(home: Path) -> Fixtures:
    """As they stand now."""
    names: dict[tuple[str, str], Mapping[str, Any]] = {}
    modules: dict[str, types.ModuleType] = {}
    registries: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        if not isinstance(module, types.ModuleType) or _is_users_module(module, home) or name.startswith(_OURS):
            continue
        modules[name] = module
        members = dict(vars(module))
        names[name, ""] = members
        if name.partition(".")[0] in sys.stdlib_module_names:
            registries |= {
                f"{name}.{inner}": content(value)
                for inner, value in members.items()
                if _is_registry(name, inner, value)
            }
        for inner, value in members.items():
            if isinstance(value, type) and value.__module__ == name:
                names[name, inner] = dict(vars(value))
    return Fixtures(names, modules, registries)


def patched(before: Fixtures, home: Path) -> Iterator[Leftover]:
    """What was replaced since, by whatever of the user's or of no one's in particular."""
    for name, module in before.modules.items():
        now = sys.modules.get(name)
        if now is not module:
            yield Leftover("replaced module", name)
    for name, module in list(sys.modules.items()):
        if name not in before.modules and _is_stub(name, module):
            yield Leftover("stub module", name)
        elif name not in before.modules and isinstance(module, types.ModuleType) and not _is_users_module(module, home):
            yield from _users_in(name, module, home)
    for name, held in before.registries.items():
        if content(named(name)) != held:
            yield Leftover("changed registry", name)
    for (name, inner), was in before.names.items():
        holder = before.modules[name] if not inner else getattr(before.modules[name], inner, None)
        if holder is not None:
            yield from _replaced(f"{name}.{inner}".rstrip("."), was, vars(holder), home, loose=name in _LOOSE)


def _users_in(name: str, module: types.ModuleType, home: Path) -> Iterator[Leftover]:
    """Functions of the user's in a module that was loaded meanwhile, and is not the user's."""
    for inner, value in list(vars(module).items()):
        if _is_users_function(value, home):
            yield Leftover("replaced function", f"{name}.{inner}")


def named(name: str) -> Any:
    """What a dotted name of a module, or of something in one, stands for now; None for nothing."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        value: Any = sys.modules.get(".".join(parts[:count]))
        if value is not None:
            for part in parts[count:]:
                value = vars(value).get(part) if hasattr(value, "__dict__") else None
            return value
    return None


def content(value: Any) -> Any:
    """What a table or list holds now, by identity; of all else the thing itself."""
    if isinstance(value, dict):
        return {key: id(item) for key, item in value.items() if not _is_own_class(key)}
    return [id(item) for item in value] if isinstance(value, list | set) else value


def _is_own_class(key: Any) -> bool:
    """Whether a table's key is a class of no standard module: whoever has classes may register them, once for all."""
    return isinstance(key, type) and key.__module__.partition(".")[0] not in sys.stdlib_module_names


def _is_registry(module: str, name: str, value: Any) -> bool:
    return type(value) in (dict, list, set) and not name.startswith("_") and f"{module}.{name}" not in _CHANGING


_CHANGING = frozenset(
    {"gc.callbacks", "gc.garbage", "linecache.cache", "posix.environ", "sys.argv", "sys.meta_path", "sys.modules"}
    | {
        "sys.path",
        "sys.path_hooks",
        "sys.path_importer_cache",
        "sys.warnoptions",
        "warnings.filters",
        "warnings.onceregistry",
    }
)
"""Tables that are meant to change, or are looked at elsewhere."""


def _replaced(
    where: str, before: Mapping[str, Any], members: Mapping[str, Any], home: Path, *, loose: bool
) -> Iterator[Leftover]:
    for name, old in before.items():
        new = members.get(name, _GONE)
        if new is not old and not _equal(old, new) and _counts(name, old, new, home):
            yield Leftover("replaced function" if callable(old) else "replaced value", f"{where}.{name}")
    for name in members.keys() - before.keys():
        if _is_users_function(members[name], home) or (loose and not name.startswith("_")):
            yield Leftover("new name", f"{where}.{name}")


def _is_stub(name: str, module: Any) -> bool:
    """Whether a module was made by hand. Cython makes some for itself."""
    made = getattr(module, "__spec__", None) is None and getattr(module, "__file__", None) is None
    own = name == "__main__" or name.startswith(("_cython_", "cython_runtime"))
    return made and not own and type(module) is types.ModuleType


_GONE = object()


def _equal(old: Any, new: Any) -> bool:
    return isinstance(old, str | int | float | bytes | tuple | frozenset) and type(old) is type(new) and old == new


def _counts(name: str, old: Any, new: Any, home: Path) -> bool:
    if _is_users_function(new, home):
        return True
    if isinstance(old, types.FunctionType | types.BuiltinFunctionType | type | staticmethod | classmethod | property):
        # A module that replaces its own function by its own is at home there.
        return getattr(new, "__module__", None) != getattr(old, "__module__", None) or new is _GONE
    # Modules keep count of things in names of their own; a public constant stays what it is.
    plain = (str, int, float, bytes, tuple, frozenset)
    return not name.startswith("_") and isinstance(old, plain) and not isinstance(old, bool) and bool(old)


def _is_users_function(value: Any, home: Path) -> bool:
    inner = getattr(value, "__func__", getattr(value, "fget", value))
    code = getattr(inner, "__code__", None)
    if isinstance(code, types.CodeType):
        return is_users(code.co_filename, home)
    if isinstance(value, type):
        file = getattr(sys.modules.get(value.__module__), "__file__", None)
        return file is not None and is_users(file, home)
    return False


def _is_users_module(module: types.ModuleType, home: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and origin(file, home) == "user"
