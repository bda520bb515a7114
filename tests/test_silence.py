"""Others' silence ends: judges, agents and the model hub are waited for within bounds that hold for the whole."""

import asyncio
import gzip
import json
import threading
from functools import partial
from pathlib import Path

import httpx
import pytest

from practicum.display import telling
from practicum.engine.local import hub
from practicum.errors import ModelError, RolloutError, RunError
from practicum.rollout.agents_http import HEALTH_S, HttpAgent
from practicum.rollout.gateway.registry import Registry
from practicum.scoring import endpoint
from practicum.scoring.endpoint import LONGEST_WAIT_S, Endpoint, Patience, complete
from virtual_time import run_virtually

JUDGE = Endpoint("http://judge.example/v1", "grader")


class Answers(httpx.AsyncBaseTransport):
    """A server in memory: ``answer(number)`` is awaited for each request and gives a response."""

    def __init__(self, answer) -> None:
        self.answer, self.asked = answer, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        return await self.answer(self.asked)


async def silence(_: int) -> httpx.Response:
    await asyncio.sleep(1e9)
    raise AssertionError("nobody waits so long")


class Trickle(httpx.AsyncByteStream):
    """A byte a second, without end."""

    async def __aiter__(self):
        while True:
            await asyncio.sleep(1)
            yield b" "


async def trickle(_: int) -> httpx.Response:
    return httpx.Response(200, stream=Trickle())


async def not_now(_: int) -> httpx.Response:
    await asyncio.sleep(50)
    return httpx.Response(503, headers={"Retry-After": "86400"})


def judged(monkeypatch: pytest.MonkeyPatch, answer, patience: Patience) -> tuple[float, Answers]:
    """Virtual seconds until a judge's endpoint was given up."""
    server = Answers(answer)
    client = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **more: client(transport=server, timeout=None))
    endpoint._tell_once.cache_clear()

    async def ask() -> None:
        with pytest.raises(RolloutError, match="gave no completion"):
            await complete(JUDGE, [], {}, patience)

    return run_virtually(ask()), server


@pytest.mark.parametrize("answer", [silence, trickle, not_now])
@pytest.mark.parametrize("retries", [0, 3, 50])
def test_an_endpoint_that_is_silent_trickles_or_puts_off_is_given_up(answer, retries, monkeypatch):
    patience = Patience(timeout_s=60, retries=retries)
    seconds, server = judged(monkeypatch, answer, patience)
    assert seconds <= patience.total_s + 1 == 3 * 60 + LONGEST_WAIT_S + 1
    assert server.asked <= 4


def test_what_is_waited_for_is_said_once(monkeypatch, capsys):
    judged(monkeypatch, silence, Patience(timeout_s=60, retries=3))
    told = [line for line in capsys.readouterr().err.splitlines() if "waiting" in line]
    assert told == ["practicum: waiting for grader at http://judge.example/v1: 210 s at most for one answer"]


def test_an_endpoint_that_comes_back_is_heard(monkeypatch):
    async def later(number: int) -> httpx.Response:
        if number == 1:
            await asyncio.sleep(1e9)
        return httpx.Response(200, json={"choices": [{"message": {"role": "assistant", "content": "1"}}]})

    client = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **more: client(transport=Answers(later), timeout=None))
    heard: list[dict] = []

    async def ask() -> None:
        heard.append(await complete(JUDGE, [], {}, Patience(timeout_s=60, retries=1)))

    assert 60 < run_virtually(ask()) < 62
    assert json.loads(heard[0]["choices"][0]["message"]["content"]) == 1


@pytest.mark.parametrize("answer", [silence, trickle])
def test_an_agents_health_is_waited_for_ten_seconds_in_all(answer, capsys):
    async def ask() -> None:
        async with httpx.AsyncClient(transport=Answers(answer)) as client:
            agent = HttpAgent("http://agent.example", Registry(), "", client, "job")
            with pytest.raises(RunError, match=r"does not answer within 10 s"):
                await agent.check_health()

    assert HEALTH_S <= run_virtually(ask()) < HEALTH_S + 1
    assert "waiting for the agent at http://agent.example/health: 10 s at most" in capsys.readouterr().err


