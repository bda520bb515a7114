"""A rollout server on a real port, over sessions that answer from a script."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from practicum.engine.protocol import SamplingParams
from practicum.rollout.gateway.app import create_gateway
from practicum.rollout.gateway.http_server import GatewayServer
from practicum.rollout.gateway.registry import Registry
from practicum.trajectory import Message, StopReason, Turn


@dataclass(frozen=True)
class Answer:
    message: Message
    finish_reason: StopReason
    prompt_tokens: int = 7
    completion_tokens: int = 3


@dataclass(frozen=True)
class Unreceived:
    turn: Turn
    result: Answer


class ScriptedSession:
    """Answers call k with reply k (the last one again after that) and keeps what it was asked."""

    id = "g-1"
    params = SamplingParams(temperature=0.7, top_p=0.9, max_tokens=64)

    def __init__(self, *replies: Message | str | Exception, hold: bool = False) -> None:
        self.replies = replies or ("hello",)
        self.asked: list[dict[str, Any]] = []
        self.turns: tuple[Turn, ...] = ()
        self.answers = 0
        self.running = 0
        self.most_at_once = 0
        self.started = threading.Event()
        self.go_on = threading.Event()
        if not hold:
            self.go_on.set()

    async def chat(self, messages, tools=None, **sampling):
        sampled = await self.sample(messages, tools, **sampling)
        self.record(sampled)
        return sampled.result

    def record(self, sampled):
        self.turns += (sampled.turn,)

    async def sample(self, messages, tools=None, **sampling):
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        self.asked.append({"messages": messages, "tools": tools, **sampling})
        self.started.set()
        try:
            while not self.go_on.is_set():
                await asyncio.sleep(0.002)
            await asyncio.sleep(0.002)
            return self._reply(messages)
        finally:
            self.running -= 1

    def _reply(self, messages: list[Message]) -> Unreceived:
        reply = self.replies[min(self.answers, len(self.replies) - 1)]
        if isinstance(reply, Exception):
            raise reply
        message = {"role": "assistant", "content": reply} if isinstance(reply, str) else reply
        finish: StopReason = "tool_calls" if message.get("tool_calls") else "stop"
        self.answers += 1
        turn = Turn(tuple(messages), message, (1,), (2,), (-0.5,), (0,), finish)
        return Unreceived(turn, Answer(message, finish))


class Gateway:
    """A running server; its loop is in another thread, as an agent's process would be."""

    def __init__(self, **settings: Any) -> None:
        self.registry = Registry()
        self.settings = settings
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> "Gateway":
        self.thread.start()
        self.server = GatewayServer(create_gateway(self.registry, **self.settings))
        self.run(self.server.__aenter__())
        self.http = httpx.Client(base_url=self.server.url, timeout=10)
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.run(self.server.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    @property
    def url(self) -> str:
        return self.server.url

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=20)

    def open(self, id: str, *replies: Any, hold: bool = False, **who: Any) -> ScriptedSession:
        session = ScriptedSession(*replies, hold=hold)

        async def register() -> None:
            self.registry.open(id, session, **who)

        self.run(register())
        return session

    def chat(self, id: str | None, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        named = {"X-Amzn-SageMaker-Trajectory-Id": id} if id else {}
        request = {"model": "default", "messages": [{"role": "user", "content": "hi"}], **(body or {})}
        return self.http.post("/v1/chat/completions", json=request, headers={**named, **headers})

    def complete(self, id: str, status: str = "ready", **more: Any) -> httpx.Response:
        return self.http.post("/complete-rollout", json={"TrajectoryId": id, "Status": status, **more})

    def reward(self, id: str, *rewards: Any, **more: Any) -> httpx.Response:
        body = {"TrajectoryId": id, "Rewards": list(rewards), **more}
        return self.http.post("/update-reward", json=body)

    def state(self, id: str) -> str:
        return str(self.registry.outcome(id).state)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """One server for a file; every test opens trajectories of its own."""
    with Gateway() as running:
        yield running


@pytest.fixture
def start_gateway() -> Iterator[Any]:
    """Starts servers with settings of their own; they stop when the test ends."""
    started: list[Gateway] = []

    def start(**settings: Any) -> Gateway:
        started.append(Gateway(**settings).__enter__())
        return started[-1]

    yield start
    for running in started:
        running.__exit__()


@pytest.fixture
def trajectory(request: pytest.FixtureRequest) -> str:
    """An id of the test's own, fit for headers, paths and JSON."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)


@pytest.fixture
def scripted_session() -> type[ScriptedSession]:
    """Sessions without a server."""
    return ScriptedSession
