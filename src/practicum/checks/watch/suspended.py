"""Generators and context stacks that still wait to clean up after themselves."""

import contextlib
import gc
import linecache
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from practicum.environment.places import is_users, place_of_frame, shown


@dataclass(frozen=True)
class Suspended:
    """A generator in the middle of its work, or a stack of contexts that was not left."""

    value: Any
    kind: str
    name: str
    where: str

    def has_cleanup(self) -> bool:
        """Whether ending it runs any of its own lines: code after a yield in ``with`` or ``finally``. Ends it."""
        if self.kind == "generator" and isinstance(self.value, types.GeneratorType):
            return _runs_lines(self.value)
        if isinstance(self.value, types.AsyncGeneratorType):
            return _runs_lines_of_async(self.value)
        return True


def suspended(home: Path) -> Mapping[int, Suspended]:
    """What is suspended now, of the user's making, by identity."""
    waiting: dict[int, Suspended] = {}
    entered: set[int] = set()
    for value in gc.get_objects():
        frame: FrameType | None = None
        if isinstance(value, types.GeneratorType):
            frame = value.gi_frame if not value.gi_running and value.gi_suspended else None
        elif isinstance(value, types.AsyncGeneratorType):
            frame = value.ag_frame if not value.ag_running else None
        elif isinstance(value, contextlib.ExitStack | contextlib.AsyncExitStack):
            if vars(value).get("_exit_callbacks"):
                waiting[id(value)] = Suspended(value, "stack of contexts", "an ExitStack that was not closed", "")
            continue
        elif isinstance(value, contextlib._GeneratorContextManager):
            entered.add(id(value.gen))
            continue
        if frame is not None and frame.f_lasti > 0 and is_users(frame.f_code.co_filename, home):
            waiting[id(value)] = Suspended(value, "generator", frame.f_code.co_qualname, place_of_frame(frame))
    # What follows the yield of a context manager is its end, with or without a finally.
    return {key: replace(each, kind="context") if key in entered else each for key, each in waiting.items()}


def _runs_lines(generator: "types.GeneratorType[Any, Any, Any]") -> bool:
    ran: list[str] = []
    before = sys.gettrace()
    tracer = _begin(generator.gi_frame, ran)
    sys.settrace(tracer)
    try:
        generator.close()
    except Exception:
        ran.append("an exception")
    finally:
        sys.settrace(before)
    return bool(ran)


def _runs_lines_of_async(generator: "types.AsyncGeneratorType[Any, Any]") -> bool:
    ran: list[str] = []
    before = sys.gettrace()
    tracer = _begin(generator.ag_frame, ran)
    sys.settrace(tracer)
    try:
        generator.aclose().send(None)
    except BaseException as error:
        ran += [] if isinstance(error, StopIteration) else ["an exception"]
    finally:
        sys.settrace(before)
    return bool(ran)


def _begin(first: FrameType | None, ran: list[str]) -> Callable[[FrameType, str, Any], Any]:
    """A tracer that notes every line which runs because a generator is ended, its own and those it calls."""

    def lines_after(at: int) -> Callable[[FrameType, str, Any], Any]:
        def line(frame: FrameType, event: str, _arg: Any) -> Any:
            text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
            # The exception arrives at the yield; that an except clause does not match it is no cleanup.
            if event == "line" and frame.f_lineno != at and not text.startswith("except"):
                ran.append(shown(frame.f_code.co_filename, frame.f_lineno))
            return line

        return line

    def call(frame: FrameType, _event: str, _arg: Any) -> Any:
        if frame.f_lasti <= 0:
            ran.append(shown(frame.f_code.co_filename, frame.f_lineno))
            return None
        return lines_after(frame.f_lineno)  # an inner generator, ended too

    if first is not None:
        # It is under way already: a tracer set now would not hear of its lines.
        first.f_trace = lines_after(first.f_lineno)
    return call
