"""Whose failure it is that a rollout broke off, and what follows from it."""

import asyncio
import re
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from practicum.engine.protocol import SamplingParams
from practicum.environment import Environment, tool
from practicum.errors import (
    AgentFailed,
    ContextFull,
    RenderError,
    RewardRefused,
    RolloutError,
    RolloutTimeout,
)
from practicum.rollout import dispatcher as dispatcher_module
from practicum.rollout.agent_evidence import AgentEvidence
from practicum.rollout.agents import BuiltinAgent, Episode
from practicum.rollout.agents_http import HttpAgent
from practicum.rollout.dispatcher import Dispatcher, Limits, RolloutRequest
from practicum.rollout.failures import BrokenOff, causes, counted, whose
from practicum.rollout.gateway import create_gateway
from practicum.rollout.gateway_calls import ModelCalls
from practicum.rollout.gateway_errors import GatewayError
from practicum.rollout.gateway_refusals import Refusal, Subject
from practicum.rollout.gateway_registry import Registry
from practicum.rollout.gateway_server import GatewayServer
from practicum.tasks import Task
from practicum.trajectory import EnvironmentRef, Trajectory, survivors

REF = EnvironmentRef("e", "1", "d")
PARAMS = SamplingParams(max_tokens=24)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr(dispatcher_module, "BACKOFF_S", 0.001)


# One rule for every kind of failure


@pytest.mark.parametrize(
    ("error", "sampled", "more", "expected"),
    [
        (ValueError("unreadable"), True, {}, "policy"),
        (ValueError("unreadable"), False, {}, "infrastructure"),
        (SystemExit(1), True, {}, "policy"),
        (ConnectionError("gone"), True, {}, "infrastructure"),
        (TimeoutError("the search service"), True, {}, "infrastructure"),
        (httpx.ReadError("cut"), True, {}, "infrastructure"),
        (MemoryError("no memory left"), True, {"engine": True}, "infrastructure"),
        (RolloutError("the tool server is down"), True, {}, "infrastructure"),
        (RenderError("no template"), True, {}, "policy"),
        (RenderError("no template"), False, {}, "infrastructure"),
        (AgentFailed("said so"), True, {}, "policy"),
        (AgentFailed("said so"), False, {}, "infrastructure"),
        (AgentFailed("raised", status=500), True, {}, "policy"),
        (AgentFailed("raised", status=500), False, {}, "infrastructure"),
        (AgentFailed("ValidationError", status=200), True, {}, "policy"),
        (AgentFailed("busy", status=429), True, {}, "infrastructure"),
        (AgentFailed("no gateway", status=502), True, {}, "infrastructure"),
        (AgentFailed("overloaded", status=503), True, {}, "infrastructure"),
        (ContextFull("full"), True, {}, "policy"),
        (ContextFull("full"), False, {}, "environment"),
        (AgentFailed("context_length_exceeded", status=500), False, {"full": True}, "environment"),
        (KeyError("bug"), True, {"full": True, "environment": "the final state"}, "environment"),
        (RolloutTimeout("late"), False, {}, "infrastructure"),
        (RolloutTimeout("late"), True, {}, "unknown"),
        (TimeoutError(), False, {"expired": True, "environment": "the start"}, "infrastructure"),
        (TimeoutError(), True, {"expired": True}, "unknown"),
        (TimeoutError(), True, {"expired": True, "environment": "tool 'look'"}, "environment"),
        (KeyError("bug"), True, {"environment": "tool 'look'"}, "environment"),
        (KeyError("bug"), False, {"environment": "the start"}, "environment"),
        (RolloutError("gave nan"), True, {"judging": True}, "judge"),
        (TimeoutError(), True, {"judging": True, "expired": True}, "judge"),
        (RewardRefused("two numbers for one turn"), True, {}, "judge"),
    ],
    ids=str,
)
def test_each_failure_is_somebodys(error, sampled, more, expected):
    assert whose(BrokenOff(error, sampled, **more)) == expected


def refused(status=400, code="invalid_request", param="", subject=Subject.MODEL):
    return AgentEvidence(refusal=Refusal(subject, "the last model call", "no", status, code, param))


def crashed(error_type):
    return AgentEvidence(error_type=error_type)


