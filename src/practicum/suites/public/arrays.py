"""NumPy as foreign code sees it: its hidden generator is the episode's, and one that nobody seeds is seeded by it.

NumPy keeps one generator for the whole process. To seed it for an episode and put it back would do only as long as
no other episode runs meanwhile; so foreign code gets a generator of the episode's own behind the same functions.
"""

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

NAMES = ("numpy", "numpy.random")

_BITS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64", "SeedSequence")


class _Front(ModuleType):
    """A module with a few things replaced; all else is the real one's."""

    def __init__(self, real: ModuleType, replaced: Mapping[str, Any]) -> None:
        super().__init__(real.__name__, real.__doc__)
        vars(self).update(replaced)
        vars(self)["_practicum_real"] = real

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_practicum_real"], name)


def fronts(own: Callable[[], Any], seed: Callable[[], int]) -> Mapping[str, ModuleType]:
    """Stand-ins for ``numpy`` and ``numpy.random``.

    Args:
        own: The episode's ``numpy.random.RandomState``.
        seed: Draws a seed for a generator that is made without one.

    Raises:
        ImportError: NumPy is not installed.
    """
    real = importlib.import_module("numpy.random")
    hidden = vars(importlib.import_module("numpy.random.mtrand"))["_rand"]
    replaced = {
        name: _drawing(own, name)
        for name, value in vars(real).items()
        if getattr(value, "__self__", None) is hidden or name in _SEEDING
    }
    replaced |= {name: _seeded(getattr(real, name), seed) for name in _BITS if hasattr(real, name)}
    replaced |= {"default_rng": _seeded(real.default_rng, seed), "RandomState": _legacy(real, seed)}
    random = _Front(real, replaced)
    return {"numpy": _Front(importlib.import_module("numpy"), {"random": random}), "numpy.random": random}


def generator(seed: int) -> Any:
    """A ``numpy.random.RandomState`` that draws no entropy, which making one from a plain seed would."""
    numpy = importlib.import_module("numpy.random")
    return numpy.RandomState(numpy.MT19937(seed))


_SEEDING = ("seed", "get_state", "set_state")


def _drawing(own: Callable[[], Any], name: str) -> Callable[..., Any]:
    def draw(*args: Any, **named: Any) -> Any:
        return getattr(own(), name)(*args, **named)

    return draw


def _seeded(make: Callable[..., Any], seed: Callable[[], int]) -> Callable[..., Any]:
    def made(*args: Any, **named: Any) -> Any:
        return make(*args, **named) if any(value is not None for value in (*args, *named.values())) else make(seed())

    return made


def _legacy(real: ModuleType, seed: Callable[[], int]) -> type:
    def begin(self: Any, given: Any = None) -> None:
        kind.__init__(self, real.MT19937(seed()) if given is None else given)

    kind: Any = real.RandomState
    return type("RandomState", (kind,), {"__init__": begin, "__module__": kind.__module__})
