"""Stand-ins for the modules through which foreign code would take time and chance from the machine.

``datetime``, ``time``, ``random``, ``secrets``, ``uuid`` and NumPy's generators as a module sees them that
``load_private`` loaded: now is the episode's virtual clock, local time is UTC, and every generator that nobody seeded
is the episode's. All else in them is the real thing.

NumPy keeps one generator for the whole process. To seed it for an episode and put it back would do only as long as
no other episode runs meanwhile; so foreign code gets a generator of the episode's own behind the same functions.
"""

import datetime
import functools
import importlib
import random
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from practicum.environment.resources import VirtualClock

ARRAY_MODULES = ("numpy", "numpy.random")
"""Their stand-ins are made when foreign code first imports one (``array_stand_ins``)."""

_BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64", "SeedSequence")
_SEEDING = ("seed", "get_state", "set_state")


@dataclass
class Acting:
    """Where the stand-ins take time and chance from."""

    chance: random.Random = field(default_factory=lambda: random.Random(0))
    clock: VirtualClock = field(default_factory=VirtualClock)

    @functools.cached_property
    def arrays(self) -> Any:
        """NumPy's generator, seeded by ``chance`` when it is first drawn from."""
        return _array_generator(self.chance.getrandbits(64))


_ACTING: ContextVar[Acting | None] = ContextVar("acting", default=None)


@contextmanager
def acting(source: Acting) -> Iterator[None]:
    """Foreign code that runs in here takes time and chance from ``source``."""
    token = _ACTING.set(source)
    try:
        yield
    finally:
        _ACTING.reset(token)


@functools.cache
def stand_ins() -> Mapping[str, ModuleType]:
    """The stand-ins by the names of the modules they stand in for."""
    return {
        "datetime": _stand_in(datetime, {"date": Date, "datetime": Datetime}),
        "time": _stand_in(time, _times()),
        "random": _stand_in(random, _chances()),
        "secrets": _stand_in(secrets, _secrets()),
        "uuid": _stand_in(uuid, {"uuid1": _uuid, "uuid4": _uuid}),
    }


@functools.cache
def array_stand_ins() -> Mapping[str, ModuleType]:
    """Those for ``numpy`` and ``numpy.random``, made when foreign code first imports one.

    Raises:
        ImportError: NumPy is not installed.
    """
    return _array_modules(lambda: _source().arrays, lambda: _source().chance.getrandbits(64))


class _AnyInstance(type):
    """Real dates and times are instances of the stand-ins too."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.__mro__[1])


class Date(datetime.date, metaclass=_AnyInstance):
    """``datetime.date`` with the episode's today."""

    @classmethod
    def today(cls) -> "Date":
        """The virtual clock's date."""
        today = _source().clock.now()
        return cls(today.year, today.month, today.day)


class Datetime(datetime.datetime, metaclass=_AnyInstance):
    """``datetime.datetime`` with the episode's now; local time is UTC."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "Datetime":
        """The virtual clock's date and time."""
        return cls.fromtimestamp(_source().clock.time(), tz)

    @classmethod
    def today(cls) -> "Datetime":
        """The same, without a time zone."""
        return cls.now()

    @classmethod
    def utcnow(cls) -> "Datetime":
        """The same, without a time zone."""
        return cls.now()

    @classmethod
    def fromtimestamp(cls, timestamp: float, tz: datetime.tzinfo | None = None) -> "Datetime":
        """The date and time so many seconds after 1970."""
        local = super().fromtimestamp(timestamp, tz or datetime.UTC)
        return local if tz else local.replace(tzinfo=None)

    def timestamp(self) -> float:
        """Seconds since 1970."""
        aware = self if self.tzinfo else self.replace(tzinfo=datetime.UTC)
        return datetime.datetime.timestamp(aware)


class Random(random.Random):
    """``random.Random``; one that nobody seeds is seeded by the episode's."""

    def seed(self, a: Any = None, version: int = 2) -> None:
        """Begin anew."""
        super().seed(_source().chance.getrandbits(64) if a is None else a, version)


def _source() -> Acting:
    # What a module asks while it is imported is answered by a clock at its beginning and a generator of its own.
    return _ACTING.get() or Acting()


def _stand_in(real: ModuleType, replaced: Mapping[str, Any]) -> ModuleType:
    module = ModuleType(real.__name__, real.__doc__)
    vars(module).update({name: value for name, value in vars(real).items() if not name.startswith("__")})
    vars(module).update(replaced)
    return module


