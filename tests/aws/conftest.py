"""Agents over AWS's own client in a process of their own, dispatched by ours through a real gateway.

Only the policy is a script. The agents' process has made-up AWS credentials, which AWS's token generator signs
with without any network, and proxies that lead nowhere: whatever it calls beyond this machine fails.
"""

import asyncio
import contextlib
import json
import math
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import pytest

from practicum.engine.protocol import Sample, SamplingParams
from practicum.rollout import dispatcher as dispatcher_module
from practicum.rollout.agents_http import HttpAgent
from practicum.rollout.dispatcher import Dispatcher, Limits, RolloutRequest
from practicum.rollout.gateway.app import create_gateway
from practicum.rollout.gateway.http_server import GatewayServer
from practicum.rollout.gateway.registry import Registry
from practicum.rollout.renderer import make_renderer
from practicum.tasks import Task
from practicum.trajectory import EnvironmentRef, Trajectory

HERE = Path(__file__).parent
JOB = "arn:aws:sagemaker:us-west-2:111122223333:job/agent-rft/tickets"
PARAMS = SamplingParams(temperature=0.7, top_p=0.9, max_tokens=64)
END = 2  # <|im_end|> of SmolLM2
STARTUP_S = 120  # a few seconds of imports, on a machine that may be busy
NOWHERE = "http://127.0.0.1:9"

PACKAGES = {
    "custom": "sagemaker-train",
    "agentcore": "bedrock-agentcore",
    "strands_agent": "strands-agents",
    "langchain_agent": "langchain-openai",
}
"""What each agent of ``agents/`` needs beside AWS's client."""

AWS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",  # the one of AWS's documentation
    "AWS_SECRET_ACCESS_KEY": "not/a/secret",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "http_proxy": NOWHERE,
    "https_proxy": NOWHERE,
    "no_proxy": "127.0.0.1",
}


def installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without AWS's client there is nothing to test here."""
    if not installed("sagemaker-train"):
        missing = pytest.mark.skip(reason="sagemaker-train is not installed: make install-dev")
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(missing)


