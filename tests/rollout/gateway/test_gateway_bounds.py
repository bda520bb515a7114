"""What a caller of the rollout server makes large, deep or many is bounded before anything is done with it."""

import asyncio
import json
import threading

import pytest

from practicum.chat import message_key, repeated
from practicum.engine.protocol import SamplingParams
from practicum.errors import ContextFull
from practicum.rollout import long_requests
from practicum.rollout.calls import call_text
from practicum.rollout.gateway import request_limits as gateway_limits
from practicum.rollout.gateway.error_answers import MAX_MESSAGE
from practicum.rollout.gateway.request_limits import MAX_DEPTH, MAX_PARTS, MAX_REPORT_BYTES, MAX_VALUES
from practicum.rollout.session import Session

HI = '{"messages": [{"role": "user", "content": "hi"}]'


def post(gateway, path, content, trajectory="bounds"):
    headers = {"Content-Type": "application/json", "X-Amzn-SageMaker-Trajectory-Id": trajectory}
    return gateway.http.post(path, content=content, headers=headers)


def tools_with(value):
    schema = '{"type": "function", "function": {"name": "f", "parameters": {"p": VALUE}}}'
    return f'"tools": [{schema}]'.replace("VALUE", value)


def nested(depth, opening="[", closing="]"):
    return opening * depth + "1" + closing * depth


@pytest.mark.parametrize("depth", [101, 256, 300, 990, 5_000, 200_000])
@pytest.mark.parametrize("marks", [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
def test_nesting_is_refused_wherever_it_stands(gateway, trajectory, depth, marks):
    session = gateway.open(trajectory)
    nest = nested(depth, *marks)
    schema = tools_with(nest)
    for body in (nest, f"{HI}, {schema}}}", f'{HI}, "metadata": {nest}}}', f'{HI}, "response_format": {nest}}}'):
        response = post(gateway, "/v1/chat/completions", body, trajectory)
        assert response.status_code == 400
        assert (
            f"deep, of at most {MAX_DEPTH}" in response.json()["message"]
            or "at most 50,000" in response.json()["message"]
        )
    info = f'{{"TrajectoryId": "{trajectory}", "Rewards": [1], "Info": {{"p": {nest}}}}}'
    assert post(gateway, "/update-reward", info).status_code in (400, 413)
    assert session.asked == []


def test_nesting_as_in_use_is_served_and_brackets_in_texts_count_for_nothing(gateway, trajectory):
    gateway.open(trajectory)
    schema = tools_with(nested(90))
    assert post(gateway, "/v1/chat/completions", f"{HI}, {schema}}}", trajectory).status_code == 200
    text = json.dumps({"messages": [{"role": "user", "content": '[{"' * 60_000 + "," * 300_000}]})
    assert post(gateway, "/v1/chat/completions", text, trajectory).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"messages": [' + "{}," * (MAX_PARTS + 1) + "{}]}", "lists and objects"),
        (f'{HI}, "metadata": [' + "1," * (MAX_VALUES + 1) + "1]}", "values"),
        (json.dumps({"messages": [{"role": "user", "content": ""}] * 10_001}), "at most 10000 items"),
        (f'{HI}, "stop": {json.dumps(["q"] * 65)}}}', "at most 64 items"),
        ('"' + "\\" * 100_001, "not valid JSON"),
    ],
)
def test_very_many_things_are_refused_by_their_number(gateway, trajectory, body, said):
    session = gateway.open(trajectory)
    response = post(gateway, "/v1/chat/completions", body, trajectory)
    assert response.status_code == 400
    assert said in response.json()["message"]
    assert session.asked == []


def test_a_body_over_a_bound_is_never_parsed(gateway, trajectory, monkeypatch):
    gateway.open(trajectory)
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("it was parsed"))
    refusal = gateway_limits._refusal(('{"messages": ' + nested(300) + "}").encode(), 10**6)
    assert refusal is not None and refusal.status_code == 400


def test_strings_are_told_from_structure_in_one_pass_over_unclosed_quotes():
    body = b'"' + b'\\"' * 200_000
    assert gateway_limits._STRING.sub(b"", body) == b""
    assert gateway_limits._STRING.sub(b"", b'{"a[": ["b\\"]", {}]}') == b"{: [, {}]}"


def test_a_report_may_be_smaller_than_a_conversation(gateway, trajectory):
    gateway.open(trajectory)
    response = post(gateway, "/update-reward", b" " * (MAX_REPORT_BYTES + 1))
    assert response.status_code == 413


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_has_not_are_refused_by_name(gateway, trajectory, number):
    gateway.open(trajectory)
    schema = tools_with(f"[{number}]")
    refused = post(gateway, "/v1/chat/completions", f"{HI}, {schema}}}", trajectory)
    assert (refused.status_code, "infinite or none" in refused.json()["message"]) == (400, True)
    gateway.complete(trajectory)
    report = f'{{"TrajectoryId": "{trajectory}", "Rewards": [1], "Info": {{"x": {number}}}}}'
    assert post(gateway, "/update-reward", report).status_code == 400


def test_an_answer_quotes_only_so_much_of_what_was_sent(gateway, trajectory):
    gateway.open(trajectory)
    body = {"TrajectoryId": trajectory, "Status": "ready", "odd" * 100_000: 1}
    response = gateway.http.post("/complete-rollout", json=body)
    assert response.status_code == 400
    assert len(response.json()["message"]) <= MAX_MESSAGE
    assert len(gateway.registry.outcome(trajectory).refusal.message) <= MAX_MESSAGE


