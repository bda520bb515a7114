"""Advantages and losses together: the update of a two-armed bandit goes towards the better arm."""

import pytest
import torch

from practicum.algorithms.advantages import AdvantageMethod, compute_advantages
from practicum.algorithms.losses import LossName, policy_loss
from practicum.algorithms.returns import TrajectoryRewards

LOSSES: tuple[LossName, ...] = ("importance_sampling", "ppo", "cispo")
METHODS: tuple[AdvantageMethod, ...] = (
    "group_based",
    "rloo",
    "monte_carlo",
    "group_based_per_turn",
    "reinforce_pp",
    "reinforce_pp_baseline",
    "opo",
    "grpo_passk",
    "gpg",
)


def bandit_loss(
    name: LossName, method: AdvantageMethod, theta: torch.Tensor, arms: torch.Tensor, sampler: torch.Tensor
) -> torch.Tensor:
    """Mean loss of one group of pulls; arm 1 pays 1, arm 0 nothing."""
    group = [TrajectoryRewards((float(arm),), (1,)) for arm in arms]
    advantages = torch.tensor([turns[0] for turns in compute_advantages(method, [group])[0]])
    logprobs = torch.log_softmax(theta, 0)[arms]
    return policy_loss(name, logprobs, sampler[arms], advantages, torch.ones(len(arms)), {})[0].mean()


@pytest.mark.parametrize("pulls", [[1, 0], [1, 0, 0, 0], [0, 1, 0]])
@pytest.mark.parametrize("start", [[0.0, 0.0], [3.0, -1.0], [-1.0, 2.0]])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", LOSSES)
def test_one_step_favours_the_arm_that_pays(
    loss: LossName, method: AdvantageMethod, start: list[float], pulls: list[int]
) -> None:
    theta = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    sampler = torch.log_softmax(theta.detach(), 0)
    bandit_loss(loss, method, theta, torch.tensor(pulls), sampler).backward()
    assert theta.grad is not None
    assert theta.grad[1] < 0 < theta.grad[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_group_that_all_got_the_same_moves_nothing(loss: LossName, method: AdvantageMethod) -> None:
    theta = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    sampler = torch.log_softmax(theta.detach(), 0)
    for arm in (0, 1):
        bandit_loss(loss, method, theta, torch.tensor([arm] * 5), sampler).backward()
    assert theta.grad is not None
    assert not theta.grad.any()


@pytest.mark.parametrize("method", ["group_based", "rloo", "monte_carlo"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_policy_that_prefers_the_wrong_arm_learns_the_right_one(loss: LossName, method: AdvantageMethod) -> None:
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
