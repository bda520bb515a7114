"""Records what the user's code touches: a profiler, a tracer of its lines, and the audit trail, all at once.

The wall clock and entropy are counted by the C library's taps, so that no reader is missed, whatever language it is
written in; the profiler says who the caller was. Global random generators are seen by their own state, environment
variables by the one method that reads them, files, network and processes by Python's audit events.
"""

import os
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from practicum.checks.episodes import NOW
from practicum.checks.watch import libc_hooks as taps
from practicum.checks.watch.file_access import FileAccess, FileRules, listen_to_audit, looked_at
from practicum.checks.watch.line_blame import is_import
from practicum.checks.watch.outside_access import EPISODE, Kind, Touch, blame
from practicum.checks.watch.readers import (
    CLOCKS,
    DRAWS,
    EVENTS,
    FILE_LOOKS,
    VARIABLE_READERS,
    c_name,
    numpy_generator,
    throws_entropy_away,
)
from practicum.environment.places import is_users, place_of_frame, shown
from practicum.text import shortened

_GLOBAL = getattr(random.random, "__self__", None)


class AccessRecorder:
    """What was touched since ``start``. One a process, because an audit hook cannot be removed."""

    def __init__(self) -> None:
        self.home = Path("/nowhere")
        self.datasets: tuple[Path, ...] = ()
        self.phase = ""
        self.numpy_seeded = ""
        """Where the user's code set the seed of NumPy's global generator."""
        self._touches: dict[Touch, None] = {}
        self._files = FileRules()
        self._tapped: taps.Taps | None = None
        self._clock = self._draws = 0
        self._numpy: Any = None
        self._numpy_stood: set[Any] = set()
        self._starters: dict[int, str] = {}
        self._connections: list[sqlite3.Connection] = []
        self._start_thread: Callable[[threading.Thread], None] = threading.Thread.start

    def start(self, home: Path, datasets: tuple[Path, ...] = ()) -> None:
        """Record for an environment in ``home`` from now on, whenever in ``during``; it may read its datasets."""
        self.home, self.datasets = home, datasets
        self._tapped = taps.install()
        listen_to_audit(self._hear)

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Record in this phase."""
        self.phase = phase
        self._files.begin(self.home, self.datasets, phase)
        self._connections.clear()
        self._count()
        self._numpy = numpy_generator()
        self._numpy_stood.clear()
        recorder = self
        begin = self._start_thread

        def start(thread: threading.Thread) -> None:
            recorder._starters[id(thread)] = place_of_frame(recorder._users(sys._getframe(1)))
            begin(thread)

        setattr(threading.Thread, "start", start)  # noqa: B010 (mypy refuses the plain assignment)
        threading.setprofile(self._profile)
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        sys.setprofile(self._profile)
        try:
            yield
        finally:
            sys.setprofile(None)
            sys.settrace(None)
            threading.setprofile(None)
            threading.settrace(None)
            setattr(threading.Thread, "start", begin)  # noqa: B010
            self.phase = ""

    def take_touches(self) -> tuple[Touch, ...]:
        """What was recorded, each once, in order; recording begins anew."""
        touches = tuple(self._touches)
        self._touches.clear()
        return touches

    # Readers of clocks, entropy, generators, variables ----------------------------------------------------

    def _profile(self, frame: FrameType, event: str, arg: Any) -> None:
        if not self.phase:
            return
        if self._connections:
            self._watch_databases()
        if event == "c_call":
            self._look(frame, "")
            if getattr(arg, "__self__", None) is _GLOBAL and arg.__name__ in DRAWS:
                self._touch("random", frame, f"random.{arg.__name__}()")
            elif self._tapped is None and arg in CLOCKS:
                self._touch(CLOCKS[arg], frame, c_name(arg))
        elif event in ("c_return", "c_exception"):
            if arg is time.tzset:
                self._count()  # it reads the clock and tells nobody
            self._look(frame, c_name(arg) if self._unseen() else "")
        elif event == "call":
            self._look(frame.f_back, "")
            self._look_at_reader(frame)
        else:
            self._look(frame, "")

    def _trace(self, frame: FrameType, _event: str, _arg: Any) -> Callable[[FrameType, str, Any], Any] | None:
        if not self.phase or not is_users(frame.f_code.co_filename, self.home):
            return None
        last = frame.f_lineno

        def line(frame: FrameType, _event: str, _arg: Any) -> Any:
            nonlocal last
            # What C code did in the line before, with no call that the profiler sees.
            if self._unseen():
                if is_import(shown(frame.f_code.co_filename, last)):
                    self._count()  # a library's own affair
                self._look(frame, "", last)
            self._look_at_numpy(frame, last)
            last = frame.f_lineno
            return line

        return line

    def _look_at_reader(self, frame: FrameType) -> None:
        code = frame.f_code
        if (reader := VARIABLE_READERS.get(code)) is not None and (read := reader(frame)):
            self._touch("environ", frame.f_back, read)
        elif (argument := FILE_LOOKS.get(code)) is not None:
            path = frame.f_locals.get(argument)
            if isinstance(path, str | os.PathLike):
                self._touch_file(looked_at(path), frame.f_back)

    def _unseen(self) -> bool:
        tapped = self._tapped
        return tapped is not None and (tapped.clock_reads != self._clock or tapped.draws != self._draws)

    def _look(self, frame: FrameType | None, name: str, line: int = 0) -> None:
        tapped = self._tapped
        if tapped is None:
            return
        clock, draws = tapped.clock_reads, tapped.draws
        if clock != self._clock:
            self._clock = clock
            self._touch("clock", frame, name, line)
        if draws != self._draws:
            self._draws = draws
            if not throws_entropy_away(self._users(frame)):
                self._touch("random", frame, name, line)

    def _look_at_numpy(self, frame: FrameType, line: int) -> None:
        if self._numpy is None and "numpy" not in sys.modules:
            return
        generator = numpy_generator()
        self._count()  # to look at it may load it, and it then seeds itself
        if generator is not None and generator != self._numpy:
            before, self._numpy = self._numpy, generator
            stood = generator in self._numpy_stood
            self._numpy_stood.update((before, generator))
            if stood:
                return  # no draw leads back to where it was: it was put back
            if before is not None and generator.drawn_since(before):
                self._touch("random", frame, "numpy.random's global generator", line)
            elif before is not None:
                self.numpy_seeded = shown(frame.f_code.co_filename, line)

    def _count(self) -> None:
        if self._tapped is not None:
            self._clock, self._draws = self._tapped.clock_reads, self._tapped.draws

    # Audit events -----------------------------------------------------------------------------------------

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.phase:
            return
        kind = EVENTS.get(event)
        if kind is not None:
            self._touch(kind, sys._getframe(2), f"{event}{_arguments_text(args)}")
        elif event == "sqlite3.connect/handle":
            # It is only being made: functions can be added once it is there.
            self._connections.append(args[0])
        else:
            self._touch_file(self._files.access_of(event, args), sys._getframe(2))

    def _touch_file(self, access: FileAccess | None, frame: FrameType | None) -> None:
        if access is None:
            return
        by = blame(frame, self.home, "files", "")
        if by is not None and self._files.foreign(access, direct=by.direct):
            self._note("files", access.words, place_of_frame(by.frame) or self._starter(), by.direct)

    def _watch_databases(self) -> None:
        """SQLite draws from a generator of its own, which no tap reaches."""

        def drawn() -> int:
            self._touch("random", sys._getframe(1), "SQLite's random()")
            return int.from_bytes(os.urandom(8), "big", signed=True)

        def blob(length: int) -> bytes:
            self._touch("random", sys._getframe(1), "SQLite's randomblob()")
            return os.urandom(max(1, length))

        for connection in self._connections[:]:
            with suppress(sqlite3.Error):
                connection.create_function("random", 0, drawn)
                connection.create_function("randomblob", 1, blob)
                self._connections.remove(connection)

    # Touches ----------------------------------------------------------------------------------------------

    def _touch(self, kind: Kind, frame: FrameType | None, name: str, line: int = 0) -> None:
        by = blame(frame, self.home, kind, name)
        if by is None:
            return
        if by.frame is None:
            place = self._starter()
        elif line and by.frame is frame:
            place = shown(by.frame.f_code.co_filename, line)
        else:
            place = place_of_frame(by.frame)
        # What was read says more than by which function.
        self._note(kind, name if kind == "environ" else by.callee or "a library", place, by.direct)

    def _note(self, kind: Kind, what: str, place: str, direct: bool) -> None:
        if place:
            at = (NOW.stage, NOW.step) if self.phase == EPISODE else ("", 0)
            self._touches[Touch(kind, what, place, self.phase, *at, direct)] = None

    def _starter(self) -> str:
        """Where the user's code started the present thread."""
        return self._starters.get(id(threading.current_thread()), "")

    def _users(self, frame: FrameType | None) -> FrameType | None:
        while frame is not None and not is_users(frame.f_code.co_filename, self.home):
            frame = frame.f_back
        return frame


def _arguments_text(args: tuple[Any, ...]) -> str:
    parts = [repr(arg) for arg in args if isinstance(arg, str | int | tuple | list)]
    return f"({shortened(', '.join(parts), 80)})"


RECORDER = AccessRecorder()
"""This process's."""
