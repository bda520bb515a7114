"""The repetition filter in the training step: who is left out, and who is compared with whom."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from practicum.recipe import Recipe, build_recipe
from practicum.training.trainer import (
    filtered,
    group_advantages,
    has_signal,
    loss_config,
    trained_groups,
    training_data,
)
from practicum.trajectory import EnvironmentRef, Group, Trajectory, Turn


def recipe(**values: Any) -> Recipe:
    return build_recipe({"group_size": 2, "sampling_max_tokens": 64, "max_repeated_tokens": 10, **values})


def rollout(id: str, reward: float, tokens: list[int]) -> Trajectory:
    n = len(tokens)
    turn = Turn((), {"role": "assistant"}, (1, 2), tuple(tokens), (-1.0,) * n, (0,) * n, "stop")
    return Trajectory(id, "t", "g", 0, EnvironmentRef("e", "1", "d"), (turn,), (), "final", rewards=(reward,))


GOOD = rollout("good", 1.0, list(range(20)))
POOR = rollout("poor", 0.5, list(range(5)))
ROUND = rollout("round", 0.0, [7] * 30)


def test_a_rollout_that_goes_round_in_circles_is_no_member_of_its_group() -> None:
    group, settings = Group("g", "t", (GOOD, POOR, ROUND)), recipe(advantage_normalization=False)
    without = filtered([group], settings)
    advantages = group_advantages([group], settings, without)

    assert without == ["round"]
    assert {id: float(turns[0]) for id, turns in advantages.items()} == {"good": 0.25, "poor": -0.25}
    data = training_data([group], advantages, settings)
    assert sorted(len(datum.tokens) for datum in data) == [7, 22]


def test_too_few_left_leave_the_group_out() -> None:
    group = Group("g", "t", (GOOD, ROUND))
    advantages = group_advantages([group], recipe(), filtered([group], recipe()))
    assert advantages == {}
    assert not has_signal(group, advantages)


def test_without_the_setting_nothing_is_filtered_and_the_rate_bounds_it() -> None:
    group = Group("g", "t", (GOOD, POOR, ROUND))
    assert filtered([group], recipe(max_repeated_tokens=None)) == []
    assert filtered([group], recipe(max_filter_rate=0.3)) == []
    assert filtered([group], recipe(max_filter_rate=0.34)) == ["round"]
    assert filtered([group], recipe(max_repeated_tokens=30)) == []


def test_the_losses_are_given_the_recipes_bounds_and_penalties() -> None:
    config = loss_config(recipe(kl_coef=0.1, entropy_coef=0.02, importance_cap=2.0, loss_fn="cispo"))
    assert config == {
        "clip_low_threshold": 1.0,
        "clip_high_threshold": 6.0,
        "importance_cap": 2.0,
        "kl_coef": 0.1,
        "entropy_coef": 0.02,
    }


def test_a_rollout_that_goes_round_in_circles_may_stay_and_be_punished() -> None:
    lucky = rollout("lucky", 1.0, [7] * 30)
    group = Group("g", "t", (GOOD, POOR, lucky))
    settings = recipe(advantage_normalization=False, filter_reward=-1.0)
    advantages = group_advantages([group], settings, filtered([group], settings))
    mean = (1.0 + 0.5 - 1.0) / 3
    expected = {"good": 1.0 - mean, "poor": 0.5 - mean, "lucky": -1.0 - mean}
    assert {id: float(turns[0]) for id, turns in advantages.items()} == pytest.approx(expected)
    assert lucky.reward == 1.0  # what it earned stays on record


def test_above_the_rate_what_repeats_itself_keeps_its_own_reward() -> None:
    worse = rollout("worse", 1.0, [8] * 50)
    group, settings = Group("g", "t", (GOOD, ROUND, worse)), recipe(filter_reward=0.0, max_filter_rate=0.34)
    assert filtered([group], settings) == ["worse"]
    advantages = group_advantages([group], settings, ["worse"])
    assert advantages["worse"][0] == advantages["round"][0] < 0 < advantages["good"][0]


def test_a_step_of_silent_groups_is_trained_on_only_where_a_penalty_goes_on_without_reward() -> None:
    silent = [Group(id, "t", (GOOD, replace(GOOD, id="as-good"))) for id in ("a", "b")]
    loud = Group("c", "t", (GOOD, POOR))
    plain, penalty, bonus = recipe(), recipe(kl_coef=0.1), recipe(entropy_coef=0.01)
    for settings, expected in ((plain, []), (penalty, silent), (bonus, silent)):
        assert trained_groups(silent, group_advantages(silent, settings), settings) == expected
    for settings in (plain, penalty, bonus):
        advantages = group_advantages([silent[0]], settings) | {"poor": np.array([-1.0])}
        assert trained_groups([silent[0], loud], advantages, settings) == [loud]


def test_groups_that_hold_nobody_to_train_on_get_no_penalty_either() -> None:
    alone = Group("g", "t", (GOOD, replace(POOR, error="gone")))
    settings = recipe(kl_coef=0.1)
    assert trained_groups([alone], group_advantages([alone], settings), settings) == []


def test_a_rollout_in_three_sequences_weighs_what_one_in_a_single_sequence_does() -> None:
    turn = GOOD.turns[0]
    broken = replace(GOOD, id="broken", turns=(turn, *[replace(turn, extends=False, break_cause="other")] * 2))
    group = Group("g", "t", (broken, replace(POOR, turns=(replace(turn, action_ids=turn.action_ids),))))
    for how in ("sequence_mean", "constant"):
        settings = recipe(loss_aggregation=how)
        data = training_data([group], group_advantages([group], settings), settings)
        weights = [datum.weight * datum.mask.sum() for datum in data]
        assert len(weights) == 4
        assert sum(weights[:3]) == pytest.approx(weights[3] * (3 if how == "constant" else 1))


def test_the_recipes_standard_deviation_reaches_the_estimator() -> None:
    group = Group("g", "t", (GOOD, POOR))
    assert group_advantages([group], recipe())["good"][0] == pytest.approx(1.0, abs=1e-4)
    sample = group_advantages([group], recipe(advantage_std="sample"))
    assert sample["good"][0] == pytest.approx(0.5**0.5, abs=1e-4)
