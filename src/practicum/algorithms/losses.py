"""From advantages to the loss of a batch: sequences of tokens, the weight of each, the loss of each token.

A plain tool loop is one sequence with its action tokens marked; a turn that rewrote history, or a sub-agent's first,
starts another, which later turns extend. Tokens are the ones sampled, in their order, and nothing is added.

Losses have the names and definitions of Tinker's loss functions; ``ρ = exp(log π_θ − log π_sampler)`` throughout. Every
function of tensors is elementwise: they may be flat (the trained tokens of many sequences) or padded, as long as all
have one shape. What ``mask`` leaves out contributes neither loss nor gradient, whatever stands there.

Nothing here imports PyTorch, only tensors' own methods are called: recipes, which take their names from here, are read
in programs that never compute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from practicum.trajectory import Trajectory, Turn

if TYPE_CHECKING:
    from torch import Tensor

Aggregation = Literal["token_mean", "sequence_mean", "constant"]

CROSS_ENTROPY = "cross_entropy"
"""The loss of demonstrations, which no recipe trains a policy by."""

CONFIG_KEYS = frozenset({"clip_low_threshold", "clip_high_threshold", "importance_cap", "kl_coef", "entropy_coef"})
"""What a loss config may hold; ``kl_coef`` and ``entropy_coef`` are for whoever adds ``kl_penalty`` and ``entropy``."""

MAX_LOG_RATIO = 60.0
"""Beyond e^60 a ratio says only that something is broken; bounding it keeps inf · 0 = NaN out of the step."""
UNBOUNDED = (0.0, float("inf"))
"""Every ratio lies between."""


@dataclass(frozen=True)
class TrainingSequence:
    """One sequence of T tokens; arrays have length T and speak of the token *at* that position."""

    tokens: np.ndarray
    """int64 token ids."""
    mask: np.ndarray
    """float32, 1 where the policy sampled the token and is trained on it."""
    advantages: np.ndarray
    """float32 advantage of the token's turn; 0 on context."""
    logprobs: np.ndarray
    """float32 log-probability under the sampler, nats; 0 on context."""
    temperature: float = 1.0
    """What the policy's log-probabilities are taken at."""
    weight: float = 1.0
    """Multiplies every token's loss of this sequence: how an aggregation is expressed (``aggregation_weights``)."""

    @property
    def n_action_tokens(self) -> int:
        """Number of tokens trained on."""
        return int(np.count_nonzero(self.mask))


def training_sequences(
    trajectory: Trajectory, advantages: Sequence[float] | np.ndarray, temperature: float = 1.0
) -> list[TrainingSequence]:
    """The sequences of one trajectory: one, and one more for each break that left something to train on.

    Sub-agents have sequences of their own: n turns of main agent and sub-agent in alternation are two sequences, and
    every token of both stands in them once.

    Args:
        trajectory: What was sampled.
        advantages: One per turn.
        temperature: What it was sampled at.

    Raises:
        ValueError: If there is not one advantage per turn, or a sequence begins with a sampled token, whose
            probability nothing in the sequence conditions.
    """
    if len(advantages) != len(trajectory.turns):
        raise ValueError(
            f"trajectory {trajectory.id} has {len(trajectory.turns)} turns but {len(advantages)} advantages"
        )
    runs = [[(trajectory.turns[n], float(advantages[n])) for n in members] for members in trajectory.sequences]
    return [_joined(trajectory.id, run, temperature) for run in runs if any(turn.action_ids for turn, _ in run)]


def _joined(trajectory_id: str, run: Sequence[tuple[Turn, float]], temperature: float) -> TrainingSequence:
    if not run[0][0].context_ids:
        raise ValueError(f"trajectory {trajectory_id}: a sequence begins with a sampled token; it needs a prompt")
    tokens: list[int] = []
    mask: list[float] = []
    advantages: list[float] = []
    logprobs: list[float] = []
    for turn, advantage in run:
        fed, sampled = len(turn.context_ids), len(turn.action_ids)
        tokens += [*turn.context_ids, *turn.action_ids]
        mask += [0.0] * fed + [1.0] * sampled
        advantages += [0.0] * fed + [advantage] * sampled
        logprobs += [0.0] * fed + list(turn.logprobs)
    return TrainingSequence(
        tokens=np.array(tokens, dtype=np.int64),
        mask=np.array(mask, dtype=np.float32),
        advantages=np.array(advantages, dtype=np.float32),
        logprobs=np.array(logprobs, dtype=np.float32),
        temperature=temperature,
    )


