"""AWS's ``RolloutFeedbackClient`` against the gateway, call by call: repeats, contradictions and refusals.

It raises on a refusal, save for two it lets pass: an unknown trajectory, and one "already processed". The second
it means to know by the text "Cannot transition trajectory", but as of 1.27.0 looks for it in the error of
``requests``, which has no part of the answer's body; only its handler, which sees the OpenAI client's error, finds it.
"""

import asyncio
import logging
import math
import socket
from types import SimpleNamespace

import pytest
import requests

from practicum.rollout.gateway.app import create_gateway
from practicum.rollout.gateway.http_server import GatewayServer
from practicum.rollout.gateway.registry import Registry, Reward, State

ID = "rollout-1"


@pytest.fixture(scope="module")
def rft():
    from sagemaker.train import rft

    return rft


@pytest.fixture
def told(rft, job, aws_environment):
    """Has a client tell the gateway about a rollout of two turns; gives the outcome recorded."""

    def free_port():
        """Not one like 40429: AWS's client takes any error with 404 in its text, address included, for a 404."""
        while True:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                port = listener.getsockname()[1]
            if "404" not in str(port):
                return port

    def run(tell, *, id=ID, about=None, **settings):
        registry = Registry()

        def report(endpoint):
            metadata = {"jobArn": job, "rolloutId": id, "endpoint": endpoint, "region": "local"}
            tell(rft.RolloutFeedbackClient(about(endpoint) if about else metadata))

        async def play():
            async with GatewayServer(create_gateway(registry, **settings), port=free_port()) as gateway:
                registry.open(ID, SimpleNamespace(turns=(1, 2)), job_arn=job)
                await asyncio.to_thread(report, gateway.url)
                return registry.outcome(ID)

        return asyncio.run(play())

    return run


@pytest.mark.parametrize(("reward", "values"), [(0.5, (0.5,)), (1, (1.0,)), ([0.25, 0.75], (0.25, 0.75))])
def test_a_reward_of_the_rollout_or_of_every_turn(told, reward, values):
    outcome = told(lambda feedback: feedback.report_complete(reward))
    assert (outcome.state, outcome.reward) == (State.REWARD_RECEIVED, Reward(values))


def test_saying_the_same_again_changes_nothing_and_is_no_error(told):
    def tell(feedback):
        for _ in range(2):
            feedback.complete_rollout()
        for _ in range(2):
            feedback.update_reward(0.5)
        feedback.report_complete(0.5)

    outcome = told(tell)
    assert (outcome.state, outcome.reward) == (State.REWARD_RECEIVED, Reward((0.5,)))


@pytest.mark.parametrize(
    "contradiction",
    [
        lambda feedback: feedback.complete_rollout(status="failed"),
        lambda feedback: feedback.update_reward(0.9),
        lambda feedback: feedback.report_error("changed my mind"),
    ],
)
def test_a_contradiction_is_refused_in_the_words_aws_looks_for(rft, told, contradiction):
    refusals = []

    def tell(feedback):
        feedback.report_complete(0.5)
        with pytest.raises(requests.HTTPError) as refused:
            contradiction(feedback)
        refusals.append(refused.value.response)

    outcome = told(tell)
    assert (outcome.state, outcome.reward) == (State.REWARD_RECEIVED, Reward((0.5,)))
    assert refusals[0].status_code == 409
    assert rft.decorators._is_trajectory_already_processed(refusals[0].json()["message"])


def test_a_reward_before_the_end_is_refused(told):
    def tell(feedback):
        with pytest.raises(requests.HTTPError, match="409 Client Error"):
            feedback.update_reward(0.5)

    assert told(tell).state is State.PENDING


@pytest.mark.parametrize(("partial", "recorded"), [(None, 0.0), (0.25, 0.25)])
def test_a_failure_keeps_the_reward_that_aws_sends_after_it(told, partial, recorded):
    def tell(feedback):
        feedback.report_error("the tool broke", partial)
        feedback.report_error("the tool broke", partial)

    outcome = told(tell)
    assert (outcome.state, outcome.reward) == (State.FAILED, Reward((recorded,)))


def test_a_trajectory_that_has_ended_is_let_pass_with_a_warning(told, caplog):
    with caplog.at_level(logging.WARNING, "sagemaker.train.rft"):
        outcome = told(lambda feedback: feedback.report_complete(0.5), id="over")
    assert outcome.state is State.PENDING
    assert "CompleteRollout 404: trajectory over not found" in caplog.text
    assert "UpdateReward 404: trajectory over not found" in caplog.text


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        ([0.1, 0.2, 0.3], "Rewards has 3 numbers; send one for the trajectory, or 2, one per turn"),
        (math.nan, "Rewards.0: Input should be a finite number"),
    ],
)
def test_a_reward_that_cannot_be_is_refused_with_what_to_mend(told, caplog, reward, said):
    def tell(feedback):
        with (
            caplog.at_level(logging.WARNING, "sagemaker.train.rft"),
            pytest.raises(requests.HTTPError, match="400 Client Error"),
        ):
            feedback.report_complete(reward)

    outcome = told(tell)
    assert (outcome.state, outcome.reward) == (State.READY, None)
    assert said in caplog.text


def test_a_gateway_with_tokens_of_its_own_refuses_awss(told):
    def tell(feedback):
        with pytest.raises(requests.HTTPError, match="403 Client Error"):
            feedback.complete_rollout()

    assert told(tell, tokens=["a-token-of-ours"]).state is State.PENDING


def test_the_endpoint_may_come_from_the_environment(told, job, monkeypatch):
    def about(endpoint):
        monkeypatch.setenv("RFT_RUNTIME_ENDPOINT", endpoint + "/")
        return {"job_arn": job, "trajectory_id": ID}

    assert told(lambda feedback: feedback.report_complete(1.0), about=about).state is State.REWARD_RECEIVED


def test_awss_own_metadata_model_does_as_well(rft, told, job):
    def about(endpoint):
        return rft.RolloutMetadata(job_arn=job, trajectory_id=ID, endpoint=endpoint)

    assert told(lambda feedback: feedback.report_complete(1.0), about=about).state is State.REWARD_RECEIVED


def test_the_service_client_of_boto3_reports_too(told, job):
    import boto3
    from botocore.exceptions import ClientError

    def tell(feedback):
        runtime = boto3.client("sagemakerjobruntime", endpoint_url=feedback._endpoint, region_name="us-west-2")
        rollout = {"JobArn": job, "TrajectoryId": ID}
        for _ in range(2):
            runtime.complete_rollout(**rollout, Status="ready")
        for _ in range(2):
            runtime.update_reward(**rollout, Rewards=[0.25, 0.75], ClientToken="once")
        with pytest.raises(ClientError, match="Cannot transition trajectory"):
            runtime.update_reward(**rollout, Rewards=[1.0])

    outcome = told(tell)
    assert (outcome.state, outcome.reward) == (State.REWARD_RECEIVED, Reward((0.25, 0.75)))
