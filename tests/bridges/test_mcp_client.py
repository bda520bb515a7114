"""An MCP server that somebody else wrote is an environment: a process an episode, and nothing left of it."""

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import uvicorn

import practicum
from practicum.bridges import McpEnvironment, mcp_app, mcp_session
from practicum.environment import tool
from practicum.errors import EnvironmentFault
from practicum.tasks import Task

HERE = Path(__file__).parent
PLAIN = str(HERE / "plain_server.py")
TASK = Task("t1", "Take notes.")


PYTHON = (sys.executable, "-I", "-S", PLAIN)


class Notes(McpEnvironment):
    """A server written with the ``mcp`` package."""

    id, version = "notes", "1.2.0"
    command = (sys.executable, str(HERE / "notes_server.py"))


class Plain(McpEnvironment):
    """A server that starts at once, is told the seed, and misbehaves when asked to."""

    id, version = "plain", "1.0.0"
    command = (*PYTHON, "{seed}")


def plain(how, **more):
    return Plain(command=[*PYTHON, "{seed}", how], **more)


@pytest.fixture
def notes():
    made = Notes()
    yield made
    made.close()


@pytest.fixture
def server():
    made = Plain()
    yield made
    made.close()


def marked(mark=None):
    """Processes that descend from a session (of this test process)."""
    mark = f"{mcp_session.MARK}={mark or os.getpid()}-".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_its_tools_become_ours_with_their_schemas(notes):
    schemas = {schema["function"]["name"]: schema["function"] for schema in notes.schemas()}
    assert list(schemas) == ["add", "notes_all", "picture"]
    assert schemas["add"]["description"] == "Keep a note."
    assert schemas["add"]["parameters"]["properties"]["text"]["maxLength"] == 50
    assert schemas["add"]["parameters"]["required"] == ["text"]
    assert not marked()


def test_results_are_json_or_text_and_errors_are_results_the_agent_sees(notes):
    notes.reset(TASK, 1)
    results = [
        notes.call("add", {"text": "名前 🎉"}),
        notes.call("add", {"text": "secret"}),
        notes.call("add", {"text": "x" * 51}),
        notes.call("add", {}),
        notes.call("notes_all", {}),
        notes.call("picture", {}),
        notes.call("notes.all", {}),
    ]
    assert [result.is_error for result in results] == [False, True, True, True, False, False, True]
    assert json.loads(results[0].text) == {"number": 1, "text": "名前 🎉"}
    assert "no secrets here" in results[1].text
    assert "invalid arguments for add: text" in results[2].text
    assert "'text' is a required property" in results[3].text
    assert json.loads(results[4].text) == {"result": ["名前 🎉"]}
    assert results[5].text == "a dot\n[image, image/png, 3 bytes]"
    assert "unknown tool 'notes.all'" in results[6].text


def test_every_episode_has_a_fresh_process_that_is_gone_at_its_end(notes):
    notes.reset(TASK, 1)
    notes.call("add", {"text": "first"})
    first = marked()
    notes.reset(TASK, 1)
    assert notes.call("notes_all", {}).text == '{"result":[]}'
    second = marked()
    notes.close()
    assert len(first) == len(second) == 1
    assert first != second
    assert not marked()


def test_a_server_of_an_older_revision_that_lists_its_tools_in_pages_works_too(server):
    assert [schema["function"]["name"] for schema in server.schemas()] == ["seed", "wait", "leave", "link"]
    server.reset(TASK, 1)
    assert server.call("link", {}).text == "[resource file:///notes.txt]"


def test_a_fork_does_not_end_its_parents_sessions(server, monkeypatch):
    server.reset(TASK, 1)
    server.call("seed", {})
    with monkeypatch.context() as forked:
        forked.setattr(mcp_session.os, "getpid", lambda: 1)
        mcp_session._shut(server.session._line)
    assert server.call("seed", {}).text.startswith("seed ")