def aggregation_weights(
    sequences: Sequence[TrainingSequence],
    aggregation: str,
    *,
    length: float | None = None,
    trajectories: Sequence[Hashable] | None = None,
) -> np.ndarray:
    """Weight of each sequence such that Σ weight · (token loss) over the batch is its aggregate loss.

    What the papers call a sequence is a whole answer: here a trajectory, in however many sequences it was cut. With
    N trajectories, of which i sampled T_i tokens in all its sequences together, the weight of each token of i is

    - ``token_mean``: 1 / Σ_j T_j, every action token of the batch the same (DAPO, arXiv 2503.14476);
    - ``sequence_mean``: 1 / (N · T_i), the mean over a trajectory's tokens, then over trajectories (GRPO, arXiv
      2402.03300);
    - ``constant``: 1 / (N · ``length``), so that a long answer's tokens weigh no less than a short one's (Dr. GRPO,
      arXiv 2503.20783).

    Args:
        sequences: The whole batch, however it is cut into micro-batches later.
        aggregation: One of ``Aggregation``.
        length: For ``constant``: the divisor in tokens, such as the most a rollout may sample.
        trajectories: What tells the trajectory of each sequence, such as its id; None: each sequence is one.

    Returns:
        float64, shape (sequences,).

    Raises:
        ValueError: If ``aggregation`` is unknown, ``length`` is missing, not positive, or given without ``constant``,
            or there is not one trajectory for each sequence.
    """
    if aggregation not in get_args(Aggregation):
        raise ValueError(f"unknown loss_aggregation {aggregation!r}; allowed: {', '.join(get_args(Aggregation))}")
    if (aggregation == "constant") != (length is not None) or (length is not None and length <= 0):
        raise ValueError(f"length must be a positive number with 'constant' and absent otherwise, got {length}")
    owners = range(len(sequences)) if trajectories is None else trajectories
    tokens = Counter[Hashable]()
    for owner, sequence in zip(owners, sequences, strict=True):
        tokens[owner] += sequence.n_action_tokens
    if aggregation == "token_mean":
        return np.full(len(sequences), 1.0 / max(tokens.total(), 1))
    divisors = [float(max(tokens[owner], 1)) if length is None else float(length) for owner in owners]
    return 1.0 / (np.array(divisors) * max(len(tokens), 1))


@dataclass(frozen=True)
class Ratios:
    """What a policy loss is made of; tensors have one shape, and only ``logprobs``, ``ratio``, ``weight`` a gradient.

    Attributes:
        logprobs: log π_θ of each token.
        advantages: Its advantage.
        ratio: ρ.
        weight: ρ, at most ``cap`` in value where there is a cap, with its gradient.
        low, high: Bounds on ρ.
        cap: The ``importance_cap``; 0 for none.
    """

    logprobs: Tensor
    advantages: Tensor
    ratio: Tensor
    weight: Tensor
    low: float
    high: float
    cap: float


Clipped = tuple["Tensor", "Tensor"]
"""Where the loss was changed by the lower bound, and where by the upper one."""


def importance_sampling(part: Ratios) -> tuple[Tensor, Clipped]:
    """−ρA: arXiv 1205.4839. The cap alone may change it."""
    return -part.weight * part.advantages, (part.ratio < 0, part.weight < part.ratio)


def ppo(part: Ratios) -> tuple[Tensor, Clipped]:
    """−min(ρA, clamp(ρ, low, high)A): arXiv 1707.06347."""
    clipped = (
        (part.ratio < part.low) & (part.advantages < 0),
        (part.ratio > part.high) & (part.advantages > 0),
    )
    # Asked of ρ itself: a cap below the upper bound would hide from the minimum that the bound is passed.
    bound = _capped(part.ratio.detach().clamp(part.low, part.high), part.cap)
    return -bound.where(clipped[0] | clipped[1], part.weight) * part.advantages, clipped


def cispo(part: Ratios) -> tuple[Tensor, Clipped]:
    """−stop_grad(clamp(ρ, low, high)) · log π_θ · A: arXiv 2506.13585."""
    loss = -part.weight.clamp(part.low, part.high).detach() * part.logprobs * part.advantages
    return loss, (part.ratio < part.low, part.ratio > part.high)


@dataclass(frozen=True)
class PolicyLoss:
    """A row of ``LOSSES``."""

    of: Callable[[Ratios], tuple[Tensor, Clipped]]
    """The loss of each token, and where a bound changed it."""
    clip: tuple[float, float] | None = None
    """Bounds on the ratio where the config names none; None: there are none."""


