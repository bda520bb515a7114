"""What follows from a failure of an agent in this process."""

import asyncio

import pytest

from failing_agents import Playing
from practicum.environment import Environment, tool
from practicum.rollout.agents import BuiltinAgent, Episode
from practicum.rollout.dispatcher import Limits
from practicum.rollout.failures import causes
from practicum.trajectory import failure_counts, survivors


def unreadable(result, task):
    raise ValueError(f"no JSON in {result.message['content']!r}")


@pytest.mark.parametrize("in_process", [True, False])
def test_an_agent_that_raises_over_the_models_text_is_the_policys_failure_and_counts(dispatch, in_process):
    agent = Playing(unreadable, in_process)
    (t,) = dispatch(agent, score=lambda rollout: 1.0, limits=Limits(retries=3))
    assert (t.failure, t.rewards, t.score, t.retries, t.ending) == ("policy", (0.0,), 0.0, 0, "error")
    assert t.error == "ValueError: no JSON in 'Hello.'"
    assert agent.played == {"t0": 1}
    assert survivors([t]) == [t]


def test_a_recipe_may_drop_the_policys_failures(dispatch):
    (t,) = dispatch(Playing(unreadable), policy_failure="drop")
    assert (t.failure, t.rewards, t.is_conclusive) == ("policy", (), True)
    assert survivors([t]) == []


def test_an_agent_that_raises_at_the_token_cap_ends_there_as_one_that_returns(dispatch):
    def wordy(session, turn, prompt):
        return "word " * 60

    raised, returned = (dispatch(Playing(then), say=wordy)[0] for then in (unreadable, lambda result, task: None))
    assert (raised.ending, raised.failure) == ("length", "policy")
    assert returned.failure is None
    assert (
        [turn.finish_reason for turn in raised.turns] == [turn.finish_reason for turn in returned.turns] == ["length"]
    )


def test_an_agent_that_raises_at_its_turn_limit_ends_there(dispatch):
    def limited(result, task):
        raise RuntimeError("MaxTurnsExceeded: 5")

    (t,) = dispatch(Playing(limited))
    assert (t.ending, t.failure) == ("max_turns", "policy")


def test_an_engine_that_fails_in_the_second_turn_is_infrastructure_and_tried_again(dispatch):
    class Twice(Playing):
        async def run(self, session, task, seed, keep=None):
            self.played[task.id] += 1
            for words in ("one", "two"):
                await session.chat([{"role": "user", "content": words}])
            return Episode("final")

    def say(session, turn, prompt):
        return "Hello." if turn == 0 or agent.played["t0"] > 2 else MemoryError("no memory left")

    agent = Twice(None)
    (t,) = dispatch(agent, say=say, limits=Limits(retries=3))
    assert (t.failure, t.retries, t.rewards) == (None, 2, (0.5,))


class Hanging(Environment):
    """A tool that never comes back, and one that is broken."""

    id, version = "hanging", "1"

    @tool
    async def wait(self) -> str:
        """waits"""
        await asyncio.sleep(60)

    @tool
    def crash(self) -> str:
        """a bug"""
        raise KeyError("bug")


@pytest.mark.parametrize(("call", "timeout"), [("[wait()]", 0.4), ("[crash()]", 30.0)])
def test_a_tool_that_hangs_or_raises_is_the_environments_failure(dispatch, call, timeout):
    (t,) = dispatch(BuiltinAgent(Hanging), say=call, limits=Limits(timeout=timeout, retries=3))
    assert (t.failure, t.retries, t.rewards) == ("environment", 0, ())


def test_time_that_is_up_beside_our_tools_is_nobodys_known_failure(dispatch):
    class Slow(Playing):
        async def run(self, session, task, seed, keep=None):
            await super().run(session, task, seed)
            await asyncio.sleep(60)

    (t,) = dispatch(Slow(lambda result, task: None), limits=Limits(timeout=0.4, retries=3))
    assert (t.failure, t.retries) == ("unknown", 0)


def test_failures_of_every_kind_add_up_to_those_that_were_there(dispatch):
    kinds = ["policy"] * 5 + ["infrastructure"] * 5 + ["judge"] * 5 + [None]

    def play(result, task):
        kind = kinds[int(task.id[1:])]
        if kind == "policy":
            unreadable(result, task)
        if kind == "infrastructure":
            raise ConnectionError("the tools are down")

    def reward(rollout):
        if kinds[int(rollout.task.id[1:])] == "judge":
            raise KeyError("colour")
        return 1.0

    agent = Playing(play)
    done = dispatch(agent, 16, reward=reward, limits=Limits(retries=2))
    assert [t.failure for t in done] == kinds
    assert failure_counts(done) == {"environment": 0, "unknown": 0, "policy": 5, "infrastructure": 5, "judge": 5}
    assert sum(t.retries for t in done) == 10
    assert set(agent.played.values()) == {1, 3}
    assert [(cause.whose, cause.count) for cause in causes(done)] == [
        ("policy", 5),
        ("infrastructure", 5),
        ("judge", 5),
    ]