def test_the_episodes_seed_reaches_the_server_and_repeats(server):
    def said(seed):
        server.reset(TASK, seed)
        return server.call("seed", {}).text

    assert said(1) == said(1) != said(2)


def test_the_process_gets_only_what_it_is_given(monkeypatch, tmp_path):
    monkeypatch.setenv("UNSAID", "1")
    monkeypatch.setenv("NOTES_KEY", "k-17")
    server = Plain(inherit=["NOTES_KEY"], folder=str(tmp_path), id="mine", version="3.0.0")
    server.reset(TASK, 1)
    assert server.call("seed", {}).text.endswith(f"key k-17 home True own False in {tmp_path}")
    server.close()
    assert (server.ref.id, server.ref.version) == ("mine", "3.0.0")
    assert "k-17" not in json.dumps(server.settings())
    server = Plain(variables={"NOTES_KEY": "of {task}"})
    server.reset(TASK, 1)
    said = server.call("seed", {}).text
    assert "key of t1" in said
    assert said.endswith(f"in {HERE}")
    server.close()


def test_episodes_start_side_by_side_and_calls_wait_on_the_callers_loop():
    async def play():
        environments = [plain("", call_s=30) for _ in range(8)]
        try:
            for number, environment in enumerate(environments):
                environment.reset(TASK, number)
            began = time.monotonic()
            await asyncio.gather(*(each.acall("wait", {"seconds": 0.5}) for each in environments))
            took = time.monotonic() - began
            said = await asyncio.gather(*(each.acall("seed", {}) for each in environments))
        finally:
            for environment in environments:
                environment.close()
        return took, {result.text for result in said}

    plain("", call_s=30).schemas()
    took, said = asyncio.run(play())
    assert took < 8 * 0.5
    assert len(said) == 8
    assert not marked()


def test_a_call_that_takes_too_long_is_a_fault_and_the_process_goes():
    slow = Plain(call_s=1.5)
    slow.reset(TASK, 1)
    slow.call("seed", {})
    with pytest.raises(EnvironmentFault, match=r"did not answer wait within 1\.5 s"):
        slow.call("wait", {"seconds": 30})
    slow.close()
    assert not marked()


def test_a_server_that_dies_in_a_call_is_a_fault_with_its_last_words(server):
    server.reset(TASK, 1)
    server.call("seed", {})
    with pytest.raises(EnvironmentFault, match=r"(?s)went away while it answered leave.*leaving"):
        server.call("leave", {})
    with pytest.raises(EnvironmentFault):
        server.call("seed", {})
    server.close()
    assert not marked()


def test_what_a_server_started_is_killed_with_it_also_in_a_session_of_its_own():
    server = plain("litters")
    server.reset(TASK, 1)
    server.call("seed", {})
    assert len(marked()) == 3
    server.close()
    until(lambda: not marked())


def test_a_cancelled_call_does_not_break_the_session(server):
    async def play():
        server.reset(TASK, 1)
        await server.acall("seed", {})
        waiting = asyncio.create_task(server.acall("wait", {"seconds": 0.3}))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await server.acall("seed", {})

    assert asyncio.run(play()).text.startswith("seed ")


def test_other_tools_than_before_are_a_fault():
    server = plain("changes")
    server.reset(TASK, 1)
    with pytest.raises(EnvironmentFault, match="other tools than before"):
        server.call("seed", {})
    server.close()


def test_a_subclass_may_add_tools_and_hide_others():
    class Fewer(Plain):
        def tool_specs(self):
            return {name: spec for name, spec in super().tool_specs().items() if name in ("seed", "twice")}

        @tool
        async def twice(self) -> str:
            """say the seed twice"""
            said = [await self.session.call("seed", {}) for _ in range(2)]
            return " and ".join(text.partition(" key")[0] for text in said)

    fewer = Fewer()
    fewer.reset(TASK, 1)
    assert [schema["function"]["name"] for schema in fewer.schemas()] == ["seed", "twice"]
    assert fewer.call("twice", {}).text.count("seed ") == 2
    assert fewer.call("wait", {"seconds": 0}).is_error
    fewer.close()


