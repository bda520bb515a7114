"""Tools that take their time, or for ever: their rollout alone is given up, and chance decides nothing."""

import asyncio
import random
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from renderers.base import ParsedToolCall, ToolCallParseStatus

from practicum.engine.protocol import SamplingParams
from practicum.environment import Environment, tool
from practicum.errors import EnvironmentFault
from practicum.rollout.agents import BuiltinAgent, forget
from practicum.rollout.dispatcher import Dispatcher, Limits, RolloutRequest
from practicum.rollout.episode_thread import EpisodeThread
from practicum.rollout.session import Session
from practicum.tasks import Task

PARAMS = SamplingParams(max_tokens=24)
HANGS = "hangs"


class Desk(Environment):
    """Waits, for some tasks until a test lets it go."""

    id, version = "desk", "1"
    max_turns = 2
    gate = threading.Event()
    closed: list[str] = []  # noqa: RUF012

    def start(self, task):
        self.connection = sqlite3.connect(":memory:")  # usable in the thread that made it alone
        self.connection.execute("CREATE TABLE t (a)")
        if task.prompt == "hangs in start":
            Desk.gate.wait()

    def stop(self):
        Desk.closed.append(self.task.id)

    def next_user(self, answer):
        return self._count() and None

    def final_state(self):
        return {"rows": self._count()}

    def _count(self):
        return self.connection.execute("SELECT count(*) FROM t").fetchone()[0]

    @tool
    def look(self) -> dict:
        """looks"""
        if self.task.prompt == HANGS:
            Desk.gate.wait()
        self.connection.execute("INSERT INTO t VALUES (1)")
        return {"rows": self._count()}

    @tool
    def broken(self) -> None:
        """is broken"""
        raise EnvironmentFault("the table is gone")

    @tool
    def stops(self) -> None:
        """raises what ends generators"""
        raise StopIteration


@pytest.fixture(autouse=True)
def closed():
    Desk.gate.clear()
    Desk.closed.clear()
    yield Desk.closed
    Desk.gate.set()


def requests(*prompts):
    return [RolloutRequest(f"r{i}", f"g{i}", Task(f"t{i}", prompt), seed=i) for i, prompt in enumerate(prompts)]


@pytest.fixture
def dispatch(speaker, pythonic):
    def run(wanted, *texts, engine=None, make=Desk, in_process=True, params=PARAMS, renderer=None, **limits):
        agent = BuiltinAgent(make, in_process=in_process)
        dispatcher = Dispatcher(
            engine or speaker(*texts),
            renderer or pythonic,
            params,
            agent,
            make().ref,
            lambda rollout: 0.5,
            limits=Limits(**{"retries": 0, **limits}),
        )
        return asyncio.run(asyncio.wait_for(dispatcher.run(wanted), 30))

    return run


@pytest.mark.parametrize("in_process", [True, False])
def test_a_tool_that_hangs_ends_its_rollout_in_time_and_no_other(dispatch, closed, in_process):
    began = time.monotonic()
    trajectories = dispatch(requests("x", HANGS, "y"), "[look()]", "Done.", in_process=in_process, timeout=0.5)
    assert time.monotonic() - began < 10
    assert [t.ending for t in trajectories] == ["final", "error", "final"]
    assert trajectories[1].error == "gave up after rollout_timeout = 0.5 s"
    assert sorted(closed) == ["t0", "t2"]
    Desk.gate.set()
    while len(closed) < 3:  # as soon as the tool comes back
        assert time.monotonic() - began < 20
        time.sleep(0.005)


def test_in_lock_step_those_who_wait_for_one_that_hangs_do_not_run_out_of_time_with_it(dispatch, tiny_sampler):
    tiny_sampler.weights_changed()
    wanted = requests("x", "hangs in start", "y", "z")
    trajectories = dispatch(wanted, engine=tiny_sampler, params=SamplingParams(max_tokens=4), timeout=0.4)
    assert [t.ending for t in trajectories] == ["length", "error", "length", "length"]
    assert trajectories[1].error == "gave up after rollout_timeout = 0.4 s"


def test_more_tools_hang_than_rollouts_may_run_at_once_and_the_next_still_gets_its_turn(dispatch):
    wanted = requests(*[HANGS] * 6, "x")
    *hung, last = dispatch(wanted, "[look()]", "Done.", timeout=0.2, concurrency=2)
    assert {t.ending for t in hung} == {"error"}
    assert last.ending == "final"


