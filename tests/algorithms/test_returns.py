import math

import numpy as np
import pytest

from practicum.algorithms.advantages import TrajectoryRewards
from practicum.trajectory import EnvironmentRef, Trajectory, Turn


def test_one_reward_is_earned_at_the_last_turn() -> None:
    returns = TrajectoryRewards((2.0,), (3, 1, 4)).returns_to_go(0.5)
    np.testing.assert_array_equal(returns, [0.5, 1.0, 2.0])


def test_per_turn_rewards_are_discounted_from_each_turn_on() -> None:
    returns = TrajectoryRewards((1.0, 10.0, 100.0), (1, 1, 1)).returns_to_go(0.1)
    np.testing.assert_allclose(returns, [1 + 1 + 1, 10 + 10, 100])


def test_zero_discount_leaves_each_turn_its_own_reward() -> None:
    np.testing.assert_array_equal(TrajectoryRewards((1.0, -2.0), (1, 1)).returns_to_go(0.0), [1.0, -2.0])


def test_a_trajectory_without_turns_has_a_total_and_no_returns() -> None:
    rewards = TrajectoryRewards((1.5,), ())
    assert (rewards.total, rewards.length, rewards.returns_to_go(1.0).shape) == (1.5, 0, (0,))


@pytest.mark.parametrize("rewards", [(), (1.0, 2.0), (1.0,) * 4, (math.nan,), (0.0, math.inf, 0.0)])
def test_rewards_that_fit_no_turns_or_are_not_finite_are_refused(rewards: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="reward"):
        TrajectoryRewards(rewards, (1, 1, 1))


def test_negative_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        TrajectoryRewards((1.0,), (3, -1))


def test_rewards_and_lengths_are_read_from_a_trajectory() -> None:
    def turn(*action_ids: int) -> Turn:
        blank = (0.0,) * len(action_ids)
        return Turn((), {}, (1,), action_ids, blank, (0,) * len(action_ids), "stop")

    trajectory = Trajectory(
        id="t",
        task_id="task",
        group_id="g",
        seed=0,
        environment=EnvironmentRef("e", "1", "d"),
        turns=(turn(5, 6, 7), turn(8)),
        tool_calls=(),
        ending="final",
        rewards=(0.25, 0.5),
    )
    rewards = TrajectoryRewards.of(trajectory)
    assert rewards == TrajectoryRewards((0.25, 0.5), (3, 1))
    assert rewards.total == trajectory.reward
