"""However an episode ends, what it made is gone: answer, turns spent, failure, cancellation, time out, garbage."""

import asyncio
import gc
import sqlite3

import pytest

from practicum.engine.protocol import SamplingParams
from practicum.environment import Environment, tool
from practicum.rollout.agents import BuiltinAgent, Episode
from practicum.rollout.dispatcher import Dispatcher, Limits, RolloutRequest
from practicum.rollout.session import Session
from practicum.tasks import Task

TASK = Task("t", "Make things.")


class Maker(Environment):
    """Makes one of everything."""

    id, version = "maker", "1"
    max_turns = 3
    made: list["Maker"] = []  # noqa: RUF012

    def __init__(self):
        super().__init__()
        Maker.made.append(self)

    def start(self, task):
        self.log = []
        self.register(self.log.append, "registered")
        self.place, self.rows = self.scratch, self.database
        (self.place / "file").write_text("x")
        self.rows.execute("CREATE TABLE t (a)")
        if task.metadata.get("broken"):
            raise ConnectionError("the service is down")

    def stop(self):
        self.log.append("stop")
        if self.task.metadata.get("stuck"):
            raise OSError("folder is busy")

    def final_state(self):
        return {"rows": self.rows.execute("SELECT count(*) FROM t").fetchone()[0], "log": self.log}

    @tool
    def add(self) -> dict:
        """adds a row"""
        self.rows.execute("INSERT INTO t VALUES (1)")
        return {"row": self.new_id("R")}

    @tool
    async def slow(self) -> str:
        """never comes back"""
        await asyncio.sleep(60)

    @tool
    def crash(self) -> str:
        """a bug"""
        raise KeyError("bug")


@pytest.fixture(autouse=True)
def made():
    Maker.made.clear()
    yield Maker.made
    Maker.made.clear()


def assert_gone(environment):
    assert environment.log == ["stop", "registered"]
    assert environment.task is None
    assert not environment.place.exists()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        environment.rows.execute("SELECT 1")


@pytest.fixture
def play(speaker, pythonic):
    """Plays one episode with what the model says; gives the episode or the exception."""

    def run(*texts, task=TASK, params=None, seconds=30.0):
        session = Session("s", speaker(*texts), pythonic, params or SamplingParams(max_tokens=48), 0)

        async def once():
            async with asyncio.timeout(seconds):
                return await BuiltinAgent(Maker).run(session, task, 0)

        try:
            return asyncio.run(once())
        except Exception as error:
            return error

    return run


def broken_engine(session, turn, prompt):
    raise ConnectionError("the engine is gone")


@pytest.mark.parametrize(
    ("texts", "settings", "came"),
    [
        (["[add()]", "Done."], {}, "final"),
        (["[add()]"], {}, "max_turns"),
        (["one two three four five"], {"params": SamplingParams(max_tokens=2)}, "length"),
        (["[add()]", "[crash()]"], {}, "KeyError('bug')"),
        (["[slow()]"], {"seconds": 0.3}, "TimeoutError()"),
        ([broken_engine], {}, "ConnectionError('the engine is gone')"),
        ([""], {"task": Task("t", "x", metadata={"broken": True})}, "ConnectionError('the service is down')"),
    ],
    ids=["final answer", "turns spent", "cut off", "tool", "cancelled within a tool", "engine", "start"],
)
def test_nothing_is_left_of_an_episode(play, made, texts, settings, came):
    ended = play(*texts, **settings)
    assert (ended.ending if isinstance(ended, Episode) else repr(ended)) == came
    (environment,) = made
    assert_gone(environment)


def test_an_environment_that_nobody_closed_is_torn_down_as_garbage(made):
    environment = Maker()
    environment.reset(TASK, 0)
    log, place = environment.log, environment.place
    made.clear()
    del environment
    gc.collect()
    assert log == ["stop", "registered"]
    assert not place.exists()


def test_the_final_state_is_what_it_was_before_the_teardown(play, made):
    episode = play("[add()]", "Done.")
    assert episode.final_state == {"rows": 1, "log": []}
    assert made[0].log == ["stop", "registered"]


STUCK = {"stuck": True}


def test_a_teardown_that_fails_fails_the_rollout(play, made):
    assert repr(play("Done.", task=Task("t", "x", metadata=STUCK))) == "OSError('folder is busy')"
    assert_gone(made[0])


@pytest.fixture
def dispatch(speaker, pythonic):
    def run(task, *texts, timeout=30.0, reward=lambda rollout: 0.5):
        limits = Limits(timeout=timeout, retries=0)
        params = SamplingParams(max_tokens=48)
        dispatcher = Dispatcher(
            speaker(*texts), pythonic, params, BuiltinAgent(Maker), Maker().ref, reward, limits=limits
        )
        return asyncio.run(asyncio.wait_for(dispatcher.run([RolloutRequest("r", "g", task, 7)]), 30))[0]

    return run


@pytest.mark.parametrize("stuck", [False, True])
def test_a_failed_rollout_keeps_its_tool_calls_and_transitions_and_says_why_it_failed(dispatch, made, stuck):
    trajectory = dispatch(Task("t", "x", metadata=STUCK if stuck else {}), "[add()]", "[add(), add()]", "[crash()]")
    assert (trajectory.ending, trajectory.rewards, len(trajectory.turns)) == ("error", (), 3)
    told = trajectory.error.split("\n")
    assert told[0] == "KeyError: 'bug'"
    assert told[1:] == (["and the teardown of Maker failed: OSError: folder is busy"] if stuck else [])
    assert [call.result for call in trajectory.tool_calls] == ['{"row":"R1"}', '{"row":"R2"}', '{"row":"R3"}']
    assert [step.result for step in trajectory.transitions] == [call.result for call in trajectory.tool_calls]
    assert_gone(made[-1])


def test_a_rollout_that_ran_out_of_time_keeps_them_too(dispatch, made):
    trajectory = dispatch(TASK, "[add()]", "[slow()]", timeout=0.5)
    assert (trajectory.ending, trajectory.error) == ("error", "gave up after rollout_timeout = 0.5 s")
    assert [call.name for call in trajectory.tool_calls] == ["add"]
    assert [step.tool for step in trajectory.transitions] == ["add"]
    assert_gone(made[-1])


def test_a_reward_that_never_returns_ends_with_the_rollouts_time(dispatch, made):
    async def forever(rollout):
        await asyncio.sleep(60)

    trajectory = dispatch(TASK, "[add()]", "Done.", timeout=0.5, reward=forever)
    assert trajectory.error == "gave up after rollout_timeout = 0.5 s, in the reward or the score"
    assert (trajectory.ending, trajectory.rewards) == ("error", ())
    assert trajectory.final_state == {"rows": 1, "log": []}
    assert [call.name for call in trajectory.tool_calls] == ["add"]
    assert len(trajectory.transitions) == 1
    assert_gone(made[-1])
