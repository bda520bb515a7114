"""When a rollout of an agent server is over: how long a known outcome is waited for, and what the failure says."""

import asyncio
import math
import time

import pytest
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, PlainTextResponse, Response

from agent_server import rollout
from practicum.errors import AgentFailed, RewardRefused, RolloutError, RolloutTimeout
from practicum.rollout.refusals import CallSubject

DONE = {"status": "done"}


@pytest.fixture
def session(scripted_session):
    return scripted_session("done", "done", "done")


def failure_of(handler, session, *, timeout_s=60.0, grace_s=0.2, **settings):
    """The error of a rollout that must fail long before its timeout."""
    before = time.monotonic()
    with pytest.raises(RolloutError) as caught:
        rollout(handler, session, timeout_s=timeout_s, grace_s=grace_s, **settings)
    assert time.monotonic() - before < 30
    return caught.value


@pytest.mark.parametrize(
    ("body", "rewards"),
    [
        ({"reward": 0.5}, (0.5,)),
        ({"reward": 1, "answer": "T-7"}, (1.0,)),
        ({"reward": [0.25, 0.75]}, (0.25, 0.75)),
        ({"status": "ok", "reward": 0}, (0.0,)),
    ],
)
def test_an_agent_that_answers_with_its_reward_has_reported(session, body, rewards):
    async def handler(work):
        await work.model_call()
        await work.model_call()
        return JSONResponse(body)

    assert rollout(handler, session, timeout_s=60.0).rewards == rewards


def test_a_reward_in_the_answer_of_a_sealed_rollout_is_taken(session):
    async def handler(work):
        await work.model_call()
        await work.report("/complete-rollout", Status="ready")
        return JSONResponse({"reward": 0.5})

    assert rollout(handler, session, timeout_s=60.0).rewards == (0.5,)


def test_what_was_reported_stands_over_what_is_answered(session):
    async def handler(work):
        await work.finish(1.0)
        return JSONResponse({"reward": 0.0})

    assert rollout(handler, session).rewards == (1.0,)


def test_a_reward_in_the_answer_is_nothing_to_a_run_that_judges_itself(session):
    async def handler(work):
        await work.model_call()
        return JSONResponse({"reward": "a good one"})

    assert rollout(handler, session, needs_reward=False).rewards == ()


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        ([0.1, 0.2, 0.3], "Rewards has 3 numbers; send one for the trajectory, or 1, one per turn"),
        ("0.5", '"0.5" is no finite number and no list of them'),
        (True, "true is no finite number"),
        ([], "[] is no finite number"),
        (10**400, "10000000000"),
    ],
)
def test_a_reward_in_the_answer_that_cannot_be_fails_in_seconds_and_says_why(session, reward, said):
    async def handler(work):
        await work.model_call()
        return JSONResponse({"reward": reward})

    error = failure_of(handler, session)
    assert isinstance(error, RewardRefused)
    assert f"the reward in the agent's answer was refused: {said}" in str(error)


def test_a_reward_of_nan_in_the_answer_is_none(session):
    async def handler(work):
        await work.model_call()
        return Response(b'{"reward": NaN}')

    assert "NaN is no finite number" in str(failure_of(handler, session))


@pytest.mark.parametrize(
    "answer", [JSONResponse(DONE), PlainTextResponse("the colour is green"), JSONResponse("green")]
)
def test_an_agent_that_is_done_without_a_report_fails_in_seconds_with_the_mend(session, answer):
    async def handler(work):
        await work.model_call()
        return answer

    error = failure_of(handler, session)
    assert isinstance(error, RewardRefused)
    assert "no reward came within 0.2 s" in str(error)
    assert 'answer {"reward": number}, or call /complete-rollout and /update-reward before answering' in str(error)
    assert 'answers {"status": "accepted"}' in str(error)
    assert (error.evidence.model_calls, error.evidence.answer_status, error.evidence.said_failed) == (1, 200, False)


def later(work, *, before=None):
    async def report(work):
        if before:
            await before(work)
        await work.report("/update-reward", Rewards=[1.0])

    return BackgroundTask(report, work)


def test_a_report_soon_after_the_answer_is_waited_for_whatever_was_refused_before(session):
    async def handler(work):
        await work.refused(f"/rollouts/{work.about['rolloutId']}/v1/chat/completions", 400, temprature=1)
        await work.refused("/update-reward", 409, Rewards=[0.5])
        await work.finish_but_for_the_reward()
        return JSONResponse(DONE, background=later(work))

    assert rollout(handler, session, timeout_s=60.0).rewards == (1.0,)


