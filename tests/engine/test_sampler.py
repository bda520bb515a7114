"""The continuous-batching sampler against plain forward passes, one sequence at a time."""

import asyncio
import copy
import time

import numpy as np
import pytest
import torch

from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.sampler import LocalSampler
from practicum.engine.protocol import AdamParams, SamplingParams
from practicum.errors import RolloutError

SYSTEM = list(range(10, 45))
"""What the rollouts of one environment begin with."""


def prompt(number, length=None):
    rng = np.random.default_rng(number)
    return SYSTEM + rng.integers(3, 300, length or 2 + number % 5).tolist()


async def play(sampler, number, *, params, turns=3, attached=True, start=None, think=0.0):
    """A rollout of several turns; its prompts grow by what was sampled and by new tokens."""
    name, tokens, samples = f"s{number}", list(start or prompt(number)), []
    rng = np.random.default_rng(100 + number)

    async def speak():
        nonlocal tokens
        for _ in range(turns):
            sample = await sampler.sample(name, tokens, params, seed=number)
            samples.append((list(tokens), sample))
            if think:
                await asyncio.sleep(think)
            tokens = tokens + list(sample.token_ids) + rng.integers(3, 300, 1 + int(rng.integers(9))).tolist()

    if attached:
        with sampler.attached(name):
            await speak()
    else:
        await speak()
        sampler.release(name)
    return samples


def rollouts(sampler, numbers, **how):
    async def all_of_them():
        return await asyncio.wait_for(asyncio.gather(*(play(sampler, n, **how) for n in numbers)), 30)

    return dict(zip(numbers, asyncio.run(all_of_them()), strict=True))


def assert_reported_logprobs_are_those_of(policy, samples, plain_logprobs, temperature=1.0, tolerance=1e-4):
    with torch.no_grad():
        for before, sample in samples:
            table = plain_logprobs(policy, [*before, *sample.token_ids], temperature)
            expected = table[len(before) - 1 :].tolist()
            assert sample.logprobs == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("attached", [True, False], ids=["in-process", "executor"])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_reported_logprobs_equal_a_forward_pass_from_scratch(
    tiny_policy, plain_logprobs, family, temperature, attached
):
    policy = tiny_policy(family)
    params = SamplingParams(temperature, max_tokens=12, stop_token_ids=tuple(range(3, 25)))
    played = rollouts(LocalSampler(policy), range(9), params=params, attached=attached)
    lengths = {len(sample.token_ids) for samples in played.values() for _, sample in samples}
    assert len(lengths) > 3  # rows of different lengths shared their steps
    for samples in played.values():
        assert_reported_logprobs_are_those_of(policy, samples, plain_logprobs, temperature)


def test_unrelated_prompts_and_several_lanes_at_once(tiny_policy, plain_logprobs):
    policy = tiny_policy()
    sampler = LocalSampler(policy)
    openings = [SYSTEM, list(range(200, 240)), [5, 6, 7], list(range(60, 90)), list(range(90, 120)), [9]]
    params = SamplingParams(max_tokens=6)

    async def waves():
        played = []
        for wave in range(3):  # each wave finds the lanes of the one before
            both = [[*opening, 40 + wave, 50 + copy, 9] for opening in openings for copy in range(2)][wave:]
            calls = (play(sampler, 20 * wave + n, params=params, start=start, turns=2) for n, start in enumerate(both))
            played += await asyncio.gather(*calls)
        return played

    for samples in asyncio.run(waves()):
        assert_reported_logprobs_are_those_of(policy, samples, plain_logprobs)


def test_what_rollouts_share_is_computed_once_and_turns_feed_only_what_is_new(tiny_policy):
    sampler = LocalSampler(tiny_policy())
    samples = rollouts(sampler, range(8), params=SamplingParams(max_tokens=5), turns=2)
    new = 0
    for (first, one), (second, two) in samples.values():
        new += len(first) - len(SYSTEM) + len(one.token_ids) - 1
        new += len(second) - len(first) - len(one.token_ids) + 1 + len(two.token_ids) - 1
    assert sampler.tokens_fed == len(SYSTEM) + new
    assert sampler.tokens_sampled == 8 * 2 * 5


def test_greedy_sampling_is_argmax_decoding(tiny_policy, plain_logits):
    policy = tiny_policy()
    params = SamplingParams(temperature=0.0, max_tokens=10)
    for samples in rollouts(LocalSampler(policy), range(5), params=params, turns=2).values():
        for before, sample in samples:
            tokens = list(before)
            for token, logprob in zip(sample.token_ids, sample.logprobs, strict=True):
                with torch.no_grad():
                    last = plain_logits(policy, tokens)[-1]
                assert token == int(last.argmax())
                assert logprob == pytest.approx(float(torch.log_softmax(last, 0).max()), abs=1e-4)
                tokens.append(token)


