"""An agent of one's own, written with the plain ``openai`` package behind ``POST /rollout``, is trained."""

import itertools
import json
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from openai import OpenAI

from http_agent import Order, http_agent
from practicum.store import read_trajectories

LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "a box's colour",
        "parameters": {"type": "object", "properties": {"box": {"type": "integer"}}, "required": ["box"]},
    },
}


def play(order: dict[str, Any]) -> None:
    """One rollout, as its author would write it: model and tools in turns, then the end and the reward."""
    about, sampling = order["metadata"], order["inferenceParams"]
    endpoint, rollout = about["endpoint"], about["rolloutId"]
    client = OpenAI(base_url=f"{endpoint}/rollouts/{rollout}/v1", api_key="none", max_retries=0)
    messages: list[Any] = [{"role": "user", "content": order["prompt"]}]
    for _ in range(3):
        answer = client.chat.completions.create(
            model="default", messages=messages, tools=[LOOK], max_tokens=sampling["maxTokens"]
        )
        said = answer.choices[0].message
        messages.append(said.model_dump(exclude_none=True))
        if not said.tool_calls:
            break
        for call in said.tool_calls:
            box = json.loads(call.function.arguments).get("box")
            colour = ("red", "green", "blue")[box % 3] if isinstance(box, int) else "unknown"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps({"colour": colour})})
    text = "".join(str(message.get("content")) for message in messages)
    report = {"TrajectoryId": rollout}
    httpx.post(f"{endpoint}/complete-rollout", json={**report, "Status": "ready"}).raise_for_status()
    reward = {**report, "Rewards": [sum(text.encode()) % 11 / 10], "Metrics": {"turns": len(messages)}}
    httpx.post(f"{endpoint}/update-reward", json=reward).raise_for_status()


def agent_server(
    refuses: Callable[[int], bool] = lambda number: False,
    *,
    port: int = 0,
    work: Callable[[Order], None] = play,
) -> AbstractContextManager[str]:
    """An agent server that answers at once and plays in a thread; some rollouts it refuses by their number."""
    count, lock = itertools.count(1), threading.Lock()

    def answer(order: Order) -> tuple[int, Any]:
        with lock:
            refused = refuses(next(count))
        if refused:
            return 500, {"errorType": "InternalServerError", "errorMessage": "out of boxes"}
        threading.Thread(target=work, args=(order,), daemon=True).start()
        return 200, {"status": "accepted"}

    return http_agent(answer, port=port)


@pytest.fixture
def train(commands: Any) -> Any:
    def run(url: str, *more: str) -> Any:
        fast = (
            "rollout_tps=1000",
            "max_steps=2",
            "minibatches_per_step=1",
            "group_size=4",
            "val_every=0",
            "val_at_start=false",
        )
        return commands("train", "desk.yaml", f"agent={url}", *fast, *more, "--run", "a")

    return run


@pytest.mark.parametrize("ahead", [0, 1])
def test_an_openai_agent_is_trained_on_its_own_rewards(commands: Any, train: Any, ahead: int) -> None:
    with agent_server() as url:
        done = train(url, f"max_steps_off_policy={ahead}")

    assert done.code == 0, done.err
    run = commands.folder / "runs/a"
    trajectories = [t for step in (1, 2) for t in read_trajectories(run / f"trajectories/step-{step:06d}.parquet")]
    assert len(trajectories) == 2 * 2 * 4
    for trajectory in trajectories:
        assert trajectory.error is None
        assert trajectory.n_action_tokens > 0
        assert len(trajectory.rewards) == 1
        assert trajectory.metrics["turns"] >= 2
        assert all(turn.extends for turn in trajectory.turns)
    assert any(trajectory.tool_calls for trajectory in trajectories)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line["metrics"] for line in lines if line["phase"] == "rl"]
    assert [step["training/datums_per_trajectory"] for step in steps] == [1.0, 1.0]
    assert [step["training/staleness_max"] for step in steps] == [0.0, float(ahead)]
    # On exact tokens sampler and learner agree; in another rounding of the same sums, not exactly.
    fresh = [step["training/logprob_diff"] for step in steps if not step["training/staleness_max"]]
    assert max(fresh) < 1e-4
    assert commands("verify", "runs/a").code == 0