def test_a_call_after_an_answer_shows_that_it_was_none_for_good(session):
    async def work_on(work):
        await work.model_call()
        await asyncio.sleep(2.5)  # longer than the grace
        await work.report("/complete-rollout", Status="ready")

    async def handler(work):
        return JSONResponse({"message": "I have begun"}, background=later(work, before=work_on))

    assert rollout(handler, session, timeout_s=60.0, grace_s=2.0).rewards == (1.0,)


@pytest.mark.parametrize("body", [{"status": "queued"}, {"status": "Accepted", "id": 7}, {"status": "in_progress"}])
def test_every_word_for_later_is_understood(session, body):
    async def work_on(work):
        await asyncio.sleep(0.5)
        await work.finish_but_for_the_reward()

    async def handler(work):
        return JSONResponse(body, background=later(work, before=work_on))

    assert rollout(handler, session, timeout_s=60.0, grace_s=0.1).rewards == (1.0,)


def with_reward(**body):
    async def misreport(work, status=400):
        await work.finish_but_for_the_reward()
        await work.refused("/update-reward", status, **body)

    return misreport


async def too_early(work):
    await work.model_call()
    await work.refused("/update-reward", 409, Rewards=[1.0])
    await work.report("/complete-rollout", Status="ready")


async def another_word(work):
    await work.model_call()
    await work.refused("/complete-rollout", 400, Status="done")


async def another_job(work):
    await work.finish_but_for_the_reward()
    await work.refused("/update-reward", 400, Rewards=[1.0], JobArn="arn:other")


async def another_key_of_the_id(work):
    await work.finish_but_for_the_reward()
    await work.refused("/update-reward", 400, TrajectoryId=None, rollout_id=work.about["rolloutId"], Rewards=[1.0])


async def another_address(work):
    await work.finish_but_for_the_reward()
    await work.refused("/update_reward", 404, Rewards=[1.0])


@pytest.mark.parametrize("accepts", [False, True])
@pytest.mark.parametrize(
    ("misreport", "said"),
    [
        (with_reward(Rewards=[math.nan]), "Rewards.0: Input should be a finite number; send finite numbers in a list"),
        (with_reward(Rewards=[True]), "Rewards.0: Input should be a valid number"),
        (with_reward(Rewards=[1.0, 0.0]), "Rewards has 2 numbers; send one for the trajectory, or 1, one per turn"),
        (with_reward(Reward=1.0), "unknown key 'Reward' (did you mean 'Rewards'?)"),
        (too_early, 'call /complete-rollout with Status "ready" first, then send the reward again'),
        (another_word, "Status: Input should be 'ready' or 'failed'"),
        (another_job, "send the jobArn of the request's metadata"),
        (another_key_of_the_id, "unknown key 'rollout_id'"),
        (another_address, "did you mean /update-reward?"),
    ],
)
def test_a_refused_report_is_what_the_failure_says_in_seconds(session, misreport, said, accepts):
    async def handler(work):
        if accepts:
            return JSONResponse({"status": "accepted"}, background=BackgroundTask(misreport, work))
        await misreport(work)
        return JSONResponse(DONE)

    error = failure_of(handler, session)
    assert isinstance(error, RewardRefused)
    assert said in str(error)
    assert "never called" not in str(error)
    assert error.evidence.refusal.subject in (CallSubject.REWARD, CallSubject.SEAL)
    assert error.evidence.refusal.status in (400, 404, 409)


def test_a_refused_report_does_not_end_a_rollout_that_goes_on(session):
    async def work_on(work):
        await work.model_call()
        await work.refused("/update-reward", 409, Rewards=[0.1])
        await work.model_call()
        await asyncio.sleep(2.5)  # longer than the grace
        await work.report("/complete-rollout", Status="ready")

    async def handler(work):
        return JSONResponse({}, background=later(work, before=work_on))

    assert rollout(handler, session, timeout_s=60.0, grace_s=2.0).rewards == (1.0,)


def test_a_report_that_was_mended_is_a_good_one(session):
    async def handler(work):
        await with_reward(Rewards=["1.0"])(work)
        await work.report("/update-reward", Rewards=[1.0])
        return JSONResponse(DONE)

    assert rollout(handler, session).rewards == (1.0,)


def test_a_refused_model_call_stands_in_the_failure_it_led_to(session):
    async def handler(work):
        await work.model_call()
        await work.refused(f"/rollouts/{work.about['rolloutId']}/v1/responses", 404, model="default", input="hi")
        return PlainTextResponse("Internal Server Error", 500)

    error = failure_of(handler, session)
    assert isinstance(error, AgentFailed)
    assert "the agent answered HTTP 500: Internal Server Error; before that: POST /rollouts/" in str(error)
    assert "client.chat.completions" in str(error)
    assert (error.evidence.answer_status, error.evidence.refusal.status) == (500, 404)


