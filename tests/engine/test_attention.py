"""Packed batches compute what plain Transformers computes sequence by sequence."""

import numpy as np
import pytest
import torch

from practicum.engine.local.attention import PackedRows
from practicum.errors import ModelError

FAMILIES = ["llama", "llama-untied", "qwen2", "qwen3", "gemma", "gemma3", "granite", "cohere"]


def packed_logits(policy, prefix, rows):
    """Logits of every flat token: the prefix's, then each row's."""
    flat = np.concatenate([prefix, *rows]).astype(np.int64)
    positions = np.concatenate([np.arange(len(prefix)), *(len(prefix) + np.arange(len(row)) for row in rows)])
    layout = PackedRows.build(len(prefix), [len(row) for row in rows], torch.device("cpu"))
    return policy.logits(policy.hidden(torch.as_tensor(flat), torch.as_tensor(positions), layout))


def batch(shared, lengths, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(3, 300, shared), [rng.integers(3, 300, length) for length in lengths]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shared", [0, 17], ids=["no-prefix", "prefix"])
def test_packed_logits_equal_separate_forward_passes(tiny_policy, plain_logits, family, shared):
    policy = tiny_policy(family)
    prefix, rows = batch(shared, [1, 9, 4, 23])
    with torch.no_grad():
        packed = packed_logits(policy, prefix, rows)
        start = shared
        for row in rows:
            alone = plain_logits(policy, np.concatenate([prefix, row]))
            torch.testing.assert_close(packed[start : start + len(row)], alone[shared:], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(packed[:shared], alone[:shared], atol=1e-5, rtol=1e-5)
            start += len(row)


@pytest.mark.parametrize("shared", [0, 17], ids=["no-prefix", "prefix"])
def test_packed_gradients_equal_those_of_separate_forward_passes(tiny_policy, plain_logits, shared):
    prefix, rows = batch(shared, [5, 12, 1, 8])
    weights = [torch.randn(len(row), 300, generator=torch.Generator().manual_seed(n)) for n, row in enumerate(rows)]

    packed = tiny_policy("llama")
    (packed_logits(packed, prefix, rows)[shared:] * torch.cat(weights)).sum().backward()
    plain = tiny_policy("llama")
    for row, weight in zip(rows, weights, strict=True):
        (plain_logits(plain, np.concatenate([prefix, row]))[shared:] * weight).sum().backward()

    expected = {name: p.grad for name, p in plain.model.named_parameters()}
    for name, parameter in packed.model.named_parameters():
        scale = expected[name].abs().max()
        torch.testing.assert_close(parameter.grad / scale, expected[name] / scale, atol=1e-5, rtol=0)


def test_a_row_does_not_see_the_other_rows(tiny_policy):
    policy = tiny_policy()
    prefix, (first, second) = batch(16, [6, 6])
    with torch.no_grad():
        before = packed_logits(policy, prefix, [first, second])[16:22]
        after = packed_logits(policy, prefix, [first, second[::-1].copy()])[16:22]
    assert torch.equal(before, after)


def test_a_soft_cap_on_the_attention_scores_is_refused_and_not_ignored(tiny_policy):
    prefix, rows = batch(0, [4])
    with pytest.raises(ModelError, match="softcap"):
        packed_logits(tiny_policy("gemma2"), prefix, rows)


def test_sequences_beyond_a_sliding_window_are_refused(tiny_policy):
    prefix, rows = batch(0, [257])
    with pytest.raises(ModelError, match="sliding window of 256"):
        packed_logits(tiny_policy("gemma3"), prefix, rows)


def test_calling_a_prepared_model_directly_is_a_clear_error(tiny_policy):
    with pytest.raises(ModelError, match="without a layout"):
        tiny_policy().model(torch.tensor([[3, 4, 5]]))
