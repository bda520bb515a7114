"""Model calls of many agents at once: bounded, one at a time per trajectory, unharmed by cut connections.

A model call runs to its end even where the client has gone, so a session never sees half a turn. What it
sampled then waits for the client's retry: the same request gets that answer instead of a second turn that the
agent would never have seen.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from practicum.errors import PracticumError
from practicum.rollout.gateway_errors import GatewayError
from practicum.rollout.gateway_registry import Entry
from practicum.rollout.openai_types import ChatRequest
from practicum.rollout.session import ChatResult

log = logging.getLogger(__name__)

Gone = Callable[[], Awaitable[bool]]
"""Asks whether a client's connection is closed."""


@dataclass(frozen=True)
class Answer:
    """An answer and which of its trajectory's answers it is, from 1."""

    number: int
    result: ChatResult


@dataclass(frozen=True)
class _Call:
    task: asyncio.Task[Answer]
    gone: Gone


class ModelCalls:
    """Runs model calls, at most ``limit`` at a time over all trajectories."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._running: set[asyncio.Task[Answer]] = set()
        self._undelivered: WeakKeyDictionary[Entry, dict[str, _Call]] = WeakKeyDictionary()

    async def answer(self, entry: Entry, request: ChatRequest, gone: Gone) -> Answer:
        """Sample, or hand over what an identical request whose client went away has sampled.

        Raises:
            GatewayError: 409 where the trajectory is sealed, 429 over the limit, 500 for an engine fault.
            PracticumError: the session refuses the request.
        """
        entry.require_open()
        undelivered = self._undelivered.setdefault(entry, {})
        key = request.fingerprint
        earlier = undelivered.get(key)
        abandoned = earlier is not None and await earlier.gone()
        task = earlier.task if earlier and abandoned else self._start(entry, request)
        call = undelivered[key] = _Call(task, gone)
        try:
            answer = await asyncio.shield(task)
        except Exception:
            _forget(undelivered, key, call)
            raise
        if not await gone():
            _forget(undelivered, key, call)
        return answer

    def _start(self, entry: Entry, request: ChatRequest) -> asyncio.Task[Answer]:
        if len(self._running) >= self.limit:
            raise GatewayError(
                429,
                f"{self.limit} model calls are running, the most this server takes; try again in a second",
                "rate_limit_exceeded",
                {"Retry-After": "1"},
            )
        task = asyncio.create_task(_sample(entry, request))
        for tasks in (self._running, entry.running):
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return task


def _forget(undelivered: dict[str, _Call], key: str, call: _Call) -> None:
    if undelivered.get(key) is call:
        del undelivered[key]


async def _sample(entry: Entry, request: ChatRequest) -> Answer:
    async with entry.model_call:
        entry.require_open()
        try:
            result = await entry.session.chat(
                request.plain_messages(),
                request.tool_schemas,
                temperature=request.temperature,
                top_p=request.top_p,
                max_tokens=request.token_limit,
            )
        except Exception as error:
            if isinstance(error, PracticumError):
                raise
            log.exception("a model call of trajectory %s failed", entry.id)
            raise GatewayError(500, f"{type(error).__name__}: {error}", "internal_error") from error
        return Answer(entry.served_model_call(), result)
