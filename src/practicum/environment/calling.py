"""From what a tool returned to what the agent sees, waited for on whichever loop there is."""

import asyncio
import contextvars
import functools
import inspect
import json
import sysconfig
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from practicum.environment.fixtures import thawed
from practicum.errors import EnvironmentFault, RolloutError

T = TypeVar("T")

_NOT_THEIRS = (f"{Path(__file__).parent}/", f"{sysconfig.get_path('stdlib')}/", "<")

RESULT_LIMIT = 20_000
"""Characters of one tool result; a longer one is cut, with a note the agent sees."""

_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


@dataclass(frozen=True)
class Transform:
    """Normalizes every result before the agent sees it.

        def rounded(tool: str, value):
            return round(value, 2) if isinstance(value, float) else value

        class Desk(Environment):
            transform = Transform("rounded", "1", rounded)

    ``id`` and ``version`` are part of the environment's digest; its code is too, as part of the file it stands in.
    """

    id: str
    version: str
    function: Callable[[str, Any], Any]
    """Takes the tool's name and the result as JSON data (for an error ``{"error": text}``); returns the new result."""


@dataclass(frozen=True)
class ToolResult:
    """What a tool call gave: the text the agent sees, and whether it is an error."""

    text: str
    is_error: bool = False


def result_of(name: str, value: Any, transform: Transform | None, *, is_error: bool = False) -> ToolResult:
    """The result of a call: text as it is, everything else as JSON.

    Raises:
        EnvironmentFault: the value is not JSON.
    """
    if transform is not None:
        value = transform.function(name, _json_of(name, value, thawed))
    text = value if isinstance(value, str) else _json_of(name, value, _written)
    if len(text) > RESULT_LIMIT:
        text = f"{text[:RESULT_LIMIT]}… [cut: {len(text) - RESULT_LIMIT} more characters]"
    # Half a surrogate pair is nothing that a tokenizer takes.
    return ToolResult(text.encode(errors="replace").decode(), is_error)


def exited(error: SystemExit, whose: str) -> RolloutError:
    """What to raise where the user's code would have ended the process: it fails one rollout, like any exception.

    Args:
        error: What was raised; its traceback goes along, for those who look for the user's line.
        whose: Whose code it was.
    """
    fault = RolloutError(
        f"{whose} raised SystemExit: {error}", where=_place_of(error), fix="raise ToolError, or another exception"
    )
    return fault.with_traceback(error.__traceback__)


def _place_of(error: BaseException) -> str:
    """``file:line`` of the innermost code that is neither ours nor Python's own."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(_NOT_THEIRS):
            place = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


async def awaited(value: Any) -> Any:
    """The value, or what it comes to where it has to be waited for, on the caller's loop."""
    return await value if inspect.isawaitable(value) else value


def waited(value: Any) -> Any:
    """The value, or what it comes to where it has to be waited for; also where this thread runs a loop already."""
    return _aside(lambda: asyncio.run(awaited(value))) if inspect.isawaitable(value) else value


class OwnLoop:
    """An event loop for callers who cannot wait: what one call opened on it, the next can go on with."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    async def wait(self, value: Any) -> Any:
        """The value, or what it comes to, without ever giving way to the caller."""
        if not inspect.isawaitable(value):
            return value
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        context = contextvars.copy_context()
        return _aside(functools.partial(self._runner.run, awaited(value), context=context))

    def close(self) -> None:
        """Cancel what still runs on the loop, and end it."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            _aside(runner.close)


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never gives way, from synchronous code and without a loop."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the coroutine gave way")


def _aside(function: Callable[[], T]) -> T:
    """Run what runs a loop: here, or where one runs already in this thread, in another."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function()
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(function).result()


def _json_of(name: str, value: Any, how: Callable[[Any], T]) -> T:
    try:
        return how(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise EnvironmentFault(
            f"tool {name!r} returned something that is not JSON: {error}",
            fix="return text, finite numbers, lists, or dicts with text as keys",
        ) from error


def _written(value: Any) -> str:
    return _ENCODE(thawed(value))