@pytest.mark.parametrize(
    ("error", "evidence", "more", "expected"),
    [
        (AgentFailed("raised", status=500), crashed("InternalServerError"), {}, "infrastructure"),
        (AgentFailed("raised", status=200), crashed("AccessDeniedException"), {}, "infrastructure"),
        (AgentFailed("raised", status=200), crashed("InternalServerError"), {"last": True}, "policy"),
        (AgentFailed("raised", status=500), crashed("ValidationError"), {}, "policy"),
        (AgentFailed("raised", status=500), crashed(""), {}, "policy"),
        (AgentFailed("raised", status=500), refused(429, "rate_limit_exceeded"), {}, "infrastructure"),
        (RewardRefused("no report came"), refused(429, "rate_limit_exceeded"), {}, "infrastructure"),
        (AgentFailed("raised", status=500), refused(code="rollout_error"), {}, "infrastructure"),
        (AgentFailed("raised", status=500), refused(404, "http_error"), {"last": True}, "infrastructure"),
        (RewardRefused("no report came"), refused(), {}, "infrastructure"),
        (RolloutTimeout("no report came"), refused(), {}, "infrastructure"),
        (RolloutTimeout("no report came"), refused(429, "rate_limit_exceeded"), {}, "unknown"),
        (AgentFailed("raised", status=500), refused(param="messages"), {}, "policy"),
        (AgentFailed("raised", status=500), refused(param="messages.1.assistant.content"), {}, "policy"),
        (AgentFailed("raised", status=500), refused(param="messages.2.tool.content"), {}, "infrastructure"),
        (RewardRefused("no report came"), refused(code="context_length_exceeded"), {"full": True}, "policy"),
        (RewardRefused("two numbers"), refused(subject=Subject.REWARD), {}, "judge"),
    ],
)
def test_what_is_known_of_an_agent_server_says_whose_its_failure_is(error, evidence, more, expected):
    error.evidence = evidence
    assert whose(BrokenOff(error, sampled=True, **more)) == expected


# In this process


def requests(count):
    return [RolloutRequest(f"step-1/t{i}/0", f"g{i // 4}", Task(f"t{i}", f"prompt {i}"), seed=i) for i in range(count)]


class Playing:
    """An agent that asks once, then does what a test wants with the answer."""

    def __init__(self, then, in_process=True):
        self.then, self.in_process, self.played = then, in_process, Counter()

    async def run(self, session, task, seed, keep=None):
        self.played[task.id] += 1
        result = await session.chat([{"role": "user", "content": task.prompt}])
        self.then(result, task)
        return Episode("final")


@pytest.fixture
def dispatch(speaker, pythonic):
    def run(agent, count=1, *, say="Hello.", reward=lambda rollout: 0.5, **settings):
        dispatcher = Dispatcher(speaker(say), pythonic, PARAMS, agent, REF, reward, **settings)
        return asyncio.run(asyncio.wait_for(dispatcher.run(requests(count)), 30))

    return run


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
    assert counted(done) == {"policy": 5, "infrastructure": 5, "judge": 5}
    assert sum(t.retries for t in done) == 10
    assert set(agent.played.values()) == {1, 3}
    assert [(cause.whose, cause.count) for cause in causes(done)] == [
        ("policy", 5),
        ("infrastructure", 5),
        ("judge", 5),
    ]


# An agent server


@pytest.fixture
def serve(speaker, pythonic):
    """Rollouts of an agent server: ``play(order, ask, post)`` gives its HTTP answer."""

    def run(play, count=1, *, say="Hello.", reward=None, retries=2, timeout=60.0, sampler=None, **settings):
        ids = []

        async def answer(request):
            order = await request.json()
            about = order["metadata"]
            ids.append(about["rolloutId"])
            base = f"{about['endpoint']}/rollouts/{about['rolloutId']}/v1"

            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:

                async def ask(messages, **more):
                    body = {"model": "m", "messages": messages, **more}
                    return await client.post(f"{base}/chat/completions", json=body)

                async def post(path, **body):
                    body = {"TrajectoryId": about["rolloutId"], **body}
                    return await client.post(about["endpoint"] + path, json=body)

                return await play(order, ask, post)

        async def go():
            registry = Registry()
            app = Starlette(routes=[Route("/rollout", answer, methods=["POST"])])
            async with AsyncExitStack() as stack:
                gateway = await stack.enter_async_context(GatewayServer(create_gateway(registry)))
                server = await stack.enter_async_context(GatewayServer(app, grace_s=1))
                client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
                needs = {"timeout_s": timeout, "needs_reward": reward is None}
                agent = HttpAgent(server.url, registry, gateway.url, client, "arn:run", **needs)
                limits = Limits(timeout=timeout + 2, retries=retries)
                engine = sampler or speaker(say)
                dispatcher = Dispatcher(engine, pythonic, PARAMS, agent, REF, reward, limits=limits, **settings)
                return await dispatcher.run(requests(count))

        return asyncio.run(asyncio.wait_for(go(), 120)), ids

    return run


HELLO = [{"role": "user", "content": "prompt"}]


async def finish(post, reward=1.0):
    await post("/complete-rollout", Status="ready")
    await post("/update-reward", Rewards=[reward])
    return JSONResponse({"status": "done"})


