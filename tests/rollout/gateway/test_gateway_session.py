"""The whole path of an agent's call, token for token: client, server, session, renderer; only the policy is a
script of texts."""

import asyncio
import json
from itertools import pairwise

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from practicum.engine.protocol import Sample, SamplingParams
from practicum.rollout.renderer import make_renderer
from practicum.rollout.session import Session

TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Find a ticket",
        "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
    },
}
ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What about T-7? 🎓"}]


def byte_tokenizer():
    """One token a byte, and the two of ChatML."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({letter: n for n, letter in enumerate(letters)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return tokenizer


TOKENIZER = byte_tokenizer()
END = TOKENIZER.convert_tokens_to_ids("<|im_end|>")


class Script:
    """A policy that says its lines in order (the last one for ever) and keeps every prompt."""

    version = 3

    def __init__(self, lines):
        self.lines, self.prompts, self.params = lines, [], []

    async def sample(self, _session, prompt_ids, params, _seed):
        line = self.lines[min(len(self.prompts), len(self.lines) - 1)]
        self.prompts.append(list(prompt_ids))
        self.params.append(params)
        await asyncio.sleep(0)
        ids = [*TOKENIZER.encode(line, add_special_tokens=False), END]
        stop = "stop" if len(ids) <= params.max_tokens else "length"
        ids = tuple(ids[: params.max_tokens])
        return Sample(ids, tuple(-0.25 for _ in ids), tuple(self.version for _ in ids), stop)

    def release(self, _session):
        """Nothing is kept."""


def serve(gateway, trajectory, *lines, tool_format="hermes", max_tokens=256):
    policy = Script(lines)
    renderer = make_renderer(TOKENIZER, "script", tool_format)
    session = Session(trajectory, policy, renderer, SamplingParams(max_tokens=max_tokens), seed=1)

    async def register():
        gateway.registry.open(trajectory, session)

    gateway.run(register())
    client = openai.OpenAI(
        base_url=f"{gateway.url}/rollouts/{trajectory}/v1", api_key="none", max_retries=0, timeout=10
    )
    return policy, session, client


def call_line(ticket):
    call = json.dumps({"name": "lookup", "arguments": {"id": ticket}})
    return f"<tool_call>\n{call}\n</tool_call>"


def tool_loop(client, *, stream):
    """What an agent's author writes: call tools until the model answers."""
    messages = list(ASK)
    while True:
        if stream:
            with client.chat.completions.stream(model="default", messages=messages, tools=[TOOL]) as events:
                message = events.get_final_completion().choices[0].message
        else:
            answer = client.chat.completions.create(model="default", messages=messages, tools=[TOOL])
            message = answer.choices[0].message
        messages.append(message.model_dump())
        if not message.tool_calls:
            return messages
        for call in message.tool_calls:
            ticket = json.loads(call.function.arguments)["id"]
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{ticket}: open"})


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_loop_through_the_client_is_one_sequence_of_the_tokens_sampled(gateway, trajectory, stream):
    lines = (call_line("T-7"), "Let me see.\n" + call_line("T-8"), "Both are open.")
    policy, session, client = serve(gateway, trajectory, *lines)
    messages = tool_loop(client, stream=stream)
    assert [m["role"] for m in messages] == ["system", "user"] + ["assistant", "tool"] * 2 + ["assistant"]
    assert messages[-1]["content"] == "Both are open."

    assert [turn.extends for turn in session.turns] == [True, True, True]
    whole = [t for turn in session.turns for t in (*turn.context_ids, *turn.action_ids)]
    assert whole[: len(policy.prompts[-1])] == policy.prompts[-1]
    for line, turn in zip(lines, session.turns, strict=True):
        assert TOKENIZER.decode(turn.action_ids[:-1]) == line
    for shorter, longer in pairwise(policy.prompts):
        assert longer[: len(shorter)] == shorter


def test_an_agent_that_rewrites_its_history_is_served_and_counted(gateway, trajectory):
    _, session, client = serve(gateway, trajectory, "one", "two")
    client.chat.completions.create(model="default", messages=ASK)
    rewritten = [*ASK, {"role": "assistant", "content": "another"}, {"role": "user", "content": "go on"}]
    client.chat.completions.create(model="default", messages=rewritten)
    assert [(turn.extends, turn.break_cause) for turn in session.turns] == [
        (True, None),
        (False, "rewritten_history"),
    ]


def test_the_recipes_cap_holds_over_what_the_agent_asks(gateway, trajectory):
    policy, _, client = serve(gateway, trajectory, "a long answer", max_tokens=4)
    create = client.chat.completions.create
    answer = create(model="default", messages=ASK, max_tokens=4000, temperature=1.0, top_p=1.0)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 4
    assert answer.usage.prompt_tokens == len(policy.prompts[0])
    assert create(model="default", messages=ASK, max_tokens=2).usage.completion_tokens == 2


@pytest.mark.parametrize("own", [{"temperature": 0.3}, {"top_p": 0.8}])
def test_a_rollout_samples_as_the_recipe_says_or_not_at_all(gateway, trajectory, own):
    _, _, client = serve(gateway, trajectory, "an answer")
    with pytest.raises(openai.BadRequestError, match="inferenceParams"):
        client.chat.completions.create(model="default", messages=ASK, **own)


TEXT = st.text(max_size=6)
ARGUMENTS = TEXT | st.sampled_from(["{}", "[1]", "NaN", '{"id": 1e999}', '"\\ud800"', "[" * 3000, '{"id": "x"}'])
CALL = st.fixed_dictionaries({"id": TEXT, "function": st.fixed_dictionaries({"name": TEXT, "arguments": ARGUMENTS})})
MESSAGE = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "developer"]), "content": TEXT}),
    st.fixed_dictionaries({"role": st.just("tool"), "content": TEXT, "tool_call_id": TEXT}),
    st.fixed_dictionaries(
        {"role": st.just("assistant")},
        optional={"content": st.none() | TEXT, "tool_calls": st.lists(CALL, max_size=2)},
    ),
)
PARAMETERS = st.none() | st.fixed_dictionaries(
    {}, optional={"type": st.just("object"), "properties": st.just({"id": {}}) | st.just([]) | st.none()}
)
TOOLS = st.lists(
    st.builds(
        lambda name, parameters: {"type": "function", "function": {"name": name, "parameters": parameters}},
        st.text(min_size=1, max_size=4),
        PARAMETERS,
    ),
    max_size=2,
)


@pytest.mark.parametrize("tool_format", ["hermes", "pythonic"])
def test_no_history_however_malformed_is_a_fault(gateway, trajectory, tool_format):
    _, session, client = serve(gateway, trajectory, "[lookup('T-7')]", "ok", tool_format=tool_format)
    url = f"{client.base_url}chat/completions"

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(messages=st.lists(MESSAGE, min_size=1, max_size=5), tools=TOOLS)
    def play(messages, tools):
        response = http.post(url, json={"messages": messages, "tools": tools})
        assert response.status_code in (200, 400), response.text

    with httpx.Client() as http:
        play()
    assert len(session.turns) > 10
