"""Rollouts of one prompt share what is computed until their first token that differs."""

import asyncio

import numpy as np
import pytest
import torch

from practicum.engine.local.sampler import LocalSampler
from practicum.engine.protocol import SamplingParams

PROMPTS = [list(range(10, 45)), [*range(10, 30), *range(100, 130)], [7, 8, 9, 10]]
RESULT = [200, 201, 202]
"""What a tool says, to whoever calls it."""


async def play(sampler, number, params, *, turns=3, attached, pause=0.0):
    """A rollout of one of the prompts; all of them get the same results."""
    name, tokens, samples = f"s{number:02d}", list(PROMPTS[number % len(PROMPTS)]), []

    async def speak():
        nonlocal tokens
        for turn in range(turns):
            sample = await sampler.sample(name, tokens, params, seed=number)
            samples.append((list(tokens), sample))
            await asyncio.sleep(pause * (number % 4) * (turn + 1))
            tokens = [*tokens, *sample.token_ids, *RESULT]

    if attached:
        with sampler.attached(name):
            await speak()
    else:
        await speak()
        sampler.release(name)
    return samples


def rollouts(sampler, params, *, count=12, **how):
    async def all_of_them():
        return await asyncio.wait_for(asyncio.gather(*(play(sampler, n, params, **how) for n in range(count))), 60)

    return asyncio.run(all_of_them())


@pytest.mark.parametrize(("attached", "pause"), [(True, 0.0), (False, 0.0), (False, 0.01)])
@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_rollouts_that_share_and_part_report_the_logprobs_of_a_pass_from_scratch(
    tiny_policy, plain_logprobs, attached, pause, temperature
):
    policy = tiny_policy()
    params = SamplingParams(temperature, max_tokens=8, stop_token_ids=tuple(range(3, 60)))
    for samples in rollouts(LocalSampler(policy), params, attached=attached, pause=pause):
        for before, sample in samples:
            with torch.no_grad():
                table = plain_logprobs(policy, [*before, *sample.token_ids], temperature)
            assert sample.logprobs == pytest.approx(table[len(before) - 1 :].tolist(), abs=2e-4)


def test_what_rollouts_sample_alike_is_fed_once(tiny_policy):
    greedy = SamplingParams(temperature=0.0, max_tokens=5)
    alone, many = LocalSampler(tiny_policy()), LocalSampler(tiny_policy())
    one = rollouts(alone, greedy, count=1, attached=True)[0]
    twelve = rollouts(many, greedy, count=12, attached=True)
    for n in (0, 3, 6, 9):
        assert [sample.token_ids for _, sample in twelve[n]] == [sample.token_ids for _, sample in one]
    after_the_prompt = 3 * 5 + 2 * len(RESULT) - 1  # what was sampled last is fed to nobody
    assert alone.tokens_fed == len(PROMPTS[0]) + after_the_prompt
    assert many.tokens_fed == sum(map(len, PROMPTS)) + 3 * after_the_prompt
    assert many.tokens_sampled == 12 * 3 * 5


def test_whoever_pauses_finds_its_tokens_as_they_were_when_the_others_went_on(tiny_policy, plain_logprobs):
    policy = tiny_policy()
    sampler, params = LocalSampler(policy), SamplingParams(max_tokens=6)

    async def scene():
        first = await asyncio.gather(*(sampler.sample(f"s{n}", PROMPTS[0], params, 1) for n in range(3)))
        assert len({sample.token_ids for sample in first}) == 1  # one seed: the three share a row
        begun = [*PROMPTS[0], *first[0].token_ids]
        ahead = await sampler.sample("s1", [*begun, *RESULT], params, 1)
        rewritten = await sampler.sample("s2", [*PROMPTS[0][:20], 99, 98], params, 1)
        late = await sampler.sample("s0", [*begun, 250], params, 1)
        return [([*begun, *RESULT], ahead), ([*PROMPTS[0][:20], 99, 98], rewritten), ([*begun, 250], late)]

    for before, sample in asyncio.run(scene()):
        with torch.no_grad():
            table = plain_logprobs(policy, [*before, *sample.token_ids], 1.0)
        assert sample.logprobs == pytest.approx(table[len(before) - 1 :].tolist(), abs=2e-4)


def test_sharing_changes_nothing_that_is_drawn(tiny_policy):
    params = SamplingParams(max_tokens=8, stop_token_ids=tuple(range(3, 30)))
    together = rollouts(LocalSampler(tiny_policy()), params, attached=True)
    again = rollouts(LocalSampler(tiny_policy()), params, attached=True)
    assert together == again

    async def apart():
        return [await play(LocalSampler(tiny_policy()), n, params, attached=True) for n in range(12)]

    for shared, alone in zip(together, asyncio.run(apart()), strict=True):
        assert [s.token_ids for _, s in shared] == [s.token_ids for _, s in alone]
        for (_, one), (_, other) in zip(shared, alone, strict=True):
            np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)


def test_rollouts_that_ended_leave_no_rows_in_memory(tiny_policy):
    sampler = LocalSampler(tiny_policy())
    rollouts(sampler, SamplingParams(max_tokens=4), attached=True)
    assert sampler._lanes
    assert all(lane.keys(0).numel() == lane.values(0).numel() == 0 for lane in sampler._lanes)
