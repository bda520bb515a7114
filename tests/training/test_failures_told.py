"""A run whose rollouts fail in every way counts each by whose failure it was, and says why."""

import itertools
import json
import threading
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from http_agent import Order, http_agent
from practicum.store import read_trajectories

FAST = ("rollout_tps=1000", "max_steps=1", "minibatches_per_step=1", "val_every=0", "val_at_start=false")
PLAN = ("policy", "infrastructure", "judge") * 5 + ("none",)


class Failing:
    """An agent that fails as a plan says, by the order of the rollouts it is asked for; then it answers well."""

    def __init__(self, plan: tuple[str, ...]) -> None:
        self.plan, self.kinds, self.lock = iter(plan), dict[str, str](), threading.Lock()

    def kind(self, rollout: str) -> str:
        """What becomes of this rollout, at every attempt."""
        name = rollout.rsplit("-", 2)[0]  # without the attempt and the secret
        with self.lock:
            if name not in self.kinds:
                self.kinds[name] = next(self.plan, "none")
            return self.kinds[name]

    def answer(self, order: Order) -> tuple[int, Any]:
        endpoint, rollout = order["metadata"]["endpoint"], order["metadata"]["rolloutId"]
        kind = self.kind(rollout)
        if kind == "infrastructure":
            return 503, {"detail": "overloaded"}
        body = {"model": "default", "messages": [{"role": "user", "content": "Which box?"}]}
        said = httpx.post(f"{endpoint}/rollouts/{rollout}/v1/chat/completions", json=body, timeout=60).json()
        if kind == "policy":
            words = said["choices"][0]["message"]["content"]
            return 500, {"detail": f"JSONDecodeError: no JSON in {words!r}"}
        rewards = [0.5, 0.5] if kind == "judge" else [len(rollout) % 2]
        httpx.post(f"{endpoint}/complete-rollout", json={"TrajectoryId": rollout, "Status": "ready"}, timeout=60)
        httpx.post(f"{endpoint}/update-reward", json={"TrajectoryId": rollout, "Rewards": rewards}, timeout=60)
        return 200, {"status": "done"}


def served(plan: tuple[str, ...]) -> AbstractContextManager[str]:
    return http_agent(Failing(plan).answer)


def first_step(folder: Any) -> dict[str, float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (metrics,) = [line["metrics"] for line in lines if line["phase"] == "rl"]
    return dict(metrics)


@pytest.mark.parametrize("ahead", [0, 1])
def test_counts_by_kind_add_up_to_what_was_injected(commands: Any, ahead: int) -> None:
    keys = (*FAST, "group_size=8", "max_failed_rollouts=0.9", "rollout_max_retries=1", f"max_steps_off_policy={ahead}")
    with served(PLAN) as url:
        done = commands("train", "desk.yaml", f"agent={url}", *keys, "--run", "a")

    assert done.code == 0, done.err
    run = commands.folder / "runs/a"
    found = first_step(run)
    counts = {name.rpartition("/")[2]: found[name] for name in found if name.startswith("rollout/failed/")}
    assert counts == {"policy": 5, "infrastructure": 5, "judge": 5, "environment": 0, "unknown": 0}
    assert found["rollout/retried"] == 5
    trajectories = read_trajectories(run / "trajectories/step-000001.parquet")
    policys = [t for t in trajectories if t.failure == "policy"]
    assert {(t.rewards, t.retries, t.n_action_tokens > 0) for t in policys} == {((0.0,), 0, True)}
    assert "failed 15 of 16 rollouts: " in done.out
    told = done.out.partition("failed 15 of 16 rollouts: ")[2].splitlines()
    assert told[0].endswith("; 5 further attempts were made")
    assert all(f"5 {whose}" in told[0] for whose in ("policy", "infrastructure", "judge"))
    assert sorted(line.strip()[:6] for line in told[1:4]) == ["5 × in", "5 × ju", "5 × po"]  # each cause once


def test_a_run_that_too_much_fails_by_others_than_the_policy_says_each_cause_once(commands: Any) -> None:
    plan = tuple(itertools.chain.from_iterable(itertools.repeat(("judge", "judge", "policy", "infrastructure"), 4)))
    with served(plan) as url:
        keys = (*FAST, "group_size=8", "rollout_max_retries=0")
        done = commands("train", "desk.yaml", f"agent={url}", *keys, "--run", "a")

    assert done.code == 1
    assert "12 of 16 rollouts of step 1 failed for good" in done.err
    assert done.err.count("8 × judge: ") == 1
    assert done.err.count("4 × infrastructure: ") == 1
    assert "policy" not in done.err  # its own failures are no reason to stop


def test_a_reward_that_raises_on_success_is_seen(commands: Any) -> None:
    desk = commands.folder / "desk.py"
    broken = "\n\nunbroken = reward\n\n\ndef reward(rollout):\n    if rollout.tool_calls or len(rollout.answer) % 2:\n"
    desk.write_text(desk.read_text() + broken + "        raise KeyError('colour')\n    return unbroken(rollout)\n")
    done = commands("train", "desk.yaml", *FAST, "group_size=8", "max_failed_rollouts=1", "test_tasks=12", "--run", "a")

    assert done.code == 0, done.err
    found = first_step(commands.folder / "runs/a")
    assert 0 < found["rollout/failed/judge"] < 16
    assert found["rollout/retried"] == 0
    assert f"{found['rollout/failed/judge']:.0f} × judge: reward raised KeyError: 'colour'" in done.out


def test_an_evaluation_shows_attempts_and_failures_beside_its_success_rate(commands: Any) -> None:
    with served(("policy", "infrastructure", "none") * 2) as url:
        keys = (*FAST, f"agent={url}", "rollout_max_retries=2")
        done = commands("eval", "desk.yaml", *keys, "--run", "a")

    assert done.code == 0, done.err
    run = commands.folder / "runs/a"
    sampled = json.loads((run / "evaluations/base-sampled.json").read_text())
    assert (sampled["n_rollouts"], sampled["attempts"], sampled["retried"]) == (3, 5, 2)
    assert sampled["failures"] == {"policy": 1, "infrastructure": 1}
    assert "1 policy, 1 infrastructure" in done.out
    assert "base-sampled: 2 attempts were made again, with the same seed" in done.out
    record = json.loads((run / "evaluation.json").read_text())
    assert record["evaluations"]["base-sampled"]["attempts"] == 5