def test_a_trajectory_remembers_only_so_many_client_tokens(gateway, trajectory):
    gateway.open(trajectory)
    for number in range(200):
        assert gateway.complete(trajectory, ClientToken=f"token-{number}").status_code == 200
    assert len(gateway.registry.get(trajectory)._complete_tokens) == 64
    assert gateway.complete(trajectory, ClientToken="x" * 257).status_code == 400


def test_a_rollout_given_up_within_a_model_call_answers_so_and_logs_no_fault(gateway, trajectory, caplog):
    session = gateway.open(trajectory, hold=True)
    answers = []
    caller = threading.Thread(target=lambda: answers.append(gateway.chat(trajectory)))
    caller.start()
    assert session.started.wait(5)

    async def give_up():
        closing = asyncio.ensure_future(gateway.registry.close(trajectory))
        await asyncio.sleep(0)
        closing.cancel()  # as the dispatcher's own timeout does while the model call is waited for
        await asyncio.gather(closing, return_exceptions=True)

    gateway.run(give_up())
    caller.join(10)
    assert answers[0].status_code == 409
    assert "given up while the model answered" in answers[0].json()["message"]
    assert answers[0].headers["x-should-retry"] == "false"
    assert not caplog.records


def hung_up_over_its_answer(gateway, trajectory):
    """A client that closes its connection over an answer that it has not read."""
    import socket

    content = json.dumps({"model": "default", "messages": [{"role": "user", "content": "hi"}]}).encode()
    head = f"POST /rollouts/{trajectory}/v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n"
    with socket.create_connection((gateway.server.host, gateway.server.port)) as line:
        line.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        line.recv(1)  # the answer is there, and nobody reads it


def test_an_answer_that_was_not_read_is_given_again_and_makes_no_second_turn(gateway, trajectory):
    session = gateway.open(trajectory, "first", "second")
    hung_up_over_its_answer(gateway, trajectory)
    assert gateway.chat(trajectory).json()["choices"][0]["message"]["content"] == "first"
    assert len(session.turns) == 1
    assert gateway.chat(trajectory).json()["choices"][0]["message"]["content"] == "second"
    assert len(session.turns) == 2


class Counting:
    """A renderer that counts what it is asked to tokenize, and where."""

    def __init__(self):
        self.threads = []

    def get_stop_token_ids(self):
        return [2]

    def render(self, messages, *, tools=None, add_generation_prompt=False):
        self.threads.append(threading.current_thread().name)
        raise ValueError("counted")


class Silent:
    version = 0
    max_length = 100

    async def sample(self, *_):
        pytest.fail("it was sampled")

    def release(self, session):
        pass


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "x" * (100 * long_requests.LONGEST_TOKEN + 1)}],
        [{"role": "user", "content": [{"type": "text", "text": "x" * 20_000}]}],
        [{"role": "user", "content": ""}] * 101,
        [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "x" * 20_000}}]}],
    ],
)
def test_what_cannot_fit_the_context_is_not_tokenized(messages):
    renderer = Counting()
    session = Session("s", Silent(), renderer, SamplingParams(), 0)
    with pytest.raises(ContextFull, match="leaves no room in max_sequence_length 100"):
        asyncio.run(session.chat(messages))
    assert renderer.threads == []
    assert session.overfull


@pytest.mark.parametrize(("size", "aside"), [(long_requests.LONG - 1, False), (long_requests.LONG, True)])
def test_long_texts_are_tokenized_beside_the_event_loop(size, aside):
    renderer = Counting()
    sampler = Silent()
    sampler.max_length = 10**6
    with pytest.raises(Exception, match="counted"):
        asyncio.run(
            Session("s", sampler, renderer, SamplingParams(), 0).chat([{"role": "user", "content": "x" * size}])
        )
    assert [name.startswith("practicum-render") for name in renderer.threads] == [aside]


def test_equal_messages_are_found_again_without_comparing_each_with_each():
    class Key(str):
        compared = 0

        def __eq__(self, other):
            Key.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    keys = [Key("same") for _ in range(2_000)]
    assert repeated(keys, keys) == [True] * 2_000
    assert Key.compared < 10_000


def test_numbers_in_arguments_are_written_out_only_up_to_where_javascript_does():
    def key(arguments):
        return message_key({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]})

    assert key('{"a": 2.0, "b": 1e20}') == key('{"a": 2, "b": 100000000000000000000}')
    assert len(key("[" + "1e300," * 1_000 + "1]")) < 10_000


def call_with(arguments):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    said = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    said.append({"role": "tool", "tool_call_id": "c", "content": "ok"})
    return json.dumps({"messages": [{"role": "user", "content": "hi"}, *said]})


@pytest.mark.parametrize("values", ["[],", "1,", '{"b":1},'])
def test_values_within_the_arguments_of_calls_are_counted_before_they_are_parsed(
    gateway, trajectory, values, monkeypatch
):
    session = gateway.open(trajectory)
    body = call_with(f'{{"a": [{values * 210_000}1]}}')
    monkeypatch.setattr("practicum.chat._canonical", lambda arguments: pytest.fail("they were parsed"))
    response = post(gateway, "/v1/chat/completions", body, trajectory)
    assert response.status_code == 400
    assert "of at most 200,000" in response.text
    assert session.asked == []


@pytest.mark.parametrize("arguments", ["[" * 40_000, "[1, 2]", "null", "1", '{"a": ' + "9" * 5_000 + "}", '"text"'])
@pytest.mark.parametrize("style", ["hermes", "pythonic"])
def test_arguments_that_python_cannot_read_or_that_are_no_object_are_served(gateway, trajectory, arguments, style):
    gateway.open(trajectory)
    assert post(gateway, "/v1/chat/completions", call_with(arguments), trajectory).status_code == 200
    assert "arguments" in call_text([{"function": {"name": "f", "arguments": arguments}}], style)
