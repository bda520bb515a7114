import math
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from practicum.algorithms.losses import CROSS_ENTROPY, LOSSES, policy_loss

RATIO_LOSSES: tuple[str, ...] = ("importance_sampling", "ppo", "cispo")
CLIP = {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}


def random_tokens(shape: tuple[int, ...], seed: int, spread: float = 0.5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """logprobs (with gradient), old_logprobs, advantages, mask: float64."""
    generator = torch.Generator().manual_seed(seed)
    old = -3 * torch.rand(shape, generator=generator, dtype=torch.float64)
    logprobs = old + spread * torch.randn(shape, generator=generator, dtype=torch.float64)
    advantages = torch.randn(shape, generator=generator, dtype=torch.float64)
    mask = torch.rand(shape, generator=generator) < 0.7
    return logprobs.requires_grad_(), old, advantages, mask


def reference(
    name: str, logprob: float, old: float, advantage: float, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Loss of one token and its derivative by log π_θ, from the definitions, in Python floats."""
    ratio, (low, high) = math.exp(logprob - old), bounds
    bounded = low if ratio < low else high if ratio > high else ratio
    if name == "importance_sampling":
        return -ratio * advantage, -ratio * advantage
    if name == "ppo":
        free, held = ratio * advantage, bounded * advantage
        return (-free, -free) if free <= held else (-held, 0.0)
    if name == "cispo":
        return -bounded * logprob * advantage, -bounded * advantage
    return -logprob, -1.0


@pytest.mark.parametrize("name", [CROSS_ENTROPY, *LOSSES])
@pytest.mark.parametrize("bounds", [(0.8, 1.2), (1.0, 6.0), (0.0, 1.0)])
@settings(max_examples=25, deadline=None)
@given(
    shape=st.one_of(st.tuples(st.integers(0, 30)), st.tuples(st.integers(1, 4), st.integers(1, 9))),
    seed=st.integers(0, 2**31),
)
def test_value_and_gradient_of_each_token_follow_the_definition(
    name: str, bounds: tuple[float, float], shape: tuple[int, ...], seed: int
) -> None:
    logprobs, old, advantages, mask = random_tokens(shape, seed)
    config = {"clip_low_threshold": bounds[0], "clip_high_threshold": bounds[1]}
    loss, _ = policy_loss(name, logprobs, old, advantages, mask, config)
    loss.sum().backward()
    assert logprobs.grad is not None
    rows = (t.flatten().tolist() for t in (logprobs, old, advantages, mask, loss, logprobs.grad))
    for logprob, before, advantage, trained, value, slope in zip(*rows, strict=True):
        expected = reference(name, logprob, before, advantage, bounds) if trained else (0.0, 0.0)
        assert (value, slope) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", ["importance_sampling", "ppo", "cross_entropy"])
def test_autograd_agrees_with_finite_differences(name: str) -> None:
    logprobs, old, advantages, mask = random_tokens((6, 5), seed=3)
    assert torch.autograd.gradcheck(
        lambda x: policy_loss(name, x, old, advantages, mask, CLIP)[0], (logprobs,), eps=1e-6, atol=1e-6
    )


def test_cispo_agrees_with_finite_differences_where_its_weight_is_held() -> None:
    # Inside the bounds the weight moves with the policy, which the stop-gradient hides; outside it is held.
    logprobs, old, advantages, mask = random_tokens((40,), seed=4)
    ratio = torch.exp(logprobs.detach() - old)
    held = mask & ((ratio < 0.79) | (ratio > 1.21))
    assert held.sum() > 10
    assert torch.autograd.gradcheck(
        lambda x: policy_loss("cispo", x, old, advantages, held, CLIP)[0], (logprobs,), eps=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("name", RATIO_LOSSES)
def test_on_the_samplers_own_policy_every_loss_has_the_plain_policy_gradient(name: str) -> None:
    logprobs, _, advantages, mask = random_tokens((20,), seed=7)
    loss, metrics = policy_loss(name, logprobs, logprobs.detach().clone(), advantages, mask, CLIP)
    loss.sum().backward()
    torch.testing.assert_close(logprobs.grad, -advantages * mask)
    assert metrics["ratio_mean"] == 1
    zero = (
        "clip_frac_low",
        "clip_frac_high",
        "sampler_kl",
        "sampler_kl_k1",
        "logprob_diff",
        "logprob_diff_max",
    )
    assert [float(metrics[key]) for key in zero] == [0.0] * 6


@pytest.mark.parametrize("name", [CROSS_ENTROPY, *LOSSES])
@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e30])
def test_nothing_outside_the_mask_reaches_loss_gradient_or_metrics(name: str, garbage: float) -> None:
    logprobs, old, advantages, _ = random_tokens((6,), seed=8)
    mask = torch.tensor([1, 0, 1, 1, 0, 1])
    clean, clean_metrics = policy_loss(name, logprobs, old, advantages, mask, CLIP)
    spoiled = [torch.where(mask.bool(), t.detach(), garbage) for t in (logprobs, old, advantages)]
    spoiled[0].requires_grad_()
    loss, metrics = policy_loss(name, spoiled[0], spoiled[1], spoiled[2], mask, CLIP)
    clean.sum().backward()
    loss.sum().backward()
    torch.testing.assert_close(loss, clean, rtol=0, atol=0)
    torch.testing.assert_close(spoiled[0].grad, logprobs.grad, rtol=0, atol=0)
    assert metrics == clean_metrics


@pytest.mark.parametrize("name", [CROSS_ENTROPY, *LOSSES])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dtype_and_shape_are_kept(name: str, dtype: torch.dtype) -> None:
    logprobs, old, advantages, mask = (t.detach() for t in random_tokens((2, 3), seed=9))
    loss, _ = policy_loss(name, logprobs.to(dtype), old.to(dtype), advantages.to(dtype), mask.to(dtype), CLIP)
    assert (loss.dtype, loss.shape) == (dtype, (2, 3))


def test_metrics_count_what_happened_to_the_trained_tokens() -> None:
    ratio = torch.tensor([0.5, 0.5, 1.0, 2.0, 2.0, 9.0], dtype=torch.float64)
    advantages = torch.tensor([-1.0, 1.0, 1.0, 1.0, -1.0, 1.0], dtype=torch.float64)
    mask = torch.tensor([1, 1, 1, 1, 1, 0])
    arguments = (ratio.log(), torch.zeros_like(ratio), advantages, mask, CLIP)
    _, ppo = policy_loss("ppo", *arguments)
    log2 = math.log(2)
    expected = {
        "ratio_mean": 6 / 5,
        "clip_frac_low": 1 / 5,
        "clip_frac_high": 1 / 5,
        "sampler_kl": (2 * (0.5 - 1 + log2) + 2 * (2 - 1 - log2)) / 5,
        "sampler_kl_k1": 0.0,
        "logprob_diff": 4 * log2 / 5,
        "logprob_diff_max": log2,
    }
    assert {key: float(value) for key, value in ppo.items()} == pytest.approx(expected, abs=1e-12)
    _, cispo = policy_loss("cispo", *arguments)
    assert [float(cispo[key]) for key in ("clip_frac_low", "clip_frac_high")] == [2 / 5, 2 / 5]


def test_the_ppo_clip_metrics_are_the_tokens_left_without_gradient() -> None:
    logprobs, old, advantages, mask = random_tokens((500,), seed=10)
    loss, metrics = policy_loss("ppo", logprobs, old, advantages, mask, CLIP)
    loss.sum().backward()
    assert logprobs.grad is not None
    still = ((logprobs.grad == 0) & mask).sum() / mask.sum()
    assert 0.1 < float(still) == pytest.approx(float(metrics["clip_frac_low"] + metrics["clip_frac_high"]))


@pytest.mark.parametrize("name", [CROSS_ENTROPY, *LOSSES])
@pytest.mark.parametrize("shape", [(0,), (3,), (2, 2)])
def test_no_trained_token_gives_zeros_not_nan(name: str, shape: tuple[int, ...]) -> None:
    logprobs, old, advantages, _ = random_tokens(shape, seed=11)
    loss, metrics = policy_loss(name, logprobs, old, advantages, torch.zeros(shape), CLIP)
    loss.sum().backward()
    assert not loss.any()
    assert all(float(value) == 0.0 for value in metrics.values())


@pytest.mark.parametrize("name", RATIO_LOSSES)
def test_an_absurd_ratio_never_makes_nan(name: str) -> None:
    logprobs = torch.tensor([0.0, 0.0, 0.0], requires_grad=True)
    old, advantages = torch.tensor([-500.0, -500.0, 500.0]), torch.tensor([0.0, -1.0, -1.0])
    loss, metrics = policy_loss(name, logprobs, old, advantages, torch.ones(3), CLIP)
    loss.sum().backward()
    assert logprobs.grad is not None
    for tensor in (loss, logprobs.grad, *metrics.values()):
        assert torch.isfinite(tensor).all()


def test_a_capped_ratio_weighs_the_cap_and_keeps_its_gradient() -> None:
    logprobs = torch.log(torch.tensor([0.5, 2.0, 10.0, 10.0], dtype=torch.float64)).requires_grad_()
    advantages = torch.tensor([1.0, 1.0, 1.0, -1.0], dtype=torch.float64)
    arguments = (logprobs, torch.zeros_like(logprobs), advantages, torch.ones(4))
    loss, metrics = policy_loss("importance_sampling", *arguments, {"importance_cap": 3.0})
    loss.sum().backward()
    expected = torch.tensor([-0.5, -2.0, -3.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(logprobs.grad, expected)
    assert float(metrics["clip_frac_high"]) == 0.5


def test_the_cap_bounds_the_side_that_ppo_leaves_open() -> None:
    logprobs = torch.log(torch.tensor([10.0], dtype=torch.float64)).requires_grad_()
    arguments = (logprobs, torch.zeros_like(logprobs), -torch.ones_like(logprobs), torch.ones(1))
    assert policy_loss("ppo", *arguments, CLIP)[0].item() == pytest.approx(10.0)
    loss, _ = policy_loss("ppo", *arguments, {**CLIP, "importance_cap": 3.0})
    assert loss.item() == pytest.approx(3.0)


@pytest.mark.parametrize("cap", [1.1, 1.2, 2.0])
def test_ppo_lets_no_cap_reopen_what_it_clips(cap: float) -> None:
    logprobs = torch.log(torch.tensor([5.0, 1.15, 0.5, 0.5], dtype=torch.float64)).requires_grad_()
    advantages = torch.tensor([1.0, 1.0, -1.0, 1.0], dtype=torch.float64)
    arguments = (logprobs, torch.zeros_like(logprobs), advantages, torch.ones(4))
    loss, metrics = policy_loss("ppo", *arguments, {**CLIP, "importance_cap": cap})
    loss.sum().backward()
    within = min(1.15, cap)
    torch.testing.assert_close(loss, torch.tensor([-min(1.2, cap), -within, 0.8, -0.5], dtype=torch.float64))
    torch.testing.assert_close(logprobs.grad, torch.tensor([0.0, -within, 0.0, -0.5], dtype=torch.float64))
    assert (float(metrics["clip_frac_low"]), float(metrics["clip_frac_high"])) == (0.25, 0.25)


@pytest.mark.parametrize("name", RATIO_LOSSES)
def test_a_cap_of_zero_is_no_cap(name: str) -> None:
    arguments = random_tokens((50,), seed=12, spread=2.0)
    without, zero = (policy_loss(name, *arguments, config)[0] for config in (CLIP, {**CLIP, "importance_cap": 0}))
    torch.testing.assert_close(without, zero, rtol=0, atol=0)


def test_ppo_and_cispo_start_from_their_own_bounds() -> None:
    for name, low, high in (("ppo", 0.8, 1.2), ("cispo", 1.0, 6.0)):
        arguments = random_tokens((50,), seed=13, spread=2.0)
        config = {"clip_low_threshold": low, "clip_high_threshold": high}
        default, named = (policy_loss(name, *arguments, c)[0] for c in ({}, config))
        torch.testing.assert_close(default, named, rtol=0, atol=0)


@pytest.mark.parametrize(
    "config",
    [
        {"clip_low_threshold": 1.1},
        {"clip_low_threshold": -0.2},
        {"clip_high_threshold": 0.2},
        {"clip_high_threshold": math.nan},
        {"importance_cap": 0.5},
        {"importance_cap": -1.0},
        {"clip_ratio": 0.2},
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(config: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="|".join(config) + "|clip bounds"):
        policy_loss("ppo", *random_tokens((3,), seed=0), config)


def test_an_unknown_loss_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'dpo'.*cispo"):
        policy_loss(cast(Any, "dpo"), *random_tokens((3,), seed=0), {})


def test_shapes_that_would_broadcast_are_refused() -> None:
    logprobs, old, _, mask = random_tokens((3, 4), seed=0)
    with pytest.raises(ValueError, match=r"one shape.*\(3, 1\)"):
        policy_loss("ppo", logprobs, old, torch.ones(3, 1), mask, {})
