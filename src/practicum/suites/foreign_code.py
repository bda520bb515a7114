"""Foreign code made repeatable: loaded under a private name, without wall clock and unseeded randomness.

Whatever such a module imports of ``datetime``, ``time``, ``random``, ``secrets``, ``uuid`` and ``numpy.random`` are
stand-ins that ask the episode: its virtual clock, its random generator. Nobody else's modules are touched.
"""

import builtins
import functools
import random
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from practicum.errors import EnvironmentFault
from practicum.suites.stand_ins import ARRAY_MODULES, array_stand_ins, stand_ins

_turn = threading.RLock()
"""Held while what the whole process has only one of is an episode's: shared generators, a name in ``sys.modules``."""


@contextmanager
def seeded_libraries(source: random.Random) -> Iterator[None]:
    """The generators that libraries draw from themselves (``random``'s, NumPy's) are seeded in here, then put back.

    pandas draws its samples from NumPy's, say. The process has one of each: episodes in other threads wait.
    """
    with _turn:
        seed, before = source.getrandbits(32), random.getstate()
        numpy = sys.modules.get("numpy")
        stood = numpy.random.get_state() if numpy else None
        random.seed(seed)
        if numpy:
            numpy.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before)
            if numpy:
                numpy.random.set_state(stood)


def load_private(path: Path, name: str, only: Collection[str] = (), *, shared: bool = True) -> ModuleType:
    """A fresh module of a Python file.

    Args:
        path: The file.
        name: Its private name in ``sys.modules``; a module of that name is replaced.
        shared: Whether it stays there, for all episodes. Otherwise it is there only while it is imported (dataclasses
            look for the module they are made in), and what it keeps ends with whoever holds it.
        only: Names of the modules it gets stand-ins for; empty for all there are.

    Raises:
        EnvironmentFault: the file is not there or does not import.
    """
    if not path.is_file():
        raise EnvironmentFault("no such Python file", where=str(path))
    module = ModuleType(name)
    # Functions look `import` up in their module's own builtins, so imports within functions come here too.
    vars(module).update(__file__=str(path), __builtins__={**vars(builtins), "__import__": _importer(only)})
    with _turn:
        sys.modules[name] = module
        loaded = False
        try:
            # Not through the import system, which would leave compiled files in a folder that is not ours.
            exec(_compiled(path.read_bytes(), str(path)), vars(module))
            loaded = True
        except (Exception, SystemExit) as error:
            what = f"{path.name} cannot be imported: {type(error).__name__}: {error}"
            raise EnvironmentFault(what, where=str(path), fix="install what it needs, or mend it") from error
        finally:
            if not (loaded and shared):
                del sys.modules[name]
    return module


@functools.lru_cache(64)
def _compiled(source: bytes, path: str) -> CodeType:
    return compile(source, path, "exec", dont_inherit=True)


def _importer(only: Collection[str]) -> Any:
    replaced = {name: module for name, module in stand_ins().items() if not only or name in only}

    def imported(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        if level == 0 and name in replaced:
            return replaced[name]
        if level == 0 and name in ARRAY_MODULES and (not only or "numpy" in only):
            # As the import system does it: `import numpy.random` gives numpy.
            return array_stand_ins()[name if fromlist else "numpy"]
        return builtins.__import__(name, globals, locals, fromlist, level)

    return imported
