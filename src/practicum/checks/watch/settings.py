"""Settings that all code of a process shares and can change: how to read each, and how to put it back."""

import asyncio
import atexit
import builtins
import csv
import decimal
import faulthandler
import gc
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import tracemalloc
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType
from typing import Any, Literal

from practicum.checks.watch.readers import numpy_generator
from practicum.environment.places import is_users

ABSENT = object()
"""The value of a setting whose library is not loaded."""


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        read: Its value, or several by name.
        restore: Sets it to a value that was read; None where nothing needs to.
        grows: It may be set up once in good faith, as a log handler is: a fault only if every episode adds to it.
        at_import: Whether a change at import counts, counts if the user's code stands there now, or does not.
    """

    kind: str
    read: Callable[[], Any]
    restore: Callable[[Any], object] | None = None
    grows: bool = False
    at_import: Literal["counts", "users", "no"] = "users"


def _folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "one that is removed"


def _restore_variables(before: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(before)


def _restore_filters(before: list[Any]) -> None:
    vars(warnings)["filters"][:] = before


_SIGNALS = {number.name: number for number in signal.Signals if number in signal.valid_signals()}


def _signals() -> dict[str, Any]:
    handlers = {name: signal.getsignal(number) for name, number in _SIGNALS.items()}
    return {**handlers, _BLOCKED: frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ()))}


def _restore_signals(before: Mapping[str, Any]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, before[_BLOCKED])
    for name, handler in before.items():
        if name != _BLOCKED and signal.getsignal(_SIGNALS[name]) is not handler and handler is not None:
            signal.signal(_SIGNALS[name], handler)


_BLOCKED = "signals that are held back"

_TIMERS = {
    "ITIMER_REAL": signal.ITIMER_REAL,
    "ITIMER_VIRTUAL": signal.ITIMER_VIRTUAL,
    "ITIMER_PROF": signal.ITIMER_PROF,
}


def _timers() -> dict[str, bool]:
    return {name: signal.getitimer(number)[0] > 0 for name, number in _TIMERS.items()}


def _restore_timers(before: Mapping[str, bool]) -> None:
    for name, number in _TIMERS.items():
        if not before[name]:
            signal.setitimer(number, 0)


_CATEGORIES = {
    name: getattr(locale, name)
    for name in ("LC_CTYPE", "LC_COLLATE", "LC_TIME", "LC_MONETARY", "LC_NUMERIC", "LC_MESSAGES")
}
_setlocale = locale.setlocale  # as it is now: the user's code may replace it


def _locale() -> dict[str, str]:
    return {name: str(_setlocale(number)) for name, number in _CATEGORIES.items()}


def _restore_locale(before: Mapping[str, str]) -> None:
    for name, value in before.items():
        _setlocale(_CATEGORIES[name], value)


def _mask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


_HOOKS = (
    (sys, "stdout"),
    (sys, "stderr"),
    (sys, "stdin"),
    (sys, "excepthook"),
    (sys, "displayhook"),
    (sys, "unraisablehook"),
    (threading, "excepthook"),
    (warnings, "showwarning"),
)


def _hooks() -> dict[str, Any]:
    found = {f"{module.__name__}.{name}": getattr(module, name) for module, name in _HOOKS}
    return {**found, "the tracer": sys.gettrace(), "the profiler": sys.getprofile()}


def _restore_hooks(before: Mapping[str, Any]) -> None:
    for module, name in _HOOKS:
        setattr(module, name, before[f"{module.__name__}.{name}"])
    sys.settrace(before["the tracer"])
    sys.setprofile(before["the profiler"])


_LIMITS = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_STACK")


def _interpreter() -> dict[str, Any]:
    return {
        "the recursion limit": sys.getrecursionlimit(),
        "the switch interval": sys.getswitchinterval(),
        "garbage collection": (gc.isenabled(), gc.get_threshold(), tuple(gc.callbacks)),
        "the longest int as text": sys.get_int_max_str_digits(),
        "tracemalloc": tracemalloc.is_tracing(),
        "the start method of multiprocessing": multiprocessing.get_start_method(allow_none=True),
        "the stack size of threads": threading.stack_size(),
        "resource limits": tuple(resource.getrlimit(getattr(resource, name)) for name in _LIMITS),
        "the priority": os.getpriority(os.PRIO_PROCESS, 0),
        "the fault handler": faulthandler.is_enabled(),
    }


def _restore_interpreter(before: Mapping[str, Any]) -> None:
    sys.setrecursionlimit(before["the recursion limit"])
    sys.setswitchinterval(before["the switch interval"])
    (gc.enable if before["garbage collection"][0] else gc.disable)()
    gc.set_threshold(*before["garbage collection"][1])
    gc.callbacks[:] = before["garbage collection"][2]


def _decimals() -> dict[str, Any]:
    context = decimal.getcontext()
    named = {name: getattr(context, name) for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")}
    return {**named, "traps": frozenset(trap.__name__ for trap, on in context.traps.items() if on)}


def _restore_decimals(before: Mapping[str, Any]) -> None:
    context = decimal.getcontext()
    for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp"):
        setattr(context, name, before[name])


def _restore_temporary_folder(before: str) -> None:
    tempfile.tempdir = before


def _event_loops() -> dict[str, Any]:
    policy = getattr(asyncio.events, "_event_loop_policy", None)
    loop = getattr(getattr(policy, "_local", None), "_loop", None)
    custom = policy is not None and type(policy) is not asyncio.DefaultEventLoopPolicy
    return {"the policy": policy if custom else None, "a loop left open": loop is not None and not loop.is_closed()}


def _log_handlers() -> dict[str, int]:
    known = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    return {each.name: len(each.handlers) for each in known if isinstance(each, logging.Logger) and each.handlers}


def _logging() -> dict[str, Any]:
    manager = logging.Logger.manager
    return {
        "the level": logging.getLogger().level,
        "what is switched off": manager.disable,
        "the factory of records": logging.getLogRecordFactory(),
        "the class of loggers": logging.getLoggerClass(),
    }


def _restore_logging(before: Mapping[str, Any]) -> None:
    logging.getLogger().setLevel(before["the level"])
    logging.disable(before["what is switched off"])
    logging.setLogRecordFactory(before["the factory of records"])
    logging.setLoggerClass(before["the class of loggers"])


def _csv() -> tuple[Any, ...]:
    return (*csv.list_dialects(), csv.field_size_limit())


def _sqlite() -> tuple[int, int]:
    return len(getattr(sqlite3, "adapters", ())), len(getattr(sqlite3, "converters", ()))


def _numpy_state() -> Any:
    generator = numpy_generator()
    return ABSENT if generator is None else (generator, sys.modules["numpy.random"].get_state()[1].tobytes())


def _restore_numpy(before: Any) -> None:
    generator, key = before
    numpy = sys.modules["numpy"]
    state = ("MT19937", numpy.frombuffer(key, dtype=numpy.uint32), generator.position, int(generator.spare), 0.0)
    sys.modules["numpy.random"].set_state(state)


def _numpy_settings() -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "geterr"):
        return ABSENT
    return {"print options": repr(numpy.get_printoptions()), "error handling": repr(numpy.geterr())}


def _pandas() -> Any:
    config = sys.modules.get("pandas._config.config")
    return ABSENT if config is None else repr(getattr(config, "_global_config", None))


def _torch() -> Any:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_rng_state"):
        return ABSENT
    return {
        "its random generator": torch.get_rng_state().numpy().tobytes(),
        "the default type": str(torch.get_default_dtype()),
        "the number of threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
    }


def _builtin_names() -> dict[str, Any]:
    return {name: value for name, value in vars(builtins).items() if name != "_"}


def _restore_path(before: list[str]) -> None:
    sys.path[:] = before


SETTINGS: tuple[Setting, ...] = (
    Setting("environment variable", lambda: dict(os.environ), _restore_variables, at_import="counts"),
    Setting("working folder", _folder, os.chdir, at_import="counts"),
    Setting("warnings filter", lambda: list(warnings.filters), _restore_filters, at_import="no"),
    Setting("signal handler", _signals, _restore_signals),
    Setting("timer", _timers, _restore_timers, at_import="counts"),
    Setting("locale", _locale, _restore_locale, at_import="counts"),
    Setting("file mode mask", _mask, os.umask, at_import="counts"),
    Setting("import path", lambda: list(sys.path), _restore_path, at_import="no"),
    Setting("import hook", lambda: [*sys.meta_path, *sys.path_hooks]),
    Setting("hook", _hooks, _restore_hooks),
    Setting("interpreter setting", _interpreter, _restore_interpreter),
    Setting("built-in name", _builtin_names),
    Setting("decimal setting", _decimals, _restore_decimals, at_import="counts"),
    Setting("default socket timeout", socket.getdefaulttimeout, socket.setdefaulttimeout, at_import="counts"),
    Setting("event loop", _event_loops, lambda _: asyncio.set_event_loop(None)),
    Setting("state of the global random generator", random.getstate, random.setstate, at_import="counts"),
    Setting("state of numpy's global random generator", _numpy_state, _restore_numpy),
    Setting("numpy setting", _numpy_settings),
    Setting("pandas option", _pandas, at_import="no"),
    Setting("torch setting", _torch, at_import="no"),
    Setting("csv setting", _csv, at_import="no"),
    Setting("SQLite adapter", _sqlite, at_import="no"),
    Setting("logging setting", _logging, _restore_logging, at_import="no"),
    Setting("temporary folder", tempfile.gettempdir, _restore_temporary_folder, at_import="counts"),
    Setting("log handler", _log_handlers, grows=True, at_import="no"),
    Setting("exit handler", getattr(atexit, "_ncallbacks", lambda: 0), grows=True, at_import="no"),
)
"""Everything that is looked at, in the order findings tell of it."""


Values = Mapping[str, Any]
"""Each setting's value by its kind; values are compared with ``==``."""


