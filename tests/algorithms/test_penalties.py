"""KL and entropy terms against their definitions, written here with plain loops over Python floats."""

import math

import pytest
import torch
from torch import Tensor

from practicum.algorithms.losses import entropy, kl_divergence, kl_penalty, policy_loss

EVERY = torch.ones(12)


def random_table(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.log_softmax(torch.randn(shape, generator=generator, dtype=torch.float64), dim=-1)


def chosen(seed: int, n: int = 12) -> Tensor:
    return -3 * torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_penalty_is_schulmans_k3_token_by_token() -> None:
    logprobs, reference = chosen(1).requires_grad_(), chosen(2)
    terms = kl_penalty(logprobs, reference, EVERY)
    terms.sum().backward()
    assert logprobs.grad is not None
    rows = zip(*(t.tolist() for t in (logprobs, reference, terms, logprobs.grad)), strict=True)
    for logprob, base, term, slope in rows:
        r = base - logprob
        assert (term, slope) == pytest.approx((math.exp(r) - r - 1, 1 - math.exp(r)), rel=1e-12, abs=1e-15)
        assert term >= 0


def test_the_penalty_estimates_the_divergence_that_is_computed_exactly() -> None:
    policy, reference = random_table(3, 7, seed=3), random_table(3, 7, seed=4)
    expected = (policy.exp() * kl_penalty(policy, reference, torch.ones(3, 7))).sum(-1)
    torch.testing.assert_close(kl_divergence(policy, reference), expected)


def test_divergence_and_entropy_are_sums_over_the_vocabulary() -> None:
    policy, reference = random_table(5, 9, seed=5), random_table(5, 9, seed=6)
    given = zip(entropy(policy).tolist(), kl_divergence(policy, reference).tolist(), strict=True)
    for row, (undecided, apart) in enumerate(given):
        pairs = list(zip(policy[row].tolist(), reference[row].tolist(), strict=True))
        assert undecided == pytest.approx(-math.fsum(math.exp(p) * p for p, _ in pairs), rel=1e-12)
        assert apart == pytest.approx(math.fsum(math.exp(p) * (p - q) for p, q in pairs), rel=1e-12)


def test_they_agree_with_torch_distributions() -> None:
    policy, reference = (random_table(4, 6, seed=seed) for seed in (7, 8))
    ours, theirs = (torch.distributions.Categorical(logits=table) for table in (policy, reference))
    torch.testing.assert_close(entropy(policy), ours.entropy())
    torch.testing.assert_close(kl_divergence(policy, reference), torch.distributions.kl_divergence(ours, theirs))


def test_gradients_agree_with_finite_differences() -> None:
    reference, mask = chosen(9), torch.rand(12, generator=torch.Generator().manual_seed(0)) < 0.7
    assert torch.autograd.gradcheck(lambda x: kl_penalty(x, reference, mask), (chosen(10).requires_grad_(),))
    table = random_table(4, 7, seed=11)
    logits = torch.randn(4, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: entropy(torch.log_softmax(x, -1)), (logits,))
    assert torch.autograd.gradcheck(lambda x: kl_divergence(torch.log_softmax(x, -1), table), (logits,))


@pytest.mark.parametrize("name", ["importance_sampling", "ppo"])
@pytest.mark.parametrize("cap", [0.0, 50.0])
def test_the_whole_objective_agrees_with_finite_differences(name: str, cap: float) -> None:
    """From logits to the weighted sum of policy loss, penalty and bonus. A cap that binds holds its weight still."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(6, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.randint(5, (6, 1), generator=generator)
    old, base = (random_table(6, 5, seed=seed).gather(1, target)[:, 0] for seed in (21, 22))
    advantages, weight = (torch.randn(6, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.tensor([1, 1, 0, 1, 1, 1])

    def objective(x: Tensor) -> Tensor:
        table = torch.log_softmax(x, -1)
        chosen = table.gather(1, target)[:, 0]
        loss, _ = policy_loss(name, chosen, old, advantages, mask, {"importance_cap": cap})
        return (weight * (loss + 0.3 * kl_penalty(chosen, base, mask) - 0.2 * entropy(table) * mask)).sum()

    assert torch.autograd.gradcheck(objective, (logits,), atol=1e-6)


def test_equal_policies_have_no_divergence_and_a_uniform_one_is_the_most_undecided() -> None:
    table = random_table(2, 5, seed=12)
    torch.testing.assert_close(kl_divergence(table, table), torch.zeros(2, dtype=torch.float64))
    assert not kl_penalty(table, table, torch.ones(2, 5)).any()
    uniform = torch.full((1, 5), -math.log(5), dtype=torch.float64)
    assert entropy(uniform).item() == pytest.approx(math.log(5))
    assert (entropy(table) < math.log(5)).all()


def test_a_forbidden_token_adds_nothing_and_leaves_the_gradient_finite() -> None:
    logits = torch.tensor([0.0, 0.0, -math.inf], requires_grad=True)
    table = torch.log_softmax(logits, -1)
    undecided, apart = entropy(table), kl_divergence(table, torch.log(torch.tensor([0.25, 0.5, 0.25])))
    (undecided + apart).backward()
    assert undecided.item() == pytest.approx(math.log(2))
    assert apart.item() == pytest.approx(0.5 * math.log(2))
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_what_is_masked_neither_counts_nor_spoils() -> None:
    logprobs = torch.tensor([-1.0, -math.inf, math.nan], requires_grad=True)
    terms = kl_penalty(logprobs, torch.tensor([-2.0, -math.inf, -1.0]), torch.tensor([1, 0, 0]))
    terms.sum().backward()
    torch.testing.assert_close(terms[1:], torch.zeros(2))
    torch.testing.assert_close(logprobs.grad, torch.tensor([1 - math.exp(-1), 0.0, 0.0]))


def test_an_absurd_difference_stays_finite() -> None:
    logprobs = torch.tensor([-500.0, 0.0], requires_grad=True)
    terms = kl_penalty(logprobs, torch.tensor([0.0, -500.0]), torch.ones(2))
    terms.sum().backward()
    assert torch.isfinite(terms).all()
    assert logprobs.grad is not None
    assert torch.isfinite(logprobs.grad).all()


def test_the_penalty_pulls_back_and_the_bonus_spreads() -> None:
    """One step down each term's gradient on a two-armed bandit."""
    theta = torch.tensor([2.0, 0.0], dtype=torch.float64, requires_grad=True)
    table = torch.log_softmax(theta, 0)
    reference = torch.log(torch.tensor([0.5, 0.5], dtype=torch.float64))
    (slope,) = torch.autograd.grad(
        (table.detach().exp() * kl_penalty(table, reference, torch.ones(2))).sum(), theta, retain_graph=True
    )
    assert slope[0] > 0 > slope[1]
    (slope,) = torch.autograd.grad(-entropy(table), theta)
    assert slope[0] > 0 > slope[1]