def test_a_server_that_raises_over_the_models_text_is_played_once(serve):
    async def play(order, ask, post):
        await ask(HELLO)
        return JSONResponse({"detail": "JSONDecodeError: Expecting value"}, 500)

    (t,), ids = serve(play)
    assert (t.failure, t.rewards, t.retries, len(ids)) == ("policy", (0.0,), 0, 1)
    assert "HTTP 500" in t.error


def test_a_server_that_says_failed_after_the_model_spoke_is_played_once(serve):
    async def play(order, ask, post):
        await ask(HELLO)
        await post("/complete-rollout", Status="failed")
        return JSONResponse({})

    (t,), ids = serve(play)
    assert (t.failure, t.rewards, len(ids)) == ("policy", (0.0,), 1)


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails_before_the_model_spoke_is_asked_again_under_another_id(serve, status):
    failed = []

    async def play(order, ask, post):
        if len(failed) < 2:
            failed.append(order)
            return JSONResponse({"errorType": "InternalServerError", "errorMessage": "starting"}, status)
        await ask(HELLO)
        return await finish(post)

    (t,), ids = serve(play)
    assert (t.failure, t.rewards, t.retries, t.seed) == (None, (1.0,), 2, 0)
    assert len(set(ids)) == 3  # late calls of an earlier attempt must not reach a later one


def test_a_server_that_is_overloaded_in_the_middle_is_asked_again_and_then_given_up(serve):
    async def play(order, ask, post):
        await ask(HELLO)
        return Response("overloaded", 503)

    (t,), ids = serve(play)
    assert (t.failure, t.rewards, t.retries, len(ids)) == ("infrastructure", (), 2, 3)


def test_a_server_that_names_an_internal_error_after_the_model_spoke_is_asked_again_with_the_same_seed(serve):
    crashes = []

    async def play(order, ask, post):
        await ask(HELLO)
        if len(crashes) < 2:
            crashes.append(order)
            return JSONResponse({"errorType": "InternalServerError", "errorMessage": "the tools restart"})
        return await finish(post)

    (t,), ids = serve(play)
    assert (t.failure, t.rewards, t.retries, t.seed, len(ids)) == (None, (1.0,), 2, 0, 3)


def test_a_server_that_names_an_internal_error_on_every_attempt_crashes_over_the_same_text(serve):
    async def play(order, ask, post):
        await ask(HELLO)
        return JSONResponse({"errorType": "InternalServerError", "errorMessage": "JSONDecodeError"}, 500)

    (t,), ids = serve(play)
    assert (t.failure, t.rewards, t.retries, len(ids)) == ("policy", (0.0,), 2, 3)
    assert survivors([t]) == [t]


@pytest.mark.parametrize("first", ["answered", "refused"])
def test_a_server_that_asks_for_another_temperature_is_misconfigured_and_not_tried_again(serve, first):
    async def play(order, ask, post):
        if first == "answered":
            await ask(HELLO)
        assert (await ask(HELLO, temperature=0.1)).status_code == 400
        return JSONResponse({"detail": "BadRequestError"}, 500)

    (t,), ids = serve(play)
    assert (t.failure, t.rewards, t.retries, len(ids)) == ("infrastructure", (), 0, 1)
    assert "the last model call was refused with HTTP 400: this rollout samples with temperature" in t.error
    assert not t.is_conclusive


def test_a_server_that_raises_over_a_busy_gateway_is_asked_again(serve, monkeypatch):
    busy = []

    async def begun(self, entry, request, gone, *, retried=False):
        if entry.session.turns and not busy:
            busy.append(entry)
            raise GatewayError(429, "try again in a second", "rate_limit_exceeded")
        return await answer(self, entry, request, gone, retried=retried)

    async def play(order, ask, post):
        for words in ("one", "two"):
            if (await ask([{"role": "user", "content": words}])).status_code != 200:
                return JSONResponse({"detail": "RateLimitError"}, 500)
        return await finish(post)

    answer = ModelCalls.answer
    monkeypatch.setattr(ModelCalls, "answer", begun)
    (t,), ids = serve(play)
    assert (t.failure, t.rewards, t.retries, len(ids)) == (None, (1.0,), 1, 2)


def test_a_reward_that_was_refused_is_the_judges_failure(serve):
    async def play(order, ask, post):
        await ask(HELLO)
        await post("/complete-rollout", Status="ready")
        assert (await post("/update-reward", Rewards=[1.0, 1.0])).status_code == 400
        return JSONResponse({"status": "done"})

    (t,), ids = serve(play)
    assert (t.failure, t.rewards, len(ids)) == ("judge", (), 1)


