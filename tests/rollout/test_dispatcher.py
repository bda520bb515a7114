"""Many rollouts under limits: each failure stays with its rollout, a broken environment stops the run."""

import asyncio
import json
import math
import re
import time
from collections import Counter

import pytest

from practicum.engine.protocol import SamplingParams
from practicum.environment import Environment, tool
from practicum.errors import EnvironmentFault, ModelError, RolloutError, RolloutTimeout
from practicum.rollout import dispatcher as dispatcher_module
from practicum.rollout.agents import BuiltinAgent, Episode
from practicum.rollout.dispatcher import Dispatcher, Limits, RolloutRequest
from practicum.suites.support_desk import SupportDesk, reward, score
from practicum.suites.support_desk.environment import final_output
from practicum.tasks import Task

PARAMS = SamplingParams(temperature=0.9, top_p=0.95, max_tokens=64)
HERE = SupportDesk(2).ref


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr(dispatcher_module, "BACKOFF_S", 0.001)


class Talker:
    """An agent that says hello, and does before it what a test wants."""

    def __init__(self, before=None, in_process=True):
        self.before, self.in_process = before, in_process

    async def run(self, session, task, seed, keep=None):
        if self.before is not None:
            waited = self.before(task, seed)
            if asyncio.iscoroutine(waited):
                await waited
        await session.chat([{"role": "user", "content": task.prompt}])
        return Episode("final")


def requests(count, group=1):
    return [
        RolloutRequest(f"r{i}", f"g{i // group}", Task(f"t{i}", f"prompt {i}"), seed=1000 + i) for i in range(count)
    ]


@pytest.fixture
def dispatch(speaker, pythonic):
    """Runs requests and gives the trajectories; ``engine`` is at ``dispatch.engine``."""

    def run(agent, wanted, engine=None, reward=lambda rollout: 0.5, **settings):
        run.engine = engine or speaker("Hello.")
        dispatcher = Dispatcher(run.engine, pythonic, PARAMS, agent, HERE, reward, **settings)
        return asyncio.run(asyncio.wait_for(dispatcher.run(wanted), 30))

    return run


def ticket_handler(desk):
    """What a perfect model says on the support desk, from the conversation so far alone."""

    def say(session, turn, prompt):
        ticket = re.search(r"Handle ticket (T\d+)", prompt)[1]
        results = [json.loads(text) for text in re.findall(r"<\|im_start\|>tool\n(.*?)<\|im_end\|>", prompt)]
        if turn == 0:
            return f'[get_ticket("{ticket}")]'
        if turn == 1:
            return f'[get_account("{results[0]["account"]}")]'
        answers = {task.prompt: task.answer for task in desk.tasks("train")}
        return final_output(answers[f"Handle ticket {ticket}."])

    return say


def test_episodes_become_judged_trajectories_in_the_order_of_the_requests(dispatch, speaker):
    desk = SupportDesk(2)
    wanted = [
        RolloutRequest(f"r{i}", f"g{i // 2}", task, seed=i)
        for i, task in enumerate(task for task in desk.tasks("train")[:4] for _ in range(2))
    ]
    done = []
    trajectories = dispatch(
        BuiltinAgent(SupportDesk), wanted, speaker(ticket_handler(desk)), reward, score=score, on_done=done.append
    )
    assert [(t.id, t.group_id, t.task_id, t.seed) for t in trajectories] == [
        (r.id, r.group_id, r.task.id, r.seed) for r in wanted
    ]
    for trajectory in trajectories:
        assert (trajectory.ending, trajectory.error, trajectory.retries) == ("final", None, 0)
        assert (trajectory.rewards, trajectory.score) == ((1.0,), 1.0)
        assert trajectory.metrics["fields/field/queue"] == trajectory.score_metrics["field/queue"] == 1.0
        assert [call.name for call in trajectory.tool_calls] == ["get_ticket", "get_account"]
        assert [turn.extends for turn in trajectory.turns] == [True] * 3
        assert (trajectory.temperature, trajectory.top_p) == (0.9, 0.95)
        assert trajectory.environment == HERE
        assert [tool["function"]["name"] for tool in trajectory.tools] == [
            "get_ticket",
            "get_account",
            "search_articles",
        ]
        assert {turn.versions[0] for turn in trajectory.turns} == {3}
    assert sorted(done, key=lambda t: t.id) == trajectories
    assert sorted(dispatch.engine.released) == sorted([r.id for r in wanted])


