"""DATA- and BUDGET- findings on planted tasks and recorded rollouts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from practicum import tool
from practicum.checks.scores.budget import RecipeLimits, check_budget, estimated_tokens
from practicum.checks.scores.check_judges import check_judges
from practicum.checks.scores.data import check_data
from practicum.checks.scores.evidence import BASELINE, Evidence, Recorded, gather, read_recorded
from practicum.environment.target import EnvironmentTarget, load_target
from practicum.errors import EnvironmentFault, RunError
from practicum.recipe import build_recipe
from practicum.scoring import judge_model, weighted
from practicum.scoring.endpoint import Endpoint
from practicum.scoring.model_judge import ModelJudge
from practicum.store import write_trajectories
from practicum.tasks import Task
from practicum.trajectory import EnvironmentRef, Rollout, ToolCall, Trajectory, Turn

LAB = str(Path(__file__).parent / "lab.py")


@pytest.fixture(scope="module")
def lab() -> EnvironmentTarget:
    return load_target(f"{LAB}:Lab")


def tasks(*prompts: str, label: Any = None, start: int = 0) -> list[Task]:
    answer = {"a": "x"} if label is None else label
    return [Task(f"t{start + n}", prompt, answer) for n, prompt in enumerate(prompts)]


def codes(splits: dict[str, list[Task]], **more: Any) -> dict[str, str]:
    return {finding.code: finding.severity for finding in check_data(splits, "here", **more)}


LONG = "Where does the red lamp of the customer in Ulm stand, and when can it be sent to her sister"


# Data


def test_tasks_of_their_own_are_fine() -> None:
    assert codes({"train": tasks("one thing", "another"), "test": tasks("something else", start=5)}) == {}


@pytest.mark.parametrize("copy", ["Where is it?", "where  is it", "WHERE IS IT!"])
def test_the_same_question_in_two_splits_is_found(copy: str) -> None:
    assert codes({"train": tasks("Where is it?"), "test": tasks(copy, start=5)}) == {"DATA-OVERLAP": "fail"}


def test_nearly_the_same_question_with_the_same_label_fails() -> None:
    found = check_data({"train": tasks(LONG), "test": tasks(f"{LONG}, please?", start=5)}, "here")
    assert [finding.code for finding in found] == ["DATA-NEAR"]
    assert "'t0'" in found[0].difference
    assert "'t5'" in found[0].difference


def test_with_another_label_it_is_a_warning() -> None:
    splits = {"train": tasks(LONG), "test": tasks(f"{LONG}, please?", label={"a": "y"}, start=5)}
    assert codes(splits) == {"DATA-NEAR": "warn"}


def test_what_all_tasks_say_first_makes_none_of_them_alike() -> None:
    told = ({"role": "system", "content": LONG},)
    some = [replace(task, history=told) for task in tasks("one thing", "another")]
    assert codes({"train": some[:1], "test": some[1:]}) == {}
    before = ({"role": "user", "content": LONG},)
    first, second = (replace(task, history=(*told, *before)) for task in tasks("one thing", "another"))
    third = replace(tasks("a third", start=2)[0], history=told)
    assert codes({"train": [first, third], "test": [second]}) == {"DATA-NEAR": "fail"}


def test_with_another_number_it_is_another_question() -> None:
    assert codes({"train": tasks(f"{LONG} on day 3"), "test": tasks(f"{LONG} on day 4", start=5)}) == {}


def test_tasks_from_a_template_are_a_warning_because_only_a_person_can_tell() -> None:
    names = ("Anna", "Bert", "Cleo", "Dora", "Emil")
    made = tasks(*(f"{LONG.replace('customer', name)}" for name in names))
    assert codes({"train": made, "test": tasks(LONG.replace("customer", "Fritz"), start=9)}) == {"DATA-NEAR": "warn"}


def test_a_task_that_stands_twice_in_a_split_is_found() -> None:
    assert codes({"train": tasks("Where is it?", "where is it")}) == {"DATA-DUPLICATE": "fail"}


def test_a_game_that_has_one_prompt_is_told_by_what_it_hides() -> None:
    def hiding(*words: str, start: int = 0) -> list[Task]:
        return [Task(f"g{start + n}", "Guess the word.", {"word": word}) for n, word in enumerate(words)]

    assert codes({"train": hiding("crane", "plumb"), "test": hiding("other", start=5)}) == {}
    assert codes({"train": hiding("crane", "plumb"), "test": hiding("plumb", start=5)}) == {"DATA-OVERLAP": "fail"}
    assert codes({"train": hiding("crane", "crane"), "test": hiding("plumb", start=5)}) == {"DATA-DUPLICATE": "fail"}


def test_fewer_training_tasks_than_a_batch_are_found() -> None:
    assert codes({"train": tasks("one", "two")}, batch=2) == {}
    assert codes({"train": tasks("one", "two")}, batch=3) == {"DATA-SMALL": "fail"}


def test_a_task_without_a_label_among_others_with_one_is_found() -> None:
    bare = [Task("bare", "what?", None)]
    assert codes({"train": [*tasks("one", "two"), *bare]}) == {"DATA-LABEL": "fail"}
    assert codes({"train": bare}) == {}


def _said(text: str) -> tuple[dict[str, Any], ...]:
    return ({"role": "user", "content": text},)


def test_a_value_that_stands_in_the_prompt_among_others_gives_nothing_away() -> None:
    colours = ("red", "green", "blue", "black", "white")
    asked = [Task(f"t{n}", f"Is box {n} red, green, blue, black or white?", {"c": colours[n % 5]}) for n in range(20)]
    told = [Task(f"t{n}", f"Is box {n}, which is {colours[n % 5]}, heavy?", {"c": colours[n % 5]}) for n in range(20)]
    assert codes({"train": asked}) == {}
    assert "DATA-LEAK" in codes({"train": told})
    before = [replace(task, prompt=f"Is box {n} heavy?", history=_said(task.prompt)) for n, task in enumerate(told)]
    assert "DATA-LEAK" in codes({"train": before})


# Budget


def evidence(lab: EnvironmentTarget, **more: Any) -> Evidence:
    return replace(gather(lab, count=3, seed=0, recorded=None), **more)


def budget(found: Evidence, **limits: Any) -> set[str]:
    return {finding.code for finding in check_budget(found, RecipeLimits(**limits), estimated_tokens, "here")}


def test_turns_must_leave_half_as_much_again_as_a_walkthrough_takes(lab: EnvironmentTarget) -> None:
    found = evidence(lab)  # a walkthrough takes 3 turns
    assert budget(found, max_turns=5) == set()
    assert budget(found, max_turns=4) == {"BUDGET-TURNS"}
    assert budget(replace(found, max_turns=4)) == {"BUDGET-TURNS"}


def test_all_turns_at_their_cap_must_fit_the_context(lab: EnvironmentTarget) -> None:
    found = evidence(lab)
    [finding] = check_budget(found, RecipeLimits(5, 100, 500), lambda text: 10, "here")
    assert finding.code == "BUDGET-CONTEXT"
    # 5 × (100 + 10 for one tool's answer a turn) + 10 system + 10 prompt + 10 schemas
    assert "= 580 tokens" in finding.what
    assert check_budget(found, RecipeLimits(5, 100, 580), lambda text: 10, "here") == []


def trajectory(n: int, task: str, ending: Any = "final", reason: Any = "stop") -> Trajectory:
    turn = Turn(
        ({"role": "user", "content": "x"},), {"role": "assistant", "content": "y"}, (1,), (2,), (0.0,), (0,), reason
    )
    calls = (ToolCall("c", "find_box", {}, "z"),)
    return Trajectory(f"r{n}", task, "g", 0, EnvironmentRef("e", "1", "d"), (turn,), calls, ending)


@pytest.mark.parametrize(("count", "expected"), [(0, set()), (4, set()), (5, {"BUDGET-TOKENS"})])
def test_five_percent_at_the_cap_are_too_many(lab: EnvironmentTarget, count: int, expected: set[str]) -> None:
    some = [trajectory(n, "train-1", reason="length" if n < count else "stop") for n in range(100)]
    assert budget(evidence(lab, recorded=Recorded(tuple(some)))) == expected


@pytest.mark.parametrize(("count", "expected"), [(9, set()), (10, {"BUDGET-EXHAUSTED"})])
def test_ten_percent_out_of_turns_are_too_many(lab: EnvironmentTarget, count: int, expected: set[str]) -> None:
    some = [trajectory(n, "train-1", ending="max_turns" if n < count else "final") for n in range(100)]
    assert budget(evidence(lab, recorded=Recorded(tuple(some)))) == expected


# What is on record


def run_folder(folder: Path, *evaluations: dict[str, Any], rollouts: int = 0) -> Path:
    (folder / "evaluations").mkdir(parents=True)
    (folder / "recipe.yaml").write_text("seed: 0\n")
    for n, each in enumerate(evaluations):
        (folder / "evaluations" / f"{n}.json").write_text(json.dumps(each))
    if rollouts:
        some = [trajectory(n, f"train-{n % 40}") for n in range(rollouts)]
        write_trajectories(folder / "trajectories" / "eval-base-sampled.parquet", some)
    return folder


def test_a_base_model_that_never_succeeds_and_a_missing_reference_are_found(
    lab: EnvironmentTarget, tmp_path: Path
) -> None:
    base = {"label": "base", "success_rate": 0.0, "n_rollouts": 40}
    report = check_judges(lab, None, read_recorded(run_folder(tmp_path / "a", base, rollouts=120)), tasks=3)
    # Recorded rollouts all answer "y": the reward is flat on them.
    assert report.codes == {"EVAL-ZERO", "EVAL-REFERENCE", "REWARD-FLAT"}
    better = {"label": "base", "success_rate": 0.1}, {"label": "reference", "success_rate": 0.9}
    assert check_judges(lab, None, read_recorded(run_folder(tmp_path / "b", *better)), tasks=3).codes == set()


def test_a_foothold_on_record_is_what_a_base_without_success_needs(lab: EnvironmentTarget, tmp_path: Path) -> None:
    base, reference = {"label": "base", "success_rate": 0.0}, {"label": "reference", "success_rate": 0.9}
    able, useless = ({"label": "foothold", "success_rate": rate, "n_rollouts": 40} for rate in (0.3, 0.0))
    assert check_judges(lab, None, read_recorded(run_folder(tmp_path / "a", base, able, reference)), tasks=1).ok
    report = check_judges(lab, None, read_recorded(run_folder(tmp_path / "b", base, useless, reference)), tasks=1)
    assert report.codes == {"EVAL-ZERO"}
    assert "nor does its foothold" in report.findings[0].what


def test_baseline_rollouts_are_a_hundred_recorded_ones_or_as_many_made(lab: EnvironmentTarget, tmp_path: Path) -> None:
    made = gather(lab, count=4, seed=0, recorded=None)
    assert (len(made.baseline), made.synthetic) == (BASELINE, True)
    assert [r.answer for r in made.baseline] == [r.answer for r in gather(lab, count=4, seed=0, recorded=None).baseline]
    known = read_recorded(run_folder(tmp_path / "a", rollouts=120))
    found = gather(lab, count=4, seed=0, recorded=known)
    assert (len(found.baseline), found.synthetic) == (BASELINE, False)
    foreign = Recorded(tuple(trajectory(n, "nobody") for n in range(3)))
    assert gather(lab, count=4, seed=0, recorded=foreign).synthetic


def test_a_folder_without_a_run_and_a_broken_evaluation_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run"):
        read_recorded(tmp_path / "nothing")
    folder = run_folder(tmp_path / "a", {"label": "base"})
    (folder / "evaluations" / "0.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        read_recorded(folder)


def test_an_environment_without_tasks_is_refused(lab: EnvironmentTarget) -> None:
    class Empty(lab.environment):  # type: ignore[misc, name-defined]
        id = "empty"

        def tasks(self, split: str) -> list[Task]:
            return []

    with pytest.raises(EnvironmentFault, match="no tasks"):
        gather(replace(lab, environment=Empty), count=1, seed=0, recorded=None)


def test_what_the_environments_code_raises_is_its_fault_but_a_tools_is_anothers_check(lab: EnvironmentTarget) -> None:
    class Broken(lab.environment):  # type: ignore[misc, name-defined]
        id = "broken"

        def tasks(self, split: str) -> list[Task]:
            raise KeyError(split)

    class Stopping(lab.environment):  # type: ignore[misc, name-defined]
        id = "stopping"

        def start(self, task: Task) -> None:
            raise KeyError(task.id)

    class Throwing(lab.environment):  # type: ignore[misc, name-defined]
        id = "throwing"

        @tool
        def find_box(self, box: int) -> dict[str, Any]:
            """fails"""
            raise KeyError(box)

    for environment, said in ((Broken, "tasks"), (Stopping, "an episode")):
        with pytest.raises(EnvironmentFault, match=said):
            gather(replace(lab, environment=environment), count=1, seed=0, recorded=None)
    assert gather(replace(lab, environment=Throwing), count=1, seed=0, recorded=None).cases[0].solved is None


# A recipe, and a judge model


def test_the_recipes_limits_and_batch_are_looked_at(lab: EnvironmentTarget) -> None:
    recipe = build_recipe(
        {"max_turns": 4, "sampling_max_tokens": 1000, "max_sequence_length": 2000, "environment": "a:B"}
    )
    report = check_judges(lab, recipe, tasks=3)
    assert report.codes == {"BUDGET-TURNS", "BUDGET-CONTEXT", "DATA-SMALL"}


class Mute(ModelJudge):
    """Asks nobody."""

    async def __call__(self, rollout: Rollout) -> tuple[float, dict[str, float]]:
        return 0.0, {"judge": 0.0}


def test_a_model_that_judges_itself_is_found(lab: EnvironmentTarget) -> None:
    from practicum.checks.scores.check_judges import _dependent

    score = judge_model("http://localhost:9/v1", "policy", rubric="x", version="1")
    recipe = build_recipe({"model_name": "policy"})
    assert [f.code for f in _dependent(score, None, Endpoint("http://127.0.0.1:9/v1", "policy"), "")] == [
        "EVAL-DEPENDENT"
    ]
    assert [f.code for f in _dependent(score, recipe, None, "")] == ["EVAL-DEPENDENT"]
    [own] = _dependent(score, recipe, None, "", "reward")
    assert own.what.startswith("the reward's judge model bears the name")
    assert _dependent(score, build_recipe({"model_name": "other"}), None, "") == []
    folder = judge_model("http://localhost:9/v1", "Qwen3-0.6B", rubric="x", version="1")
    assert _dependent(folder, build_recipe({"model_name": "models/Qwen/Qwen3-0.6B/"}), None, "")
    # A reward of the policy's own opinion is found too, beside a score that is a rule.
    report = check_judges(
        replace(lab, reward=weighted(judge=(1.0, Mute(score.endpoint, score.prompt)))), recipe, tasks=1
    )
    assert "EVAL-DEPENDENT" in report.codes
