"""Terms beside the policy loss: nearness to a reference policy, and a bonus for being undecided.

Both speak of the distributions that were sampled from, so temperature is already in the log-probabilities given.
A *table* holds the log-probabilities of every next token: shape (..., vocabulary), each row log-softmaxed.
"""

import torch
from torch import Tensor

from practicum.algorithms.losses import MAX_LOG_RATIO, k3


def kl_penalty(logprobs: Tensor, reference_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Penalty per token that pulls the policy to a reference: k3 of GRPO (arXiv 2402.03300, equation 4).

    exp(r) − r − 1 with r = log π_ref − log π_θ (Schulman, "Approximating KL divergence", 2020): never negative, and
    for tokens sampled from π_θ an unbiased estimate of KL(π_θ ‖ π_ref). The gradient flows through log π_θ only, as
    it does in GRPO; it is not weighed by the ratio to the sampler.

    Args:
        logprobs: log π_θ of each token, with gradient; nats.
        reference_logprobs: log π_ref of the same tokens.
        mask: True or 1 where a token is trained on.

    Returns:
        Same shape as given, 0 outside the mask.
    """
    difference = torch.where(mask.bool(), reference_logprobs.detach() - logprobs, 0.0)
    return k3(difference.clamp(max=MAX_LOG_RATIO))


def entropy(table: Tensor) -> Tensor:
    """Exact entropy of each next-token distribution, in nats: a table of shape (..., vocabulary) gives (...).

    ``entropy_coef`` times it is subtracted from the loss (Mnih et al., arXiv 1602.01783, section 4).
    """
    return -_expected(table, table)


def kl_divergence(table: Tensor, reference_table: Tensor) -> Tensor:
    """Exact KL(π_θ ‖ π_ref) of each next-token distribution, in nats: two tables (..., vocabulary) give (...).

    What ``kl_penalty`` estimates from one token. Enormous where the policy allows what the reference forbids.
    """
    return _expected(table, table) - _expected(table, reference_table)


def _expected(table: Tensor, values: Tensor) -> Tensor:
    """Σ p · value; the finite minimum for −inf keeps 0 · inf out of value and gradient."""
    return (table.exp() * values.clamp(min=torch.finfo(values.dtype).min)).sum(dim=-1)
