"""How a rollout ends: states, idempotence, contradictions, and what the dispatcher waits for."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from practicum.errors import RolloutError
from practicum.rollout.gateway.registry import Reward, State

ARN = "arn:aws:sagemaker:us-west-2:123456789012:job/spine"


def message_of(response):
    return response.json()["message"]


def test_a_rollout_is_sealed_and_then_rewarded(gateway, trajectory):
    gateway.open(trajectory)
    assert gateway.state(trajectory) == "PENDING"
    assert gateway.complete(trajectory).json() == {"TrajectoryId": trajectory, "Status": "READY"}
    assert gateway.reward(trajectory, 0.95).json() == {
        "TrajectoryId": trajectory,
        "Status": "REWARD_RECEIVED",
    }
    assert gateway.registry.outcome(trajectory).reward == Reward((0.95,))


def test_metrics_and_info_are_kept(gateway, trajectory):
    gateway.open(trajectory)
    gateway.complete(trajectory)
    gateway.reward(trajectory, 1, Metrics={"format": 0.1, "fields": 0.9}, Info={"note": ["a"]})
    expected = Reward((1.0,), {"format": 0.1, "fields": 0.9}, {"note": ["a"]})
    assert gateway.registry.outcome(trajectory).reward == expected


@pytest.mark.parametrize(
    ("before", "call", "then"),
    [
        ([], ("reward", 1.0), (409, "PENDING")),
        (["ready"], ("complete", "ready"), (200, "READY")),
        (["ready"], ("complete", "failed"), (409, "READY")),
        (["failed"], ("complete", "failed"), (200, "FAILED")),
        (["failed"], ("complete", "ready"), (409, "FAILED")),
        (["failed"], ("reward", 0.0), (200, "FAILED")),
        (["ready", 1.0], ("complete", "ready"), (200, "REWARD_RECEIVED")),
        (["ready", 1.0], ("complete", "failed"), (409, "REWARD_RECEIVED")),
        (["ready", 1.0], ("reward", 1.0), (200, "REWARD_RECEIVED")),
        (["ready", 1.0], ("reward", 0.5), (409, "REWARD_RECEIVED")),
        (["failed", 0.0], ("reward", 0.5), (409, "FAILED")),
    ],
)
def test_every_step_from_every_state(gateway, trajectory, before, call, then):
    gateway.open(trajectory)
    status, after = then
    for step in before:
        done = (gateway.complete if isinstance(step, str) else gateway.reward)(trajectory, step)
        assert done.status_code == 200
    kept = gateway.registry.outcome(trajectory).reward
    name, value = call
    response = getattr(gateway, name)(trajectory, value)
    assert response.status_code == status
    assert gateway.state(trajectory) == after
    if status == 409:
        assert "Cannot transition trajectory" in message_of(response)
        assert gateway.registry.outcome(trajectory).reward == kept


def test_a_repeated_client_token_changes_nothing_whatever_the_values(gateway, trajectory):
    gateway.open(trajectory)
    assert gateway.complete(trajectory, "ready", ClientToken="c").status_code == 200
    assert gateway.complete(trajectory, "failed", ClientToken="c").status_code == 200
    assert gateway.reward(trajectory, 1.0, ClientToken="c").status_code == 200
    assert gateway.reward(trajectory, 0.0, ClientToken="c").status_code == 200
    assert gateway.reward(trajectory, 0.0, ClientToken="d").status_code == 409
    assert gateway.registry.outcome(trajectory).reward == Reward((1.0,))
    assert gateway.state(trajectory) == "REWARD_RECEIVED"


def test_a_refused_call_does_not_use_up_its_client_token(gateway, trajectory):
    gateway.open(trajectory)
    assert gateway.reward(trajectory, 1.0, ClientToken="r").status_code == 409
    gateway.complete(trajectory)
    assert gateway.reward(trajectory, 1.0, ClientToken="r").status_code == 200
    assert gateway.state(trajectory) == "REWARD_RECEIVED"


@pytest.mark.parametrize(
    ("rewards", "status"), [([0.1, 0.2, 0.3], 200), ([1.0], 200), ([0.1, 0.2], 400), ([0.1] * 4, 400)]
)
def test_rewards_are_one_number_or_one_per_turn(gateway, trajectory, rewards, status):
    gateway.open(trajectory)
    for _ in range(3):
        gateway.chat(trajectory)
    gateway.complete(trajectory)
    response = gateway.reward(trajectory, *rewards)
    assert response.status_code == status
    if status == 400:
        assert "or 3, one per turn" in message_of(response)
        assert gateway.reward(trajectory, 1.0).status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        '{"Rewards": [NaN]}',
        '{"Rewards": [1e999]}',
        '{"Rewards": [1' + "0" * 400 + "]}",
        '{"Rewards": [true]}',
        '{"Rewards": ["1"]}',
        '{"Rewards": []}',
        '{"Rewards": 1.0}',
        '{"Rewards": null}',
        '{"Rewards": [1], "Reward": 1}',
        '{"Rewards": [1], "Metrics": {"a": "b"}}',
        '{"Rewards": [1], "Metrics": {"a": Infinity}}',
        '{"Rewards": [1], "Info": "text"}',
        '{"ClientToken": "c"}',
    ],
)
def test_a_reward_that_is_no_number_is_refused(gateway, trajectory, text):
    gateway.open(trajectory)
    gateway.complete(trajectory)
    body = '{"TrajectoryId": "' + trajectory + '", ' + text[1:]
    response = gateway.http.post("/update-reward", content=body.encode(), headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert message_of(response)
    assert gateway.state(trajectory) == "READY"


@pytest.mark.parametrize("status", ["done", "READY", "", None, 1])
def test_a_status_that_is_none_is_refused_with_what_is_allowed(gateway, trajectory, status):
    gateway.open(trajectory)
    response = gateway.complete(trajectory, status)
    assert response.status_code == 400
    assert "Status" in message_of(response) and "'ready' or 'failed'" in message_of(response)


def test_reports_on_unknown_trajectories_are_404(gateway):
    assert gateway.complete("nobody").status_code == 404
    assert gateway.reward("nobody", 1.0).status_code == 404


def test_a_report_of_another_job_is_refused_and_an_empty_job_is_none(gateway, trajectory):
    gateway.open(trajectory, job_arn=ARN)
    assert gateway.complete(trajectory, JobArn="arn:other").status_code == 400
    assert gateway.complete(trajectory, JobArn="").status_code == 200
    assert gateway.reward(trajectory, 1.0, JobArn=ARN).status_code == 200


def test_what_awss_client_sends_after_an_error_is_taken(gateway, trajectory):
    """It reports "failed" and at once a reward of 0.0, and raises on anything but 200."""
    gateway.open(trajectory, job_arn=ARN)
    headers = {"Authorization": "Bearer sagemaker-api-key-abc"}
    failed = {"JobArn": ARN, "TrajectoryId": trajectory, "Status": "failed"}
    reward = {"JobArn": ARN, "TrajectoryId": trajectory, "Rewards": [0.0]}
    assert gateway.http.post("/complete-rollout", json=failed, headers=headers).status_code == 200
    assert gateway.http.post("/update-reward", json=reward, headers=headers).status_code == 200
    assert gateway.registry.outcome(trajectory).state is State.FAILED


def test_sealing_waits_for_the_model_call_under_way(gateway, trajectory):
    session = gateway.open(trajectory, hold=True)
    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(gateway.chat, trajectory)
        assert session.started.wait(5)
        seal = pool.submit(gateway.complete, trajectory)
        with pytest.raises(TimeoutError):
            seal.result(timeout=0.1)
        session.go_on.set()
        assert (call.result().status_code, seal.result().status_code) == (200, 200)
    assert len(session.turns) == 1


def test_failing_does_not_wait_for_the_model_call(gateway, trajectory):
    session = gateway.open(trajectory, hold=True)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(gateway.chat, trajectory)
        assert session.started.wait(5)
        assert gateway.complete(trajectory, "failed").status_code == 200
        session.go_on.set()
        assert call.result().status_code == 200
    assert gateway.chat(trajectory).status_code == 409


def test_the_dispatcher_waits_for_the_seal_and_for_the_reward(gateway, trajectory):
    gateway.open(trajectory)

    async def wait_for_both():
        sealed = asyncio.ensure_future(gateway.registry.wait_sealed(trajectory, 5))
        rewarded = asyncio.ensure_future(gateway.registry.wait_reward(trajectory, 5))
        return (await sealed).state, (await rewarded).state

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(gateway.run, wait_for_both())
        gateway.complete(trajectory)
        gateway.reward(trajectory, 0.5)
        assert waiting.result(timeout=5)[1] is State.REWARD_RECEIVED
    assert gateway.run(gateway.registry.wait_reward(trajectory, 0)).reward == Reward((0.5,))


def test_a_failed_rollout_ends_the_wait_for_its_reward(gateway, trajectory):
    gateway.open(trajectory)
    gateway.complete(trajectory, "failed")
    assert gateway.run(gateway.registry.wait_reward(trajectory, 5)).state is State.FAILED


def test_waiting_too_long_says_what_never_came(gateway, trajectory):
    gateway.open(trajectory)
    with pytest.raises(RolloutError, match=r"never called /complete-rollout \(state PENDING, 0 model calls\)"):
        gateway.run(gateway.registry.wait_sealed(trajectory, 0.01))
    gateway.complete(trajectory)
    with pytest.raises(RolloutError, match="never called /update-reward"):
        gateway.run(gateway.registry.wait_reward(trajectory, 0.01))


def test_closing_ends_waits_refuses_calls_and_outlives_the_call_under_way(gateway, trajectory):
    session = gateway.open(trajectory, hold=True)
    with ThreadPoolExecutor(3) as pool:
        call = pool.submit(gateway.chat, trajectory)
        waiting = pool.submit(gateway.run, gateway.registry.wait_reward(trajectory, 5))
        assert session.started.wait(5)
        closing = pool.submit(gateway.run, gateway.registry.close(trajectory))
        with pytest.raises(TimeoutError):
            closing.result(timeout=0.1)
        assert gateway.chat(trajectory).status_code == 404
        with pytest.raises(RolloutError, match="was closed"):
            waiting.result(timeout=5)
        session.go_on.set()
        assert closing.result(timeout=5).calls == 1
        assert call.result().status_code == 200


def test_an_id_is_open_once(gateway, trajectory):
    gateway.open(trajectory)
    with pytest.raises(RolloutError, match="already open"):
        gateway.open(trajectory)
    gateway.run(gateway.registry.close(trajectory))
    gateway.open(trajectory)
    with pytest.raises(RolloutError, match="is not open"):
        gateway.run(gateway.registry.close("nobody"))
