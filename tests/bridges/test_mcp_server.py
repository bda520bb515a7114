"""An environment's tools over MCP, used by the real client: one session, one episode."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import uvicorn
from mcp import Client, ClientSession, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

import practicum
from practicum.bridges import mcp_app, serve_stdio
from practicum.errors import EnvironmentFault

SCRIPT = Path(__file__).parent / "serve_shop.py"


def stdio(*arguments):
    path = {"PYTHONPATH": str(Path(practicum.__file__).parents[1])}
    return StdioServerParameters(command=sys.executable, args=[str(SCRIPT), *map(str, arguments)], env=path)


@contextlib.contextmanager
def running(app):
    """The application on a free port, on uvicorn in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def ended():
    return []


@pytest.fixture
def url(shop, ended):
    with running(mcp_app(shop.Shop, on_end=ended.append)) as address:
        yield address


def ask(server, play, **settings):
    """Run ``play(client)`` in a session with the server."""

    async def run():
        async with asyncio.timeout(30):
            async with Client(server, **settings) as client:
                return await play(client)

    return asyncio.run(run())


def refusal(server, **settings):
    """The error that a session with the server ends with, out of its groups."""
    with pytest.raises(BaseException) as raised:
        ask(server, look, **settings)
    error = raised.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def look(client):
    return await client.call_tool("look", {})


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_over_stdio_a_process_is_an_episode_in_every_revision_of_the_protocol(mode, tmp_path):
    async def play(client):
        tools = (await client.list_tools()).tools
        bought = await client.call_tool("buy", {"name": "plum", "count": 5})
        prompt = (await client.get_prompt("task")).messages[0].content.text
        servers.extend(int(p.name) for p in Path("/proc").glob("[0-9]*") if _runs(p, str(record)))
        return tools, bought, await look(client), prompt

    servers = []
    record = tmp_path / "rollout.json"
    tools, bought, seen, prompt = ask(stdio(7, "train-4", record), play, mode=mode)
    assert [tool.name for tool in tools] == ["buy", "look", "say"]
    assert tools[0].description == "put fruit into the basket"
    assert tools[0].input_schema["properties"]["count"] == {"maximum": 500, "minimum": 1, "type": "integer"}
    assert bought.structured_content == json.loads(bought.content[0].text)
    assert json.loads(seen.content[0].text) == [["plum", 5]]
    assert prompt == "You buy fruit. Answer: done\n\nBuy 5 of plum."
    until(record.exists)
    calls = [["buy", {"name": "plum", "count": 5}], ["look", {}]]
    assert json.loads(record.read_text()) == ["train-4", calls, 1.0]
    assert len(servers) == 1
    until(lambda: not _alive(servers[0]))


def test_task_and_seed_decide_what_a_client_gets(shop, url):
    async def play(client):
        return (await client.call_tool("buy", {"name": "fig", "count": 1})).content[0].text, client.instructions

    ours = shop.Shop()
    ours.reset(ours.tasks("train")[4], 7)
    expected = ours.call("buy", {"name": "fig", "count": 1}).text
    ours.close()
    text, instructions = ask(f"{url}?task=train-4&seed=7", play)
    assert text == expected
    assert instructions.endswith("Buy 5 of plum.")
    assert ask(f"{url}?seed=8", play) == ask(f"{url}?seed=8", play) != ask(f"{url}?seed=9", play)


def test_a_wrong_call_is_a_result_marked_as_an_error_and_the_session_goes_on(url):
    async def play(client):
        return [
            await client.call_tool("buy", {"name": "gold", "count": 1}),
            await client.call_tool("buy", {"name": "fig", "count": 0}),
            await client.call_tool("steal", {}),
            await client.call_tool("say", {"text": "名前 🎉"}),
        ]

    gold, none, steal, said = ask(url, play)
    assert [result.is_error for result in (gold, none, steal, said)] == [True, True, True, False]
    assert "there is no gold" in gold.content[0].text
    assert "invalid arguments for buy: count" in none.content[0].text
    assert "unknown tool 'steal'" in steal.content[0].text
    assert said.content[0].text == "名前 🎉"


def test_over_http_every_session_has_an_episode_of_its_own_and_ends_it(url, ended):
    async def both():
        address = f"{url}?task=train-0&seed=3"
        async with Client(address) as first, Client(f"{address}&split=train") as second:
            await first.call_tool("buy", {"name": "pear", "count": 1})
            seen = await look(second)
        return seen.content[0].text

    seen = asyncio.run(both())
    assert seen == "[]"
    until(lambda: len(ended) == 2)
    assert sorted(rollout.final_state["basket"] for rollout in ended) == [[], [["pear", 1]]]
    assert {rollout.task.id for rollout in ended} == {"train-0"}


