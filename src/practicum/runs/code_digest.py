"""A digest for code: which reward, score or environment was this, exactly?

It covers the source of the function or class, of the classes it inherits from, and of the functions,
classes and constants *of the same module* that it uses, followed all the way; closures, defaults, partial
arguments and the values of an object's fields. It does not cover what other modules hold: their versions
are in the manifest. Comments and spacing count too: equal digests prove equal code, unequal ones only that
the text differs.
"""

import dataclasses
import enum
import functools
import inspect
import re
import sys
import textwrap
import types
from collections.abc import Mapping, Sequence, Set
from pathlib import PurePath
from typing import Any

from practicum.digests import canonical_json, digest
from practicum.errors import LedgerError


def digest_object(value: Any) -> str:
    """SHA-256 (hex) over the code and the settings of a function, class or object.

    Raises:
        LedgerError: its source cannot be read (typed at a prompt, or written in C).
    """
    return digest(_describe(value, set()))


def digest_settings(value: Any) -> str:
    """The same where Practicum's own code is only its name: equal for one rule, used alike, in two versions of it.

    Raises:
        LedgerError: a source cannot be read.
    """
    return digest(_describe(value, _NamedCore()))


class _NamedCore(set[int]):
    """Ids of what lies above, in a description where code of Practicum's core is its name."""


def is_core(value: Any) -> bool:
    """Whether a function, a class or an object's class is of Practicum's core; its suites are environments like any."""
    module = str(getattr(value, "__module__", ""))
    return module.startswith("practicum.") and not module.startswith("practicum.suites.")


def _describe(value: Any, above: set[int]) -> Any:
    """JSON-able description. ``seen``: code described before, and the data that this value lies in."""
    simple = _constant(value)
    if simple is not None:
        return simple
    if isinstance(above, _NamedCore) and isinstance(value, type | types.FunctionType) and is_core(value):
        closure = inspect.getclosurevars(value).nonlocals if isinstance(value, types.FunctionType) else {}
        return ["practicum", value.__qualname__, _describe(dict(closure), above)]
    if id(value) in above:
        return ["seen", _name(value)]
    above.add(id(value))
    if isinstance(value, types.FunctionType):
        return _function(value, above)
    if isinstance(value, type):
        return _class(value, above)
    description = _data(value, above)
    above.discard(id(value))
    return description


def _data(value: Any, above: set[int]) -> Any:
    if isinstance(value, Mapping):
        pairs = [[_describe(key, above), _describe(item, above)] for key, item in value.items()]
        return ["mapping", sorted(pairs, key=canonical_json)]
    if isinstance(value, Set):
        return ["set", sorted((_describe(item, above) for item in value), key=canonical_json)]
    if isinstance(value, Sequence):
        return ["sequence", [_describe(item, above) for item in value]]
    if isinstance(value, types.MethodType):
        return ["method", value.__func__.__qualname__, _describe(value.__self__, above)]
    return ["object", _describe(type(value), above), _describe(_settings(value), above)]


def _constant(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | PurePath):
        return [type(value).__name__, str(value) if isinstance(value, PurePath) else repr(value)]
    if isinstance(value, enum.Enum):
        return ["enum", str(value), repr(value.value)]
    if isinstance(value, re.Pattern):
        return ["pattern", repr(value.pattern), value.flags]
    if isinstance(value, types.ModuleType):
        return ["module", value.__name__]
    if isinstance(value, types.BuiltinFunctionType | types.GenericAlias) or _is_standard(value):
        return ["standard", _name(value)]
    return None


def _function(function: types.FunctionType, above: set[int]) -> Any:
    closure = dict(inspect.getclosurevars(function).nonlocals)
    defaults = [function.__defaults__, function.__kwdefaults__]
    return ["function", _source(function), _describe([closure, _used(function), defaults], above)]


def _class(kind: type, above: set[int]) -> Any:
    sources = [_source(ancestor) for ancestor in kind.__mro__ if not _is_standard(ancestor)]
    home = [ancestor for ancestor in kind.__mro__ if ancestor.__module__ == kind.__module__]
    methods = [_plain_function(member) for ancestor in home for member in vars(ancestor).values()]
    used = [_used(method) for method in methods if method is not None and _has_source(method)]
    return ["class", sources, _describe(used, above)]


def _used(function: types.FunctionType) -> dict[str, Any]:
    """What a function takes from its own module, by name."""
    found = inspect.getclosurevars(function).globals
    return {name: item for name, item in found.items() if _is_local(item, function.__module__)}


def _settings(value: Any) -> Any:
    if _is_standard(type(value)):
        return _reduced(value)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    slots = {name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())}
    return {**getattr(value, "__dict__", {}), **{name: getattr(value, name, None) for name in slots}}


def _reduced(value: Any) -> Any:
    """How pickle would rebuild it: the arguments of a partial, an itemgetter, a date."""
    try:
        return list(value.__reduce_ex__(4))
    except TypeError:
        return None


def _plain_function(member: Any) -> types.FunctionType | None:
    if isinstance(member, staticmethod | classmethod):
        member = member.__func__
    if isinstance(member, property):
        member = member.fget
    if isinstance(member, functools.cached_property):
        member = member.func
    return member if isinstance(member, types.FunctionType) else None


def _is_local(item: Any, module: str) -> bool:
    """Constants, and code of the module itself; code of other modules is the manifest's affair."""
    home = getattr(item, "__module__", None) if callable(item) else getattr(type(item), "__module__", None)
    return _constant(item) is not None or home in (module, "builtins")


def _is_standard(value: Any) -> bool:
    if not isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return False
    module = value.__module__
    return isinstance(module, str) and module.partition(".")[0] in sys.stdlib_module_names | {"builtins"}


def _has_source(function: types.FunctionType) -> bool:
    """Whether somebody wrote it (the methods that ``dataclass`` adds are not written anywhere)."""
    return not function.__code__.co_filename.startswith("<")


def _name(value: Any) -> str:
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def _source(code: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(code))
    except (OSError, TypeError) as error:
        raise LedgerError(
            f"the source of {_name(code)} cannot be read, so nobody could later tell what it was",
            where=str(getattr(code, "__module__", "")),
            allowed="functions and classes written in a file",
            fix="put it into a .py file and import it",
        ) from error