def test_what_does_not_take_long_is_not_talked_about(capsys):
    async def quick() -> None:
        with telling("nothing", after_s=5):
            await asyncio.sleep(4)
        await asyncio.sleep(10)

    run_virtually(quick())
    assert capsys.readouterr().err == ""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache that is looked at without waiting; gives the folder of a repository's files."""
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "LOOK_S", 0.0)
    blobs = tmp_path / "models--own--model" / "blobs"
    blobs.mkdir(parents=True)
    return blobs


def test_a_hub_that_falls_silent_is_given_up_after_so_many_looks(cache, monkeypatch, capsys):
    never, looks = threading.Event(), 0
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: never.wait())
    measure = hub._bytes_of

    def looked(name: str) -> int:
        nonlocal looks
        looks += 1
        return measure(name)

    monkeypatch.setattr(hub, "_bytes_of", looked)
    with pytest.raises(ModelError, match="nothing came for"):
        hub.fetched("own/model")
    assert looks == hub.SILENT_LOOKS + 1
    assert "waiting for the Hugging Face hub: no byte of own/model" in capsys.readouterr().err
    never.set()


def test_a_slow_download_goes_on_as_long_as_bytes_come(cache, monkeypatch):
    done, looks = threading.Event(), 0
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: done.wait() and str(cache))
    measure = hub._bytes_of

    def grown(name: str) -> int:
        nonlocal looks
        looks += 1
        if looks % (hub.SILENT_LOOKS - 1) == 0:  # just in time, again and again
            with (cache / "abc.incomplete").open("ab") as file:
                file.write(b"x")
        if looks == 10 * hub.SILENT_LOOKS:
            done.set()
        return measure(name)

    monkeypatch.setattr(hub, "_bytes_of", grown)
    assert hub.fetched("own/model") == cache
    assert looks >= 10 * hub.SILENT_LOOKS


def test_what_the_hubs_client_raises_is_said_as_before(cache, monkeypatch):
    def refused(*_: object, **__: object) -> str:
        raise OSError("no such repository")

    monkeypatch.setattr(hub, "snapshot_download", refused)
    with pytest.raises(ModelError, match="no such repository"):
        hub.fetched("own/model")


class Endless(httpx.AsyncByteStream):
    """A mebibyte after the other; ``sent`` of them."""

    sent = 0

    async def __aiter__(self):
        while True:
            self.sent += 1
            yield b" " * (1 << 20)


@pytest.mark.parametrize("packed", [False, True])
def test_an_endpoint_that_sends_without_end_is_not_read_without_end(packed, monkeypatch):
    stream = Endless()

    async def answer(_: int) -> httpx.Response:
        if not packed:
            return httpx.Response(200, stream=stream)
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=gzip.compress(b" " * (40 << 20)))

    seconds, server = judged(monkeypatch, answer, Patience(timeout_s=60, retries=0))
    assert seconds < 1
    assert server.asked == 1
    assert stream.sent <= 17


def test_an_answer_that_nests_too_deep_is_no_fault_of_ours(monkeypatch):
    async def answer(_: int) -> httpx.Response:
        return httpx.Response(200, content=b"[" * 200_000)

    monkeypatch.setattr(httpx, "AsyncClient", partial(httpx.AsyncClient, transport=Answers(answer)))
    with pytest.raises(RolloutError, match="not a JSON object"):
        asyncio.run(complete(JUDGE, [], {}, Patience(retries=0)))


def test_an_agent_whose_answer_has_no_end_fails_its_health_check():
    async def answer(_: int) -> httpx.Response:
        return httpx.Response(200, stream=Endless())

    async def check() -> None:
        async with httpx.AsyncClient(transport=Answers(answer)) as client:
            await HttpAgent("http://agent.example", Registry(), "", client, "job").check_health()

    with pytest.raises(RunError, match="16 MiB"):
        asyncio.run(check())
