"""One trajectory's exact tokens: what is recorded is what the sampler saw, turn by turn."""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from practicum.engine.protocol import SamplingParams
from practicum.errors import RolloutError
from practicum.rollout.session import Session

PARAMS = SamplingParams(temperature=0.8, top_p=0.9, max_tokens=8)
CALL = '[get_ticket("T1")]'
A_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def user(text):
    return {"role": "user", "content": text}


def told(call, text="{}"):
    return {"role": "tool", "tool_call_id": call["id"], "content": text}


def sequences(turns):
    """The token sequences of a trajectory, put together from its turns."""
    made = []
    for turn in turns:
        if not turn.extends or not made:
            made.append([])
        made[-1] += [*turn.context_ids, *turn.action_ids]
    return made


def assert_turns_are_what_the_sampler_saw(session, seen):
    """``seen``: (prompt, sample) of every call."""
    tokens = []
    for turn, (prompt, sample) in zip(session.turns, seen, strict=True):
        tokens = [*(tokens if turn.extends else []), *turn.context_ids]
        assert tokens == prompt
        assert (turn.action_ids, turn.logprobs, turn.versions) == (
            sample.token_ids,
            sample.logprobs,
            sample.versions,
        )
        tokens += turn.action_ids


user_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.lists(st.lists(user_texts, min_size=1, max_size=2), min_size=1, max_size=4),
    st.integers(1, 9),
    st.integers(0, 99),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_growing_conversation_is_one_sequence_of_exactly_the_sampled_tokens(
    pythonic, tiny_sampler, recorder, exchanges, max_tokens, seed
):
    """Random models say random bytes: half characters, odd spaces, special tokens. None of it may matter."""
    sampler = recorder(tiny_sampler)
    session = Session("s", sampler, pythonic, SamplingParams(max_tokens=max_tokens), seed)

    async def talk():
        messages = [{"role": "system", "content": "Be brief."}]
        for new in exchanges:
            messages += [user(text) for text in new]
            result = await session.chat(messages)
            messages.append(result.message)
        session.release()

    asyncio.run(talk())
    assert all(turn.extends and turn.break_cause is None for turn in session.turns)
    assert_turns_are_what_the_sampler_saw(session, sampler.seen["s"])
    last_prompt, last = sampler.seen["s"][-1]
    assert sequences(session.turns) == [[*last_prompt, *last.token_ids]]
    assert [m for turn in session.turns for m in (*turn.messages, turn.response)][1:] == [
        message
        for new, turn in zip(exchanges, session.turns, strict=True)
        for message in (*map(user, new), turn.response)
    ]


def conversation(session, script, tools=None):
    """Runs ``script``: a generator that yields messages to send and is sent each result."""

    async def run():
        results, steps = [], script()
        try:
            sent = next(steps)
            while True:
                messages, offered = sent if isinstance(sent, tuple) else (sent, tools)
                results.append(await session.chat(messages, offered))
                sent = steps.send(results[-1])
        except StopIteration:
            return results

    return asyncio.run(run())


def test_a_tool_loop_is_one_sequence(recorded, lookup_tools):
    params = SamplingParams(max_tokens=64)
    session, sampler = recorded(CALL, '[search("x", 3), get_ticket("T2")]', "All done.", params=params)

    def script():
        messages = [user("Handle T1.")]
        while True:
            result = yield messages
            messages = [*messages, result.message]
            if result.finish_reason != "tool_calls":
                return
            messages += [told(call, f"answer to {call['id']}") for call in result.message["tool_calls"]]

    results = conversation(session, script, lookup_tools)
    assert [r.finish_reason for r in results] == ["tool_calls", "tool_calls", "stop"]
    assert [call["id"] for r in results[:2] for call in r.message["tool_calls"]] == ["call_0_0", "call_1_0", "call_1_1"]
    first = results[0].message["tool_calls"][0]["function"]
    assert (first["name"], json.loads(first["arguments"])) == ("get_ticket", {"ticket_id": "T1"})
    assert results[2].message == {"role": "assistant", "content": "All done."}
    assert len(sequences(session.turns)) == 1
    assert_turns_are_what_the_sampler_saw(session, sampler.seen["s"])
    assert [len(turn.messages) for turn in session.turns] == [1, 1, 2]
    assert session.tools == tuple(lookup_tools)
    for result, turn, (prompt, sample) in zip(results, session.turns, sampler.seen["s"], strict=True):
        assert (result.prompt_tokens, result.completion_tokens) == (len(prompt), len(sample.token_ids))
        assert turn.finish_reason == result.finish_reason
        assert turn.latency_s >= 0


def dropped_nulls(message):
    return {key: value for key, value in message.items() if value}


