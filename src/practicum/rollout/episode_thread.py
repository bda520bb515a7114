"""A thread for one episode: user code that never waits keeps nobody else waiting.

A tool that is not ``async def`` may sleep, compute, or hang for good. Each episode therefore has a thread of its own,
and everything of the environment's that is not async runs there, one call after the other: what belongs to the thread
that made it, such as an SQLite connection, is met by that thread alone. No pool: a thread that hangs takes no place
from another, and as a daemon it is not waited for when the process ends.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_Outcome = tuple[Any, BaseException | None]


class EpisodeThread:
    """Runs functions for the event loop it was made on, in a copy of its maker's context. Call ``end`` at last."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._open = 0
        serve = contextvars.copy_context().run
        threading.Thread(target=serve, args=(self._serve,), name="practicum-episode", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether it is still within something that was asked of it."""
        return self._open > 0

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """What the function returns. Who stops waiting for it does not stop it.

        Raises:
            BaseException: what the function raised, with the lines it came from.
        """
        outcome = self._order(function, args)
        # The error travels as a value: a future refuses StopIteration, and complains of errors nobody asked for.
        value, error = await outcome
        if error is not None:
            try:
                raise error
            finally:
                del error, outcome  # else the error and its lines keep each other, and the environment, alive
        result: T = value
        return result

    def later(self, function: Callable[[], object]) -> None:
        """Run it when all that was asked before has come back, if ever; what becomes of it nobody hears."""
        self._order(function, ())

    def end(self) -> None:
        """Nothing more will be asked: the thread ends once it has done what was."""
        self._orders.put(None)

    def _order(self, function: Callable[..., object], args: Any) -> "asyncio.Future[_Outcome]":
        outcome: asyncio.Future[_Outcome] = self._loop.create_future()
        self._open += 1
        self._orders.put(lambda: self._carry_out(outcome, function, args))
        return outcome

    def _serve(self) -> None:
        while (order := self._orders.get()) is not None:
            order()

    def _carry_out(self, outcome: "asyncio.Future[_Outcome]", function: Callable[..., Any], args: Any) -> None:
        came: _Outcome = (None, None)
        try:
            came = (function(*args), None)
        except BaseException as error:  # it is its caller's, SystemExit too
            came = (None, error)
        with contextlib.suppress(RuntimeError):  # the loop has been closed since: nobody waits
            self._loop.call_soon_threadsafe(self._settle, outcome, came)
        del came

    def _settle(self, outcome: "asyncio.Future[_Outcome]", came: _Outcome) -> None:
        self._open -= 1
        if not outcome.done():
            outcome.set_result(came)
