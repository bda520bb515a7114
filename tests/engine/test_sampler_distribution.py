"""Sampled tokens follow the model's distribution: chi-square tests with fixed seeds."""

import asyncio

import numpy as np
import pytest
import torch
import transformers as tf
from scipy.stats import chisquare

from practicum.engine.local.attention import NAME, register
from practicum.engine.local.policy import Policy
from practicum.engine.local.sampler import LocalSampler
from practicum.engine.protocol import SamplingParams


def small_vocabulary_policy(size=7):
    register()
    torch.manual_seed(4)
    config = tf.LlamaConfig(
        vocab_size=size, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, initializer_range=0.5, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return Policy(tf.AutoModelForCausalLM.from_config(config, attn_implementation=NAME).eval(), None, None)


def drawn_counts(policy, params, n=4000):
    """How often each token follows one prompt, over sessions with seeds 0 to n − 1."""
    sampler = LocalSampler(policy)

    async def all_of_them():
        calls = (sampler.sample(f"s{seed}", [3, 4, 5], params, seed) for seed in range(n))
        return await asyncio.gather(*calls)

    samples = asyncio.run(all_of_them())
    vocabulary = policy.model.config.vocab_size
    return np.bincount([s.token_ids[0] for s in samples], minlength=vocabulary), samples


@pytest.mark.parametrize("temperature", [1.0, 0.5, 1.7])
def test_sampled_frequencies_are_those_of_the_tempered_softmax(plain_logits, temperature):
    policy = small_vocabulary_policy()
    with torch.no_grad():
        probs = torch.softmax(plain_logits(policy, [3, 4, 5])[-1].double() / temperature, 0).numpy()
    counts, _ = drawn_counts(policy, SamplingParams(temperature, max_tokens=1))
    assert chisquare(counts, probs / probs.sum() * counts.sum()).pvalue > 0.01
    uniform = np.full(len(probs), counts.sum() / len(probs))
    assert chisquare(counts, uniform).pvalue < 1e-6  # the test can tell


def test_frequencies_over_a_vocabulary_of_many_blocks(plain_logits):
    policy = small_vocabulary_policy(size=1000)
    with torch.no_grad():
        probs = torch.softmax(plain_logits(policy, [3, 4, 5])[-1].double(), 0).numpy()
    counts, _ = drawn_counts(policy, SamplingParams(max_tokens=1), n=6000)
    # Tokens of each residue class are spread over all blocks of the vocabulary.
    residues = np.arange(1000) % 9
    observed, expected = (np.bincount(residues, weights=x, minlength=9) for x in (counts, probs * 6000))
    assert chisquare(observed, expected / expected.sum() * observed.sum()).pvalue > 0.01
    blocks = np.arange(1000) // 256
    observed, expected = (np.bincount(blocks, weights=x, minlength=4) for x in (counts, probs * 6000))
    assert chisquare(observed, expected / expected.sum() * observed.sum()).pvalue > 0.01


@pytest.mark.parametrize("top_p", [0.0, 0.3, 0.8])
def test_top_p_keeps_the_smallest_set_that_reaches_it_and_reports_untruncated_logprobs(plain_logits, top_p):
    policy = small_vocabulary_policy()
    with torch.no_grad():
        probs = torch.softmax(plain_logits(policy, [3, 4, 5])[-1].double(), 0).numpy()
    order = np.argsort(-probs)
    size = max(1, int(np.searchsorted(np.cumsum(probs[order]), top_p)) + 1) if top_p else 1
    kept = np.zeros_like(probs)
    kept[order[:size]] = probs[order[:size]]
    assert 1 <= size < 7
    counts, samples = drawn_counts(policy, SamplingParams(top_p=top_p, max_tokens=1), n=2000)
    assert set(np.flatnonzero(counts)) == set(order[:size])
    if size > 1:
        assert chisquare(counts[order[:size]], kept[order[:size]] / kept.sum() * 2000).pvalue > 0.01
    for sample in samples[:20]:
        assert sample.logprobs[0] == pytest.approx(np.log(probs[sample.token_ids[0]]), abs=1e-4)
