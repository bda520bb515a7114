"""A model whose logits are no numbers is neither sampled from nor trained: the error says so, and after which step."""

import asyncio
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.sampler import LocalSampler, draw
from practicum.engine.protocol import AdamParams, SamplingParams
from practicum.errors import ModelError, naming

VOCABULARIES = [512, 300, 7]


def caller(temperature=1.0, top_p=1.0):
    return SimpleNamespace(params=SamplingParams(temperature, top_p), random=np.random.default_rng(0))


@pytest.mark.parametrize("size", VOCABULARIES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.9), (0.0, 1.0)])
def test_a_row_of_logits_that_are_no_numbers_is_refused(size, value, everywhere, temperature, top_p):
    logits = torch.zeros(3, size)
    logits[1, slice(None) if everywhere else 4] = value
    with pytest.raises(ModelError, match="NaN or infinite") as failure:
        draw(logits, [caller(temperature, top_p) for _ in range(3)], version=12)
    assert "12 optimizer steps" in failure.value.where


def test_tokens_that_cannot_come_and_nothing_else_but_them_are_told_apart():
    logits = torch.full((1, 300), -math.inf)
    with pytest.raises(ModelError):
        draw(logits, [caller()])
    logits[0, 299] = 0.0
    assert draw(logits, [caller()]) == ([299], [0.0])


@pytest.mark.parametrize("size", VOCABULARIES)
def test_the_last_number_below_one_draws_the_last_token(size):
    last = SimpleNamespace(params=SamplingParams(), random=SimpleNamespace(random=lambda: math.nextafter(1.0, 0.0)))
    (token,), _ = draw(torch.zeros(1, size), [last])
    assert token == size - 1


def broken(policy):
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[5, 0] = math.nan
    policy.version = 3
    return policy


def test_the_sampler_says_after_which_step(tiny_policy):
    sampler = LocalSampler(broken(tiny_policy()))

    async def sample():
        return await asyncio.wait_for(sampler.sample("s", [5, 6, 7], SamplingParams(max_tokens=4), 0), 30)

    with pytest.raises(ModelError, match="after 3 optimizer steps"):
        asyncio.run(sample())


@pytest.mark.parametrize("loss", ["ppo", "cross_entropy"])
def test_the_learner_says_after_which_step_and_keeps_no_gradient(tiny_policy, random_data, loss):
    policy = tiny_policy()
    learner = LocalLearner(policy)
    data = random_data(0)
    learner.forward_backward(data, loss, {})
    sound = policy.model.get_output_embeddings().weight.detach().clone()
    broken(policy)
    with pytest.raises(ModelError, match="after 3 optimizer steps"):
        learner.forward_backward(data, loss, {})
    with torch.no_grad():
        policy.model.get_output_embeddings().weight.copy_(sound)
    before = learner.snapshot()
    assert learner.optim_step(AdamParams(1e-3))["grad_norm"] == 0.0
    assert all(torch.equal(before[name], weight) for name, weight in learner.snapshot().items())


def test_the_trainer_adds_its_own_step():
    with (
        pytest.raises(ModelError) as failure,
        naming("the gradient of step 4"),
    ):
        raise ModelError("no numbers", where="the weights after 9 optimizer steps", fix="go back")
    assert failure.value.where == "the gradient of step 4; the weights after 9 optimizer steps"
    assert (failure.value.what, failure.value.fix) == ("no numbers", "go back")
