"""Advantages: how much better a trajectory, or one turn of it, was than what the policy usually gets.

    groups = [[TrajectoryRewards((1.0,), (12, 30)), TrajectoryRewards((0.0,), (25,))]]
    compute_advantages("group_based", groups)      # [[array([1., 1.]), array([-1.])]]

Conventions, the same in every method:

- Standard deviations are the population's (divided by n): the group or the batch is all there is. Published
  trainers mostly take the sample's, larger by √(n/(n−1)); ``deviation="sample"`` does too. What others do, and
  what it means for the learning rate, stands in docs/algorithms.md.
- ε = 1e-6 is added to a standard deviation before dividing.
- A value within rounding of its mean (1e-12 of the largest value) is at the mean: its advantage is exactly
  0.0, never noise that a division by ε makes look like a difference.
- A group method works on the trajectory's total reward and gives every turn of it the same advantage;
  ``gamma`` enters where a method speaks of returns.
- A group of one has nothing to be compared with: 0 (its reward itself where a method has no baseline).
- Trajectories that failed have no reward and are the caller's to leave out; a group may be empty.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from practicum.ranges import total
from practicum.trajectory import Trajectory

Deviation = Literal["population", "sample"]
"""Which standard deviation: of all there is (÷ n), or the estimate from a sample (÷ (n − 1))."""
Advantages = list[list[np.ndarray]]
"""By group, then by member: float64, shape (turns of the member,)."""

EPSILON = 1e-6
ROUNDING = 1e-12


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
        count, turns = len(self.rewards), self.n_turns
        if count not in (1, turns):
            raise ValueError(f"a trajectory of {turns} turns needs 1 reward or {turns}, got {count}")
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


Group = Sequence[TrajectoryRewards]


def compute_advantages(
    method: str,
    groups: Sequence[Group],
    *,
    normalize: bool = True,
    gamma: float = 1.0,
    deviation: Deviation = "population",
) -> Advantages:
    """One advantage per turn of each trajectory, in the order given.

    Args:
        method: A name of ``ESTIMATORS``.
        groups: The batch: for each prompt, its trajectories' rewards.
        normalize: Divide by a standard deviation where the method has one (``rloo``, ``opo`` and ``max_rl`` have none).
        gamma: Discount per turn, in [0, 1].
        deviation: Which standard deviation divides.

    Raises:
        ValueError: If the method or the deviation is unknown or gamma out of range.
    """
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"gamma must lie in [0, 1], got {gamma}")
    if deviation not in get_args(Deviation):
        raise ValueError(f"unknown deviation {deviation!r}; allowed: {', '.join(get_args(Deviation))}")
    if method not in ESTIMATORS:
        raise ValueError(f"unknown advantage_method {method!r}; allowed: {', '.join(ESTIMATORS)}")
    return ESTIMATORS[method](groups, deviation if normalize else None, gamma)


def group_based(rewards: np.ndarray, *, scale: Deviation | None) -> np.ndarray:
    """(r_i − mean) / (std + ε): GRPO, arXiv 2402.03300.

    Not normalized, r_i − mean: Dr. GRPO, arXiv 2503.20783.

    Args:
        rewards: Shape (members of one group,).
        scale: The standard deviation to divide by, or None.

    Returns:
        Same shape; zeros for a group of one or of equal rewards.
    """
    return _standardize(rewards, scale)


def group_based_per_turn(group: Group, *, scale: Deviation | None, gamma: float) -> list[np.ndarray]:
    """Return-to-go of each turn against that of the group's members that reached the turn.

    With G_{i,t} = Σ_{k≥t} γ^(k−t) r_{i,k}, the return of member i from turn t on, and R_t the members that reached t:

        A_{i,t} = (G_{i,t} − mean_{j ∈ R_t} G_{j,t}) / (std_{j ∈ R_t} G_{j,t} + ε)

    Where R_t is i alone, its own return would be its baseline, and a lone loser's later turns would never be punished
    (nor a lone winner's encouraged). There the whole group is what it is compared with: of the others, who had ended
    before, the return of their last turn stands in, which is how it ended for them. With one reward at the end and
    γ = 1 a lone turn so has the advantage that ``group_based`` gives. A group of one has nothing to compare with: 0.

    Not the process supervision of GRPO (arXiv 2402.03300, section 4.1.3), which standardizes the single rewards of all
    steps of a group together and then adds up those from a step on: there a long rollout has more to add up.
    """
    returns = [member.returns_to_go(gamma) for member in group]
    advantages = [np.zeros_like(member) for member in returns]
    for turn in range(max((len(member) for member in returns), default=0)):
        reached = [i for i, member in enumerate(returns) if len(member) > turn]
        if len(reached) == 1:
            ended = [member[-1] for i, member in enumerate(returns) if i != reached[0] and len(member)]
            advantages[reached[0]][turn] = _standardize(np.array([returns[reached[0]][turn], *ended]), scale)[0]
            continue
        standardized = _standardize(np.array([returns[i][turn] for i in reached]), scale)
        for i, value in zip(reached, standardized, strict=True):
            advantages[i][turn] = value
    return advantages


def rloo(rewards: np.ndarray) -> np.ndarray:
    """r_i − mean of the other G−1 rewards: REINFORCE leave-one-out, arXiv 2402.14740.

    Equal to G/(G−1) · (r_i − mean). Shape (members of one group,); zeros for a group of one.
    """
    members = len(rewards)
    return _centre(rewards) * (members / max(members - 1, 1))


def opo(rewards: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """r_i − Σ l_j r_j / Σ l_j: the length-weighted optimal baseline of OPO, arXiv 2505.23585.

    Args:
        rewards: Shape (members of one group,).
        lengths: Sampled tokens of each member, same shape.
    """
    return _centre(rewards, lengths)


def grpo_passk(rewards: np.ndarray, *, scale: Deviation | None) -> np.ndarray:
    """r_max − r_second for the best of the group, 0 for the others: arXiv 2503.19595.

    Divided by the group's std + ε when normalized. A tie for the best leaves nothing to reward: zeros.
    """
    advantages, centred = np.zeros(len(rewards)), _centre(rewards)
    if not centred.any():
        return advantages
    second, best = np.sort(rewards)[-2:]
    if best - second <= ROUNDING * np.max(np.abs(rewards)):
        return advantages
    divisor = _deviation(centred, scale) + EPSILON if scale else 1.0
    advantages[np.argmax(rewards)] = (best - second) / divisor
    return advantages


def gpg(groups: Sequence[Group], *, scale: Deviation | None) -> Advantages:
    """α (r_i − group mean): GPG, arXiv 2504.02546.

    α is the number of trajectories in the batch over the number of those with a non-zero reward.
    Divided by the group's std + ε when normalized.
    """
    rewards = [member.total for group in groups for member in group]
    alpha = len(rewards) / max(sum(1 for reward in rewards if reward != 0.0), 1)
    return _by_group(groups, lambda rewards, _: alpha * _standardize(rewards, scale))


def max_rl(rewards: np.ndarray) -> np.ndarray:
    """(r_i − mean) / mean: maximum likelihood reinforcement learning, arXiv 2602.02710.

    With rewards of 0 and 1 the gradient is that of log P(success) of each prompt, up to the order of the group's size,
    where a centred reward has that of P(success): an answer that is right for few prompts is not given up for one that
    is right for most. The paper's rewards are at least 0; lower ones are counted from the group's lowest.

    Args:
        rewards: Shape (members of one group,).

    Returns:
        Same shape, each at most (members − 1); zeros where no reward differs.
    """
    centred = _centre(rewards)
    if not centred.any():
        return centred
    return centred / (rewards - min(rewards.min(), 0.0)).mean()


def monte_carlo(groups: Sequence[Group], *, scale: Deviation | None, gamma: float) -> Advantages:
    """Discounted return from each turn on: REINFORCE (Williams, 1992).

    Normalized, (R − mean) / (std + ε) over the batch, in which every trajectory counts once: its turns share
    its weight. With one reward at the end and γ = 1 that is the mean over trajectories.
    """
    returns = _returns(groups, gamma)
    if scale is None:
        return returns
    return _over_batch(returns, [[_equal_shares(member.n_turns) for member in group] for group in groups], scale)


def reinforce_pp(groups: Sequence[Group], *, scale: Deviation | None, gamma: float) -> Advantages:
    """Return from each turn on, whitened over the batch: REINFORCE++, arXiv 2501.03262.

    Mean and std are over the batch's action tokens, as there. Not normalized: centred on that mean only.
    """
    return _over_batch(_returns(groups, gamma), _token_weights(groups), scale)


def reinforce_pp_baseline(groups: Sequence[Group], *, scale: Deviation | None) -> Advantages:
    """r_i − group mean, then whitened over the batch's action tokens: REINFORCE++-baseline, arXiv 2501.03262.

    Not normalized: centred on the batch's mean only. A group of equal rewards keeps the advantage that this
    second centring gives it: zero where trajectories are equally long.
    """
    centred = _by_group(groups, lambda rewards, _: _centre(rewards))
    return _over_batch(centred, _token_weights(groups), scale)


def _by_group(groups: Sequence[Group], advantage: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Advantages:
    """Apply a function of (rewards, lengths) to each group and give every turn its trajectory's value."""
    result = []
    for group in groups:
        values = advantage(
            np.array([member.total for member in group]), np.array([float(member.length) for member in group])
        )
        result.append([np.full(member.n_turns, v) for member, v in zip(group, values, strict=True)])
    return result


def _over_batch(values: Advantages, weights: Advantages, scale: Deviation | None) -> Advantages:
    """Standardize per-turn values by the weighted statistics of the whole batch; the shape is kept."""
    flat = [turns for group in values for turns in group]
    if not flat:
        return [[] for _ in values]
    whole = np.concatenate([turns for group in weights for turns in group])
    standardized = iter(np.split(_standardize(np.concatenate(flat), scale, whole), _boundaries(flat)))
    return [[next(standardized) for _ in group] for group in values]


def _boundaries(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.cumsum([len(array) for array in arrays])[:-1]


def _returns(groups: Sequence[Group], gamma: float) -> Advantages:
    return [[member.returns_to_go(gamma) for member in group] for group in groups]


def _token_weights(groups: Sequence[Group]) -> Advantages:
    return [[np.array(member.action_tokens, dtype=np.float64) for member in group] for group in groups]


def _equal_shares(parts: int) -> np.ndarray:
    return np.full(parts, 1.0 / max(parts, 1))


def _standardize(values: np.ndarray, scale: Deviation | None, weights: np.ndarray | None = None) -> np.ndarray:
    centred = _centre(values, weights)
    return centred / (_deviation(centred, scale, weights) + EPSILON) if scale else centred


def _centre(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Values minus their (weighted) mean; zeros where there is no value, or none with weight."""
    if not values.size or (weights is not None and not weights.any()):
        return np.zeros(len(values))
    centred = values - np.average(values, weights=weights)
    return np.where(np.abs(centred) <= ROUNDING * np.max(np.abs(values)), 0.0, centred)


def _deviation(centred: np.ndarray, kind: Deviation, weights: np.ndarray | None = None) -> float:
    """Standard deviation of values already centred; weights say how often a value counts."""
    largest = np.max(np.abs(centred), initial=0.0)
    if largest == 0.0:
        return 0.0
    # Squares of the values over their largest neither overflow nor vanish, however large the rewards.
    population = float(largest * np.sqrt(np.average((centred / largest) ** 2, weights=weights)))
    count = float(len(centred) if weights is None else weights.sum())
    return population * math.sqrt(count / (count - 1.0)) if kind == "sample" and count > 1.0 else population


ESTIMATORS: dict[str, Callable[[Sequence[Group], Deviation | None, float], Advantages]] = {
    "monte_carlo": lambda groups, scale, gamma: monte_carlo(groups, scale=scale, gamma=gamma),
    "group_based": lambda groups, scale, _: _by_group(groups, lambda rewards, _: group_based(rewards, scale=scale)),
    "group_based_per_turn": lambda groups, scale, gamma: [
        group_based_per_turn(group, scale=scale, gamma=gamma) for group in groups
    ],
    "rloo": lambda groups, *_: _by_group(groups, lambda rewards, _: rloo(rewards)),
    "reinforce_pp": lambda groups, scale, gamma: reinforce_pp(groups, scale=scale, gamma=gamma),
    "reinforce_pp_baseline": lambda groups, scale, _: reinforce_pp_baseline(groups, scale=scale),
    "opo": lambda groups, *_: _by_group(groups, opo),
    "grpo_passk": lambda groups, scale, _: _by_group(groups, lambda rewards, _: grpo_passk(rewards, scale=scale)),
    "gpg": lambda groups, scale, _: gpg(groups, scale=scale),
    "max_rl": lambda groups, *_: _by_group(groups, lambda rewards, _: max_rl(rewards)),
}
"""Name → (groups, standard deviation to divide by or None, discount) → advantages.

The names are what a recipe's ``advantage_method`` may be: a new estimator is a function above and a row here.
"""
