"""Packed batches compute what plain Transformers computes sequence by sequence."""

import numpy as np
import pytest
import torch

from practicum.engine.local import attention
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


@pytest.mark.parametrize("at_once", [1, 40, 200, 2**22])
@pytest.mark.parametrize("shared", [0, 17], ids=["no-prefix", "prefix"])
def test_scores_in_blocks_of_rows_and_of_queries_give_the_same_logits_and_gradients(
    tiny_policy, monkeypatch, shared, at_once
):
    prefix, rows = batch(shared, [9, 40, 38, 12, 1])
    weight = torch.randn(100, 300, generator=torch.Generator().manual_seed(0))
    whole = tiny_policy("llama")
    expected = packed_logits(whole, prefix, rows)
    (expected[shared:] * weight).sum().backward()

    monkeypatch.setattr(attention, "SCORES_AT_ONCE", at_once)
    blocks = tiny_policy("llama")
    given = packed_logits(blocks, prefix, rows)
    (given[shared:] * weight).sum().backward()

    torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-5)
    other = dict(whole.model.named_parameters())
    for name, parameter in blocks.model.named_parameters():
        scale = other[name].grad.abs().max()
        torch.testing.assert_close(parameter.grad / scale, other[name].grad / scale, atol=1e-5, rtol=0)
    grids = PackedRows.build(shared, [len(row) for row in rows], torch.device("cpu")).grids
    assert all(grid.whole for grid in grids) is (at_once == 2**22)
    for grid in grids:
        assert min(grid.rows * grid.gather_RL.shape[1], grid.queries) * (shared + 1) <= max(at_once, shared + 1)


@pytest.mark.parametrize("lengths", [[5], [1, 1, 1], [100, 3, 90, 4, 1, 96], list(range(1, 80, 7)), [4000, 30, 31, 29]])
def test_every_token_has_its_place_in_one_grid_and_little_is_padding(lengths):
    layout = PackedRows.build(10, lengths, torch.device("cpu"))
    flat = torch.cat([grid.gather_RL.flatten()[grid.scatter_T] for grid in layout.grids])
    if layout.order_T is not None:
        flat = flat[layout.order_T]
    assert flat.tolist() == list(range(10, 10 + sum(lengths)))
    assert layout.longest == 10 + max(lengths)
    assert layout.padding <= 0.25 + 8 * len(lengths) / sum(lengths)
    cells = sum(grid.gather_RL.numel() for grid in layout.grids)
    assert layout.padding == pytest.approx(1 - sum(lengths) / cells)


def test_rows_of_like_length_stay_together():
    def grids(*lengths):
        return [len(grid.gather_RL) for grid in PackedRows.build(0, list(lengths), torch.device("cpu")).grids]

    assert grids(100, 90, 80, 76) == [4]
    assert grids(100, 20, 99, 21) == [2, 2]
    assert grids(9, 1, 2) == [3]  # nothing to gain


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
