"""Checks of scores, rewards and data that had nothing to look at say so, and are none of those that passed."""

import time
from pathlib import Path

import pytest

from practicum.checks.scores.check_judges import check_judges
from practicum.checks.scores.data import unseen_in_data
from practicum.checks.scores.measured import unseen_of_reward
from practicum.environment.target import EnvironmentTarget, load_target
from practicum.tasks import Task

LAB = f"{Path(__file__).parent / 'lab.py'}:Lab"
TASK = Task("a", "What of box 1?", {"colour": "red"})
BARE = Task("b", "Say something.")


@pytest.mark.parametrize(
    ("tasks", "batch", "skipped"),
    [
        ({"train": [TASK]}, None, {"OVERLAP", "NEAR", "DUPLICATE", "SMALL", "LEAK"}),
        ({"train": [TASK, BARE], "test": [TASK]}, 2, {"LEAK"}),
        ({"train": [BARE, BARE], "test": [BARE]}, 2, {"LABEL", "LEAK"}),
        ({"train": [TASK] * 5, "test": [TASK]}, 2, set()),
    ],
)
def test_data_is_compared_only_where_there_are_two_to_compare(tasks, batch, skipped) -> None:
    assert unseen_in_data(tasks, batch).keys() == {f"DATA-{name}" for name in skipped}


@pytest.mark.parametrize(
    ("paid", "scored", "skipped"),
    [
        ([1.0, 0.0, 0.5], [1.0, 0.0, 0.0], set()),
        ([1.0, 0.0, 0.5], [0.0, 0.0, 0.0], {"RANK"}),
        ([1.0, 0.0], [1.0, None], {"FLAT"}),
        ([None, None], [1.0, 0.0], {"FLAT", "ABOVE", "RANK", "COMPONENTS"}),
    ],
)
def test_a_reward_is_compared_with_the_score_only_where_both_gave_a_number(paid, scored, skipped) -> None:
    assert unseen_of_reward(paid, scored, 1.0, walkthroughs=1).keys() == {f"REWARD-{name}" for name in skipped}


def test_a_score_that_never_comes_back_was_not_attacked_and_passes_nothing() -> None:
    def stuck(rollout) -> float:
        time.sleep(30)
        return 0.0

    target = load_target(LAB)
    report = check_judges(
        EnvironmentTarget(**{**vars(target), "score": stuck, "reward": None}), tasks=1, patience_s=0.2
    )

    assert report.codes >= {"EVAL-SLOW"}
    for name in ("CONSTANT", "FORM", "NEAR", "IDLE", "EFFORT", "TOLD", "REPEAT", "RANGE", "UNSOLVED"):
        assert f"EVAL-{name}" not in report.checks
        assert "never came back" in report.skipped[f"EVAL-{name}"]


def test_no_judge_model_cannot_be_the_policy() -> None:
    report = check_judges(load_target(LAB), tasks=1)

    assert report.skipped["EVAL-DEPENDENT"] == "no judge model takes part"
    assert report.states["EVAL-DEPENDENT"] == "skipped"
    assert report.to_dict()["counts"]["skipped"] == len(report.skipped)
