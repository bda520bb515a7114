"""Prompts and an agent server alone, as a notebook has them: the agent's own reward is trained on and told apart."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from http_agent import Order, http_agent
from practicum.environment.target import target_of
from practicum.errors import EnvironmentFault
from practicum.recipe import build_recipe, load_recipe
from practicum.runs.manifest import read_manifest
from practicum.store import read_trajectories
from practicum.training.components import build
from practicum.training.splits import load_splits


def play(order: dict[str, Any]) -> None:
    """One rollout of an agent that asks the model once and is paid by what it said."""
    endpoint, rollout = order["metadata"]["endpoint"], order["metadata"]["rolloutId"]
    body = {"model": "default", "messages": [{"role": "user", "content": order["prompt"]}], "max_tokens": 8}
    answer = httpx.post(f"{endpoint}/rollouts/{rollout}/v1/chat/completions", json=body, timeout=60)
    text = answer.raise_for_status().json()["choices"][0]["message"]["content"] or ""
    report = {"TrajectoryId": rollout}
    httpx.post(f"{endpoint}/complete-rollout", json={**report, "Status": "ready"}).raise_for_status()
    reward = {**report, "Rewards": [sum(text.encode()) % 11 / 10]}
    httpx.post(f"{endpoint}/update-reward", json=reward).raise_for_status()


def agent_server(most: int = 10_000, *, port: int = 0) -> AbstractContextManager[str]:
    """An agent server that answers when it is done; after ``most`` rollouts it fails every one."""
    numbers = iter(range(10_000))

    def answer(order: Order) -> tuple[int, Any]:
        if next(numbers) >= most:
            return 500, {"errorType": "InternalServerError", "errorMessage": "out of boxes"}
        play(order)
        return 200, {"status": "completed"}

    return http_agent(answer, port=port)


@pytest.fixture
def notebook(commands: Any) -> Any:
    """Trains the able model on twenty questions, with an agent and nothing else."""
    rows = [json.dumps({"id": f"q{n}", "question": f"Box {n}?", "shelf": n % 4}) for n in range(20)]
    (commands.folder / "questions.jsonl").write_text("\n".join(rows))
    settings = [
        line for line in (commands.folder / "desk.yaml").read_text().splitlines() if not line.startswith("environment")
    ]
    recipe = commands.folder / "notebook.yaml"
    recipe.write_text("\n".join([*settings, "training_dataset: questions.jsonl", "rollout_tps: 1000"]))

    def run(url: str, *more: str) -> Any:
        # The gate is asked for: nobody with only prompts and an agent has a certificate.
        return commands(
            "train", "notebook.yaml", f"agent={url}", "max_steps=2", "val_every=1", *more, "--run", "a", gate=True
        )

    return run


def test_the_agents_reward_is_trained_on_and_every_figure_says_that_it_is_not_independent(
    commands: Any, notebook: Any
) -> None:
    with agent_server() as url:
        done = notebook(url)

    assert done.code == 0, done.err
    run = commands.folder / "runs/a"
    steps = [t for n in (1, 2) for t in read_trajectories(run / f"trajectories/step-{n:06d}.parquet")]
    assert len(steps) == 2 * 2 * 2
    assert all(t.error is None and t.rewards and t.score is None for t in steps)

    held_out = read_trajectories(run / "trajectories/eval-trained-greedy.parquet")
    assert len(held_out) == 2
    assert [t.score for t in held_out] == [t.reward for t in held_out]
    evaluation = json.loads((run / "evaluation.json").read_text())["evaluations"]["trained-greedy"]
    assert evaluation["independent"] is False
    assert "the agent itself reported" in evaluation["caveat"]

    assert "not checked: there is no environment here to check" in done.out
    assert "not independent: its score is the reward that the agent itself reported" in done.out
    assert "every field exactly right" not in done.out
    assert "held-out, not independent" in done.out
    page = (run / "report.html").read_text()
    assert "trained, not independent" in page
    assert page.count("Not independent: its score is the reward that the agent itself reported.") >= 3
    assert commands("verify", "runs/a").code == 0


def test_what_was_read_as_the_prompt_is_said_and_recorded(commands: Any, notebook: Any) -> None:
    with agent_server() as url:
        done = notebook(url, "max_steps=1")

    assert done.code == 0, done.err
    told = "questions.jsonl: column 'question' is the prompt, column 'id' is the id; prompt_column chooses another"
    assert done.out.count(told) == 1
    assert "2 of its tasks are held out for validation and test, 18 are trained on" in done.out
    data = read_manifest(commands.folder / "runs/a").data
    assert data["train"]["columns"] == {"prompt": "question", "id": "id"}
    assert (data["train"]["tasks"], data["validation"]["tasks"], data["test"]["tasks"]) == (18, 2, 2)


def test_a_score_of_ones_own_makes_the_evaluation_independent(commands: Any, notebook: Any) -> None:
    (commands.folder / "judge.py").write_text("def right(rollout):\n    return float(rollout.completed) / 2\n")
    with agent_server() as url:
        done = notebook(url, "score=judge.py:right")

    assert done.code == 0, done.err
    evaluation = json.loads((commands.folder / "runs/a/evaluation.json").read_text())["evaluations"]["trained-greedy"]
    assert (evaluation["independent"], evaluation["caveat"]) == (True, "")
    assert {score for scores in evaluation["scores"].values() for score in scores} <= {0.0, 0.5}
    assert "ot independent" not in done.out
    assert "ot independent" not in (commands.folder / "runs/a/report.html").read_text()


def test_a_check_says_that_there_is_nothing_to_check(commands: Any, notebook: Any) -> None:
    done = commands("check", "notebook.yaml", "agent=http://127.0.0.1:1")
    assert done.code == 1
    assert "there is no environment here to check" in done.err


def test_a_run_that_was_interrupted_goes_on(commands: Any, notebook: Any) -> None:
    with agent_server(most=6) as url:
        assert notebook(url, "rollout_max_retries=0").code == 1
    with agent_server(port=int(url.rsplit(":", 1)[1])):
        done = commands("resume", "runs/a")
    assert done.code == 0, done.err


def rows(folder: Path, name: str, first: int, count: int) -> str:
    text = "".join(json.dumps({"prompt": f"Box {n}?"}) + "\n" for n in range(first, first + count))
    (folder / name).write_text(text)
    return str(folder / name)


AGENT = {"agent": "http://127.0.0.1:1", "global_batch_size": 2}


def test_validation_and_test_stand_in_for_each_other_and_a_tenth_for_both(tmp_path: Path) -> None:
    files = {"training_dataset": rows(tmp_path, "t.jsonl", 0, 30), "val": rows(tmp_path, "v.jsonl", 100, 4)}
    alone = build_recipe({**AGENT, "training_dataset": files["training_dataset"]})
    splits = load_splits(alone, target_of(alone))
    assert {name: len(tasks) for name, tasks in splits.items()} == {"train": 27, "validation": 3, "test": 3}
    assert not splits["train"].overlap(splits["test"])

    beside = build_recipe({**AGENT, "training_dataset": files["training_dataset"], "validation_dataset": files["val"]})
    splits = load_splits(beside, target_of(beside))
    assert {name: len(tasks) for name, tasks in splits.items()} == {"train": 30, "validation": 4, "test": 4}

    drawn = build_recipe({**AGENT, "training_dataset": files["training_dataset"], "test_dataset": files["val"]})
    sampled = load_recipe(_written(tmp_path, drawn), ["test_tasks=2", "eval_random_sample=true", "seed=1"])
    some = [list(load_splits(recipe, target_of(recipe))["test"]) for recipe in (sampled, sampled)]
    assert some[0] == some[1]
    assert len(some[0]) == 2


def _written(folder: Path, recipe: Any) -> Path:
    (folder / "r.yaml").write_text(recipe.to_yaml())
    return folder / "r.yaml"


def test_the_same_tasks_are_held_out_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    path = Path(rows(tmp_path, "t.jsonl", 0, 30))
    recipe = build_recipe({**AGENT, "training_dataset": str(path)})
    before = {task.prompt for task in load_splits(recipe, target_of(recipe))["test"]}
    path.write_text("".join(sorted(path.read_text().splitlines(keepends=True), reverse=True)))
    assert {task.prompt for task in load_splits(recipe, target_of(recipe))["test"]} == before


@pytest.mark.parametrize("given", [{"training_dataset": "t.jsonl"}, {"agent": "http://127.0.0.1:1"}])
def test_without_agent_server_or_dataset_an_environment_is_needed(given: dict[str, str]) -> None:
    with pytest.raises(EnvironmentFault, match="names no environment") as caught:
        target_of(build_recipe(given))
    assert "training_dataset" in caught.value.allowed


def test_a_reference_model_has_no_tools_to_play_with(tmp_path: Path) -> None:
    more = {"model_name": "smollm2-135m", "training_dataset": rows(tmp_path, "t.jsonl", 0, 30)}
    with pytest.raises(Exception, match="a reference model cannot be asked"):
        build(build_recipe({**AGENT, **more, "reference_base_url": "http://127.0.0.1:1/v1", "reference_model": "m"}))
