"""The edges of a model call: who may call, what is refused, what happens when many call or a line is cut."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from practicum.errors import ContextFull, RolloutError
from practicum.rollout.gateway.chat_request import UNSUPPORTED


def error_of(response):
    body = response.json()
    assert body["message"] == body["error"]["message"]
    return body["message"]


def test_a_call_must_say_which_trajectory(gateway):
    response = gateway.chat(None)
    assert response.status_code == 400
    assert "X-Amzn-SageMaker-Trajectory-Id" in error_of(response)
    assert "/rollouts/{rolloutId}/v1" in error_of(response)


def test_an_unknown_trajectory_is_404(gateway):
    response = gateway.chat("nobody")
    assert response.status_code == 404
    assert "'nobody'" in error_of(response)


def test_a_header_and_a_path_that_contradict_each_other_are_refused(gateway, trajectory):
    gateway.open(trajectory)
    response = gateway.http.post(
        f"/rollouts/{trajectory}/v1/chat/completions",
        json={"messages": [{"role": "user", "content": "hi"}]},
        headers={"X-Amzn-SageMaker-Trajectory-Id": "other"},
    )
    assert response.status_code == 400
    assert "send one of them" in error_of(response)


def test_a_call_for_another_job_is_refused(gateway, trajectory):
    session = gateway.open(trajectory, job_arn="arn:mine")
    response = gateway.chat(trajectory, **{"X-Amzn-SageMaker-Job-Arn": "arn:theirs"})
    assert response.status_code == 400
    assert "arn:theirs" in error_of(response)
    assert gateway.chat(trajectory, **{"X-Amzn-SageMaker-Job-Arn": "arn:mine"}).status_code == 200
    assert len(session.asked) == 1


def test_without_a_configured_token_any_caller_is_served(gateway, trajectory):
    gateway.open(trajectory)
    assert gateway.chat(trajectory, Authorization="Bearer sagemaker-api-key-xyz").status_code == 200
    assert gateway.chat(trajectory).status_code == 200


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("Bearer right", 200),
        ("bearer right", 200),
        ("Bearer of-run", 200),
        ("Bearer wrong", 403),
        ("Basic right", 403),
        ("right", 403),
        (None, 403),
    ],
)
def test_a_configured_token_is_asked_for(start_gateway, given, status):
    gateway = start_gateway(tokens={"of-run"})
    gateway.open("guarded", token="right")
    headers = {"Authorization": given} if given else {}
    response = gateway.chat("guarded", **headers)
    assert response.status_code == status
    if status == 403:
        assert "Authorization: Bearer" in error_of(response)
        report = {"TrajectoryId": "guarded", "Status": "ready"}
        assert gateway.http.post("/complete-rollout", json=report, headers=headers).status_code == 403
        assert gateway.state("guarded") == "PENDING"


def test_a_token_of_one_trajectory_does_not_open_another(gateway, trajectory):
    gateway.open(trajectory, token="mine")
    gateway.open(trajectory + "-other", token="theirs")
    assert gateway.chat(trajectory, Authorization="Bearer theirs").status_code == 403
    assert gateway.chat(trajectory, Authorization="Bearer mine").status_code == 200


NOT_NEUTRAL = {
    "audio": {"voice": "x"},
    "best_of": 2,
    "echo": True,
    "frequency_penalty": 0.5,
    "function_call": "auto",
    "functions": [{"name": "f"}],
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "min_p": 0.1,
    "min_tokens": 5,
    "modalities": ["audio"],
    "n": 2,
    "prediction": {"type": "content", "content": "x"},
    "presence_penalty": -1,
    "reasoning_effort": "low",
    "repetition_penalty": 1.1,
    "response_format": {"type": "json_object"},
    "top_k": 40,
    "top_logprobs": 3,
    "verbosity": "low",
    "web_search_options": {},
}


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_a_parameter_that_cannot_be_honoured_is_refused_by_name(gateway, trajectory, name):
    session = gateway.open(trajectory)
    response = gateway.chat(trajectory, {name: NOT_NEUTRAL[name]})
    assert response.status_code == 400
    assert error_of(response).startswith(f"{name}=")
    assert session.asked == []


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_the_same_parameter_is_accepted_where_it_means_nothing(gateway, trajectory, name):
    session = gateway.open(trajectory)
    for neutral in UNSUPPORTED[name]:
        assert gateway.chat(trajectory, {name: neutral}).status_code == 200
    assert len(session.asked) == len(UNSUPPORTED[name])


def test_numbers_and_booleans_are_not_mistaken_for_each_other(gateway, trajectory):
    gateway.open(trajectory)
    assert gateway.chat(trajectory, {"n": True}).status_code == 400
    assert gateway.chat(trajectory, {"logprobs": 0}).status_code == 400
    assert gateway.chat(trajectory, {"frequency_penalty": 0.0}).status_code == 200


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"temprature": 1}, "'temprature'"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "contradict"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages.0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "tool_call_id"),
        ({"tools": [{"type": "retrieval"}]}, "tools.0"),
        ({"tool_choice": "always"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "'f', which is not among tools"),
        ({"response_format": {"type": "json_object"}}, "ask for it as the arguments of a tool"),
        ({"n": 2}, "send one request for each sample"),
        ({"stop": [1]}, "stop"),
        ({"stream_options": {"include_usage": True}}, "stream=true"),
    ],
)
def test_a_wrong_body_is_told_where_it_is_wrong(gateway, trajectory, body, named):
    session = gateway.open(trajectory)
    response = gateway.chat(trajectory, body)
    assert response.status_code == 400
    assert named in error_of(response)
    assert session.asked == []


def test_both_names_of_the_token_limit_are_honoured(gateway, trajectory):
    session = gateway.open(trajectory)
    gateway.chat(trajectory, {"max_tokens": 5})
    gateway.chat(trajectory, {"max_completion_tokens": 6})
    gateway.chat(trajectory, {"max_tokens": 7, "max_completion_tokens": 7})
    assert [asked["max_tokens"] for asked in session.asked] == [5, 6, 7]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "body"),
        (b"{", "not valid JSON"),
        (b"[1]", "JSON object"),
        (b'"text"', "JSON object"),
        (b'{"messages": [{"role": "user", "content": "\xff"}]}', "UTF-8"),
        ('{"messages": []}'.encode("utf-16"), "UTF-8"),
        (b'{"messages": [{"role": "user", "content": "\\ud83d"}]}', "surrogate"),
        (b'{"tools": ' + b"[" * 100_000, "body"),
    ],
)
def test_what_is_not_json_text_is_refused(gateway, trajectory, content, said):
    gateway.open(trajectory)
    headers = {"X-Amzn-SageMaker-Trajectory-Id": trajectory, "Content-Type": "application/json"}
    response = gateway.http.post("/v1/chat/completions", content=content, headers=headers)
    assert response.status_code == 400
    assert said in error_of(response)


def test_an_escaped_pair_is_one_character(gateway, trajectory):
    session = gateway.open(trajectory)
    body = b'{"messages": [{"role": "user", "content": "\\ud83c\\udf93"}]}'
    headers = {"X-Amzn-SageMaker-Trajectory-Id": trajectory, "Content-Type": "application/json"}
    assert gateway.http.post("/v1/chat/completions", content=body, headers=headers).status_code == 200
    assert session.asked[0]["messages"][0]["content"] == "🎓"


def test_a_long_conversation_fits_the_default_limit(gateway, trajectory):
    session = gateway.open(trajectory)
    text = "x" * 4_000_000
    assert gateway.chat(trajectory, {"messages": [{"role": "user", "content": text}]}).status_code == 200
    assert session.asked[0]["messages"][0]["content"] == text


def test_a_body_over_the_limit_is_413_and_the_server_goes_on(start_gateway):
    gateway = start_gateway(max_body_bytes=2000)
    gateway.open("long")
    response = gateway.chat("long", {"messages": [{"role": "user", "content": "x" * 300_000}]})
    assert response.status_code == 413
    assert "2000 bytes" in error_of(response)
    assert gateway.chat("long").status_code == 200


def test_calls_of_one_trajectory_come_one_at_a_time(gateway, trajectory):
    session = gateway.open(trajectory)
    bodies = [{"messages": [{"role": "user", "content": str(n)}]} for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(lambda body: gateway.chat(trajectory, body), bodies))
    assert [response.status_code for response in responses] == [200] * 6
    assert session.most_at_once == 1
    assert len({response.json()["id"] for response in responses}) == 6


def test_over_the_limit_of_calls_at_once_is_429_and_passes(start_gateway):
    gateway = start_gateway(max_concurrency=1)
    held = gateway.open("a", hold=True)
    gateway.open("b")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gateway.chat, "a")
        assert held.started.wait(5)
        refused = gateway.chat("b")
        held.go_on.set()
        assert first.result().status_code == 200
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    assert "1 model calls are running" in error_of(refused)
    assert gateway.chat("b").status_code == 200


def cut_call(gateway, trajectory, session, body):
    """A client that hangs up while the policy samples."""
    content = json.dumps(body).encode()
    head = (
        f"POST /rollouts/{trajectory}/v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((gateway.server.host, gateway.server.port)) as line:
        line.sendall(head.encode() + content)
        assert session.started.wait(5)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("finished_first", [False, True])
def test_a_retry_after_a_cut_line_gets_the_answer_and_makes_no_second_turn(gateway, trajectory, stream, finished_first):
    session = gateway.open(trajectory, "first", "second", hold=True)
    body = {"messages": [{"role": "user", "content": "hi"}], "stream": stream}
    cut_call(gateway, trajectory, session, body)
    if finished_first:
        session.go_on.set()
        gateway.run(gateway.registry.get(trajectory).model_call.acquire())
        gateway.loop.call_soon_threadsafe(gateway.registry.get(trajectory).model_call.release)
    with ThreadPoolExecutor(1) as pool:
        retry = pool.submit(gateway.chat, trajectory, body)
        session.go_on.set()
        answer = retry.result()
    assert answer.status_code == 200
    assert '"first"' in answer.text
    assert len(session.turns) == 1
    assert '"second"' in gateway.chat(trajectory, body).text


def test_after_a_cut_line_another_request_is_a_turn_of_its_own(gateway, trajectory):
    session = gateway.open(trajectory, "first", "second", hold=True)
    cut_call(gateway, trajectory, session, {"messages": [{"role": "user", "content": "hi"}]})
    session.go_on.set()
    answer = gateway.chat(trajectory, {"messages": [{"role": "user", "content": "something else"}]})
    assert answer.json()["choices"][0]["message"]["content"] == "second"
    assert [turn.response["content"] for turn in session.turns] == ["second"]  # nobody has received the first
    assert session.most_at_once == 1


def test_two_equal_calls_side_by_side_are_two_samples(gateway, trajectory):
    session = gateway.open(trajectory, "first", "second", hold=True)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(gateway.chat, trajectory) for _ in range(2)]
        assert session.started.wait(5)
        session.go_on.set()
        texts = {call.result().json()["choices"][0]["message"]["content"] for call in calls}
    assert texts == {"first", "second"}


def test_a_full_context_has_the_code_that_openais_service_gives_it(gateway, trajectory):
    gateway.open(trajectory, ContextFull("a prompt of 70000 tokens leaves no room"))
    response = gateway.chat(trajectory)
    assert (response.status_code, error_of(response)) == (400, "a prompt of 70000 tokens leaves no room")
    assert response.json()["error"]["code"] == "context_length_exceeded"


def test_a_request_the_session_refuses_is_400_with_its_reason(gateway, trajectory):
    gateway.open(trajectory, RolloutError("the prompt has 70000 tokens", fix="shorten it"))
    response = gateway.chat(trajectory)
    assert response.status_code == 400
    assert "70000 tokens" in error_of(response) and "shorten it" in error_of(response)
    assert gateway.registry.outcome(trajectory).refusal.message == error_of(response)


def test_a_fault_behind_the_server_is_json_too_and_does_not_block_the_next_call(gateway, trajectory):
    session = gateway.open(trajectory, MemoryError("no memory left"))
    response = gateway.chat(trajectory)
    assert response.status_code == 500
    assert "no memory left" in error_of(response)
    session.replies = ("fine",)
    assert gateway.chat(trajectory).status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1/completions", "/v1/chat"])
def test_an_address_that_is_not_served_is_404_in_json(gateway, path):
    response = gateway.http.post(path, json={})
    assert response.status_code == 404
    assert path in error_of(response)


def test_health_and_models(gateway):
    assert gateway.http.get("/health").json() == {"status": "healthy"}
    assert [model["id"] for model in gateway.http.get("/v1/models").json()["data"]] == ["default"]
    assert json.loads(gateway.http.get("/openapi.json").text)["paths"]["/complete-rollout"]["post"]
