"""SmolLM2 in bfloat16: sampler and learner speak of the same distribution, twice the same way."""

import asyncio

import numpy as np
import pytest
import torch

from practicum.algorithms.losses import TrainingSequence
from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.policy import Policy
from practicum.engine.local.sampler import LocalSampler
from practicum.engine.protocol import SamplingParams
from practicum.rollout.renderer import make_renderer
from practicum.rollout.session import Session


@pytest.fixture(scope="module")
def policy(smollm2):
    return Policy.load(smollm2, dtype=torch.bfloat16, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def exact_policy(smollm2):
    return Policy.load(smollm2, dtype=torch.float32, device=torch.device("cpu"))


def chats(policy, tokens=12):
    """Two turns of four conversations at temperature 1."""
    sampler = LocalSampler(policy)
    renderer = make_renderer(policy.tokenizer, "smollm2-135m")
    params = SamplingParams(max_tokens=tokens, stop_token_ids=(2,))

    async def one(number):
        session = Session(f"s{number}", sampler, renderer, params, seed=number)
        messages = [
            {"role": "system", "content": "You are a helpful assistant at a library. Answer briefly."},
            {"role": "user", "content": f"Name {number + 2} fruits."},
        ]
        with sampler.attached(session.id):
            answer = await session.chat(messages)
            await session.chat([*messages, answer.message, {"role": "user", "content": "And their colours?"}])
        return session.turns

    async def all_of_them():
        return await asyncio.gather(*map(one, range(4)))

    return asyncio.run(all_of_them())


def test_two_runs_sample_the_same_tokens_and_logprobs(policy):
    first, second = chats(policy, 6), chats(policy, 6)
    for turns, again in zip(first, second, strict=True):
        assert [(t.action_ids, t.logprobs) for t in turns] == [(t.action_ids, t.logprobs) for t in again]


def test_the_learner_gives_sampled_tokens_the_logprobs_the_sampler_reported(policy):
    data, reported = [], []
    for turns in chats(policy):
        tokens = [token for turn in turns for token in (*turn.context_ids, *turn.action_ids)]
        mask = [mark for turn in turns for mark in [0] * len(turn.context_ids) + [1] * len(turn.action_ids)]
        known = [x for turn in turns for x in [0.0] * len(turn.context_ids) + list(turn.logprobs)]
        data.append(TrainingSequence(np.array(tokens), np.array(mask), np.ones(len(tokens)), np.array(known)))
        reported += [x for turn in turns for x in turn.logprobs]
    learner = LocalLearner(policy, lora_rank=2)
    assert learner.evaluate(data) == pytest.approx(-np.mean(reported), abs=0.05)
    stats = learner.forward_backward(data, "importance_sampling", {})
    assert stats.tokens == len(reported)
    assert stats.metrics["logprob_diff"] < 0.1
    assert stats.metrics["ratio_mean"] == pytest.approx(1.0, abs=0.05)


def test_in_float32_they_agree_on_every_token_with_a_plain_forward_pass_too(exact_policy, plain_logprobs):
    for turns in chats(exact_policy):
        tokens = [token for turn in turns for token in (*turn.context_ids, *turn.action_ids)]
        with torch.no_grad():
            expected = plain_logprobs(exact_policy, tokens).tolist()
        at = 0
        for turn in turns:
            at += len(turn.context_ids)
            assert list(turn.logprobs) == pytest.approx(expected[at - 1 : at - 1 + len(turn.action_ids)], abs=1e-4)
            at += len(turn.action_ids)
        assert at == len(tokens)
