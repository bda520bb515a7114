"""Model calls of many agents at once: bounded, one at a time per trajectory, unharmed by cut connections.

A model call runs to its end even where the client has gone. What it sampled is a turn as soon as a client receives it:
an answer that nobody received is no turn of the agent's, and waits for a retry. A retry is the same request again

- after the connection of the first was closed, or
- with a header that counts retries (``x-stainless-retry-count``, which OpenAI's clients send): a proxy in between may
  keep our connection open although its client has long hung up.

It gets the answer of the first, under way or given, instead of another sample. The same request without either sign is
a sample of its own: agents ask twice to choose between answers. Metadata makes no difference between requests.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from practicum.errors import PracticumError
from practicum.rollout.gateway_errors import GatewayError
from practicum.rollout.gateway_registry import Entry
from practicum.rollout.openai_types import ChatRequest
from practicum.rollout.session import ChatResult, Sampled

log = logging.getLogger(__name__)

Gone = Callable[[], Awaitable[bool]]
"""Asks whether a client's connection is closed."""


@dataclass(frozen=True)
class GatewayAnswer:
    """An answer and which of its trajectory's answers it is, from 1."""

    number: int
    result: ChatResult


@dataclass
class _Call:
    """One sampling under way, or what came of it once a client has received it (without the tokens)."""

    outcome: asyncio.Task[tuple[int, Sampled]] | GatewayAnswer
    gone: Gone

    @property
    def received(self) -> bool:
        """Whether a client has received the answer."""
        return isinstance(self.outcome, GatewayAnswer)


@dataclass
class _Asked:
    """What became of one request, however often it came."""

    calls: list[_Call] = field(default_factory=list)
    refused: int = 0
    """Answered with an error, and not asked again yet: such a retry wants a sample."""

    async def call_to_repeat(self, *, retried: bool) -> _Call | None:
        """The call whose answer a client asks for again; None where it asks for another one."""
        for call in self.calls:
            if not call.received and await call.gone():
                return call
        if retried and self.refused:
            self.refused -= 1
            return None
        if not retried or not self.calls:
            return None
        return next((call for call in self.calls if not call.received), self.calls[-1])


class ModelCalls:
    """Runs model calls, of at most ``limit`` trajectories at a time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._sampling: dict[Entry, int] = {}
        self._asked: WeakKeyDictionary[Entry, dict[str, _Asked]] = WeakKeyDictionary()

    async def answer(self, entry: Entry, request: ChatRequest, gone: Gone, *, retried: bool = False) -> GatewayAnswer:
        """Sample, or hand over what an identical request has sampled whose client had not received it.

        Raises:
            GatewayError: 409 where the trajectory is sealed, 429 over the limit, 500 for an engine fault.
            PracticumError: the session refuses the request.
        """
        entry.require_open()
        asked = self._asked.setdefault(entry, {}).setdefault(request.fingerprint, _Asked())
        call = await asked.call_to_repeat(retried=retried)
        if call is None:
            call = self._begun(entry, request, gone, asked)
        if isinstance(call.outcome, GatewayAnswer):
            return call.outcome
        call.gone = gone
        try:
            number, sampled = await asyncio.shield(call.outcome)
        except Exception:
            asked.refused += 1
            if call in asked.calls:
                asked.calls.remove(call)
            raise
        answer = GatewayAnswer(number, sampled.result)
        if not await gone() and not call.received and not entry.closed:
            call.outcome = answer
            entry.session.record(sampled)
        return answer

    def _begun(self, entry: Entry, request: ChatRequest, gone: Gone, asked: _Asked) -> _Call:
        """A call under way. Those that wait for their trajectory's turn do not count: they sample one at a time."""
        if entry not in self._sampling and len(self._sampling) >= self.limit:
            asked.refused += 1
            raise GatewayError(
                429,
                f"{self.limit} model calls are running, the most this server takes; try again in a second",
                "rate_limit_exceeded",
                {"Retry-After": "1"},
            )
        task = asyncio.create_task(_sample(entry, request))
        self._sampling[entry] = self._sampling.get(entry, 0) + 1
        entry.running.add(task)
        task.add_done_callback(lambda done: self._over(entry, done))
        call = _Call(task, gone)
        asked.calls.append(call)
        return call

    def _over(self, entry: Entry, task: asyncio.Task[tuple[int, Sampled]]) -> None:
        entry.running.discard(task)
        self._sampling[entry] -= 1
        if not self._sampling[entry]:
            del self._sampling[entry]


async def _sample(entry: Entry, request: ChatRequest) -> tuple[int, Sampled]:
    async with entry.model_call:
        entry.require_open()
        try:
            sampled = await entry.session.sample(
                request.plain_messages(),
                request.tool_schemas,
                temperature=request.temperature,
                top_p=request.top_p,
                max_tokens=request.token_limit,
            )
        except Exception as error:
            if isinstance(error, PracticumError):
                raise
            log.exception("a model call of trajectory %s failed", entry.name)
            raise GatewayError(500, f"{type(error).__name__}: {error}", "internal_error") from error
        return entry.served_model_call(), sampled