@pytest.mark.parametrize("in_process", [True, False])
def test_with_the_real_sampler_the_same_requests_give_the_same_trajectories(tiny_sampler, pythonic, in_process):
    desk = SupportDesk(4)
    wanted = [RolloutRequest(f"r{i}", "g", desk.tasks("train")[i % 3], seed=i) for i in range(6)]

    def collect():
        agent = BuiltinAgent(lambda: SupportDesk(4), in_process=in_process)
        params = SamplingParams(max_tokens=6)
        dispatcher = Dispatcher(tiny_sampler, pythonic, params, agent, desk.ref, reward)
        tiny_sampler.weights_changed()
        done = asyncio.run(asyncio.wait_for(dispatcher.run(wanted), 30))
        assert {t.error for t in done} == {None}
        return [[(turn.action_ids, turn.logprobs) for turn in t.turns] for t in done]

    first, second = collect(), collect()
    assert [[ids for ids, _ in turns] for turns in first] == [[ids for ids, _ in turns] for turns in second]
    if in_process:
        assert first == second  # bit for bit


class Unlucky(BuiltinAgent):
    """Cannot reach its tools at the first attempt at every other task."""

    async def run(self, session, task, seed, keep=None):
        attempt = self.attempts[session.id] = self.attempts[session.id] + 1
        if seed % 2 and attempt == 1:
            raise ConnectionError("the tools are starting")
        return await super().run(session, task, seed, keep)


def test_how_long_judges_and_retries_take_changes_nothing_in_lock_step(tiny_sampler, pythonic, monkeypatch):
    desk = SupportDesk(4)
    wanted = [RolloutRequest(f"r{i}", "g", desk.tasks("train")[i % 3], seed=i) for i in range(9)]

    def collect(backoff, seconds):
        monkeypatch.setattr(dispatcher_module, "BACKOFF_S", backoff)
        monkeypatch.setattr(Unlucky, "attempts", Counter(), raising=False)
        asked = Counter()

        async def slow(rollout):
            asked[rollout.task.id] += 1
            await asyncio.sleep(seconds(sum(asked.values())))
            return 0.5

        agent, params = Unlucky(lambda: SupportDesk(4)), SamplingParams(max_tokens=6)
        limits = Limits(concurrency=2, retries=2)
        dispatcher = Dispatcher(tiny_sampler, pythonic, params, agent, desk.ref, slow, limits=limits)
        tiny_sampler.weights_changed()
        done = asyncio.run(asyncio.wait_for(dispatcher.run(wanted), 60))
        assert [t.retries for t in done] == [0, 1, 0, 1, 0, 1, 0, 1, 0]
        return [(t.retries, t.error, [(turn.action_ids, turn.logprobs) for turn in t.turns]) for t in done]

    at_once = collect(0.0, lambda nth: 0.0)
    assert collect(0.03, lambda nth: 0.05 * (nth % 3)) == at_once  # bit for bit
    assert collect(0.001, lambda nth: 0.02 * (nth % 2)) == at_once


def test_no_more_rollouts_run_at_once_than_allowed(dispatch):
    async def linger(task, seed):
        await asyncio.sleep(0.003)

    done = []
    trajectories = dispatch(Talker(linger), requests(9), limits=Limits(concurrency=3), on_done=done.append)
    assert dispatch.engine.most_at_once == 3
    assert [t.id for t in trajectories] == [f"r{i}" for i in range(9)]
    assert len(done) == 9


def test_rollouts_start_no_faster_than_allowed(dispatch):
    starts = []

    def note(task, seed):
        starts.append(time.perf_counter())

    dispatch(Talker(note), requests(5), limits=Limits(starts_per_s=50))
    assert starts[-1] - starts[0] >= 4 * 0.02 * 0.9


