"""Calls: sync and async tools, from sync and async callers; and what a tool returned as the agent sees it."""

import asyncio
import contextvars
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

import pytest

from practicum.environment import Environment, ToolError, ToolSpec, tool
from practicum.environment.calling import OwnLoop, result_of, run_to_end, waited
from practicum.errors import EnvironmentFault
from practicum.tasks import Task

TASK = Task("t1", "do it")
asked_by = contextvars.ContextVar("asked_by", default="nobody")


class Desk(Environment):
    """Tools that wait."""

    id, version = "desk", "1"

    def start(self, task):
        self.queue, self.background, self.done = None, None, []

    def tool_specs(self):
        def later(arguments):
            return asyncio.sleep(0, {"later": arguments["n"]})

        number = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        return {**super().tool_specs(), "later": ToolSpec.from_schema("later", "waits", number, later)}

    @tool
    async def double(self, number: int) -> dict:
        """waits, and doubles"""
        await asyncio.sleep(0)
        return {"double": 2 * number}

    @tool
    async def refuse(self) -> dict:
        """says no"""
        await asyncio.sleep(0)
        raise ToolError("not today")

    @tool
    async def crash(self) -> dict:
        """a bug"""
        await asyncio.sleep(0)
        raise KeyError("bug")

    @tool
    async def where(self) -> dict:
        """whose loop, thread and context"""
        return {"loop": id(asyncio.get_running_loop()), "thread": threading.get_ident(), "by": asked_by.get()}

    @tool
    async def begin(self) -> str:
        """opens what lives on a loop"""

        async def serve():
            while True:
                item = await self.queue.get()
                self.done.append(item)
                self.queue.task_done()

        self.queue, self.done = asyncio.Queue(), []
        self.background = asyncio.create_task(serve())
        return "ready"

    @tool
    async def put(self, item: str) -> list:
        """goes on with it"""
        await self.queue.put(item)
        await self.queue.join()
        return self.done


@pytest.fixture
def desk():
    environment = Desk()
    environment.reset(TASK, 0)
    yield environment
    environment.close()


def in_a_loop(environment, name, arguments):
    async def caller():
        return environment.call(name, arguments)

    return asyncio.run(caller())


def awaited_by_a_loop(environment, name, arguments):
    return asyncio.run(environment.acall(name, arguments))


WAYS = [lambda environment, name, arguments: environment.call(name, arguments), in_a_loop, awaited_by_a_loop]
every_way = pytest.mark.parametrize("call", WAYS, ids=["call", "call within a running loop", "acall"])


@every_way
def test_an_async_tool_gives_its_result_to_every_caller(desk, call):
    assert call(desk, "double", {"number": 4}).text == '{"double":8}'
    assert call(desk, "double", {"number": "x"}).is_error
    refused = call(desk, "refuse", {})
    assert (refused.text, refused.is_error) == ('{"error":"not today"}', True)
    with pytest.raises(KeyError, match="bug"):
        call(desk, "crash", {})
    assert [step.tool for step in desk.transitions] == ["double", "double", "refuse"]


@every_way
def test_an_awaitable_from_a_specs_function_is_waited_for(desk, call):
    assert call(desk, "later", {"n": 3}).text == '{"later":3}'


def test_acall_runs_the_tool_on_the_callers_loop():
    async def run():
        desk = Desk()
        desk.reset(TASK, 0)
        said = json.loads((await desk.acall("where", {})).text)
        assert said == {"loop": id(asyncio.get_running_loop()), "thread": threading.get_ident(), "by": "nobody"}
        desk.close()

    asyncio.run(run())


@every_way
def test_a_tool_sees_the_context_of_its_caller(desk, call):
    token = asked_by.set("the trainer")
    try:
        assert json.loads(call(desk, "where", {}).text)["by"] == "the trainer"
    finally:
        asked_by.reset(token)


@pytest.mark.parametrize("call", WAYS[:2], ids=["outside a loop", "within one"])
def test_what_one_call_opened_on_its_loop_the_next_can_go_on_with(desk, call):
    assert call(desk, "begin", {}).text == "ready"
    assert [call(desk, "put", {"item": item}).text for item in "ab"] == ['["a"]', '["a","b"]']
    background = desk.background
    desk.close()
    assert background.cancelled()


def test_episodes_with_loops_of_their_own_leave_no_file_open(desk):
    def files():
        return len(list(Path("/proc/self/fd").iterdir()))

    desk.call("double", {"number": 1})
    before = files()
    for number in range(20):
        desk.reset(TASK, number)
        desk.call("double", {"number": number})
    assert files() == before