def test_the_same_seeds_give_the_same_bits(tiny_policy):
    params = SamplingParams(max_tokens=12, stop_token_ids=tuple(range(3, 25)))
    first, second = (rollouts(LocalSampler(tiny_policy()), range(8), params=params) for _ in range(2))
    assert first == second
    other = rollouts(LocalSampler(tiny_policy(seed=1)), range(8), params=params)
    assert other != first


def test_a_rollouts_tokens_do_not_depend_on_its_neighbours_or_their_order(tiny_policy):
    params = SamplingParams(max_tokens=12, stop_token_ids=tuple(range(3, 25)))

    def tokens(numbers, attached=True):
        played = rollouts(LocalSampler(tiny_policy()), numbers, params=params, attached=attached)
        return {n: [sample.token_ids for _, sample in samples] for n, samples in played.items()}

    together = tokens(range(6))
    assert tokens([5, 2, 0, 4, 1, 3]) == together
    assert tokens([3]) == {3: together[3]}
    assert tokens(range(6), attached=False) == together
    assert len({str(value) for value in together.values()}) == 6


def test_the_session_goes_on_with_its_random_numbers_over_its_turns(tiny_policy):
    async def twice(release):
        sampler = LocalSampler(tiny_policy())
        one = await sampler.sample("s", prompt(1), SamplingParams(max_tokens=20), 7)
        if release:
            sampler.release("s")
        return one, await sampler.sample("s", prompt(1), SamplingParams(max_tokens=20), 7)

    going_on, released = asyncio.run(twice(False)), asyncio.run(twice(True))
    assert going_on[0] != going_on[1]
    assert released[0].token_ids == released[1].token_ids == going_on[0].token_ids


def test_requests_of_different_settings_share_a_step(tiny_policy):
    settings = [
        SamplingParams(0.0, max_tokens=8),
        SamplingParams(1.0, max_tokens=8),
        SamplingParams(0.5, top_p=0.5, max_tokens=3),
        SamplingParams(1.0, top_p=0.9, max_tokens=8),
    ]

    def tokens(which):
        sampler = LocalSampler(tiny_policy())

        async def run():
            return await asyncio.gather(*(sampler.sample(f"s{i}", prompt(i), settings[i], i) for i in which))

        return [sample.token_ids for sample in asyncio.run(run())]

    assert tokens(range(4)) == [tokens([i])[0] for i in range(4)]


def test_generation_ends_at_a_stop_token_or_at_the_limit(tiny_policy):
    async def run():
        sampler = LocalSampler(tiny_policy())
        free = await sampler.sample("a", prompt(0), SamplingParams(0.0, max_tokens=9), 0)
        stop = free.token_ids[4]
        first = free.token_ids.index(stop)
        cut = await sampler.sample("b", prompt(0), SamplingParams(0.0, max_tokens=9, stop_token_ids=(stop,)), 0)
        room = LocalSampler(tiny_policy(), max_length=len(prompt(0)) + 3)
        return free, cut, first, await room.sample("c", prompt(0), SamplingParams(0.0, max_tokens=9), 0)

    free, cut, first, squeezed = asyncio.run(run())
    assert (free.finish_reason, len(free.token_ids)) == ("length", 9)
    assert (cut.finish_reason, cut.token_ids) == ("stop", free.token_ids[: first + 1])
    assert (squeezed.finish_reason, squeezed.token_ids) == ("length", free.token_ids[:3])


def test_history_that_does_not_extend_the_last_turn(tiny_policy, plain_logprobs):
    policy = tiny_policy()
    sampler = LocalSampler(policy)
    params = SamplingParams(max_tokens=5)

    async def run():
        long = prompt(1, 30)
        prompts = [
            long,
            [*long[:50], 7, 8, 9],  # rewritten near its end
            long[:40],  # cut short
            [*SYSTEM[:20], 9, 9, 9],  # rewritten within what the lane shares
            SYSTEM,  # exactly the lane's prefix
            long,  # and back again
            [4, 5],
        ]
        neighbour = [await sampler.sample(f"n{i}", prompt(i), params, i) for i in range(3)]
        samples = [(p, await sampler.sample("s", p, params, 1)) for p in prompts]
        again = [await sampler.sample(f"n{i}", prompt(i), params, i) for i in range(3)]
        return samples, [(prompt(i), s) for i, s in enumerate((*neighbour, *again)) if i < 3]

    samples, neighbours = asyncio.run(run())
    assert_reported_logprobs_are_those_of(policy, samples + neighbours, plain_logprobs)


