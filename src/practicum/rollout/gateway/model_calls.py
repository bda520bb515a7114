"""Model calls of many agents at once: bounded, one at a time per trajectory, unharmed by cut connections.

A model call runs to its end even where the client has gone. What it sampled is a turn as soon as a client receives it:
an answer that nobody received is no turn of the agent's, and waits for a retry. A retry is the same request again

- after the connection of the first was closed before the answer, or reset after it: it was not read; or
- with a header that counts retries (``x-stainless-retry-count``, which OpenAI's clients send): a proxy in between may
  keep our connection open although its client has long hung up.

It gets the answer of the first, under way or given, instead of another sample. The same request without either sign is
a sample of its own: agents ask twice to choose between answers. It waits until the first has been received, as it would
for its trajectory's turn: a retry may come before the news that the first connection is closed. Metadata makes no
difference between requests.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from practicum.errors import PracticumError
from practicum.rollout.gateway.chat_request import ChatRequest
from practicum.rollout.gateway.error_answers import GatewayError
from practicum.rollout.gateway.registry import Entry
from practicum.rollout.session import ChatResult, SampledAnswer

log = logging.getLogger(__name__)

_LOOK_S = 0.02
"""Seconds between two looks whether a client that an equal request waits for has hung up."""


LINE = "practicum.line"
"""Where a request's scope holds its ``ClientConnection``."""


@dataclass
class ClientConnection:
    """The connection that a model call came by.

    Attributes:
        gone: Asks whether it is closed.
        reset: Whether the client closed it over bytes that it had not read.
    """

    gone: Callable[[], Awaitable[bool]]
    reset: bool = False

    def close(self) -> None:
        """Its answer is sent: let go of the request."""
        self.gone = _long_gone


async def _long_gone() -> bool:
    return True


@dataclass(frozen=True)
class GatewayAnswer:
    """An answer and which of its trajectory's answers it is, from 1."""

    number: int
    result: ChatResult


@dataclass
class _Call:
    """One sampling under way, or what came of it once a client has received it (without the tokens)."""

    outcome: asyncio.Task[tuple[int, SampledAnswer]] | GatewayAnswer
    line: ClientConnection

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

    async def call_to_repeat(self, *, retried: bool, entry: Entry) -> _Call | None:
        """The call whose answer a client asks for again; None where it asks for another one.

        Raises:
            GatewayError: the trajectory ended meanwhile.
        """
        while True:
            for call in self.calls:
                # A connection whose answer has been sent meanwhile looks closed: look again whether it was received.
                if call.line.reset if call.received else await call.line.gone() and not call.received:
                    return call
            if retried:
                return self._named_by_retry()
            under_way = next((call.outcome for call in self.calls if not isinstance(call.outcome, GatewayAnswer)), None)
            if under_way is None:
                return None
            await asyncio.wait([under_way], timeout=_LOOK_S)
            await asyncio.sleep(0)  # whoever asked first takes its answer first
            entry.require_open()

    def _named_by_retry(self) -> _Call | None:
        if self.refused:
            self.refused -= 1
            return None
        return next((call for call in self.calls if not call.received), self.calls[-1] if self.calls else None)


class ModelCalls:
    """Runs model calls, of at most ``limit`` trajectories at a time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._sampling: dict[Entry, int] = {}
        self._asked: WeakKeyDictionary[Entry, dict[str, _Asked]] = WeakKeyDictionary()

    async def answer(
        self, entry: Entry, request: ChatRequest, line: ClientConnection, *, retried: bool = False
    ) -> GatewayAnswer:
        """Sample, or hand over what an identical request has sampled whose client had not received it.

        Raises:
            GatewayError: 409 where the trajectory is sealed, 429 over the limit, 500 for an engine fault.
            PracticumError: the session refuses the request.
        """
        entry.require_open()
        history = self._asked.setdefault(entry, {}).setdefault(request.fingerprint, _Asked())
        call = await history.call_to_repeat(retried=retried, entry=entry)
        if call is None:
            call = self._begun(entry, request, line, history)
        call.line = line
        if isinstance(call.outcome, GatewayAnswer):
            line.close()
            return call.outcome
        try:
            number, sampled = await _result(call.outcome)
        except Exception:
            history.refused += 1
            if call in history.calls:
                history.calls.remove(call)
            raise
        answer = GatewayAnswer(number, sampled.result)
        if not await line.gone() and not call.received and not entry.closed:
            call.outcome = answer
            entry.session.record(sampled)
            line.close()
        return answer

    def _begun(self, entry: Entry, request: ChatRequest, line: ClientConnection, history: _Asked) -> _Call:
        """A call under way. Those that wait for their trajectory's turn do not count: they sample one at a time."""
        if entry not in self._sampling and len(self._sampling) >= self.limit:
            history.refused += 1
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
        call = _Call(task, line)
        history.calls.append(call)
        return call

    def _over(self, entry: Entry, task: asyncio.Task[tuple[int, SampledAnswer]]) -> None:
        entry.running.discard(task)
        self._sampling[entry] -= 1
        if not self._sampling[entry]:
            del self._sampling[entry]


async def _result(sampling: asyncio.Task[tuple[int, SampledAnswer]]) -> tuple[int, SampledAnswer]:
    """What a sampling gives; whoever stops waiting for it does not stop it.

    Raises:
        GatewayError: the rollout was given up, and its sampling with it.
    """
    try:
        return await asyncio.shield(sampling)
    except asyncio.CancelledError:
        if not sampling.cancelled():
            raise
        text = "the rollout was given up while the model answered: its time was over, or the run is ending"
        raise GatewayError(409, text, "rollout_ended", {"x-should-retry": "false"}) from None


async def _sample(entry: Entry, request: ChatRequest) -> tuple[int, SampledAnswer]:
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
