"""What follows from a failure of an agent server."""

import re

import pytest
from starlette.responses import JSONResponse, Response

from failing_agents import HELLO, finish
from practicum.rollout.gateway.error_answers import GatewayError
from practicum.rollout.gateway.model_calls import ModelCalls
from practicum.trajectory import failure_counts, survivors


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
    assert failure_counts(raised)["policy"] == sum(failure_counts(raised).values()) == 8
    assert not any(failure_counts(returned).values())
