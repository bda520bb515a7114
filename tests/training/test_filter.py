"""The repetition filter in the training step: who is left out, and who is compared with whom."""

from typing import Any

from practicum.recipe import Recipe, build_recipe
from practicum.training.trainer import filtered, group_advantages, has_signal, loss_config, training_data
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