def test_what_start_made_is_met_by_one_thread_alone(dispatch):
    trajectories = dispatch(requests("x", "y"), "[look(), look()]", "Done.")
    assert [(t.error, t.final_state) for t in trajectories] == [(None, {"rows": 2})] * 2


def test_what_a_tool_raises_arrives_as_it_was_raised_with_its_line(speaker, pythonic, closed):
    session = Session("s", speaker("[broken()]"), pythonic, PARAMS, 0)
    with pytest.raises(EnvironmentFault, match="the table is gone") as caught:
        asyncio.run(BuiltinAgent(Desk).run(session, Task("t", "x"), 0, forget))
    assert caught.traceback[-1].name == "broken"
    assert str(caught.traceback[-1].path) == __file__
    assert closed == ["t"]


def test_an_exception_that_no_future_takes_fails_the_rollout_too(dispatch):
    (trajectory,) = dispatch(requests("x"), "[stops()]")
    assert "StopIteration" in trajectory.error


def test_a_tool_that_hangs_does_not_keep_the_process(tmp_path):
    script = tmp_path / "hung.py"
    script.write_text(
        "import asyncio, time\n"
        "from practicum.rollout.episode_thread import EpisodeThread\n"
        "async def main():\n"
        "    async with asyncio.timeout(0.1):\n"
        "        await EpisodeThread().run(time.sleep, 3600)\n"
        "try:\n"
        "    asyncio.run(main())\n"
        "except TimeoutError:\n"
        "    print('given up')\n"
    )
    done = subprocess.run([sys.executable, script], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "given up\n", "")


def test_its_thread_ends_with_the_episode(dispatch):
    dispatch(requests("x", "y"), "[look()]", "Done.")
    alive = [thread for thread in threading.enumerate() if thread.name == "practicum-episode"]
    for thread in alive:
        thread.join(10)
    assert not [thread for thread in alive if thread.is_alive()]


def test_who_stops_waiting_does_not_stop_the_thread_and_is_told_of_nothing():
    async def main():
        thread, seen = EpisodeThread(), []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await thread.run(time.sleep, 0.1)
        assert thread.busy
        thread.later(lambda: seen.append("later"))
        assert await thread.run(lambda: list(seen)) == ["later"]
        thread.end()

    asyncio.run(main())


class Dawdler(Environment):
    """Every call takes a time of its own, by chance; episodes differ in their turns."""

    id, version = "dawdler", "1"

    def start(self, task):
        self.max_turns = 2 + int(task.id[1:]) % 3
        _dawdle()

    def final_state(self):
        _dawdle()
        return {}

    @tool
    def look(self) -> list:
        """looks"""
        _dawdle()
        return [self.random.randrange(1000) for _ in range(self.random.randrange(1, 6))]


def _dawdle():
    time.sleep(random.SystemRandom().random() * 0.004)


class AlwaysCalls:
    """A renderer to which every sampled text is a call."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def parse_response(self, token_ids, **given):
        call = ParsedToolCall(raw="", name="look", arguments={}, status=ToolCallParseStatus.OK)
        return replace(self.inner.parse_response(token_ids, **given), tool_calls=[call])


def test_in_lock_step_how_long_tools_take_changes_nothing(dispatch, tiny_sampler, pythonic, monkeypatch):
    steps = []
    step = tiny_sampler._step

    def watched(batch):
        before = {name: row for name, (_, row) in tiny_sampler._rows.items()}
        steps.append(([request.session for request in batch], before))
        return step(batch)

    monkeypatch.setattr(tiny_sampler, "_step", watched)
    wanted = requests(*[f"prompt {n % 4}" for n in range(14)])

    def collect():
        steps.clear()
        tiny_sampler.weights_changed()
        how = {"params": SamplingParams(max_tokens=3), "renderer": AlwaysCalls(pythonic), "concurrency": 6}
        done = dispatch(wanted, engine=tiny_sampler, make=Dawdler, **how)
        assert {t.ending for t in done} == {"max_turns"}
        told = [[(turn.action_ids, turn.logprobs, turn.messages) for turn in t.turns] for t in done]
        return told, list(steps)

    first = collect()
    for _ in range(3):
        assert collect() == first
