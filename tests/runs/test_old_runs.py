"""Runs of before the rooms were rearranged (old/README.md) still open, verify, replay, go on and evaluate."""

import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from http_agent import Order, http_agent
from practicum.commands.pipeline import rules_of_practicum
from practicum.environment.target import load_target
from practicum.runs.evaluations import recorded_evaluations
from practicum.store import read_trajectories

OLD = Path(__file__).parent / "old"
KINDS = ("stopped", "async", "ahead", "lora", "http")
PORT = 47813
"""Where the recipe of the run with an agent of its own looks for it."""


@pytest.fixture
def run(commands: Any, request: pytest.FixtureRequest) -> Path:
    for name in ("desk", request.param):
        with tarfile.open(OLD / f"{name}.tar.xz") as archive:
            archive.extractall(commands.folder, filter="data")
    return commands.folder / "runs" / request.param


def of(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("run", kinds, indirect=True)


def play(order: Order) -> None:
    """One rollout of the agent: one question to the model, the end, a reward."""
    endpoint, rollout = order["metadata"]["endpoint"], order["metadata"]["rolloutId"]
    body = {"model": "default", "messages": [{"role": "user", "content": order["prompt"]}], "max_tokens": 8}
    for path, content in (
        (f"/rollouts/{rollout}/v1/chat/completions", body),
        ("/complete-rollout", {"TrajectoryId": rollout, "Status": "ready"}),
        ("/update-reward", {"TrajectoryId": rollout, "Rewards": [0.5]}),
    ):
        httpx.post(endpoint + path, json=content).raise_for_status()


def accepted(order: Order) -> tuple[int, Any]:
    threading.Thread(target=play, args=(order,), daemon=True).start()
    return 200, {"status": "accepted"}


def training_steps(run: Path) -> list[int]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if line["phase"] == "rl"]


@of(*KINDS)
def test_its_record_is_proven_and_its_page_shows_what_is_on_record(commands: Any, run: Path) -> None:
    verified = commands("verify", str(run))
    assert verified.code == 0, verified.out + verified.err

    written = commands("report", str(run))
    assert written.code == 0, written.err
    page = (run / "report.html").read_text(encoding="utf-8")
    for evaluation in recorded_evaluations(run):
        assert evaluation.label in page
    assert all(read_trajectories(table) for table in (run / "trajectories").glob("*.parquet"))


@of("stopped", "async", "ahead", "lora")
def test_its_tool_calls_give_what_they_gave(commands: Any, run: Path) -> None:
    replayed = commands("replay", str(run))
    assert replayed.code == 0, replayed.out + replayed.err
    assert "identical" in replayed.out


@of("http")
def test_tool_calls_of_an_agent_elsewhere_are_none_to_replay(commands: Any, run: Path) -> None:
    replayed = commands("replay", str(run))
    assert replayed.code == 1
    assert "nothing was replayed" in replayed.out


@of("stopped", "ahead")
def test_interrupted_it_goes_on_where_it_stopped_and_ends(commands: Any, run: Path) -> None:
    resumed = commands("resume", str(run))
    assert resumed.code == 0, resumed.err
    assert training_steps(run) == [1, 2, 3]
    assert (run / "output" / "model.safetensors").is_file()
    assert {each.label for each in recorded_evaluations(run)} == {"trained"}
    assert commands("verify", str(run)).code == 0


@pytest.fixture
def agent() -> Iterator[None]:
    with http_agent(accepted, port=PORT):
        yield


def with_other_code_of(rule: str) -> str:
    """Python that makes the digest of a judge's code another, where its class or function is called so."""
    return f"""
import practicum.training.components as components
before = components.digest_object
def digest_object(judge):
    return before([judge] if getattr(judge, "__name__", type(judge).__name__) == {rule!r} else judge)
components.digest_object = digest_object
"""


@of("stopped")
def test_where_practicums_own_code_of_its_score_has_changed_since_it_says_so_and_goes_on(
    commands: Any, run: Path
) -> None:
    resumed = commands("resume", str(run), first=with_other_code_of("FieldScore"))
    assert resumed.code == 0, resumed.err
    assert "Practicum's own code of the score is not what it was" in resumed.out
    assert training_steps(run) == [1, 2, 3]


def test_score_and_reward_of_a_suite_are_rules_of_practicums_own() -> None:
    target = load_target("support_desk")
    bench: Any = SimpleNamespace(target=target, score=target.score, reward=target.reward)
    assert rules_of_practicum(bench) == {"score", "reward"}
    bench.reward = with_other_code_of
    assert rules_of_practicum(bench) == {"score"}


@of("stopped")
def test_another_reward_of_the_users_is_another_run(commands: Any, run: Path) -> None:
    resumed = commands("resume", str(run), first=with_other_code_of("reward"))
    assert resumed.code == 1
    assert "the run was begun with another reward" in resumed.err


@of("async", "lora")
def test_finished_it_has_nothing_left_to_train_and_its_model_stays(commands: Any, run: Path) -> None:
    model = {path.name: path.read_bytes() for path in (run / "output").iterdir()}
    resumed = commands("resume", str(run))
    assert resumed.code == 0, resumed.err
    assert training_steps(run) == [1, 2, 3]
    assert {path.name: path.read_bytes() for path in (run / "output").iterdir()} == model
    assert commands("verify", str(run)).code == 0


@of("stopped", "lora")
def test_its_weights_are_evaluated_beside_what_is_on_record(commands: Any, run: Path) -> None:
    evaluated = commands("eval", str(run))
    assert evaluated.code == 0, evaluated.err
    assert {each.name for each in recorded_evaluations(run)} >= {"base-greedy", "trained-greedy"}
    assert commands("verify", str(run)).code == 0


@of("http")
def test_with_its_agent_it_goes_on_and_is_evaluated_again(commands: Any, run: Path, agent: None) -> None:
    resumed = commands("resume", str(run))
    assert resumed.code == 0, resumed.err
    shutil.rmtree(run / "evaluations")
    evaluated = commands("eval", str(run))
    assert evaluated.code == 0, evaluated.err
    assert {each.name: each.failed for each in recorded_evaluations(run)}["trained-greedy"] == 0
    assert commands("verify", str(run)).code == 0


@of("lora")
def test_its_adapter_is_merged_into_the_model_it_was_trained_on(commands: Any, run: Path) -> None:
    exported = commands("export", str(run), "whole", "--base", "tiny")
    assert exported.code == 0, exported.err
    assert (commands.folder / "whole" / "model.safetensors").is_file()