def test_a_rollout_that_cannot_begin_is_tried_again_with_the_same_seed(dispatch):
    seeds = {}

    def flaky(task, seed):
        seeds.setdefault(task.id, []).append(seed)
        if task.id == "t1" and len(seeds["t1"]) < 3:
            raise ConnectionError("try later")

    trajectories = dispatch(Talker(flaky), requests(3), limits=Limits(retries=3))
    assert [t.retries for t in trajectories] == [0, 2, 0]
    assert [(t.error, t.failure) for t in trajectories] == [(None, None)] * 3
    assert len(trajectories[1].turns) == 1  # of the last attempt alone
    assert seeds == {"t0": [1000], "t1": [1001] * 3, "t2": [1002]}
    assert [t.seed for t in trajectories] == [1000, 1001, 1002]


def test_a_reward_that_fails_is_not_asked_again_and_the_policy_plays_no_second_time(dispatch):
    asked = []

    async def moody(rollout):
        asked.append(rollout.task.id)
        if rollout.task.id == "t0":
            raise ValueError("no such answer")
        return 0.25

    first, second = dispatch(Talker(), requests(2), reward=moody)
    assert (first.failure, first.retries, first.rewards) == ("judge", 0, ())
    assert "moody raised ValueError: no such answer" in first.error
    assert (second.failure, second.rewards) == (None, (0.25,))
    assert sorted(asked) == ["t0", "t1"]


def test_one_reward_too_many_fails_its_rollout_alone(dispatch):
    def per_message(rollout):
        return [0.1] * (len(rollout.messages) if rollout.task.id == "t1" else 1)

    good, bad = dispatch(Talker(), requests(2), reward=per_message, limits=Limits(retries=0))
    assert (good.error, good.rewards) == (None, (0.1,))
    assert (bad.ending, bad.rewards) == ("error", ())
    assert "per_message gave 2 numbers for a rollout of turns: 1" in bad.error


@pytest.mark.parametrize(("failure", "retries"), [(RolloutTimeout("too late"), 1), (ConnectionError("gone"), 3)])
def test_an_agent_that_was_too_slow_is_tried_once_more_only(dispatch, failure, retries):
    def failing(task, seed):
        raise failure

    for in_process in (True, False):
        (t,) = dispatch(Talker(failing, in_process), requests(1), limits=Limits(retries=3))
        assert (t.ending, t.retries) == ("error", retries)


class Odd:
    """Something whose description fails too."""

    def __repr__(self):
        raise RuntimeError("no description")


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, 1.5, -0.5, None, "good", [], [0.5, math.nan], (0.5, {"part": math.nan}), 10**5000, Odd()],
    ids=range(11),
)
def test_a_reward_that_is_no_number_in_range_fails_its_rollout_alone(dispatch, value):
    def judge(rollout):
        return value if rollout.task.id == "t1" else 1.0

    good, bad, other = dispatch(Talker(), requests(3), reward=judge, limits=Limits(retries=1))
    assert (good.rewards, other.rewards) == ((1.0,), (1.0,))
    assert (bad.ending, bad.failure, bad.rewards, bad.retries) == ("error", "judge", (), 0)
    assert bad.error


def test_a_score_that_fails_fails_its_rollout(dispatch):
    def broken(rollout):
        raise KeyError("no such field")

    (trajectory,) = dispatch(Talker(), requests(1), score=broken, limits=Limits(retries=0))
    assert trajectory.ending == "error"
    assert "broken raised KeyError" in trajectory.error


def test_without_a_reward_the_agents_own_is_kept(dispatch):
    class Reporting(Talker):
        async def run(self, session, task, seed, keep=None):
            await super().run(session, task, seed, keep)
            return Episode("final", rewards=(0.75,), metrics={"format": 1.0})

    (trajectory,) = dispatch(Reporting(), requests(1), reward=None)
    assert (trajectory.rewards, trajectory.metrics) == ((0.75,), {"format": 1.0})


@pytest.mark.parametrize("in_process", [True, False])
def test_a_rollout_that_takes_too_long_is_given_up_and_the_others_end(dispatch, in_process):
    async def stuck(task, seed):
        if task.id == "t1":
            await asyncio.sleep(60)

    limits = Limits(timeout=0.5, retries=3)
    trajectories = dispatch(Talker(stuck, in_process), requests(3), limits=limits)
    assert [t.ending for t in trajectories] == ["final", "error", "final"]
    assert trajectories[1].error == "gave up after rollout_timeout = 0.5 s"
    assert trajectories[1].retries == 1  # it would hang again, and each time costs all of its time


