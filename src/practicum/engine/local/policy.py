"""One set of weights, shared by the sampler and the learner, and the two calls both are made of."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from practicum.engine.local.attention import Layout
from practicum.engine.local.cache import Shape
from practicum.engine.local.linear import pack_linear_layers
from practicum.engine.local.memory import keep_freed_memory
from practicum.engine.local.models import load_tokenizer, load_weights


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

    def hidden(self, tokens: Sequence[int] | Tensor, positions: Tensor, layout: Layout) -> Tensor:
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