def test_after_a_step_of_the_learner_the_new_weights_are_sampled_and_stamped(tiny_policy, plain_logprobs, random_data):
    policy = tiny_policy()
    sampler, learner = LocalSampler(policy), LocalLearner(policy)

    async def run():
        params = SamplingParams(max_tokens=6)
        before = await sampler.sample("s", prompt(1), params, 1)
        learner.forward_backward(random_data(0), "cross_entropy", {})
        learner.optim_step(AdamParams(1e-2))
        sampler.weights_changed()
        longer = prompt(1) + list(before.token_ids) + [5, 6]
        return before, longer, await sampler.sample("s", longer, params, 1)

    before, longer, after = asyncio.run(run())
    assert set(before.versions) == {0}
    assert set(after.versions) == {1}
    assert sampler.version == 1
    assert_reported_logprobs_are_those_of(policy, [(longer, after)], plain_logprobs)


def test_weights_that_change_between_two_tokens_are_told_apart_token_by_token(tiny_policy, plain_logprobs, random_data):
    policy = tiny_policy()
    sampler, learner = LocalSampler(policy), LocalLearner(policy)
    weights = {0: copy.deepcopy(policy.model.state_dict())}

    def learn():
        # In a thread of its own, beside the sampler: as asynchronous training does.
        learner.forward_backward(random_data(len(weights)), "cross_entropy", {})
        learner.optim_step(AdamParams(1e-2))
        weights[policy.version] = copy.deepcopy(policy.model.state_dict())

    async def run():
        over = asyncio.Event()

        async def learning():
            while not over.is_set():
                await asyncio.to_thread(learn)
                await asyncio.sleep(0.005)

        updates = asyncio.create_task(learning())
        params = SamplingParams(max_tokens=12)
        played = await asyncio.gather(*(play(sampler, n, params=params, attached=False, think=0.01) for n in range(5)))
        over.set()
        await updates
        return [each for samples in played for each in samples]

    samples = asyncio.run(asyncio.wait_for(run(), 60))

    assert max(len(set(sample.versions)) for _, sample in samples) > 1  # within a turn too
    for before, sample in samples:
        assert list(sample.versions) == sorted(sample.versions)
        for version in set(sample.versions):
            policy.model.load_state_dict(weights[version])
            with torch.no_grad():
                expected = plain_logprobs(policy, [*before, *sample.token_ids])[len(before) - 1 :].tolist()
            for told, known, stamped in zip(sample.logprobs, expected, sample.versions, strict=True):
                if stamped == version:
                    assert told == pytest.approx(known, abs=1e-4)


def test_a_prompt_without_room_or_without_tokens_is_refused(tiny_policy):
    sampler = LocalSampler(tiny_policy(), max_length=40)

    async def ask(tokens):
        return await sampler.sample("s", tokens, SamplingParams(), 0)

    with pytest.raises(RolloutError, match="max_sequence_length 40"):
        asyncio.run(ask(list(range(40))))
    with pytest.raises(RolloutError, match="0 tokens"):
        asyncio.run(ask([]))
    assert len(asyncio.run(ask(list(range(39)))).token_ids) == 1


def test_a_second_call_of_a_session_under_way_is_refused_and_the_first_goes_on(tiny_policy):
    async def run():
        sampler = LocalSampler(tiny_policy())
        params = SamplingParams(max_tokens=5)
        first = asyncio.ensure_future(sampler.sample("s", prompt(1), params, 1))
        await asyncio.sleep(0)
        with pytest.raises(RolloutError, match="already has a model call under way"):
            await sampler.sample("s", prompt(1), params, 1)
        return await first

    assert len(asyncio.run(run()).token_ids) == 5


def test_one_sampler_serves_one_event_loop_after_another(tiny_policy):
    sampler = LocalSampler(tiny_policy())
    # Turns of different lengths and agents that take their time: the sampler has to wait for them.
    params = SamplingParams(max_tokens=12, stop_token_ids=tuple(range(3, 25)))
    how = {"params": params, "think": 0.002}
    first = rollouts(sampler, range(4), **how)
    assert rollouts(sampler, range(4), **how) == first


def test_rollouts_in_process_and_over_http_at_the_same_time(tiny_policy, plain_logprobs):
    policy = tiny_policy()
    sampler = LocalSampler(policy)
    params = SamplingParams(max_tokens=12, stop_token_ids=tuple(range(3, 25)))

    async def run():
        calls = [play(sampler, n, params=params, attached=n % 2 == 0) for n in range(10)]
        return await asyncio.wait_for(asyncio.gather(*calls), 30)

    for samples in asyncio.run(run()):
        assert_reported_logprobs_are_those_of(policy, samples, plain_logprobs)


