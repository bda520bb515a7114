"""Demonstrations from an oracle, from rollouts that succeeded, and from a model behind an endpoint."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from practicum.store import read_trajectories, write_trajectories
from practicum.training import demonstrations as teachers
from practicum.trajectory import EnvironmentRef, Trajectory, Turn

FAST = ("desk.yaml", "warmstart_demonstrations=4", "warmstart_batch_size=2", "warmstart_epochs=2")


@contextmanager
def teacher(*, wrong: int = 0) -> Iterator[tuple[str, list[Any]]]:
    """An OpenAI-compatible endpoint that looks into the box and says what it saw; every ``wrong``-th answer lies."""
    asked: list[Any] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                asked.append(order)
                number = len(asked)
            last = order["messages"][-1]
            message: dict[str, Any] = {"role": "assistant", "content": ""}
            if last["role"] == "user":
                box = int(last["content"].removeprefix("Box ").rstrip("?"))
                call = {"name": "look", "arguments": json.dumps({"box": box})}
                message["tool_calls"] = [{"id": "c", "type": "function", "function": call}]
            else:
                seen = json.loads(last["content"])["colour"]
                said = "mauve" if wrong and number % wrong == 0 else seen
                message["content"] = f'<final_output>{{"colour":"{said}"}}</final_output>'
            body = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"completion_tokens": 5}}
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def event(commands: Any, run: str) -> dict[str, Any]:
    lines = (commands.folder / run / "events.jsonl").read_text().splitlines()
    found: dict[str, Any] = next(e["data"] for e in map(json.loads, lines) if e["kind"] == "warmstart")
    return found


def test_a_model_behind_an_endpoint_demonstrates_and_what_it_played_is_on_record(commands: Any) -> None:
    with teacher() as (url, asked):
        done = commands("warmstart", *FAST, f"warmstart_source={url}", "warmstart_model=big", "--run", "a")

    assert done.code == 0, done.err
    assert "big: 4 of 4 rollouts succeeded" in done.out
    assert {order["model"] for order in asked} == {"big"}
    assert all(order["tools"][0]["function"]["name"] == "look" for order in asked)
    told = event(commands, "runs/a")
    assert told["source"] == url
    assert len(set(told["demonstrations"])) == 4
    kept = read_trajectories(commands.folder / "runs/a/trajectories/demonstrations.parquet")
    assert {t.task_id for t in kept} == set(told["demonstrations"])
    assert commands("verify", "runs/a").code == 0


def test_imitating_it_comes_to_the_same_as_imitating_an_oracle_that_says_the_same(commands: Any) -> None:
    assert commands("warmstart", *FAST, "--run", "oracle").code == 0
    with teacher() as (url, _):
        source = (f"warmstart_source={url}", "warmstart_model=big")
        assert commands("warmstart", *FAST, *source, "--run", "model").code == 0

    oracle, model = event(commands, "runs/oracle"), event(commands, "runs/model")
    # Other tasks are drawn, the words are the same: the losses are alike, and held-out ones nearly equal.
    pairs = zip(oracle["losses"], model["losses"], strict=True)
    assert all(abs(a["validation"] - b["validation"]) < 0.2 for a, b in pairs)


def test_wrong_demonstrations_are_left_out_and_more_are_asked_for(commands: Any) -> None:
    with teacher(wrong=4) as (url, asked):
        done = commands("warmstart", *FAST, f"warmstart_source={url}", "warmstart_model=big", "--run", "a")

    assert done.code == 0, done.err
    assert len(asked) > 8
    kept = read_trajectories(commands.folder / "runs/a/trajectories/demonstrations.parquet")
    good = {t.task_id for t in kept if t.score == 1.0}
    assert set(event(commands, "runs/a")["demonstrations"]) <= good
    assert len(good) < len(kept)


def test_rollouts_of_an_earlier_run_demonstrate_where_they_succeeded(commands: Any) -> None:
    with teacher(wrong=3) as (url, _):
        source = (f"warmstart_source={url}", "warmstart_model=big")
        assert commands("warmstart", *FAST, *source, "--run", "a").code == 0

    done = commands("warmstart", *FAST, "warmstart_source=runs/a", "--run", "b")

    assert done.code == 0, done.err
    assert set(event(commands, "runs/b")["demonstrations"]) <= set(event(commands, "runs/a")["demonstrations"])


def test_rollouts_of_the_same_tokenizer_are_imitated_token_by_token() -> None:
    first = Turn((), {"role": "assistant"}, (1, 2, 3), (10, 11), (-1.0, -1.0), (0, 0), "tool_calls")
    second = Turn((), {"role": "assistant"}, (4, 5), (12,), (-1.0,), (0,), "stop")
    rewritten = replace(second, extends=False, context_ids=(7, 8), break_cause="rewritten_history")
    ref = EnvironmentRef("e", "1", "d")

    def imitated(*turns: Turn) -> list[tuple[list[int], list[int]]]:
        rollout = Trajectory("a", "t", "g", 0, ref, turns, (), "final")
        return [(d.tokens.tolist(), d.mask.tolist()) for d in teachers._data(rollout, Any, exact=True)]

    assert imitated(first, second) == [([1, 2, 3, 10, 11, 4, 5, 12], [0, 0, 0, 1, 1, 0, 0, 1])]
    assert imitated(first, rewritten) == [([1, 2, 3, 10, 11], [0, 0, 0, 1, 1]), ([7, 8, 12], [0, 0, 1])]


def test_rollouts_without_a_success_are_refused(commands: Any) -> None:
    with teacher(wrong=1) as (url, _):
        done = commands("warmstart", *FAST, f"warmstart_source={url}", "warmstart_model=big", "--run", "a")

    assert done.code == 1
    assert "there is no success on a training task among the rollouts to imitate" in done.err


def test_an_endpoint_that_is_not_there_says_so(commands: Any) -> None:
    source = ("warmstart_source=http://127.0.0.1:9/v1", "warmstart_model=big")
    done = commands("warmstart", "desk.yaml", "warmstart_demonstrations=1", *source, "--run", "a")

    assert done.code == 1
    assert "big gave no rollout" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (("warmstart_source=nowhere",), "there are no rollouts at 'nowhere'"),
        (("warmstart_source=http://127.0.0.1:9/v1",), "does not say which model"),
    ],
)
def test_a_source_that_is_none_is_refused(commands: Any, source: tuple[str, ...], said: str) -> None:
    done = commands("warmstart", *FAST, *source, "--run", "a")

    assert done.code == 1
    assert said in done.err


def test_a_rollout_of_a_test_task_never_demonstrates(commands: Any) -> None:
    with teacher() as (url, _):
        source = (f"warmstart_source={url}", "warmstart_model=big")
        assert commands("warmstart", *FAST, *source, "--run", "a").code == 0
    table = commands.folder / "runs/a/trajectories/demonstrations.parquet"
    foreign = [replace(t, task_id=t.task_id.replace("train", "test")) for t in read_trajectories(table)]
    write_trajectories(commands.folder / "foreign.parquet", foreign)

    done = commands("warmstart", *FAST, "warmstart_source=foreign.parquet", "--run", "b")

    assert done.code == 1
    assert "no success on a training task" in done.err