def test_a_server_over_http_has_a_session_per_episode(shop):
    ended = []
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(mcp_app(shop.Shop, on_end=ended.append), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp?task={{task}}&seed={{seed}}"
    try:
        # Asked for its tools without an episode, it is given an empty task.
        with pytest.raises(EnvironmentFault, match="has no task ''"):
            McpEnvironment(url=address).schemas()
        ours, theirs = McpEnvironment(url=address.replace("task={task}&", "")), shop.Shop()
        for seed in (1, 2):
            ours.reset(theirs.tasks("train")[0], seed)
            assert ours.schemas() == theirs.schemas()
            assert json.loads(ours.call("buy", {"name": "fig", "count": seed}).text)["count"] == seed
            assert "there is no gold" in ours.call("buy", {"name": "gold", "count": 1}).text
            ours.close()
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
    assert [rollout.final_state["basket"] for rollout in ended if rollout.tool_calls] == [[["fig", 1]], [["fig", 2]]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"command": [*PYTHON, "0", "dies"]}, "(?s)no MCP session with the server.*no licence found"),
        ({"command": [*PYTHON, "0", "late"], "start_s": 0.3}, r"not ready within 0\.3 s"),
        ({"command": ["no-such-program"]}, "FileNotFoundError"),
        ({"command": [sys.executable, "-c", "print('hello')"]}, "no MCP session with the server"),
        ({"command": ["cat"], "start_s": 1.0}, "MCP"),
        ({"command": [], "url": "http://127.0.0.1:9/mcp"}, "no MCP session with the server"),
        ({"command": []}, "needs a command or a url"),
        ({"command": ["x"], "url": "http://x"}, "needs a command or a url, and not both"),
        ({"start_s": 0}, "a positive number of seconds"),
        ({"inherit": ["NOT_SET_ANYWHERE"]}, "NOT_SET_ANYWHERE is to be handed to the MCP server, and is not set"),
        ({"command": [], "url": "http://x", "headers": {"Authorization": "$NOT_SET_EITHER"}}, "NOT_SET_EITHER"),
    ],
)
def test_servers_that_cannot_be_used_are_clear_errors_and_leave_nothing(arguments, message):
    with pytest.raises(EnvironmentFault, match=message):
        Plain(**arguments).schemas()
    assert not marked()


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(EnvironmentFault, match=r'pip install "practicum\[mcp\]"'):
        Notes(command=["not asked before"]).schemas()


def test_an_episode_that_nobody_closes_ends_with_the_interpreter():
    script = textwrap.dedent(f"""
        import os, time
        from practicum.bridges import McpEnvironment
        from practicum.tasks import Task
        server = McpEnvironment({[*PYTHON, "1", "litters"]!r})
        server.reset(Task("t", "x"), 1)
        print(server.call("seed", {{}}).text, os.getpid())
    """)
    env = {**os.environ, "PYTHONPATH": str(Path(practicum.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("seed 1")
    until(lambda: not marked(done.stdout.split()[-1]))


def test_a_session_that_is_garbage_ends_also_where_its_own_loop_collects_it():
    server = Plain()
    server.reset(TASK, 1)
    server.call("seed", {})
    assert marked()
    loop = server.session._line.background.loop
    held = [server]
    del server
    loop.call_soon_threadsafe(lambda: (held.clear(), gc.collect()))
    until(lambda: not marked())


def test_after_the_last_session_no_thread_and_no_open_file_is_left():
    Plain().schemas()
    until(lambda: not any(thread.name.startswith("practicum-") for thread in threading.enumerate()))

    def things():
        files = {link.name: str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
        return {thread.name for thread in threading.enumerate()}, sorted(files.values())

    before = things()
    servers = [Plain(), Plain()]
    for server in servers:
        server.reset(TASK, 1)
        server.call("seed", {})
    for server in servers:
        server.close()
        with pytest.raises(EnvironmentFault, match="outside an episode"):
            server.call("seed", {})
    assert things() == before