class Script:
    """A policy that says ``say(rollout, attempt, turn)`` and keeps every prompt it was given."""

    version = 3

    def __init__(self, tokenizer: Any, say: Callable[[str, int, int], str]) -> None:
        self.tokenizer, self.say = tokenizer, say
        self.attempts: Counter[str] = Counter()
        self.prompts: dict[tuple[str, int], list[list[int]]] = {}

    async def sample(self, session: str, prompt_ids: Sequence[int], params: SamplingParams, seed: int) -> Sample:
        attempt = self.attempts[session]
        prompts = self.prompts.setdefault((session, attempt), [])
        said = self.say(session, attempt, len(prompts))
        prompts.append(list(prompt_ids))
        ids = (*self.tokenizer.encode(said, add_special_tokens=False), END)
        return Sample(ids, (math.log(0.5),) * len(ids), (self.version,) * len(ids), "stop")

    def release(self, session: str) -> None:
        self.attempts[session] += 1

    def attached(self, _session: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


@dataclass(frozen=True)
class Exchange:
    """One request to the gateway and its answer."""

    path: str
    headers: dict[str, str]
    body: Any
    status: int
    answer: bytes


class Wire:
    """The gateway, and what passes between it and its callers."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.exchanges: list[Exchange] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        asked, answered, status = bytearray(), bytearray(), 0

        async def listen() -> Any:
            message = await receive()
            asked.extend(message.get("body", b""))
            return message

        async def answer(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            answered.extend(message.get("body", b""))
            await send(message)

        await self.app(scope, listen, answer)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.exchanges.append(Exchange(scope["path"], headers, json.loads(asked), status, bytes(answered)))

    def model_calls(self) -> list[Exchange]:
        return [exchange for exchange in self.exchanges if exchange.path == "/v1/chat/completions"]

    def reports(self, rollout: str = "r-") -> list[tuple[str, int, str]]:
        """What AWS's client told of a rollout (its id's beginning): path, HTTP status, and the state it came to."""
        reports = [(e, json.loads(e.answer)) for e in self.exchanges if e.path != "/v1/chat/completions"]
        mine = [(e, said) for e, said in reports if e.body["TrajectoryId"].startswith(rollout)]
        return [(e.path, e.status, said.get("Status") or said["message"]) for e, said in mine]


@dataclass
class Collected:
    """What a test looks at."""

    trajectories: list[Trajectory]
    wire: Wire
    script: Script

    @property
    def one(self) -> Trajectory:
        (trajectory,) = self.trajectories
        return trajectory


@dataclass(frozen=True)
class Agents:
    """The process that serves the agents."""

    url: str
    names: tuple[str, ...]
    log: Path


@pytest.fixture(scope="session")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agents]:
    """Every agent whose packages are installed, behind one address; they start once."""
    home = tmp_path_factory.mktemp("aws-agents")
    names = tuple(name for name, package in PACKAGES.items() if installed(package))
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    served = Agents(f"http://127.0.0.1:{listener.getsockname()[1]}", names, home / "log")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with served.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "agents" / "serve.py"), str(listener.fileno()), *names],
            env={**kept, **AWS, "HOME": str(home)},
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=log,
        )
    listener.close()  # the agents alone hold it: should they die, connections are refused
    try:
        httpx.get(f"{served.url}/custom/health", timeout=STARTUP_S, trust_env=False).raise_for_status()
        yield served
    except httpx.HTTPError as error:
        pytest.fail(f"the agents did not start: {error!r}\n{served.log.read_text()}")
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def collect(agents: Agents, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Collected]:
    """Collects rollouts ``r-0``, ``r-1``, … of one agent; dispatcher, gateway and HTTP are ours and real."""
    monkeypatch.setattr(dispatcher_module, "BACKOFF_S", 0.001)

    def run(
        path: str,
        *texts: str,
        say: Callable[[str, int, int], str] | None = None,
        prompts: Sequence[str] = ("What about T-7?",),
        reward: Any = None,
        retries: int = 0,
    ) -> Collected:
        name = path.partition("/")[0]
        if name not in agents.names:
            pytest.skip(f"{PACKAGES[name]} is not installed: make install-dev")
        script = Script(tokenizer, say or (lambda rollout, attempt, turn: texts[turn]))
        registry = Registry()
        wire = Wire(create_gateway(registry))
        requests = [RolloutRequest(f"r-{n}", "g", Task(f"t-{n}", text), seed=n) for n, text in enumerate(prompts)]

        async def play() -> list[Trajectory]:
            async with AsyncExitStack() as stack:
                gateway = await stack.enter_async_context(GatewayServer(wire))
                # A server that has failed closes the connection: the next rollout takes one of its own.
                fresh = httpx.Limits(max_keepalive_connections=0)
                client = await stack.enter_async_context(httpx.AsyncClient(limits=fresh, trust_env=False))
                url = f"{agents.url}/{path}"
                needs = {"timeout_s": 60, "needs_reward": reward is None}
                agent = HttpAgent(url, registry, gateway.url, client, JOB, **needs)
                await agent.check_health()
                renderer = make_renderer(tokenizer, "smollm2-135m", "hermes")
                environment = EnvironmentRef("tickets", "1", "none")
                limits = Limits(timeout=90, retries=retries)
                dispatcher = Dispatcher(script, renderer, PARAMS, agent, environment, reward, limits=limits)
                return await dispatcher.run(requests)

        trajectories = asyncio.run(play())
        assert len(registry) == 0
        return Collected(trajectories, wire, script)

    return run


@pytest.fixture
def job() -> str:
    """Name of the run, as the agents are told it."""
    return JOB


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The agents' AWS settings, in this process."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    return AWS