def test_a_judge_that_hangs_is_given_up_and_holds_no_other_rollout_up(dispatch):
    async def hanging(rollout):
        await asyncio.sleep(60 if rollout.task.id == "t0" else 0)
        return 0.5

    limits = Limits(timeout=0.4, retries=0, concurrency=2)
    began = time.perf_counter()
    trajectories = dispatch(Talker(), requests(6), reward=hanging, limits=limits)
    assert time.perf_counter() - began < 5
    assert trajectories[0].error == "gave up after rollout_timeout = 0.4 s, in the reward or the score"
    assert [t.error for t in trajectories[1:]] == [None] * 5


def test_a_timeout_of_the_agents_own_is_not_called_the_rollouts(dispatch):
    def slow_service(task, seed):
        raise TimeoutError("the search service did not answer")

    (trajectory,) = dispatch(Talker(slow_service), requests(1), limits=Limits(retries=0))
    assert trajectory.error == "TimeoutError: the search service did not answer"


def test_turns_before_a_failure_are_kept(dispatch, speaker):
    class Failing(Talker):
        async def run(self, session, task, seed, keep=None):
            await super().run(session, task, seed, keep)
            raise RolloutError("lost the connection", fix="look at the agent's log")

    (trajectory,) = dispatch(Failing(), requests(1), limits=Limits(retries=0))
    assert len(trajectory.turns) == 1
    assert "lost the connection" in trajectory.error
    assert "look at the agent's log" in trajectory.error
    assert trajectory.rewards == ()


class Broken(Environment):
    """Comes up for some tasks only."""

    id, version = "broken", "1"

    def start(self, task):
        if task.id == "t2":
            raise EnvironmentFault("the fixture is gone", where="fixtures/x.json")

    @tool
    def look(self):
        """Nothing."""


def test_a_broken_environment_stops_the_run_as_the_fault_it_is(dispatch, speaker):
    async def slow(session, turn, prompt):
        await asyncio.sleep(60)

    began = time.perf_counter()
    with pytest.raises(EnvironmentFault, match="the fixture is gone"):
        dispatch(BuiltinAgent(Broken), requests(4), speaker(slow))
    assert time.perf_counter() - began < 10
    assert sorted(dispatch.engine.released) == ["r0", "r1", "r2", "r3"]  # the others were ended too
    assert dispatch.engine.running == 0


class Careless(Talker):
    """An agent elsewhere that goes on when its model call is refused."""

    async def run(self, session, task, seed, keep=None):
        try:
            return await super().run(session, task, seed, keep)
        except ModelError:
            return Episode("final")


@pytest.mark.parametrize("agent", [Talker(), Careless(in_process=False)])
def test_a_model_that_computes_no_numbers_stops_the_run_whatever_the_agent_makes_of_it(dispatch, speaker, agent):
    def broken(session, turn, prompt):
        return ModelError("the model's logits are NaN or infinite")

    with pytest.raises(ModelError, match="NaN or infinite"):
        dispatch(agent, requests(3), speaker(broken))
    assert len(dispatch.engine.released) <= 3


def test_two_faults_at_once_are_one_fault(dispatch):
    def fault(task, seed):
        raise EnvironmentFault("everything is gone")

    with pytest.raises(EnvironmentFault, match="everything is gone"):
        dispatch(Talker(fault), requests(3))


def test_an_error_of_the_caller_itself_is_not_swallowed(dispatch):
    def full_disk(trajectory):
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        dispatch(Talker(), requests(2), on_done=full_disk)


def test_a_cancelled_run_releases_its_sessions(speaker, pythonic):
    async def slow(session, turn, prompt):
        await asyncio.sleep(60)

    engine = speaker(slow)

    async def run():
        dispatcher = Dispatcher(engine, pythonic, PARAMS, Talker(), HERE, None)
        async with asyncio.timeout(0.1):
            await dispatcher.run(requests(3))

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert sorted(engine.released) == ["r0", "r1", "r2"]
    assert engine.running == 0


def test_nothing_to_do_is_done(dispatch):
    assert dispatch(Talker(), []) == []