def test_an_evaluation_with_an_agent_that_raises_equals_the_one_with_an_agent_that_returns(serve):
    def agent(strict):
        async def play(order, ask, post):
            answer = await ask([{"role": "user", "content": order["prompt"]}])
            text = answer.json()["choices"][0]["message"]["content"]
            if strict and not re.fullmatch(r"<a>\d</a>", text):
                return JSONResponse({"detail": "ValueError: no answer"}, 500)
            return await finish(post, 0.0)

        return play

    def say(session, turn, prompt):
        number = int(re.search(r"prompt (\d+)", prompt)[1])
        return f"<a>{number % 10}</a>" if number % 3 == 0 else f"the answer is {number}"

    def score(rollout):
        return float(bool(re.fullmatch(r"<a>\d</a>", rollout.answer)))

    (raised, _), (returned, _) = (serve(agent(strict), 12, say=say, score=score) for strict in (True, False))
    seen = [
        [(t.id, t.seed, t.score, t.rewards, t.retries, t.turns[0].action_ids) for t in run]
        for run in (raised, returned)
    ]
    assert seen[0] == seen[1]
    assert counted(raised) == {"policy": 8}
    assert counted(returned) == {}


# A context that is full


class Full:
    """An engine with room for one turn."""

    version = 3

    def __init__(self, inner):
        self.inner, self.calls = inner, Counter()

    async def sample(self, session, prompt_ids, params, seed):
        self.calls[session] += 1
        if self.calls[session] > 1:
            raise ContextFull("no room is left")
        return await self.inner.sample(session, prompt_ids, params, seed)

    def release(self, session):
        self.inner.release(session)

    def attached(self, session):
        return self.inner.attached(session)


async def to_the_end(order, ask, post):
    """An agent that lets the refusal through."""
    for words in ("one", "two"):
        answer = await ask([{"role": "user", "content": words}])
        if answer.status_code != 200:
            return JSONResponse({"errorType": "InternalServerError", "errorMessage": answer.text}, 500)
    return await finish(post)


class Looking(Environment):
    """A tool."""

    id, version = "looking", "1"

    @tool
    def look(self) -> str:
        """looks"""
        return "seen"


def test_a_full_context_is_one_thing_for_the_built_in_agent_and_over_http(serve, dispatch, speaker, pythonic):
    def quarter(rollout):
        return 0.25

    (over_http,), ids = serve(to_the_end, sampler=Full(speaker("Hello.")), reward=quarter)
    dispatcher = Dispatcher(Full(speaker("[look()]")), pythonic, PARAMS, BuiltinAgent(Looking), REF, quarter)
    (built_in,) = asyncio.run(dispatcher.run(requests(1)))
    for t in (built_in, over_http):
        assert (t.ending, t.failure, t.error, t.rewards, t.retries) == ("length", None, None, (0.25,), 0)
    assert len(ids) == 1


def test_a_full_context_of_an_agent_that_reports_its_own_reward_is_worth_nothing(serve, speaker):
    (t,), ids = serve(to_the_end, sampler=Full(speaker("Hello.")), score=lambda rollout: 1.0)
    assert (t.ending, t.failure, t.rewards, t.score, len(ids)) == ("length", "policy", (0.0,), 0.0, 1)
    assert "no room is left" in t.error


def test_a_full_context_that_an_agent_gives_in_to_is_worth_what_it_reports(serve, speaker):
    async def give_in(order, ask, post):
        await to_the_end(order, ask, post)
        return await finish(post, 0.75)

    (t,), _ = serve(give_in, sampler=Full(speaker("Hello.")), policy_failure="drop")
    assert (t.ending, t.failure, t.error, t.rewards) == ("length", None, None, (0.75,))
    assert counted([t]) == {}


# Causes


def broken(number, error, failure="judge"):
    return Trajectory(f"step-3/t{number}/0", f"t{number}", f"step-3/t{number}", 0, REF, (), (), "error", error=error,
                      failure=failure)  # fmt: skip


def test_failures_that_share_a_cause_are_told_once():
    def refused(n):
        id = f"step-3-t{n}-0-{n:08x}"
        return f"the agent answered HTTP 500 at turn {n}\n  where: trajectory {id} at http://h:{n}\n  what to do: look"

    found = causes(
        [broken(n, refused(n), "infrastructure") for n in range(5)]
        + [broken(n, f"right raised KeyError: 'colour'\n  where: task t{n}") for n in range(3)]
        + [broken(9, "right raised KeyError: 'size'")]
        + [replace(broken(8, "fine"), error=None, failure=None)]
    )
    assert [str(cause) for cause in found] == [
        "5 × infrastructure: the agent answered HTTP 500 at turn 0\n  what to do: look",
        "3 × judge: right raised KeyError: 'colour'",
        "1 × judge: right raised KeyError: 'size'",
    ]


def test_the_models_own_words_make_no_cause_another():
    texts = ("I am quite sure that it is the blue one", "the answer to this question is: perhaps 4")
    found = causes([broken(n, f"ValueError: no JSON in {text!r}", "policy") for n, text in enumerate(texts)])
    assert [cause.count for cause in found] == [2]