LOSSES: dict[str, PolicyLoss] = {
    "importance_sampling": PolicyLoss(importance_sampling),
    "ppo": PolicyLoss(ppo, clip=(0.8, 1.2)),
    "cispo": PolicyLoss(cispo, clip=(1.0, 6.0)),
}
"""The names are what a recipe's ``loss_fn`` may be: a new loss is a function above and a row here."""


def policy_loss(
    name: str,
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    config: Mapping[str, float],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of each token, and what it says about the step.

    Args:
        name: A name of ``LOSSES``; or ``cross_entropy``, −log π_θ, which reads neither sampler nor advantages.
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
    logprobs = logprobs.masked_fill(~mask, 0.0)
    if name == CROSS_ENTROPY:
        return -logprobs, {"nll": _mean(-logprobs.detach(), mask)}

    log_ratio = logprobs - old_logprobs.detach().masked_fill(~mask, 0.0)
    ratio = log_ratio.clamp(max=MAX_LOG_RATIO).exp()
    cap, (low, high) = config.get("importance_cap", 0.0), LOSSES[name].clip or UNBOUNDED
    loss, clipped = LOSSES[name].of(
        Ratios(
            logprobs=logprobs,
            advantages=advantages.detach().masked_fill(~mask, 0.0),
            ratio=ratio,
            weight=_capped(ratio, cap),
            low=config.get("clip_low_threshold", low),
            high=config.get("clip_high_threshold", high),
            cap=cap,
        )
    )
    return loss, _ratio_metrics(log_ratio.detach(), ratio.detach(), mask, clipped)


def _capped(ratio: Tensor, cap: float) -> Tensor:
    """min(ρ, cap) in value, with the gradient of min(ρ, cap) · log π_θ.

    Truncated importance sampling (Ionides, 2008; as in V-trace, arXiv 1802.01561).
    """
    if not cap:
        return ratio
    import torch  # not at the top: recipes take the names of losses from here, and load without it

    tiny = torch.finfo(ratio.dtype).tiny
    return ratio * (ratio.detach().clamp(max=cap) / ratio.detach().clamp(min=tiny))


def _ratio_metrics(log_ratio: Tensor, ratio: Tensor, mask: Tensor, clipped: Clipped) -> dict[str, Tensor]:
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
    return log_ratio.expm1() - log_ratio


def kl_penalty(logprobs: Tensor, reference_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Penalty per token that pulls the policy to a reference: k3 of GRPO (arXiv 2402.03300, equation 4).

    exp(r) − r − 1 with r = log π_ref − log π_θ: never negative, and for tokens sampled from π_θ an unbiased estimate
    of KL(π_θ ‖ π_ref). The gradient flows through log π_θ only, as it does in GRPO; it is not weighed by the ratio to
    the sampler.

    Args:
        logprobs: log π_θ of each token, with gradient; nats. The distributions are those that were sampled from:
            temperature is already in them, here and below.
        reference_logprobs: log π_ref of the same tokens.
        mask: True or 1 where a token is trained on.

    Returns:
        Same shape as given, 0 outside the mask.
    """
    difference = (reference_logprobs.detach() - logprobs).masked_fill(~mask.bool(), 0.0)
    return k3(difference.clamp(max=MAX_LOG_RATIO))


def entropy(table: Tensor) -> Tensor:
    """Exact entropy of each next-token distribution, in nats: a table of shape (..., vocabulary) gives (...).

    A table holds the log-probabilities of every next token, each row log-softmaxed. ``entropy_coef`` times the entropy
    is subtracted from the loss (Mnih et al., arXiv 1602.01783, section 4).
    """
    return -_expected(table, table)


def kl_divergence(table: Tensor, reference_table: Tensor) -> Tensor:
    """Exact KL(π_θ ‖ π_ref) of each next-token distribution, in nats: two tables (..., vocabulary) give (...).

    What ``kl_penalty`` estimates from one token. Enormous where the policy allows what the reference forbids.
    """
    return _expected(table, table) - _expected(table, reference_table)


def _expected(table: Tensor, values: Tensor) -> Tensor:
    """Σ p · value; the finite minimum for −inf keeps 0 · inf out of value and gradient."""
    import torch

    return (table.exp() * values.clamp(min=torch.finfo(values.dtype).min)).sum(dim=-1)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the mask; 0 where it is empty."""
    return values.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)


def _check(name: str, config: Mapping[str, float], tensors: tuple[Tensor, ...]) -> None:
    if name != CROSS_ENTROPY and name not in LOSSES:
        raise ValueError(f"unknown loss_fn {name!r}; allowed: {', '.join([CROSS_ENTROPY, *LOSSES])}")
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
