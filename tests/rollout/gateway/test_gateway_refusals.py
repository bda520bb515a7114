"""What the server refuses is remembered for the trajectory that was meant, and says what to mend."""

import json

import pytest

from practicum.errors import ContextFull
from practicum.rollout.refusals import CallSubject, Refusal, Refusals

ASK = {"messages": [{"role": "user", "content": "hi"}]}


def refusal_of(gateway, trajectory):
    return gateway.registry.outcome(trajectory).refusal


def post(gateway, path, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return gateway.http.post(path, content=content, headers={"Content-Type": "application/json", **headers})


@pytest.mark.parametrize(
    ("path", "body", "status", "subject"),
    [
        ("/update-reward", {"TrajectoryId": "ID", "Rewards": "1"}, 400, CallSubject.REWARD),
        ("/update-reward", {"trajectory_id": "ID", "Rewards": [1]}, 400, CallSubject.REWARD),
        ("/update-reward", {"metadata": {"rolloutId": "ID"}, "Rewards": [1]}, 400, CallSubject.REWARD),
        ("/update-reward", b'{"TrajectoryId": "ID", "Rewards": [1}', 400, CallSubject.REWARD),
        ("/update-reward", b"TrajectoryId=ID&Rewards=\xff", 400, CallSubject.REWARD),
        ("/complete-rollout", {"TrajectoryId": "ID", "Status": "done"}, 400, CallSubject.SEAL),
        ("/rollouts/ID/complete-rollout", {"Status": "ready"}, 404, CallSubject.SEAL),
        ("/rollouts/ID/v1/responses", {"input": "hi"}, 404, CallSubject.MODEL),
        ("/rollouts/ID/v1/chat/completions", {"messages": "hi"}, 400, CallSubject.MODEL),
        ("/finished", {"TrajectoryId": "ID"}, 404, CallSubject.OTHER),
    ],
)
def test_a_refused_call_is_of_the_trajectory_that_it_names_anywhere(gateway, trajectory, path, body, status, subject):
    gateway.open(trajectory)
    gateway.open(trajectory + "-other")
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = post(gateway, path.replace("ID", trajectory), body.replace(b"ID", trajectory.encode()))
    assert answer.status_code == status
    refusal = refusal_of(gateway, trajectory)
    assert (refusal.status, refusal.subject, refusal.message) == (status, subject, answer.json()["message"])
    assert refusal_of(gateway, trajectory + "-other") is None


def test_the_header_names_the_trajectory_of_a_model_call(gateway, trajectory):
    gateway.open(trajectory)
    answer = gateway.chat(trajectory, {"temprature": 1})
    refusal = refusal_of(gateway, trajectory)
    assert str(refusal) == f"the last model call was refused with HTTP 400: {answer.json()['message']}"
    assert refusal.code == "invalid_request"


def test_too_large_a_body_and_too_many_calls_are_heard_too(start_gateway):
    gateway = start_gateway(max_body_bytes=2000)
    gateway.open("long")
    gateway.chat("long", {"messages": [{"role": "user", "content": "x" * 3000}]})
    assert refusal_of(gateway, "long").status == 413


def test_a_good_call_takes_the_refusal_of_its_like_back_and_no_other(gateway, trajectory):
    gateway.open(trajectory)
    gateway.reward(trajectory, 1.0)
    gateway.chat(trajectory, {"temprature": 1})
    assert refusal_of(gateway, trajectory).subject is CallSubject.MODEL
    gateway.chat(trajectory)
    assert refusal_of(gateway, trajectory).subject is CallSubject.REWARD
    gateway.complete(trajectory, "done")
    gateway.complete(trajectory)
    assert refusal_of(gateway, trajectory).subject is CallSubject.REWARD
    gateway.reward(trajectory, 1.0)
    assert refusal_of(gateway, trajectory) is None


def test_a_full_context_keeps_its_code(gateway, trajectory):
    gateway.open(trajectory, ContextFull("no room"))
    gateway.chat(trajectory)
    assert refusal_of(gateway, trajectory).code == "context_length_exceeded"


def test_a_fault_of_the_engine_is_told_as_one(gateway, trajectory):
    gateway.open(trajectory, MemoryError("no memory left"))
    gateway.chat(trajectory)
    assert str(refusal_of(gateway, trajectory)) == "the last model call failed: MemoryError: no memory left"


def test_the_wait_says_what_was_refused_without_the_id(gateway, trajectory):
    gateway.open(trajectory)
    gateway.reward(trajectory, 1.0)
    gateway.complete(trajectory)
    with pytest.raises(Exception, match="/update-reward was refused with HTTP 409: Cannot transition trajectory from"):
        gateway.run(gateway.registry.wait_reward(trajectory, 0.01))


def test_a_call_that_comes_too_late_is_no_lead_for_another(gateway, trajectory):
    gateway.open(trajectory)
    gateway.open(trajectory + "-next")
    gateway.run(gateway.registry.close(trajectory))
    assert gateway.reward(trajectory, 1.0).status_code == 404
    entry = gateway.registry.get(trajectory + "-next")
    assert gateway.registry.lead(entry) == ""
    assert gateway.reward("never-heard-of", 1.0).status_code == 404
    assert "'never-heard-of'" in gateway.registry.lead(entry)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("path", ["/update-reward", "/complete-rollout", "/rollouts/ID/v1/chat/completions"])
def test_a_body_that_does_not_say_it_is_json_is_told_to(gateway, trajectory, path, kind):
    gateway.open(trajectory)
    content = json.dumps({"TrajectoryId": trajectory, "Rewards": [1.0]}).encode()
    headers = {"Content-Type": kind} if kind else {}
    answer = gateway.http.post(path.replace("ID", trajectory), content=content, headers=headers)
    assert answer.status_code == 400
    assert "send the header Content-Type: application/json" in answer.json()["message"]
    assert (kind or "without one") in answer.json()["message"]
    assert refusal_of(gateway, trajectory).status == 400


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("POST", "/v1/responses", 'set_default_openai_api("chat_completions")'),
        ("POST", "/rollouts/r/v1/messages", "not Anthropic's Messages"),
        ("POST", "/v1/v1/chat/completions", "/v1 stands there twice"),
        ("POST", "/chat/completions", "the base URL must end in /v1"),
        ("POST", "/rollouts/r/update-reward", "reports go to {endpoint}/update-reward"),
        ("POST", "/updateReward", "did you mean /update-reward?"),
        ("POST", "/complete", "did you mean /complete-rollout?"),
        ("GET", "/update-reward", "send it with POST, not GET"),
        ("POST", "/v1/embeddings", "embeddings"),
        ("POST", "/elsewhere", "Served: POST /v1/chat/completions"),
    ],
)
def test_an_address_that_is_not_served_names_what_is_and_the_mend(gateway, method, path, said):
    answer = gateway.http.request(method, path, json={} if method == "POST" else None)
    assert answer.status_code in (404, 405)
    assert said in answer.json()["message"]
    assert "POST /complete-rollout, POST /update-reward" in answer.json()["message"]


def test_of_several_refusals_the_last_that_stands_counts():
    refusals = Refusals()
    first, second = Refusal(CallSubject.MODEL, "a", "x"), Refusal(CallSubject.REWARD, "b", "y")
    for refusal in (first, second, first):
        refusals.add(refusal)
    assert refusals.last == first
    refusals.got_over(CallSubject.MODEL)
    assert refusals.last == second


def test_a_message_of_several_lines_is_quoted_as_one_without_its_place():
    text = "samples with temperature 1\n  where: trajectory r\n  what to do: leave it out"
    refusal = Refusal(CallSubject.MODEL, "the last model call", text, 400)
    assert str(refusal).endswith("HTTP 400: samples with temperature 1; what to do: leave it out")
