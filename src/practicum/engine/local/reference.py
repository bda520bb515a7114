"""The policy that ``kl_coef`` keeps the trained one near: what reinforcement started from, frozen.

That is the field's convention (the "initial policy" of RL, usually a supervised one): with a foothold, the model after
it; without one, the base model.
"""

import copy

import torch
from torch import Tensor

from practicum.engine.local.linear import PackedLinear
from practicum.engine.local.policy import Policy


def frozen_copy(policy: Policy, weights: dict[str, Tensor]) -> Policy:
    """A policy of its own trained weights that shares everything frozen with another.

    A LoRA reference costs one adapter; one for full fine-tuning one more copy of the weights that are trained, in the
    model's number format.

    Args:
        policy: The policy being trained; its parameters that require a gradient are copied, all others shared.
        weights: Values of those parameters by name, rounded into the model's number format.
    """
    shared = [p for p in policy.model.parameters() if not p.requires_grad]
    # Weights packed for the sampler belong to one layer: the copy computes with plain ones, as the learner does.
    packed = [layer for layer in policy.model.modules() if isinstance(layer, PackedLinear)]
    model = copy.deepcopy(policy.model, {id(p): p for p in shared} | {id(layer._packed): None for layer in packed})
    model.requires_grad_(False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in weights:
                parameter.copy_(weights[name])
    reference = Policy(model, policy.tokenizer, policy.folder)
    copies: list[torch.nn.Module] = [layer for layer in model.modules() if isinstance(layer, PackedLinear)]
    for layer in copies:
        layer.__class__ = torch.nn.Linear
    return reference