def test_over_http_the_address_chooses_task_seed_and_split(url, ended):
    async def prompt(client):
        return client.instructions

    assert ask(f"{url}?split=test&task=test-203", prompt).endswith("Buy 204 of fig.")
    by_seed = [ask(f"{url}?seed={seed}", prompt) for seed in (1, 2, 3, 1)]
    assert by_seed[0] == by_seed[3]
    assert len(set(by_seed)) > 1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("task=train-99", "has no task 'train-99'"),
        ("seed=many", "seed 'many' is no number"),
        ("split=dev", "dev"),
    ],
)
def test_an_address_that_names_nothing_is_refused_with_the_reason(shop, query, message, ended):
    class Strict(shop.Shop):
        def tasks(self, split):
            if split == "dev":
                raise EnvironmentFault("there is no split 'dev'")
            return super().tasks(split)

    with running(mcp_app(Strict)) as url:
        error = refusal(f"{url}?{query}")
    assert isinstance(error, MCPError)
    assert message in str(error)


def test_a_client_that_insists_on_a_revision_without_sessions_is_told_why_it_cannot_play(url):
    assert "an episode needs a session" in str(refusal(url, mode="2026-07-28"))


def test_a_fault_of_the_environment_is_an_error_of_the_protocol_and_no_result(shop):
    class Broken(shop.Shop):
        def start(self, task):
            super().start(task)
            self.price = {1, 2}

    async def play(client):
        with pytest.raises(MCPError, match="the environment failed: tool 'buy' returned something that is not JSON"):
            await client.call_tool("buy", {"name": "fig", "count": 1})
        return await look(client)

    with running(mcp_app(Broken)) as url:
        assert json.loads(ask(url, play).content[0].text) == [["fig", 1]]


def test_calls_that_come_at_once_are_done_one_after_the_other(shop):
    class Slow(shop.Shop):
        async def _slow(self):
            before = self.database.execute("SELECT count(*) FROM basket").fetchone()[0]
            await asyncio.sleep(0.01)
            self.database.execute("INSERT INTO basket VALUES ('fig', ?)", (before,))

        def tool_specs(self):
            from practicum.environment import ToolSpec

            async def add(arguments):
                await self._slow()
                return "ok"

            return {"add": ToolSpec.from_schema("add", "", {"type": "object"}, add), **super().tool_specs()}

    async def play(client):
        await asyncio.gather(*(client.call_tool("add", {}) for _ in range(5)))
        return await look(client)

    with running(mcp_app(Slow)) as url:
        rows = json.loads(ask(url, play).content[0].text)
    assert [count for _, count in rows] == [0, 1, 2, 3, 4]


def test_a_session_that_nobody_uses_is_ended(shop, ended):
    async def leave_without_a_word(url):
        async with streamable_http_client(url, terminate_on_close=False) as streams, ClientSession(*streams) as session:
            await session.initialize()
            await session.call_tool("buy", {"name": "fig", "count": 2})

    with running(mcp_app(shop.Shop, on_end=ended.append, idle_s=1.0)) as url:
        asyncio.run(leave_without_a_word(url))
        until(lambda: ended)
    assert ended[0].final_state == {"basket": [["fig", 2]]}


def test_open_episodes_are_torn_down_when_the_server_stops(shop, ended):
    async def leave(url):
        async with streamable_http_client(url, terminate_on_close=False) as streams, ClientSession(*streams) as session:
            await session.initialize()

    with running(mcp_app(shop.Shop, on_end=ended.append)) as url:
        asyncio.run(leave(url))
        assert not ended
    assert len(ended) == 1


def test_more_sessions_than_allowed_are_refused_until_one_ends(shop):
    async def play(url):
        async with Client(url):
            with pytest.raises(BaseException) as error:
                async with Client(url):
                    pass
            assert error
        async with Client(url) as third:
            return await look(third)

    with running(mcp_app(shop.Shop, max_sessions=1)) as url:
        assert asyncio.run(play(url)).content[0].text == "[]"


def test_requests_in_another_hosts_name_are_refused(url):
    answer = httpx.post(url, headers={"host": "evil.example", "accept": "application/json, text/event-stream"}, json={})
    assert answer.status_code == 421


def test_a_server_process_that_is_told_to_go_ends_its_episode_first(tmp_path):
    record = tmp_path / "rollout.json"
    server = stdio(1, "train-0", record)
    command = [server.command, *server.args]
    env = {**os.environ, **server.env}
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        assert b"Buy 1 of pear." in process.stdout.readline()
        process.terminate()
        assert process.wait(20) == 143
    assert json.loads(record.read_text()) == ["train-0", [], 0.0]


def test_a_session_begins_one_episode_only(url, ended):
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    headers = {"accept": "application/json, text/event-stream"}
    with httpx.Client(headers=headers) as client:
        first = client.post(url, json=asked)
        headers = {"mcp-session-id": first.headers["mcp-session-id"], "mcp-protocol-version": "2025-06-18"}
        again = client.post(url, json=asked, headers=headers)
        assert "plays an episode already" in again.text
        client.delete(url, headers=headers)
    until(lambda: ended)
    assert len(ended) == 1


def test_stdio_refuses_what_it_cannot_serve_before_it_begins(shop, monkeypatch):
    with pytest.raises(EnvironmentFault, match="has no task 'train-99'"):
        serve_stdio(shop.Shop, task="train-99")
    monkeypatch.setitem(sys.modules, "mcp", None)
    for serve in (serve_stdio, mcp_app):
        with pytest.raises(EnvironmentFault, match=r'pip install "practicum\[mcp\]"'):
            serve(shop.Shop)


def _runs(process, text):
    try:
        return text.encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