def _times() -> dict[str, Any]:
    def seconds() -> float:
        return _source().clock.time()

    def nanoseconds() -> int:
        return int(seconds() * 1e9)

    def sleep(duration: float) -> None:
        _source().clock.advance(duration)

    def split(when: float | None = None) -> time.struct_time:
        return time.gmtime(seconds() if when is None else when)

    clocks = ("time", "monotonic", "perf_counter", "process_time")
    return {
        **dict.fromkeys(clocks, seconds),
        **{f"{name}_ns": nanoseconds for name in clocks},
        "sleep": sleep,
        "gmtime": split,
        "localtime": split,
        "ctime": lambda when=None: time.asctime(split(when)),
        "asctime": lambda when=None: time.asctime(when or split()),
        "strftime": lambda form, when=None: time.strftime(form, when or split()),
    }


def _chances() -> dict[str, Any]:
    """The functions of ``random`` that draw from its hidden generator draw from the episode's instead."""
    methods = {name: getattr(value, "__self__", None) for name, value in vars(random).items()}
    hidden = [name for name, owner in methods.items() if isinstance(owner, random.Random)]
    return {**{name: _drawing(name) for name in hidden}, "Random": Random, "SystemRandom": _system_random}


def _secrets() -> dict[str, Any]:
    def token(size: int | None = None) -> bytes:
        return _source().chance.randbytes(32 if size is None else size)

    return {
        "SystemRandom": _system_random,
        "choice": _drawing("choice"),
        "randbelow": _drawing("randrange"),
        "randbits": _drawing("getrandbits"),
        "token_bytes": token,
        "token_hex": lambda size=None: token(size).hex(),
        "token_urlsafe": lambda size=None: token(size).hex(),
    }


def _drawing(name: str) -> Callable[..., Any]:
    def draw(*args: Any, **named: Any) -> Any:
        return getattr(_source().chance, name)(*args, **named)

    return draw


def _system_random(*_: Any) -> Random:
    return Random()


def _uuid(*_: Any) -> uuid.UUID:
    return uuid.UUID(int=_source().chance.getrandbits(128), version=4)


class _Front(ModuleType):
    """A module with a few things replaced; all else is the real one's."""

    def __init__(self, real: ModuleType, replaced: Mapping[str, Any]) -> None:
        super().__init__(real.__name__, real.__doc__)
        vars(self).update(replaced)
        vars(self)["_practicum_real"] = real

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_practicum_real"], name)


def _array_modules(generator: Callable[[], Any], seed: Callable[[], int]) -> Mapping[str, ModuleType]:
    """Stand-ins for ``numpy`` and ``numpy.random``.

    Args:
        generator: The episode's ``numpy.random.RandomState``.
        seed: Draws a seed for a generator that is made without one.

    Raises:
        ImportError: NumPy is not installed.
    """
    real = importlib.import_module("numpy.random")
    hidden = vars(importlib.import_module("numpy.random.mtrand"))["_rand"]
    replaced = {
        name: _array_drawing(generator, name)
        for name, value in vars(real).items()
        if getattr(value, "__self__", None) is hidden or name in _SEEDING
    }
    replaced |= {name: _seeded(getattr(real, name), seed) for name in _BIT_GENERATORS if hasattr(real, name)}
    replaced |= {"default_rng": _seeded(real.default_rng, seed), "RandomState": _legacy(real, seed)}
    random = _Front(real, replaced)
    return {"numpy": _Front(importlib.import_module("numpy"), {"random": random}), "numpy.random": random}


def _array_generator(seed: int) -> Any:
    """A ``numpy.random.RandomState`` that draws no entropy, which making one from a plain seed would."""
    numpy = importlib.import_module("numpy.random")
    return numpy.RandomState(numpy.MT19937(seed))


def _array_drawing(generator: Callable[[], Any], name: str) -> Callable[..., Any]:
    def draw(*args: Any, **named: Any) -> Any:
        return getattr(generator(), name)(*args, **named)

    return draw


def _seeded(make: Callable[..., Any], seed: Callable[[], int]) -> Callable[..., Any]:
    def build(*args: Any, **named: Any) -> Any:
        return make(*args, **named) if any(value is not None for value in (*args, *named.values())) else make(seed())

    return build


def _legacy(real: ModuleType, seed: Callable[[], int]) -> type:
    def begin(self: Any, source: Any = None) -> None:
        kind.__init__(self, real.MT19937(seed()) if source is None else source)

    kind: Any = real.RandomState
    return type("RandomState", (kind,), {"__init__": begin, "__module__": kind.__module__})