@dataclass(frozen=True)
class Leftover:
    """One thing left behind: its kind, its name, and the line that made it where that is known."""

    kind: str
    name: str
    where: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain JSON-able data."""
        return asdict(self)


def settings_now() -> dict[str, Any]:
    """Every setting's value by kind."""
    return {setting.kind: setting.read() for setting in SETTINGS}


def changed_settings(before: Values, after: Values) -> list[Setting]:
    """The settings whose values differ."""
    return [setting for setting in SETTINGS if not same(before[setting.kind], after[setting.kind])]


def same(before: Any, after: Any) -> bool:
    """Whether a setting stands as it did. One of a library that was not loaded before has not changed."""
    if before is ABSENT:
        return True
    try:
        return bool(before == after)
    except Exception:
        return before is after


def put_back(before: Values, changed: list[Setting]) -> None:
    """Set what changed to what it was, where that can be done."""
    for setting in changed:
        if setting.restore is not None:
            with suppress(Exception):
                setting.restore(before[setting.kind])


def described(before: Any, after: Any) -> str:
    """What changed, in a line."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = [str(name) for name in {**before, **after} if not same(before.get(name, None), after.get(name, None))]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    plain = (str, int, float, type(None))
    return f"{before} → {after}" if isinstance(before, plain) and isinstance(after, plain) else ""


def left_by_import(before: Values, home: Path) -> list[Leftover]:
    """What importing the environment's modules changed for everyone else in the process.

    Filters, search paths and log handlers are set up at import in good faith, by libraries too; what counts are
    settings that change results elsewhere, and the user's own functions in a place that all share.
    """
    after = settings_now()
    return [
        Leftover(setting.kind, described(before[setting.kind], after[setting.kind]))
        for setting in changed_settings(before, after)
        if setting.at_import == "counts"
        or (setting.at_import == "users" and _users_now(before[setting.kind], after[setting.kind], home))
    ]


def _users_now(was: Any, now: Any, home: Path) -> bool:
    """Whether something of the user's stands there now."""
    old, new = _values(was), _values(now)
    return any(is_users(_file(value), home) for value in new if not any(value is each for each in old))


def _values(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def _file(value: Any) -> str:
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    if isinstance(code, CodeType):
        return code.co_filename
    code = getattr(getattr(type(value), "__init__", None), "__code__", None)
    return code.co_filename if isinstance(code, CodeType) else "<built-in>"
