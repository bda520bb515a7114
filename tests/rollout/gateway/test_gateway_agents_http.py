"""Real agent servers over HTTP, of every manner to answer, against the real gateway."""

import asyncio
import re
import time
from contextlib import asynccontextmanager, nullcontext

import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from agent_server import TASK, rollout
from practicum.errors import RolloutError, RolloutTimeout, RunError
from practicum.rollout.agents_http import HttpAgent, observed_tool_calls
from practicum.rollout.gateway.http_server import GatewayServer
from practicum.rollout.gateway.registry import Registry
from practicum.trajectory import ToolCall, Turn


@pytest.fixture
def session(scripted_session):
    return scripted_session("done")


def test_the_body_is_the_one_agents_for_aws_expect(session):
    seen = []

    async def handler(work):
        await work.finish()
        return JSONResponse({"reward": 1.0})

    rollout(handler, session, seen=seen)
    about = seen[0]["metadata"]
    assert about.pop("endpoint").startswith("http://127.0.0.1:")
    assert about.pop("rolloutId").startswith("g-1-")
    assert seen == [
        {
            "prompt": "Fix it",
            "metadata": {"jobArn": "arn:run", "region": "local"},
            "inferenceParams": {"temperature": 0.7, "topP": 0.9, "maxTokens": 64},
        }
    ]


@pytest.mark.parametrize("body", [{}, {"status": "accepted"}])
def test_an_agent_that_answers_at_once_and_finishes_later(session, body):
    async def later(work):
        await asyncio.sleep(0.05)
        await work.finish(0.25)

    async def handler(work):
        return JSONResponse(body, background=BackgroundTask(later, work))

    episode = rollout(handler, session)
    assert episode.rewards == (0.25,)
    assert episode.ending == "final"
    assert len(session.turns) == 1


def test_an_agentcore_agent_takes_it_on_invocations(session):
    async def handler(work):
        await work.finish()
        return JSONResponse({"result": "ok"})

    assert rollout(handler, session, path="/invocations").rewards == (1.0,)


def test_an_agent_that_knows_nothing_of_reports_is_done_when_it_answers(session):
    async def handler(work):
        await work.model_call()
        return PlainTextResponse("The answer is 4")

    assert rollout(handler, session, needs_reward=False).rewards == ()
    assert len(session.turns) == 1


def test_without_need_of_a_reward_the_seal_is_enough(session):
    async def handler(work):
        await work.model_call()
        await work.report("/complete-rollout", Status="ready")
        return JSONResponse({"status": "accepted"})

    assert rollout(handler, session, needs_reward=False).rewards == ()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            JSONResponse({"errorType": "ValidationError", "errorMessage": "no such table"}),
            "ValidationError: no such table",
        ),
        (JSONResponse({"errorType": "AccessDenied"}, 403), "AccessDenied"),
        (JSONResponse({"status": "error", "error": "tool broke"}), "tool broke"),
        (PlainTextResponse("overloaded", 503), "HTTP 503: overloaded"),
        (PlainTextResponse("moved", 302, {"location": "/elsewhere"}), "HTTP 302"),
    ],
)
def test_an_agent_that_refuses_is_a_failure_to_retry(session, answer, said):
    async def handler(_):
        return answer

    with pytest.raises(RolloutError, match=said) as caught:
        rollout(handler, session)
    assert re.search(r"trajectory g-1-\w+ at http://127.0.0.1:", str(caught.value))


def test_an_agent_that_reports_failure_is_a_failure_to_retry(session):
    async def handler(work):
        await work.report("/complete-rollout", Status="failed")
        await work.report("/update-reward", Rewards=[0.0])
        return JSONResponse({})

    with pytest.raises(RolloutError, match="reported that the rollout failed"):
        rollout(handler, session)


def test_a_fault_behind_the_gateway_is_named_as_the_cause(scripted_session):
    async def handler(work):
        with pytest.raises(AssertionError):
            await work.model_call()
        await work.report("/complete-rollout", Status="failed")
        return JSONResponse({})

    with pytest.raises(RolloutError, match="the last model call failed: MemoryError: no memory left"):
        rollout(handler, scripted_session(MemoryError("no memory left")))


@pytest.mark.parametrize(
    ("answers", "said"), [(True, "never called /complete-rollout"), (False, "was never|never called")]
)
def test_an_agent_that_never_finishes_is_given_up_in_time(session, answers, said):
    async def handler(_):
        if not answers:
            await asyncio.sleep(30)
        return JSONResponse({})

    before = time.monotonic()
    with pytest.raises(RolloutTimeout, match=said):
        rollout(handler, session, needs_reward=False, timeout_s=0.3)
    assert time.monotonic() - before < 10


def test_an_agent_that_has_reported_all_but_never_answers_has_done_its_work(session):
    async def handler(work):
        await work.finish()
        await asyncio.sleep(30)
        return JSONResponse({})

    assert rollout(handler, session, timeout_s=1.0).rewards == (1.0,)


def test_an_error_after_everything_was_reported_loses_nothing(session):
    async def handler(work):
        await work.finish()
        return PlainTextResponse("cleanup failed", 500)

    assert rollout(handler, session).rewards == (1.0,)


