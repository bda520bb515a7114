"""The user's code followed line by line: one tracer, and which line changed something."""

import linecache
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from practicum.environment.places import is_users, shown, users_frame

Probe = Callable[[], Any]
"""Reads something; two readings are compared with ``changed``."""


LineTracer = Callable[[FrameType, str, Any], Any]
"""As ``sys.settrace`` takes it."""


def tracer_of(home: Path, enter: Callable[[FrameType], LineTracer | None]) -> LineTracer:
    """A tracer that asks ``enter``, at each call of the user's code, for what is told of that call's lines."""

    def call(frame: FrameType, _event: str, _arg: Any) -> Any:
        return enter(frame) if is_users(frame.f_code.co_filename, home) else None

    return call


@contextmanager
def tracing(tracer: LineTracer) -> Iterator[None]:
    """Trace this thread."""
    sys.settrace(tracer)
    try:
        yield
    finally:
        sys.settrace(None)


class Blamer:
    """Names the line after which each probe's value was first another one.

    Args:
        inside: Whether only what changes while the user's code runs counts. To carry out an async tool changes
            settings for a while too, and that is nobody's fault.
    """

    def __init__(
        self,
        home: Path,
        probes: Mapping[str, Probe],
        changed: Callable[[str, Any, Any], bool],
        *,
        inside: bool = False,
    ) -> None:
        self._inside = inside
        self.found: dict[str, str] = {}
        self._home, self._probes, self._changed = home, dict(probes), changed
        self._values: dict[str, Any] = {}
        self._last = ""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look after every line of the user's."""
        self._values = {name: probe() for name, probe in self._probes.items()}
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        try:
            yield
        finally:
            self._look()
            sys.settrace(None)
            threading.settrace(None)

    def _trace(self, frame: FrameType, _event: str, _arg: Any) -> LineTracer | None:
        if not self._probes or not is_users(frame.f_code.co_filename, self._home):
            return None
        file, last = frame.f_code.co_filename, frame.f_lineno
        # The caller's line is still under way: what changed so far is not this function's doing.
        self._look()

        def line(frame: FrameType, event: str, _arg: Any) -> Any:
            nonlocal last
            self._last = shown(file, last)
            self._look()
            last = frame.f_lineno
            over = event == "return" and self._inside and users_frame(frame.f_back, self._home) is None
            self._last = "" if over else shown(file, last)
            return line

        return line

    def _look(self) -> None:
        for name, probe in list(self._probes.items()):
            value = probe()
            if self._changed(name, self._values[name], value) and self._last:
                self.found[name] = self._last
                del self._probes[name]
            self._values[name] = value


def is_import(place: str) -> bool:
    """Whether the line imports something: what then changed is a library's doing."""
    file, _, line = place.rpartition(":")
    text = linecache.getline(file, int(line) if line.isdigit() else 0).strip()
    return text.startswith(("import ", "from "))