def respaced(message):
    calls = [
        {**c, "function": {**c["function"], "arguments": json.dumps(json.loads(c["function"]["arguments"]), indent=2)}}
        for c in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def reordered(message):
    call = message["tool_calls"][0]
    arguments = dict(reversed(json.loads(call["function"]["arguments"]).items()))
    return {**message, "tool_calls": [{**call, "function": {**call["function"], "arguments": json.dumps(arguments)}}]}


def as_blocks(message):
    return {**message, "content": [{"type": "text", "text": message["content"]}], "refusal": None, "audio": None}


def parsed_arguments(message):
    call = message["tool_calls"][0]
    arguments = json.loads(call["function"]["arguments"])
    return {**message, "tool_calls": [{**call, "function": {**call["function"], "arguments": arguments}}]}


@pytest.mark.parametrize("client", [dropped_nulls, respaced, reordered, as_blocks, parsed_arguments])
def test_a_client_that_says_the_same_in_another_form_still_extends(recorded, lookup_tools, client):
    session, sampler = recorded('[search("x",limit=3)]', "Done.", params=SamplingParams(max_tokens=64))

    def script():
        result = yield [user("Look.")]
        yield [user("Look."), client(result.message), told(result.message["tool_calls"][0])]

    conversation(session, script, lookup_tools)
    assert [turn.break_cause for turn in session.turns] == [None, None]
    assert len(sequences(session.turns)) == 1
    assert_turns_are_what_the_sampler_saw(session, sampler.seen["s"])


def broken_by(recorded, second, tools=None, second_tools=None):
    """The second and third turn of a session whose second request is ``second(first request, answer)``."""
    session, sampler = recorded("Hello there.", "Well.", "Bye.", params=SamplingParams(max_tokens=64))
    first = [{"role": "system", "content": "Be brief."}, user("Hi")]

    def script():
        result = yield first, tools
        messages = second(first, result.message)
        result = yield messages, second_tools
        yield [*messages, result.message, user("Bye")], second_tools

    conversation(session, script)
    assert_turns_are_what_the_sampler_saw(session, sampler.seen["s"])
    assert session.turns[2].extends  # extension goes on from the new sequence
    return session.turns[1]


@pytest.mark.parametrize(
    ("second", "cause"),
    [
        (lambda first, answer: [*first, {**answer, "content": "Other words."}, user("more")], "rewritten_history"),
        (lambda first, answer: [user("A summary of before."), user("x"), user("y"), user("z")], "rewritten_history"),
        (lambda first, answer: [first[0], user("Hi!"), answer, user("more")], "rewritten_history"),
        (lambda first, answer: [first[1], answer, user("more")], "rewritten_history"),
        (lambda first, answer: first, "parallel_branch"),
        (lambda first, answer: [*first, user("instead")], "parallel_branch"),
        (lambda first, answer: [*first, {**answer, "tool_calls": [A_CALL]}, user("x")], "rewritten_history"),
    ],
)
def test_history_that_does_not_go_on_starts_a_sequence_and_names_the_cause(recorded, second, cause):
    turn = broken_by(recorded, second)
    assert (turn.extends, turn.break_cause) == (False, cause)


def test_the_same_request_again_is_a_branch_with_its_whole_prompt(recorded):
    turn = broken_by(recorded, lambda first, answer: first)
    assert len(turn.messages) == 2
    assert turn.context_ids[0] == 1  # from the conversation's very first token


def test_changed_tools_start_a_new_sequence(recorded, lookup_tools):
    def goes_on(first, answer):
        return [*first, answer, user("more")]

    assert broken_by(recorded, goes_on, lookup_tools, lookup_tools).extends
    for before, after in ((lookup_tools, None), (None, lookup_tools), (lookup_tools, lookup_tools[:1])):
        turn = broken_by(recorded, goes_on, before, after)
        assert (turn.extends, turn.break_cause) == (False, "tools_changed")


class Unbridged:
    """A renderer without a bridge: every prompt is rendered anew, and ``change`` may alter its messages."""

    def __init__(self, inner, change=lambda messages: messages):
        self.inner, self.change = inner, change

    def render(self, messages, **how):
        return self.inner.render(self.change(messages), **how)

    def parse_response(self, ids, **how):
        return self.inner.parse_response(ids, **how)

    def get_stop_token_ids(self):
        return self.inner.get_stop_token_ids()

    def bridge_to_next_turn(self, *given, **how):
        return None


def second_turn(recorded, renderer, first_answer):
    session, sampler = recorded(first_answer, "Well.", params=SamplingParams(max_tokens=64), renderer=renderer)

    def script():
        result = yield [user("Hi")]
        yield [user("Hi"), result.message, user("more")]

    conversation(session, script)
    assert_turns_are_what_the_sampler_saw(session, sampler.seen["s"])
    return session.turns[1]


def test_without_a_bridge_a_rendering_that_extends_is_taken(recorded, pythonic):
    turn = second_turn(recorded, Unbridged(pythonic), "Hello there.")
    assert (turn.extends, turn.break_cause) == (True, None)


def test_sampled_tokens_that_would_be_tokenized_otherwise_break_by_retokenization(recorded, pythonic, tokenizer):
    letters = [token for letter in "Hello" for token in tokenizer.encode(letter)]
    assert letters != tokenizer.encode("Hello")
    turn = second_turn(recorded, Unbridged(pythonic), [*letters, 2])
    assert (turn.extends, turn.break_cause) == (False, "retokenization")
    # Our own renderer's bridge has no such break.
    assert second_turn(recorded, pythonic, [*letters, 2]).extends


def test_a_template_that_retells_earlier_turns_breaks_by_template(recorded, pythonic):
    def forgetful(messages):
        return [{**m, "content": "…"} if m["role"] == "assistant" else m for m in messages]

    turn = second_turn(recorded, Unbridged(pythonic, forgetful), "Hello there.")
    assert (turn.extends, turn.break_cause) == (False, "template")


def test_a_bridge_that_lies_is_not_believed(recorded, pythonic):
    class Lying(Unbridged):
        def bridge_to_next_turn(self, prompt, completion, new, *, tools=None):
            bridged = self.inner.bridge_to_next_turn(prompt, completion, new, tools=tools)
            bridged.token_ids[len(prompt)] += 1
            return bridged

    turn = second_turn(recorded, Lying(pythonic), "Hello there.")
    assert turn.extends  # by rendering, token for token


def test_a_turn_cut_at_its_limit_is_closed_by_context_not_by_the_model(recorded):
    session, sampler = recorded("one two three four five six seven", "Done.", params=SamplingParams(max_tokens=3))

    def script():
        result = yield [user("Count.")]
        assert result.finish_reason == "length"
        yield [user("Count."), result.message, user("Go on.")]

    conversation(session, script)
    first, second = session.turns
    assert (first.finish_reason, len(first.action_ids)) == ("length", 3)
    assert second.extends
    assert second.context_ids[0] == 2
    assert_turns_are_what_the_sampler_saw(session, sampler.seen["s"])


def test_a_cut_off_call_is_no_call(recorded, lookup_tools):
    session, _ = recorded(CALL, params=SamplingParams(max_tokens=4))
    (result,) = conversation(session, lambda: iter_once([user("x")]), lookup_tools)
    assert result.finish_reason == "length"
    assert "tool_calls" not in result.message


def iter_once(messages):
    yield messages


def test_a_call_may_lower_the_token_limit_only(speaker, pythonic):
    engine = speaker("one two three four five six seven eight nine ten")
    session = Session("s", engine, pythonic, PARAMS, 5)

    async def run():
        await session.chat([user("a")], temperature=0.8, top_p=0.9)
        await session.chat([user("b")], max_tokens=3)
        await session.chat([user("c")], max_tokens=10_000)
        for other in ({"temperature": 0.0}, {"top_p": 1.0}):
            with pytest.raises(RolloutError, match=f"this rollout samples with {next(iter(other))}"):
                await session.chat([user("d")], **other)

    asyncio.run(run())
    assert [(p.temperature, p.top_p, p.max_tokens, p.stop_token_ids) for p in engine.params] == [
        (0.8, 0.9, 8, (2,)),
        (0.8, 0.9, 3, (2,)),
        (0.8, 0.9, 8, (2,)),
    ]


def test_calls_of_a_free_session_set_temperature_and_top_p(speaker, pythonic):
    engine = speaker("Hello.")
    session = Session("s", engine, pythonic, PARAMS, 5, free=True)
    asyncio.run(session.chat([user("a")], temperature=0.0, top_p=0.5))
    assert (engine.params[0].temperature, engine.params[0].top_p) == (0.0, 0.5)


def test_nothing_is_recorded_of_a_call_that_fails(recorded):
    session, sampler = recorded("Hello.", RolloutError("engine trouble"), "Well.")

    async def run():
        answer = await session.chat([user("Hi")])
        again = [user("Hi"), answer.message, user("more")]
        with pytest.raises(RolloutError, match="engine trouble"):
            await session.chat(again)
        assert len(session.turns) == 1
        await session.chat(again)

    asyncio.run(run())
    assert [turn.extends for turn in session.turns] == [True, True]
    assert_turns_are_what_the_sampler_saw(session, sampler.seen["s"])


def test_two_calls_at_once_fail_the_second(pythonic, tiny_sampler):
    session = Session("twice", tiny_sampler, pythonic, PARAMS, 1)

    async def run():
        results = await asyncio.gather(session.chat([user("a")]), session.chat([user("b")]), return_exceptions=True)
        session.release()
        return results

    first, second = asyncio.run(run())
    assert first.completion_tokens == 8
    assert isinstance(second, RolloutError)
    assert len(session.turns) == 1
