"""What a trajectory earned, turn by turn: the input of every advantage method."""

import math
from dataclasses import dataclass

import numpy as np

from practicum.ranges import total
from practicum.trajectory import Trajectory


@dataclass(frozen=True)
class TrajectoryRewards:
    """Rewards and lengths of one trajectory.

    Args:
        rewards: One number, the trajectory's reward, earned at its last turn; or one number per turn.
        action_tokens: Number of sampled tokens of each turn; its length is the number of turns.

    Raises:
        ValueError: If the number of rewards is neither 1 nor the number of turns, a reward is not finite,
            or a length is negative.
    """

    rewards: tuple[float, ...]
    action_tokens: tuple[int, ...]

    def __post_init__(self) -> None:
        given, turns = len(self.rewards), self.n_turns
        if given not in (1, turns):
            raise ValueError(f"a trajectory of {turns} turns needs 1 reward or {turns}, got {given}")
        if not all(math.isfinite(reward) for reward in self.rewards):
            raise ValueError(f"rewards must be finite numbers, got {self.rewards}")
        if any(length < 0 for length in self.action_tokens):
            raise ValueError(f"lengths cannot be negative, got {self.action_tokens}")

    @classmethod
    def of(cls, trajectory: Trajectory) -> "TrajectoryRewards":
        """A trajectory whose reward is known."""
        return cls(trajectory.rewards, tuple(len(turn.action_ids) for turn in trajectory.turns))

    @property
    def n_turns(self) -> int:
        """Number of model calls."""
        return len(self.action_tokens)

    @property
    def total(self) -> float:
        """The trajectory's reward: the one number given, or the sum of the per-turn rewards."""
        return total(self.rewards)

    @property
    def length(self) -> int:
        """Number of sampled tokens."""
        return sum(self.action_tokens)

    def returns_to_go(self, gamma: float) -> np.ndarray:
        """G_t = Σ_{k≥t} γ^(k−t) r_k for each turn t: float64, shape (turns,).

        A turn, not a token, is one step of the discount.
        """
        earned = np.zeros(self.n_turns)
        if self.n_turns:
            earned[-len(self.rewards) :] = self.rewards
        returns, following = np.zeros(self.n_turns), 0.0
        for turn in reversed(range(self.n_turns)):
            following = earned[turn] + gamma * following
            returns[turn] = following
        return returns
