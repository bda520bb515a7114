"""One set of weights, shared by the sampler and the learner, and the two calls both are made of.

On a CPU its linear layers keep their weights in the order that the matrix kernels read them; and a copy of it, frozen,
is what the trained policy is kept near.
"""

import copy
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from practicum.engine.local.attention import AttentionLayout
from practicum.engine.local.cache import Shape
from practicum.engine.local.hardware import keep_freed_memory
from practicum.engine.local.models import load_tokenizer, load_weights

ROWS = 64
"""Rows of activations for which oneDNN chooses the order of packed weights; others are computed in it as well."""


class Policy:
    """A causal language model on one device.

    ``version`` counts optimizer steps; every sampled token is stamped with it.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Any, folder: Path) -> None:
        self.model, self.tokenizer, self.folder = model, tokenizer, folder
        pack_linear_layers(model)
        self.version = 0
        self.lock = threading.RLock()
        """Held while tokens are sampled and while weights are replaced: never both at once."""
        config = model.config.get_text_config()
        heads = config.num_attention_heads
        self.shape = Shape(
            layers=config.num_hidden_layers,
            kv_heads=getattr(config, "num_key_value_heads", None) or heads,
            head_size=getattr(config, "head_dim", None) or config.hidden_size // heads,
            device=model.device,
        )
        # What some families do to logits after the head: Cohere multiplies, Granite divides, Gemma 2 caps.
        self._scale: float = getattr(config, "logit_scale", None) or 1 / (
            getattr(config, "logits_scaling", None) or 1.0
        )
        self._softcap: float | None = getattr(config, "final_logit_softcapping", None)

    @classmethod
    def load(cls, folder: Path, *, dtype: torch.dtype, device: torch.device) -> "Policy":
        """Read weights and tokenizer from a Hugging Face folder."""
        keep_freed_memory()
        return cls(load_weights(folder, dtype, device), load_tokenizer(folder), folder)

    @property
    def body(self) -> torch.nn.Module:
        """The model without its language-model head."""
        base: torch.nn.Module = self.model.base_model
        return base

    def hidden(self, tokens: Sequence[int] | Tensor, positions: Tensor, layout: AttentionLayout) -> Tensor:
        """Last hidden states of a flat batch, shape (T, width)."""
        ids = torch.as_tensor(tokens, device=self.shape.device)[None]
        out = self.body(input_ids=ids, position_ids=positions[None], use_cache=False, practicum_layout=layout)
        states: Tensor = out.last_hidden_state[0]
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """Float32 logits of (N, width) hidden states, shape (N, vocabulary)."""
        head = self.model.get_output_embeddings()
        logits: Tensor = head(hidden).float()
        if self._scale != 1.0:
            logits = logits * self._scale
        if self._softcap is not None:
            logits = torch.tanh(logits / self._softcap) * self._softcap
        return logits


def frozen_copy(policy: Policy, weights: dict[str, Tensor]) -> Policy:
    """A policy of its own trained weights that shares everything frozen with another: the one that ``kl_coef`` keeps it
    near.

    That is what reinforcement started from, as is the field's convention (the "initial policy" of RL, usually a
    supervised one): with a foothold, the model after it; without one, the base model.

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


class PackedLinear(torch.nn.Linear):
    """A linear layer whose products outside of autograd use a packed copy, renewed when the weights have changed.

    Sampling multiplies the same weights by a few rows, thousands of times between two optimizer steps; oneDNN otherwise
    brings the weights into its own order in every single product. Keeping that copy costs the weights' memory once more
    and saves about a tenth of a rollout's time (more, the fewer rows). Gradients are computed with the plain weights.
    """

    _packed: Tensor | None = None
    _made_of: tuple[int, int] | None = None

    def forward(self, input: Tensor) -> Tensor:
        """See ``torch.nn.Linear``."""
        if torch.is_grad_enabled() or not input.numel():
            return super().forward(input)
        # Every in-place change counts a tensor's version up; another tensor put in its place has another address.
        weights = (self.weight.data_ptr(), self.weight._version)
        if self._packed is None or self._made_of != weights:
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), ROWS)
            self._made_of = weights
        out: Tensor = torch.ops.mkldnn._linear_pointwise(input, self._packed, self.bias, "none", [], "")
        return out


def pack_linear_layers(model: torch.nn.Module) -> int:
    """Let a bfloat16 model's linear layers on a CPU keep packed weights; returns how many do.

    None do where this PyTorch has no oneDNN, or the processor no bfloat16 arithmetic.
    """
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return 0
    layers = [
        module
        for module in model.modules()
        if type(module) is torch.nn.Linear
        and module.weight.device.type == "cpu"
        and module.weight.dtype == torch.bfloat16
    ]
    for layer in layers:
        layer.__class__ = PackedLinear
    return len(layers)
