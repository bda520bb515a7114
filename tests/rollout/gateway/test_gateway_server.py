"""The server on a port: starting, refusing, stopping."""

import asyncio
import signal
import socket
import statistics
import time
from contextlib import suppress

import httpx
import pytest

from practicum.errors import RunError
from practicum.rollout.gateway.app import create_gateway
from practicum.rollout.gateway.http_server import GatewayServer
from practicum.rollout.gateway.registry import Registry


def make(**settings):
    return GatewayServer(create_gateway(Registry()), **settings)


def test_port_0_takes_a_free_port_and_gives_it_back():
    async def use():
        async with make() as server:
            async with httpx.AsyncClient() as client:
                health = await client.get(f"{server.url}/health")
            assert health.status_code == 200
            return server.port

    port = asyncio.run(use())
    assert port > 0
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_small_answer_is_not_held_back_by_the_network_stack():
    async def use():
        async with make() as server, httpx.AsyncClient() as client:
            times = []
            for _ in range(20):
                before = time.perf_counter()
                await client.get(f"{server.url}/health")
                times.append(time.perf_counter() - before)
            return statistics.median(times)

    assert asyncio.run(use()) < 0.03


def test_two_servers_run_side_by_side():
    async def use():
        async with make() as one, make() as two, httpx.AsyncClient() as client:
            assert one.url != two.url
            return [(await client.get(f"{server.url}/health")).status_code for server in (one, two)]

    assert asyncio.run(use()) == [200, 200]


def test_a_port_in_use_is_named_with_a_way_out():
    async def use(port):
        async with make(port=port):
            raise AssertionError("two servers on one port")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=f"port {port} is already in use") as caught:
            asyncio.run(use(port))
    assert "choose another port" in str(caught.value)


@pytest.mark.parametrize(
    "place", [{"host": "no.such.host.invalid"}, {"host": "192.0.2.1"}, {"port": 70000}, {"port": -1}]
)
def test_an_address_that_cannot_be_used_is_a_clear_error(place):
    async def use():
        async with make(**place):
            raise AssertionError("listening on nothing")

    with pytest.raises(RunError) as caught:
        asyncio.run(use())
    assert str(place.get("host", place.get("port"))) in str(caught.value)


def test_ctrl_c_stays_with_the_program_that_runs_the_server():
    async def use():
        before = signal.getsignal(signal.SIGINT)
        async with make():
            return signal.getsignal(signal.SIGINT) is before

    assert asyncio.run(use())


class SlowSession:
    """Takes its time, then refuses; remembers whether it was let run to the end."""

    turns = ()

    def __init__(self):
        self.started = asyncio.Event()
        self.ended = False

    async def sample(self, *_, **__):
        self.started.set()
        await asyncio.sleep(0.4)
        self.ended = True
        raise RunError("asked to the end")


async def stop_during_a_call(session, grace_s):
    registry = Registry()
    registry.open("r", session)
    body = {"messages": [{"role": "user", "content": "hi"}]}
    async with httpx.AsyncClient() as client:
        async with GatewayServer(create_gateway(registry), grace_s=grace_s) as server:
            url = f"{server.url}/rollouts/r/v1/chat/completions"
            call = asyncio.create_task(client.post(url, json=body))
            await session.started.wait()
        await registry.close("r")
        return await call


def test_stopping_lets_a_call_under_way_finish():
    async def use():
        return (await stop_during_a_call(SlowSession(), grace_s=5)).json()["message"]

    assert asyncio.run(use()) == "asked to the end"


def test_even_a_hard_stop_leaves_no_half_turn():
    async def use():
        session = SlowSession()
        with suppress(httpx.HTTPError):
            await stop_during_a_call(session, grace_s=0)
        return session.ended

    assert asyncio.run(use())


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"host": "0.0.0.0", "port": 8080}, "http://127.0.0.1:8080"),
        ({"host": "::1", "port": 8080}, "http://[::1]:8080"),
        ({"public_url": "https://gateway.example/rft/"}, "https://gateway.example/rft"),
    ],
)
def test_the_address_agents_are_given(settings, url):
    assert make(**settings).url == url