def test_a_model_call_that_was_got_over_does_not(session):
    async def handler(work):
        await work.refused(f"/rollouts/{work.about['rolloutId']}/v1/chat/completions", 400, temprature=1)
        await work.model_call()
        return PlainTextResponse("Internal Server Error", 500)

    error = failure_of(handler, session)
    assert "before that" not in str(error)
    assert error.evidence.refusal is None


def test_a_call_that_names_no_rollout_is_a_lead_where_there_is_no_other(session):
    async def handler(work):
        await work.refused("/v1/chat/completions", 400, TrajectoryId=None, messages=[{"role": "user", "content": "hi"}])
        return JSONResponse(DONE)

    error = failure_of(handler, session)
    assert "without a single model call" in str(error)
    assert "meanwhile a call came that names no open trajectory, perhaps this agent's" in str(error)
    assert "send the header x-amzn-sagemaker-trajectory-id" in str(error).lower()
    assert error.evidence.model_calls == 0


def test_an_agent_that_never_reaches_the_model_is_told_to_look_for_its_address(session):
    async def handler(_):
        await asyncio.sleep(30)

    with pytest.raises(RolloutTimeout) as caught:
        rollout(handler, session, timeout_s=0.3)
    assert "never called /complete-rollout and /update-reward (state PENDING, 0 model calls)" in str(caught.value)
    assert "reaches http://127.0.0.1:" in str(caught.value)
    assert "in a container 127.0.0.1 is the container itself" in str(caught.value)


@pytest.mark.parametrize("needs_reward", [True, False])
def test_an_agent_that_hung_up_before_the_answer_is_told_so_and_not_that_it_never_called(session, needs_reward):
    async def handler(work):
        sampled = asyncio.Event()
        sample = session.sample

        async def slow(*args, **more):
            await asyncio.sleep(0.5)
            sampled.set()
            return await sample(*args, **more)

        session.sample = slow
        try:
            await asyncio.wait_for(work.model_call(), 0.2)
        except TimeoutError:
            await sampled.wait()
        if not needs_reward:
            await work.report("/complete-rollout", Status="ready")
        return JSONResponse(DONE)

    error = failure_of(handler, session, grace_s=1.5, needs_reward=needs_reward)
    assert "without receiving a single answer of the 1 that were sampled" in str(error)
    assert "have the agent wait for the model's answer" in str(error)
    assert "see that it reaches" not in str(error)
    assert error.evidence.model_calls == 1


def test_a_sealed_rollout_without_a_reward_is_told_which_report_is_missing(session):
    async def handler(work):
        await work.finish_but_for_the_reward()
        return JSONResponse({"status": "accepted"})

    with pytest.raises(RolloutTimeout, match="never called /update-reward") as caught:
        rollout(handler, session, timeout_s=4.0)
    assert 'send POST /update-reward {"TrajectoryId": rolloutId, "Rewards": [number]}' in str(caught.value)


def test_an_answer_that_does_not_come_after_the_report_is_not_waited_for_long(session):
    async def handler(work):
        await work.finish()
        await asyncio.sleep(30)

    before = time.monotonic()
    assert rollout(handler, session, timeout_s=60.0, grace_s=0.2).rewards == (1.0,)
    assert time.monotonic() - before < 20


@pytest.mark.parametrize(
    ("answer", "error_type", "said_failed"),
    [
        (JSONResponse({"errorType": "ValidationError", "errorMessage": "no table"}), "ValidationError", False),
        (JSONResponse({"status": "failed", "error": "no table"}), "", True),
        (JSONResponse({"detail": "no table"}, 422), "", False),
    ],
)
def test_a_failure_carries_what_its_cause_is_judged_by(session, answer, error_type, said_failed):
    async def handler(work):
        await work.model_call()
        return answer

    error = failure_of(handler, session)
    assert isinstance(error, AgentFailed)
    assert "no table" in str(error)
    assert (error.evidence.error_type, error.evidence.said_failed) == (error_type, said_failed)
    assert error.evidence.answer_status == error.status == answer.status_code


def test_an_agent_without_the_route_is_told_to_add_it(session):
    async def handler(_):
        return PlainTextResponse("Not Found", 404)

    assert "serve POST /rollout there, or give the recipe's agent the whole address" in str(
        failure_of(handler, session)
    )