def test_components_and_info_of_the_reward_are_kept(session):
    async def handler(work):
        await work.model_call()
        await work.report("/complete-rollout", Status="ready")
        more = {"Metrics": {"format": 0.1}, "Info": {"rows": 3}}
        await work.report("/update-reward", Rewards=[0.5], **more)
        return JSONResponse({})

    episode = rollout(handler, session)
    assert (episode.metrics, episode.final_state) == ({"format": 0.1}, {"rows": 3})


def test_an_agent_that_talks_to_another_model_is_found_out(session):
    async def handler(work):
        await work.report("/complete-rollout", Status="ready")
        await work.report("/update-reward", Rewards=[1.0])
        return JSONResponse({})

    with pytest.raises(RolloutError, match="without a single model call"):
        rollout(handler, session)


def turn(response, *messages, finish="stop"):
    return Turn(messages, {"role": "assistant", **response}, (1,), (2,), (-0.1,), (0,), finish)


def asked(id, arguments="{}"):
    return {"id": id, "type": "function", "function": {"name": "lookup", "arguments": arguments}}


def test_tool_calls_are_read_off_the_conversation():
    user = {"role": "user", "content": "hi"}
    result = {"role": "tool", "tool_call_id": "call_0_0", "content": "open"}
    turns = [
        turn({"tool_calls": [asked("call_0_0", '{"id": 7}'), asked("call_0_1")]}, user),
        turn({"tool_calls": [asked("call_1_0")]}, result),
    ]
    assert observed_tool_calls(turns) == (ToolCall("call_0_0", "lookup", {"id": 7}, "open", turn=0),)


@pytest.mark.parametrize("arguments", ["null", "[1]", '"T-7"', "7", "{"])
def test_arguments_that_are_no_object_are_a_call_that_failed(arguments):
    result = {"role": "tool", "tool_call_id": "c", "content": "what?"}
    turns = [turn({"tool_calls": [asked("c", arguments)]}), turn({"content": "gone"}, result)]
    assert observed_tool_calls(turns) == (ToolCall("c", "lookup", {}, "what?", is_error=True, turn=0),)


def test_every_attempt_has_an_id_of_its_own_that_headers_and_paths_can_carry(session):
    ids = []

    async def handler(work):
        ids.append(work.about["rolloutId"])
        await work.finish()
        return JSONResponse({})

    session.id = "train/日本 1"
    for seed in (1, 2, 1):
        assert rollout(handler, session, seed=seed).rewards == (1.0,)
    assert all(re.fullmatch(r"train----1-[0-9a-f]{8}-[0-9a-f]{32}", id) for id in ids)
    names = [id.rpartition("-")[0] for id in ids]
    assert names[0] == names[2] != names[1]
    assert len({id.rpartition("-")[2] for id in ids}) == 3


@asynccontextmanager
async def agent_at(url):
    async with httpx.AsyncClient() as client:
        yield HttpAgent(url, Registry(), "http://127.0.0.1:1", client, "arn:run", timeout_s=2.0)


def test_an_agent_that_is_not_there(session):
    async def play(ask):
        async with agent_at("http://127.0.0.1:9") as agent:
            await ask(agent)

    with pytest.raises(RolloutError, match="cannot be reached"):
        asyncio.run(play(lambda agent: agent.run(session, TASK, 1)))
    with pytest.raises(RunError, match="does not answer"):
        asyncio.run(play(lambda agent: agent.check_health()))


@pytest.mark.parametrize(
    ("url", "rollout_url", "health_url"),
    [
        ("http://h:8000", "http://h:8000/rollout", "http://h:8000/health"),
        ("http://h:8000/", "http://h:8000/rollout", "http://h:8000/health"),
        ("http://h:8000/team/rollout", "http://h:8000/team/rollout", "http://h:8000/team/health"),
        ("http://h:8080/invocations", "http://h:8080/invocations", "http://h:8080/ping"),
    ],
)
def test_the_addresses_of_an_agent(url, rollout_url, health_url):
    async def addresses():
        async with agent_at(url) as agent:
            return agent.rollout_url, agent.health_url

    assert asyncio.run(addresses()) == (rollout_url, health_url)


def test_an_agent_without_a_health_route_is_told_to_add_one():
    async def play():
        async with GatewayServer(Starlette(routes=[])) as server, agent_at(server.url) as agent:
            await agent.check_health()

    with pytest.raises(RunError, match="does not serve GET /health: HTTP 404") as caught:
        asyncio.run(play())
    assert "add a route GET /health that answers 200" in str(caught.value)


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_is_asked_before_rollouts_are_sent(status, healthy):
    async def health(_):
        return JSONResponse({"status": "healthy"}, status)

    async def play():
        app = Starlette(routes=[Route("/health", health)])
        async with GatewayServer(app) as server, agent_at(server.url) as agent:
            await agent.check_health()

    expected = nullcontext() if healthy else pytest.raises(RunError, match="HTTP 503")
    with expected:
        asyncio.run(play())