def test_a_cancelled_call_leaves_the_episode_usable():
    class Slow(Desk):
        id = "slow"

        @tool
        async def wait(self) -> str:
            """takes long"""
            await asyncio.sleep(60)

    async def run():
        desk = Slow()
        desk.reset(TASK, 0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await desk.acall("wait", {})
        assert (await desk.acall("double", {"number": 1})).text == '{"double":2}'
        assert [step.tool for step in desk.transitions] == ["double"]
        desk.close()

    asyncio.run(run())


def test_environments_in_threads_of_their_own_do_not_disturb_each_other():
    def play(seed):
        desk = Desk()
        desk.reset(TASK, seed)
        said = [desk.call("double", {"number": number}).text for number in range(20)]
        desk.call("begin", {})
        said.append(desk.call("put", {"item": str(seed)}).text)
        drawn = desk.random.random()
        desk.close()
        return said, drawn, desk.transitions

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(play, range(16))) == [play(seed) for seed in range(16)]


# One call at a time ------------------------------------------------------------------------------------------


class Nested(Environment):
    """Calls itself the wrong way."""

    id, version = "nested", "1"
    too_early = False

    def start(self, task):
        if self.too_early:
            self.call("inner", {})

    @tool
    def inner(self) -> str:
        """well"""
        return "inner"

    @tool
    def outer(self) -> str:
        """calls a tool as if it were the agent"""
        return self.call("inner", {}).text

    @tool
    def direct(self) -> str:
        """calls the method"""
        return self.inner()

    @tool
    async def slow(self) -> str:
        """gives way"""
        await asyncio.sleep(0.01)
        return "slow"

    def next_user(self, answer):
        return self.call("inner", {}).text


def test_a_tool_that_calls_a_tool_through_the_environment_is_told_to_call_the_method():
    environment = Nested()
    environment.reset(TASK, 0)
    assert environment.call("direct", {}).text == "inner"
    for wrong in (lambda: environment.call("outer", {}), lambda: environment.answered("done")):
        with pytest.raises(EnvironmentFault, match="a tool was called while another was running") as caught:
            wrong()
        assert f"{__file__}:" in caught.value.where
    assert environment.call("inner", {}).text == "inner"  # it still works
    assert [step.tool for step in environment.transitions] == ["direct", "inner"]


def test_two_calls_at_once_are_refused():
    async def run():
        environment = Nested()
        environment.reset(TASK, 0)
        first = asyncio.create_task(environment.acall("slow", {}))
        await asyncio.sleep(0)
        with pytest.raises(EnvironmentFault, match="one call at a time"):
            await environment.acall("inner", {})
        assert (await first).text == "slow"
        environment.close()

    asyncio.run(run())


def test_a_call_in_start_is_a_fault_and_the_episode_does_not_begin():
    class Early(Nested):
        id, too_early = "early", True

    environment = Early()
    with pytest.raises(EnvironmentFault, match="a tool was called while start was running"):
        environment.reset(TASK, 0)
    assert environment.task is None


def test_an_answer_outside_an_episode_is_a_fault():
    with pytest.raises(EnvironmentFault, match="an answer was given outside an episode"):
        Nested().answered("done")


# Results -----------------------------------------------------------------------------------------------------


class Word(StrEnum):
    YES = "yes"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MappingProxyType({"a": (1, MappingProxyType({}))}), '{"a":[1,{}]}'),
        (
            {3: "a", None: "b", True: "c", 0.5: "d", Word.YES: "e"},
            '{"3":"a","null":"b","true":"c","0.5":"d","yes":"e"}',
        ),
        ({2: {3: 4}}, '{"2":{"3":4}}'),
        (Word.YES, "yes"),
        ("half \ud800 pair", "half ? pair"),
        ({"half": "\udc00"}, '{"half":"?"}'),
        ("", ""),
        (12, "12"),
    ],
)
def test_what_can_be_json_is(value, text):
    result = result_of("look", value, None)
    assert (result.text, type(result.text), result.is_error) == (text, str, False)


def cyclic():
    value = {}
    value["self"] = [value]
    return value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"when": object()}, "object is not JSON"),
        ({object(): 1}, "keys must be text, not object"),
        ({(1, 2): 1}, "keys must be text, not tuple"),
        ({1: "a", "1": "b"}, "two keys of a mapping are the same as text"),
        ({"x": [float("inf")]}, "not JSON compliant"),
        ({float("nan"): 1}, "not JSON compliant"),
        (cyclic(), "recursion"),
        (b"bytes", "bytes is not JSON"),
        ({1, 2}, "set is not JSON"),
    ],
)
def test_what_cannot_is_the_environments_fault(value, problem):
    with pytest.raises(EnvironmentFault, match="tool 'look' returned something that is not JSON") as caught:
        result_of("look", value, None)
    assert problem in str(caught.value)
    assert "dicts with text as keys" in caught.value.fix


def test_waiting_does_not_give_way_on_a_loop_of_ones_own():
    async def later():
        await asyncio.sleep(0)
        return 5

    async def within():
        return waited(later())

    assert run_to_end(OwnLoop().wait(later())) == asyncio.run(within()) == waited(later()) == waited(5) == 5
