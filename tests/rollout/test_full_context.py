"""A conversation that fills the context: what is there is judged, and nothing is tried in vain."""

import asyncio
from dataclasses import replace

from practicum.engine.local.sampler import LocalSampler
from practicum.engine.protocol import SamplingParams
from practicum.environment import Environment, tool
from practicum.rollout.agents import BuiltinAgent
from practicum.rollout.dispatcher import Dispatcher, RolloutRequest
from practicum.tasks import Task

PARAMS = SamplingParams(temperature=0.9, top_p=0.95, max_tokens=64)
REQUEST = RolloutRequest("r0", "g0", Task("t0", "prompt 0"), seed=1000)


class Wordy(Environment):
    """A tool that says more than fits."""

    id, version = "wordy", "1"

    @tool
    def read(self):
        """everything"""
        return "word " * 3000

    def final_state(self):
        return {"read": True}


def test_a_result_that_fills_the_context_ends_the_rollout_which_is_judged_and_not_repeated(
    tiny_sampler, tokenizer, pythonic
):
    class Reading(LocalSampler):
        async def sample(self, session, prompt_ids, params, seed):
            sample = await super().sample(session, prompt_ids, params, seed)
            ids = tuple(tokenizer.encode("[read()]<|im_end|>", add_special_tokens=False))
            n = len(ids)
            return replace(sample, token_ids=ids, logprobs=(-1.0,) * n, versions=(0,) * n, finish_reason="stop")

    judged = []

    def judge(rollout):
        judged.append(rollout)
        return 0.25

    dispatcher = Dispatcher(
        Reading(tiny_sampler._policy, max_length=2048), pythonic, PARAMS, BuiltinAgent(Wordy), Wordy().ref, judge
    )
    (t,) = asyncio.run(dispatcher.run([REQUEST]))
    assert (t.ending, t.error, t.retries, t.rewards) == ("length", None, 0, (0.25,))
    assert ([call.name for call in t.tool_calls], len(t.turns)) == (["read"], 1)
    assert (judged[0].final_state, judged[0].ending) == ({"read": True}, "length")


def test_a_task_too_long_for_the_context_fails_once_and_is_not_repeated(tiny_sampler, pythonic):
    sampler = LocalSampler(tiny_sampler._policy, max_length=20)
    dispatcher = Dispatcher(sampler, pythonic, PARAMS, BuiltinAgent(Wordy), Wordy().ref, lambda rollout: 1.0)
    (t,) = asyncio.run(dispatcher.run([REQUEST]))
    assert (t.ending, t.retries) == ("error", 0)
    assert "leaves no room in max_sequence_length 20" in t.error
