"""Advantages: how much better a trajectory, or one turn of it, was than what the policy usually gets.

    groups = [[TrajectoryRewards((1.0,), (12, 30)), TrajectoryRewards((0.0,), (25,))]]
    compute_advantages("group_based", groups)      # [[array([1., 1.]), array([-1.])]]

Conventions, the same in every method:

- Standard deviations are the population's (divided by n): the group or the batch is all there is, and a
  group of two stays defined. Published trainers mostly take the sample's, larger by √(n/(n−1)).
- ε = 1e-6 is added to a standard deviation before dividing.
- A value within rounding of its mean (1e-12 of the largest value) is at the mean: its advantage is exactly
  0.0, never noise that a division by ε makes look like a difference.
- A group method works on the trajectory's total reward and gives every turn of it the same advantage;
  ``gamma`` enters where a method speaks of returns.
- Trajectories that failed have no reward and are the caller's to leave out; a group may be empty.
"""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np

from practicum.algorithms.returns import TrajectoryRewards

AdvantageMethod = Literal[
    "monte_carlo",
    "group_based",
    "group_based_per_turn",
    "rloo",
    "reinforce_pp",
    "reinforce_pp_baseline",
    "opo",
    "grpo_passk",
    "gpg",
]
Group = Sequence[TrajectoryRewards]
Advantages = list[list[np.ndarray]]
"""By group, then by member: float64, shape (turns of the member,)."""

EPSILON = 1e-6
ROUNDING = 1e-12


def compute_advantages(
    method: AdvantageMethod, groups: Sequence[Group], *, normalize: bool = True, gamma: float = 1.0
) -> Advantages:
    """One advantage per turn of each trajectory, in the order given.

    Args:
        method: Name of the estimator.
        groups: The batch: for each prompt, its trajectories' rewards.
        normalize: Divide by a standard deviation where the method has one (``rloo`` and ``opo`` have none).
        gamma: Discount per turn, in [0, 1].

    Raises:
        ValueError: If the method is unknown or gamma out of range.
    """
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"gamma must lie in [0, 1], got {gamma}")
    match method:
        case "monte_carlo":
            advantages = monte_carlo(groups, normalize=normalize, gamma=gamma)
        case "group_based":
            advantages = _by_group(groups, lambda rewards, _: group_based(rewards, normalize=normalize))
        case "group_based_per_turn":
            advantages = [group_based_per_turn(group, normalize=normalize, gamma=gamma) for group in groups]
        case "rloo":
            advantages = _by_group(groups, lambda rewards, _: rloo(rewards))
        case "reinforce_pp":
            advantages = reinforce_pp(groups, normalize=normalize, gamma=gamma)
        case "reinforce_pp_baseline":
            advantages = reinforce_pp_baseline(groups, normalize=normalize)
        case "opo":
            advantages = _by_group(groups, opo)
        case "grpo_passk":
            advantages = _by_group(groups, lambda rewards, _: grpo_passk(rewards, normalize=normalize))
        case "gpg":
            advantages = gpg(groups, normalize=normalize)
        case _:
            allowed = ", ".join(get_args(AdvantageMethod))
            raise ValueError(f"unknown advantage_method {method!r}; allowed: {allowed}")
    return advantages


def group_based(rewards: np.ndarray, *, normalize: bool) -> np.ndarray:
    """(r_i − mean) / (std + ε): GRPO, arXiv 2402.03300.

    Not normalized, r_i − mean: Dr. GRPO, arXiv 2503.20783.

    Args:
        rewards: Shape (members of one group,).
        normalize: Whether to divide.

    Returns:
        Same shape; zeros for a group of one or of equal rewards.
    """
    return _standardize(rewards, scale=normalize)


def group_based_per_turn(group: Group, *, normalize: bool, gamma: float) -> list[np.ndarray]:
    """Return-to-go of each turn, centred and scaled over the members that reached that turn.

    The process-supervised form of GRPO (arXiv 2402.03300, section 4.1.3), with the turn as the step. A turn
    that only one member reached has nothing to be compared with: 0.
    """
    returns = [member.returns_to_go(gamma) for member in group]
    advantages = [np.zeros_like(member) for member in returns]
    for turn in range(max((len(member) for member in returns), default=0)):
        reached = [i for i, member in enumerate(returns) if len(member) > turn]
        standardized = _standardize(np.array([returns[i][turn] for i in reached]), scale=normalize)
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