def test_an_agent_elsewhere_is_told_the_address_under_which_it_sees_the_gateway(commands: Any, train: Any) -> None:
    endpoints = []

    def noted(order: dict[str, Any]) -> None:
        endpoints.append(order["metadata"]["endpoint"])
        play(order)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with agent_server(work=noted) as url:
        where = f"http://localhost:{port}"
        done = train(url, "gateway_host=0.0.0.0", f"gateway_port={port}", f"gateway_url={where}", "max_steps=1")

    assert done.code == 0, done.err
    assert set(endpoints) == {where}


def test_rollouts_the_agent_fails_are_counted_and_do_not_end_the_run(commands: Any, train: Any) -> None:
    with agent_server(lambda number: number % 5 == 0) as url:
        done = train(url, "rollout_max_retries=0", "max_steps=1")

    assert done.code == 0, done.err
    table = commands.folder / "runs/a/trajectories/step-000001.parquet"
    failed = [t for t in read_trajectories(table) if t.ending == "error"]
    assert len(failed) == 1
    assert "out of boxes" in str(failed[0].error)
    record = json.loads((commands.folder / "runs/a/evaluations/trained-greedy.json").read_text())
    assert record["n_rollouts"] == 3
    assert record["failed"] + record["successes"] <= 3
    replayed = commands("replay", "runs/a")
    assert replayed.code == 1
    assert "nothing was replayed: 0 of" in replayed.out
    assert "not replayed: its agent had its environment elsewhere" in replayed.out


def test_an_agent_that_always_fails_ends_the_run_with_its_own_words(commands: Any, train: Any) -> None:
    with agent_server(lambda number: True) as url:
        done = train(url, "rollout_max_retries=0")

    assert done.code == 1
    assert "8 of 8 rollouts of step 1 failed for good" in done.err
    assert "out of boxes" in done.err
    assert "practicum resume runs/a" in done.err
    assert "Traceback" not in done.err
    # What went wrong can be looked at rollout by rollout.
    assert "trajectories/step-000001.parquet" in done.err
    failed = read_trajectories(commands.folder / "runs/a/trajectories/step-000001.parquet")
    assert [t.ending for t in failed] == ["error"] * 8


def test_an_agent_that_dies_before_a_validation_is_no_score_of_zero_and_the_run_goes_on_with_one_that_lives(
    commands: Any, train: Any
) -> None:
    with agent_server(lambda number: number > 8) as url:
        done = train(url, "rollout_max_retries=0", "val_every=1", "save_every=1", "max_steps=2")

    assert done.code == 1
    assert "rollouts of the validation after step 1 failed for good" in done.err
    assert "out of boxes" in done.err
    assert '"val/' not in (commands.folder / "runs/a/metrics.jsonl").read_text()

    with agent_server(port=int(url.rsplit(":", 1)[1])):
        done = commands("resume", "runs/a")

    assert done.code == 0, done.err
    assert commands("verify", "runs/a").code == 0


def test_a_rollouts_secret_decides_nothing_and_stands_nowhere_on_record(commands: Any, train: Any) -> None:
    sent: list[str] = []

    def work(order: dict[str, Any]) -> None:
        sent.append(order["metadata"]["rolloutId"])
        play(order)

    records = []
    with agent_server(work=work) as url:
        for number in range(2):
            done = train(url, "rollout_max_concurrency=1", "max_steps=1", "max_steps_off_policy=0")
            assert done.code == 0, done.err
            run = (commands.folder / "runs/a").rename(commands.folder / f"runs/{number}")
            trajectories = read_trajectories(run / "trajectories/step-000001.parquet")
            records.append([(t.id, t.seed, t.rewards, [turn.action_ids for turn in t.turns]) for t in trajectories])
            written = b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())
            assert not [id for id in sent if id.rpartition("-")[2].encode() in written]
    assert records[0] == records[1]
    assert len(set(sent)) == len(sent) >= 2 * len(records[0])
