"""Losses per action token, with the names and definitions of Tinker's loss functions.

``ρ = exp(log π_θ − log π_sampler)`` throughout. Every function is elementwise: tensors may be flat (the
trained tokens of many sequences) or padded, as long as all have one shape. What ``mask`` leaves out
contributes neither loss nor gradient, whatever stands there. Aggregation over tokens is the caller's
(``sequences.aggregation_weights``).
"""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

LossName = Literal["cross_entropy", "importance_sampling", "ppo", "cispo"]

DEFAULT_CLIP = {"ppo": (0.8, 1.2), "cispo": (1.0, 6.0)}
"""Bounds on the ratio where the config names none."""

CONFIG_KEYS = frozenset({"clip_low_threshold", "clip_high_threshold", "importance_cap", "kl_coef", "entropy_coef"})
"""What a loss config may hold; ``kl_coef`` and ``entropy_coef`` are for whoever adds the terms of ``penalties``."""

MAX_LOG_RATIO = 60.0
"""Beyond e^60 a ratio says only that something is broken; bounding it keeps inf · 0 = NaN out of the step."""


def policy_loss(
    name: LossName,
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    config: Mapping[str, float],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of each token, and what it says about the step.

    Args:
        name: ``importance_sampling`` −ρA (arXiv 1205.4839); ``ppo`` −min(ρA, clamp(ρ, low, high)A) (arXiv 1707.06347);
            ``cispo`` −stop_grad(clamp(ρ, low, high)) · log π_θ · A (arXiv 2506.13585);
            ``cross_entropy`` −log π_θ, which reads neither sampler nor advantages.
        logprobs: log π_θ of each token, with gradient; nats.
        old_logprobs: log π_sampler of the same tokens.
        advantages: Advantage of each token.
        mask: True or 1 where a token is trained on.
        config: ``clip_low_threshold`` and ``clip_high_threshold`` (bounds on ρ), ``importance_cap`` (≥ 1;
            0 or absent for none): ρ weighs at most that much, and the token keeps its gradient.

    Returns:
        The losses, in the shape given and 0 outside the mask, and detached scalars over the mask:
        ``ratio_mean``; ``clip_frac_low`` and ``clip_frac_high``, the part of tokens whose loss a clip bound
        (for ``importance_sampling``: the cap) changed; ``sampler_kl`` and ``sampler_kl_k1``, estimates of
        KL(sampler ‖ π_θ) by k3 and k1; ``logprob_diff`` and ``logprob_diff_max``, mean and maximum of
        |log ρ|. For ``cross_entropy`` only ``nll``.

    Raises:
        ValueError: If the loss, a config key or a bound is not allowed, or the shapes differ.
    """
    _check(name, config, (logprobs, old_logprobs, advantages, mask))
    mask = mask.bool()
    logprobs = torch.where(mask, logprobs, 0.0)
    if name == "cross_entropy":
        return -logprobs, {"nll": _mean(-logprobs.detach(), mask)}

    log_ratio = logprobs - torch.where(mask, old_logprobs.detach(), 0.0)
    advantages = torch.where(mask, advantages.detach(), 0.0)
    ratio = torch.exp(log_ratio.clamp(max=MAX_LOG_RATIO))
    cap = config.get("importance_cap", 0.0)
    weight = _capped(ratio, cap)
    low, high = _bounds(name, config)
    match name:
        case "importance_sampling":
            loss = -weight * advantages
            clipped = (torch.zeros_like(mask), weight < ratio)
        case "ppo":
            clipped = ((ratio < low) & (advantages < 0), (ratio > high) & (advantages > 0))
            # Asked of ρ itself: a cap below the upper bound would hide from the minimum that the bound is passed.
            bound = _capped(ratio.detach().clamp(low, high), cap)
            loss = -torch.where(clipped[0] | clipped[1], bound, weight) * advantages
        case "cispo":
            loss = -weight.clamp(low, high).detach() * logprobs * advantages
            clipped = (ratio < low, ratio > high)
    return loss, _ratio_metrics(log_ratio.detach(), ratio.detach(), mask, clipped)


def _capped(ratio: Tensor, cap: float) -> Tensor:
    """min(ρ, cap) in value, with the gradient of min(ρ, cap) · log π_θ.

    Truncated importance sampling (Ionides, 2008; as in V-trace, arXiv 1802.01561).
    """
    if not cap:
        return ratio
    return ratio * (ratio.detach().clamp(max=cap) / ratio.detach().clamp(min=torch.finfo(ratio.dtype).tiny))


def _bounds(name: LossName, config: Mapping[str, float]) -> tuple[float, float]:
    low, high = DEFAULT_CLIP.get(name, (0.0, float("inf")))
    return config.get("clip_low_threshold", low), config.get("clip_high_threshold", high)


def _ratio_metrics(log_ratio: Tensor, ratio: Tensor, mask: Tensor, clipped: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {
        "ratio_mean": _mean(ratio, mask),
        "clip_frac_low": _mean(clipped[0].to(ratio.dtype), mask),
        "clip_frac_high": _mean(clipped[1].to(ratio.dtype), mask),
        "sampler_kl": _mean(k3(log_ratio.clamp(max=MAX_LOG_RATIO)), mask),
        "sampler_kl_k1": _mean(-log_ratio, mask),
        "logprob_diff": _mean(log_ratio.abs(), mask),
        "logprob_diff_max": log_ratio.abs().max() if log_ratio.numel() else log_ratio.new_zeros(()),
    }


def k3(log_ratio: Tensor) -> Tensor:
    """ρ − 1 − log ρ of log ρ, never negative (Schulman, "Approximating KL divergence", 2020)."""
    return torch.expm1(log_ratio) - log_ratio


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the mask; 0 where it is empty."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def _check(name: str, config: Mapping[str, float], tensors: tuple[Tensor, ...]) -> None:
    if name not in get_args(LossName):
        raise ValueError(f"unknown loss_fn {name!r}; allowed: {', '.join(get_args(LossName))}")
    if unknown := sorted(set(config) - CONFIG_KEYS):
        raise ValueError(f"unknown loss config {', '.join(unknown)}; allowed: {', '.join(sorted(CONFIG_KEYS))}")
    low, high = config.get("clip_low_threshold", 0.0), config.get("clip_high_threshold", float("inf"))
    if not 0.0 <= low <= 1.0 <= high:
        raise ValueError(f"clip bounds are ratios with 0 ≤ low ≤ 1 ≤ high (such as 0.8 and 1.2), got {low} and {high}")
    cap = config.get("importance_cap", 0.0)
    if not (cap == 0.0 or cap >= 1.0):
        raise ValueError(f"importance_cap must be at least 1, or 0 for none, got {cap}")
    if len({tensor.shape for tensor in tensors}) != 1:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise ValueError(f"logprobs, old_logprobs, advantages and mask must have one shape, got {shapes}")