def grpo_passk(rewards: np.ndarray, *, normalize: bool) -> np.ndarray:
    """r_max − r_second for the best of the group, 0 for the others: arXiv 2503.19595.

    Divided by the group's std + ε when normalized. A tie for the best leaves nothing to reward: zeros.
    """
    advantages, centred = np.zeros(len(rewards)), _centre(rewards)
    if not centred.any():
        return advantages
    second, best = np.sort(rewards)[-2:]
    if best - second <= ROUNDING * np.max(np.abs(rewards)):
        return advantages
    divisor = _deviation(centred) + EPSILON if normalize else 1.0
    advantages[np.argmax(rewards)] = (best - second) / divisor
    return advantages


def gpg(groups: Sequence[Group], *, normalize: bool) -> Advantages:
    """α (r_i − group mean): GPG, arXiv 2504.02546.

    α is the number of trajectories in the batch over the number of those with a non-zero reward.
    Divided by the group's std + ε when normalized.
    """
    rewards = [member.total for group in groups for member in group]
    alpha = len(rewards) / max(sum(1 for reward in rewards if reward != 0.0), 1)
    return _by_group(groups, lambda rewards, _: alpha * _standardize(rewards, scale=normalize))


def monte_carlo(groups: Sequence[Group], *, normalize: bool, gamma: float) -> Advantages:
    """Discounted return from each turn on: REINFORCE (Williams, 1992).

    Normalized, (R − mean) / (std + ε) over the batch, in which every trajectory counts once: its turns share
    its weight. With one reward at the end and γ = 1 that is the mean over trajectories.
    """
    returns = _returns(groups, gamma)
    if not normalize:
        return returns
    return _over_batch(returns, [[_equal_shares(member.n_turns) for member in group] for group in groups])


def reinforce_pp(groups: Sequence[Group], *, normalize: bool, gamma: float) -> Advantages:
    """Return from each turn on, whitened over the batch: REINFORCE++, arXiv 2501.03262.

    Mean and std are over the batch's action tokens, as there. Not normalized: centred on that mean only.
    """
    return _over_batch(_returns(groups, gamma), _token_weights(groups), scale=normalize)


def reinforce_pp_baseline(groups: Sequence[Group], *, normalize: bool) -> Advantages:
    """r_i − group mean, then whitened over the batch's action tokens: REINFORCE++-baseline, arXiv 2501.03262.

    Not normalized: centred on the batch's mean only. A group of equal rewards keeps the advantage that this
    second centring gives it: zero where trajectories are equally long.
    """
    centred = _by_group(groups, lambda rewards, _: _centre(rewards))
    return _over_batch(centred, _token_weights(groups), scale=normalize)


def _by_group(groups: Sequence[Group], advantage: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Advantages:
    """Apply a function of (rewards, lengths) to each group and give every turn its trajectory's value."""
    result = []
    for group in groups:
        values = advantage(
            np.array([member.total for member in group]), np.array([float(member.length) for member in group])
        )
        result.append([np.full(member.n_turns, v) for member, v in zip(group, values, strict=True)])
    return result


def _over_batch(values: Advantages, weights: Advantages, *, scale: bool = True) -> Advantages:
    """Standardize per-turn values by the weighted statistics of the whole batch; the shape is kept."""
    flat = [turns for group in values for turns in group]
    if not flat:
        return [[] for _ in values]
    whole = np.concatenate([turns for group in weights for turns in group])
    standardized = iter(np.split(_standardize(np.concatenate(flat), whole, scale=scale), _boundaries(flat)))
    return [[next(standardized) for _ in group] for group in values]


def _boundaries(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.cumsum([len(array) for array in arrays])[:-1]


def _returns(groups: Sequence[Group], gamma: float) -> Advantages:
    return [[member.returns_to_go(gamma) for member in group] for group in groups]


def _token_weights(groups: Sequence[Group]) -> Advantages:
    return [[np.array(member.action_tokens, dtype=np.float64) for member in group] for group in groups]


def _equal_shares(parts: int) -> np.ndarray:
    return np.full(parts, 1.0 / max(parts, 1))


def _standardize(values: np.ndarray, weights: np.ndarray | None = None, *, scale: bool) -> np.ndarray:
    centred = _centre(values, weights)
    return centred / (_deviation(centred, weights) + EPSILON) if scale else centred


def _centre(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Values minus their (weighted) mean; zeros where there is no value, or none with weight."""
    if not values.size or (weights is not None and not weights.any()):
        return np.zeros(len(values))
    centred = values - np.average(values, weights=weights)
    return np.where(np.abs(centred) <= ROUNDING * np.max(np.abs(values)), 0.0, centred)


def _deviation(centred: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Population standard deviation of values already centred."""
    largest = np.max(np.abs(centred), initial=0.0)
    if largest == 0.0:
        return 0.0
    # Squares of the values over their largest neither overflow nor vanish, however large the rewards.
    return float(largest * np.sqrt(np.average((centred / largest) ** 2, weights=weights)))
