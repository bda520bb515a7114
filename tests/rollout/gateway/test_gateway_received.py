"""Who received an answer: retries, hang-ups that nobody sees, and calls that wait for their trajectory's turn."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

RETRY = {"x-stainless-retry-count": "1"}


def content_of(response):
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"]


def test_a_retry_that_says_so_gets_the_answer_given_before(gateway, trajectory):
    session = gateway.open(trajectory, "first", "second")
    assert content_of(gateway.chat(trajectory)) == "first"
    assert content_of(gateway.chat(trajectory, **RETRY)) == "first"
    assert content_of(gateway.chat(trajectory)) == "second"
    assert len(session.turns) == 2


def test_a_retry_that_says_so_joins_the_call_under_way(gateway, trajectory):
    session = gateway.open(trajectory, "first", "second", hold=True)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(gateway.chat, trajectory)]
        assert session.started.wait(5)
        calls.append(pool.submit(gateway.chat, trajectory, **RETRY))
        time.sleep(0.1)
        session.go_on.set()
        assert [content_of(call.result()) for call in calls] == ["first", "first"]
    assert len(session.turns) == 1


def test_metadata_makes_no_other_request_of_it(gateway, trajectory):
    session = gateway.open(trajectory, "first", "second")
    content_of(gateway.chat(trajectory, {"metadata": {"try": "1"}, "user": "a"}))
    content_of(gateway.chat(trajectory, {"metadata": {"try": "2"}, "user": "b", "stream": False}, **RETRY))
    assert len(session.turns) == 1
    other = {"messages": [{"role": "user", "content": "something else"}]}
    assert content_of(gateway.chat(trajectory, other, **RETRY)) == "second"


def test_a_retry_after_a_refusal_is_a_sample_of_its_own(start_gateway):
    gateway = start_gateway(max_concurrency=1)
    held, other = gateway.open("held", hold=True), gateway.open("other", "first", "second")
    assert content_of(gateway.chat("other")) == "first"
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(gateway.chat, "held")
        assert held.started.wait(5)
        assert gateway.chat("other").status_code == 429
        held.go_on.set()
        call.result()
    assert content_of(gateway.chat("other", **RETRY)) == "second"
    assert len(other.turns) == 2


class KeepsUpstreamOpen:
    """A proxy that does not tell the server when a client hangs up."""

    def __init__(self, port):
        self.port, self.kept = port, []
        self.door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.door.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            self.kept.append(server)
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(source, target), daemon=True).start()

    @staticmethod
    def pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            return

    def close(self):
        self.door.close()
        for server in self.kept:
            server.close()


def test_a_hang_up_that_a_proxy_hides_is_sampled_once(gateway, trajectory):
    session = gateway.open(trajectory, "first", "second", "third", hold=True)
    proxy = KeepsUpstreamOpen(gateway.server.port)
    threading.Timer(1.5, session.go_on.set).start()
    client = openai.OpenAI(base_url=f"{proxy.url}/rollouts/{trajectory}/v1", api_key="none", max_retries=5, timeout=1.0)
    answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    proxy.close()
    assert answer.choices[0].message.content == "first"
    assert len(session.turns) == 1


def test_an_answer_that_nobody_received_counts_in_no_reward(gateway, trajectory):
    session = gateway.open(trajectory, "lost", "found", hold=True)
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
    head = f"POST /rollouts/{trajectory}/v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n"
    with socket.create_connection((gateway.server.host, gateway.server.port)) as line:
        line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert session.started.wait(5)
    session.go_on.set()
    for text in ("one", "two"):
        content_of(gateway.chat(trajectory, {"messages": [{"role": "user", "content": text}]}))
    gateway.complete(trajectory)
    assert gateway.reward(trajectory, 0.5, 0.25, 0.25).status_code == 400
    assert gateway.reward(trajectory, 0.5, 0.5).status_code == 200


def test_calls_that_wait_for_their_trajectorys_turn_hold_no_place(start_gateway):
    gateway = start_gateway(max_concurrency=8)
    session = gateway.open("main", hold=True)
    bodies = [{"messages": [{"role": "user", "content": f"part {n}"}]} for n in range(12)]
    with ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(gateway.chat, "main", body) for body in bodies]
        assert session.started.wait(5)
        gateway.open("beside")
        assert gateway.chat("beside").status_code == 200
        session.go_on.set()
        assert [call.result().status_code for call in calls] == [200] * 12
    assert session.most_at_once == 1


@pytest.mark.parametrize("field", ["function_call", "refusal", "audio", "prefix"])
def test_what_a_message_says_beside_its_content_is_refused_by_name(gateway, trajectory, field):
    session = gateway.open(trajectory)
    said = {"role": "assistant", "content": "x", field: {"name": "f", "arguments": "{}"}}
    response = gateway.chat(trajectory, {"messages": [{"role": "user", "content": "hi"}, said]})
    assert response.status_code == 400
    assert field in response.json()["error"]["message"]
    assert session.asked == []


def test_what_others_note_beside_the_words_is_passed_over(gateway, trajectory):
    gateway.open(trajectory)
    said = {"role": "assistant", "content": "x", "refusal": None, "function_call": None, "annotations": [], "id": "m1"}
    assert gateway.chat(trajectory, {"messages": [{"role": "user", "content": "hi"}, said]}).status_code == 200
