"""Tiny randomly initialised models of several families, and plain Transformers forward passes to compare with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf

from practicum.algorithms.losses import TrainingSequence
from practicum.engine.local.attention import NAME, register
from practicum.engine.local.policy import Policy

VOCABULARY = 300

_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    # Large weights, so that a token's logits depend visibly on everything before it.
    "initializer_range": 0.15,
}

FAMILIES: dict[str, Callable[[], Any]] = {
    "llama": lambda: tf.LlamaConfig(**_SIZES, tie_word_embeddings=True),
    "llama-untied": lambda: tf.LlamaConfig(**_SIZES, tie_word_embeddings=False),
    "qwen2": lambda: tf.Qwen2Config(**_SIZES),
    "qwen3": lambda: tf.Qwen3Config(**_SIZES),
    "gemma": lambda: tf.GemmaConfig(**_SIZES),
    "gemma3": lambda: tf.Gemma3TextConfig(**_SIZES, sliding_window=256),
    "gemma2": lambda: tf.Gemma2Config(**_SIZES, sliding_window=256),
    "granite": lambda: tf.GraniteConfig(**_SIZES, logits_scaling=4.0),
    "cohere": lambda: tf.CohereConfig(**{k: v for k, v in _SIZES.items() if k != "head_dim"}),
}


class NoTokenizer:
    """These tests speak in token ids; exports only need something to save."""

    def save_pretrained(self, folder: Path) -> None:
        (Path(folder) / "tokenizer.json").write_text("{}")


@pytest.fixture
def tiny_policy(tmp_path: Path) -> Callable[..., Policy]:
    """``tiny_policy(family, dtype, seed)``: equal arguments, equal weights."""

    def make(family: str = "llama", dtype: torch.dtype = torch.float32, seed: int = 0) -> Policy:
        register()
        torch.manual_seed(seed)
        model = tf.AutoModelForCausalLM.from_config(FAMILIES[family](), attn_implementation=NAME)
        return Policy(model.to(dtype).eval(), NoTokenizer(), tmp_path / "base")

    return make


@pytest.fixture
def plain_logits() -> Callable[[Policy, Sequence[int]], torch.Tensor]:
    """Logits of one sequence, (T, vocabulary), by Transformers' own eager attention; differentiable."""

    def forward(policy: Policy, tokens: Sequence[int]) -> torch.Tensor:
        policy.model.set_attn_implementation("eager")
        try:
            return policy.model(torch.as_tensor(np.asarray(tokens))[None]).logits[0].float()
        finally:
            policy.model.set_attn_implementation(NAME)

    return forward


@pytest.fixture
def plain_logprobs(plain_logits: Any) -> Callable[..., torch.Tensor]:
    """Log-probability of every token but the first, given those before it."""

    def forward(policy: Policy, tokens: Sequence[int], temperature: float = 1.0) -> torch.Tensor:
        table = torch.log_softmax(plain_logits(policy, tokens)[:-1] / temperature, dim=-1)
        return table.gather(1, torch.as_tensor(np.asarray(tokens))[1:, None])[:, 0]

    return forward


@pytest.fixture
def random_data() -> Callable[..., list[TrainingSequence]]:
    """Sequences that share ``shared`` tokens and then differ, with two spans of trained tokens each."""

    def make(seed: int, rows: int = 5, shared: int = 20, temperature: float = 1.0) -> list[TrainingSequence]:
        rng = np.random.default_rng(seed)
        head = rng.integers(3, VOCABULARY, shared)
        data = []
        for _ in range(rows):
            tail = rng.integers(3, VOCABULARY, int(rng.integers(6, 30)))
            tokens = np.concatenate([head, tail])
            mask = np.zeros(len(tokens), dtype=np.int64)
            first = max(shared, 1) + int(rng.integers(0, 3))
            mask[first : first + 2] = 1
            mask[-2:] = 1
            logprobs = np.where(mask, rng.uniform(-8, -4, len(tokens)), 0.0).astype(np.float32)
            advantages = np.where(mask, rng.normal(size=len(tokens)), 0.0).astype(np.float32)
            data.append(TrainingSequence(tokens, mask, advantages, logprobs, temperature, float(rng.uniform(0.5, 2))))
        return data

    return make