@pytest.mark.parametrize("attached", [True, False], ids=["in-process", "executor"])
def test_an_agent_that_fails_does_not_hold_up_the_others(tiny_policy, plain_logprobs, attached):
    policy = tiny_policy()
    sampler = LocalSampler(policy)
    params = SamplingParams(max_tokens=8)

    async def failing():
        with sampler.attached("bad"):
            await sampler.sample("bad", prompt(50), params, 0)
            raise KeyError("the agent's own mistake")

    async def run():
        others = [play(sampler, n, params=params, attached=attached) for n in range(4)]
        return await asyncio.wait_for(asyncio.gather(failing(), *others, return_exceptions=True), 30)

    bad, *others = asyncio.run(run())
    assert isinstance(bad, KeyError)
    for samples in others:
        assert [len(sample.token_ids) for _, sample in samples] == [8] * 3
        assert_reported_logprobs_are_those_of(policy, samples, plain_logprobs)


@pytest.mark.parametrize("attached", [True, False], ids=["in-process", "executor"])
def test_cancelled_rollouts_neither_hang_nor_harm_the_others(tiny_policy, plain_logprobs, attached):
    """Rows are given up in the middle of their tokens, again and again, while others go on."""
    policy = tiny_policy()
    sampler = LocalSampler(policy)
    long, short = SamplingParams(max_tokens=400), SamplingParams(max_tokens=25)

    async def impatient(number):
        for attempt in range(4):
            try:
                async with asyncio.timeout(0.01 + 0.004 * number):
                    await play(sampler, number, params=long, attached=attached)
            except TimeoutError:
                sampler.release(f"s{number}")
            else:
                raise AssertionError(f"attempt {attempt} was not cut off")

    async def run():
        others = [play(sampler, n, params=short, attached=attached) for n in range(20, 25)]
        done = await asyncio.wait_for(asyncio.gather(*others, *(impatient(n) for n in range(5))), 30)
        return done[:5]

    for samples in asyncio.run(run()):
        assert [len(sample.token_ids) for _, sample in samples] == [25] * 3
        assert_reported_logprobs_are_those_of(policy, samples, plain_logprobs)


def slowed(policy, seconds, monkeypatch):
    """The same policy, its forward pass taking so long that other things happen beside it."""
    hidden = policy.hidden

    def slow(*arguments):
        time.sleep(seconds)
        return hidden(*arguments)

    monkeypatch.setattr(policy, "hidden", slow)
    return policy


def test_a_session_cancelled_and_asked_again_at_once_is_answered(tiny_policy, plain_logprobs, monkeypatch):
    """The old request's step still runs beside the loop while the new request stands in line."""
    policy = slowed(tiny_policy(), 0.03, monkeypatch)
    sampler = LocalSampler(policy)

    async def run():
        bystander = asyncio.ensure_future(play(sampler, 9, params=SamplingParams(max_tokens=4), attached=False))
        call = asyncio.ensure_future(sampler.sample("s", prompt(1), SamplingParams(max_tokens=1), 1))
        await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.sleep(0)
        sampler.release("s")
        again = await asyncio.wait_for(sampler.sample("s", prompt(2), SamplingParams(max_tokens=6), 2), 10)
        return await bystander, again

    bystander, again = asyncio.run(run())
    assert_reported_logprobs_are_those_of(policy, [*bystander, (prompt(2), again)], plain_logprobs)


def test_weights_that_change_beside_a_running_step_drop_the_cache_after_it(tiny_policy, monkeypatch):
    sampler = LocalSampler(slowed(tiny_policy(), 0.005, monkeypatch))
    params = SamplingParams(max_tokens=20)

    async def run():
        calls = [asyncio.ensure_future(sampler.sample(f"s{n}", prompt(n), params, n)) for n in range(4)]
        while not all(call.done() for call in calls):
            sampler.weights_changed()
            await asyncio.sleep(0.001)
        return [await call for call in calls]

    undisturbed = rollouts(LocalSampler(tiny_policy()), range(4), params=params, turns=1)
    expected = [samples[0][1].token_ids for samples in undisturbed.values()]
    assert [sample.token_ids for sample in asyncio.run(run())] == expected


def test_a_step_that_fails_fails_its_requests_and_the_sampler_goes_on(tiny_policy):
    """A token beyond the vocabulary makes the embedding fail within the step."""
    sampler = LocalSampler(tiny_policy())
    params = SamplingParams(max_tokens=4)

    async def run():
        bad = [sampler.sample(f"b{n}", [*SYSTEM, 100_000 + n], params, 0) for n in range(3)]
        failures = await asyncio.wait_for(asyncio.gather(*bad, return_exceptions=True), 30)
        for n in range(3):
            sampler.release(f"b{n}")
        return failures, await asyncio.wait_for(sampler.sample("good", prompt(1), params, 1), 30)

    failures, good = asyncio.run(run())
    assert all(isinstance(failure, IndexError) for failure in failures)
    assert len(good.token_ids) == 4
