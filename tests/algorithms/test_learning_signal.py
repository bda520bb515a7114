"""Advantages and losses together: the update of a two-armed bandit goes towards the better arm."""

import math

import pytest
import torch

from practicum.algorithms.advantages import TrajectoryRewards, compute_advantages
from practicum.algorithms.losses import policy_loss

LOSSES: tuple[str, ...] = ("importance_sampling", "ppo", "cispo")
METHODS: tuple[str, ...] = (
    "group_based",
    "rloo",
    "monte_carlo",
    "group_based_per_turn",
    "reinforce_pp",
    "reinforce_pp_baseline",
    "opo",
    "grpo_passk",
    "gpg",
    "max_rl",
)


def bandit_loss(name: str, method: str, theta: torch.Tensor, arms: torch.Tensor, sampler: torch.Tensor) -> torch.Tensor:
    """Mean loss of one group of pulls; arm 1 pays 1, arm 0 nothing."""
    group = [TrajectoryRewards((float(arm),), (1,)) for arm in arms]
    advantages = torch.tensor([turns[0] for turns in compute_advantages(method, [group])[0]])
    logprobs = torch.log_softmax(theta, 0)[arms]
    return policy_loss(name, logprobs, sampler[arms], advantages, torch.ones(len(arms)), {})[0].mean()


@pytest.mark.parametrize("pulls", [[1, 0], [1, 0, 0, 0], [0, 1, 0]])
@pytest.mark.parametrize("start", [[0.0, 0.0], [3.0, -1.0], [-1.0, 2.0]])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", LOSSES)
def test_one_step_favours_the_arm_that_pays(loss: str, method: str, start: list[float], pulls: list[int]) -> None:
    theta = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    sampler = torch.log_softmax(theta.detach(), 0)
    bandit_loss(loss, method, theta, torch.tensor(pulls), sampler).backward()
    assert theta.grad is not None
    assert theta.grad[1] < 0 < theta.grad[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_group_that_all_got_the_same_moves_nothing(loss: str, method: str) -> None:
    theta = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    sampler = torch.log_softmax(theta.detach(), 0)
    for arm in (0, 1):
        bandit_loss(loss, method, theta, torch.tensor([arm] * 5), sampler).backward()
    assert theta.grad is not None
    assert not theta.grad.any()


@pytest.mark.parametrize("method", ["group_based", "rloo", "monte_carlo"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_policy_that_prefers_the_wrong_arm_learns_the_right_one(loss: str, method: str) -> None:
    generator = torch.Generator().manual_seed(0)
    theta = torch.tensor([1.0, -1.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=0.5)
    for _ in range(40):
        sampler = torch.log_softmax(theta.detach(), 0)
        arms = torch.multinomial(sampler.exp(), 16, replacement=True, generator=generator)
        for _ in range(2):
            optimizer.zero_grad()
            bandit_loss(loss, method, theta, arms, sampler).backward()
            optimizer.step()
    assert torch.softmax(theta.detach(), 0)[1] > 0.9


def two_choices(method: str, rewards: list[tuple[float, ...]], gamma: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of two undecided bandits played one after the other, each pair of arms once."""
    thetas = [torch.zeros(2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    group = [TrajectoryRewards(reward, (1, 1)) for reward in rewards]
    advantages = compute_advantages(method, [group], gamma=gamma)[0]
    for arms, turns in zip(PAIRS, advantages, strict=True):
        for theta, arm, advantage in zip(thetas, arms, turns, strict=True):
            logprob = torch.log_softmax(theta, 0)[arm : arm + 1]
            tensors = (logprob, logprob.detach(), torch.tensor([advantage]), torch.ones(1))
            policy_loss("ppo", *tensors, {})[0].sum().backward()
    first, second = (theta.grad for theta in thetas)
    assert first is not None
    assert second is not None
    return first, second


PAIRS = [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_with_rewards_by_turn_each_turn_learns_from_its_own_choice(gamma: float) -> None:
    """The first choice pays at once, the second pays nothing."""
    paid = [(float(first), 0.0) for first, _ in PAIRS]
    first, second = two_choices("group_based_per_turn", paid, gamma)
    assert first[1] < 0 < first[0]
    assert not second.any()


@pytest.mark.parametrize("method", ["group_based_per_turn", "monte_carlo", "reinforce_pp"])
def test_a_reward_that_comes_later_reaches_the_choice_through_the_discount(method: str) -> None:
    """The first choice pays a turn later: at γ = 1 it learns, at γ = 0 it cannot know."""
    paid = [(0.0, float(first)) for first, _ in PAIRS]
    first, second = two_choices(method, paid, gamma=1.0)
    assert first[1] < 0 < first[0]
    torch.testing.assert_close(second, torch.zeros(2, dtype=torch.float64), atol=1e-9, rtol=0)
    first, _ = two_choices(method, paid, gamma=0.0)
    torch.testing.assert_close(first, torch.zeros(2, dtype=torch.float64), atol=1e-9, rtol=0)


def pull_of_a_rare_answer(method: str, chosen: float, right: float, size: int) -> float:
    """Expected advantage of one more nat for an answer, for a policy that answers every prompt alike.

    Args:
        chosen: How often the policy gives the answer.
        right: Share of the prompts for which it is right; for the others the other answer is.
        size: Rollouts of a group.
    """
    total = 0.0
    for share, success in ((right, chosen), (1 - right, 1 - chosen)):
        for wins in range(size + 1):
            chance = math.comb(size, wins) * success**wins * (1 - success) ** (size - wins)
            group = [TrajectoryRewards((float(i < wins),), (1,)) for i in range(size)]
            advantages = [turns[0] for turns in compute_advantages(method, [group])[0]]
            given = advantages[:wins] if share == right else advantages[wins:]
            total += share * chance * (sum(given) - chosen * sum(advantages)) / size
    return total


@pytest.mark.parametrize("chosen", [0.02, 0.1, 0.2])
def test_an_answer_that_is_right_for_few_is_given_up_by_group_based_and_kept_by_max_rl(chosen: float) -> None:
    assert pull_of_a_rare_answer("group_based", chosen, 0.3, 8) < 0 < pull_of_a_rare_answer("max_rl", chosen, 0.3, 8)


def test_max_rl_rests_where_an_answer_is_given_as_often_as_it_is_right() -> None:
    assert abs(pull_of_a_rare_answer("max_rl", 0.3, 0.3, 32)) < 1e-4
