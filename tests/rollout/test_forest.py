"""Many sequences in one trajectory: who continues which, why another begins, and what is trained on."""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from practicum.algorithms.losses import training_sequences
from practicum.engine.protocol import SamplingParams
from practicum.rollout.agents_http import observed_tool_calls
from practicum.rollout.session import Session
from practicum.tasks import Task
from practicum.trajectory import EnvironmentRef, Rollout, Trajectory

LONG = SamplingParams(max_tokens=64)
MAIN = [{"role": "system", "content": "You delegate."}, {"role": "user", "content": "Which colour is it?"}]
SUB = {"role": "system", "content": "You search."}


def user(text):
    return {"role": "user", "content": text}


def told(call, text):
    return {"role": "tool", "tool_call_id": call["id"], "content": text}


def trajectory_of(session):
    ref = EnvironmentRef("e", "1", "d")
    return Trajectory("r", "t", "g", 1, ref, session.turns, (), "final", session.tools, rewards=(1.0,))


def assert_prompts_are_what_was_sampled_from(trajectory, seen):
    """Each sequence, put together turn by turn, gives the prompt that the sampler saw."""
    tokens = {}
    for turn, (prompt, sample) in zip(trajectory.turns, seen, strict=True):
        before = tokens.get(turn.sequence, []) if turn.extends else []
        assert [*before, *turn.context_ids] == prompt
        tokens[turn.sequence] = [*prompt, *sample.token_ids]


async def delegated(session, tools, times):
    """A main agent that gives a sub-agent a question of its own, so many times."""
    messages = list(MAIN)
    for number in range(times):
        asked = (await session.chat(messages, tools)).message
        found = await session.chat([SUB, user(f"Look at box {number}.")])
        messages += [asked, told(asked["tool_calls"][0], found.message["content"])]
    await session.chat(messages, tools)


def delegating(recorded, tools, times):
    def say(_session, turn, _prompt):
        return "All done." if turn == 2 * times else "It is red." if turn % 2 else '[search(text="box")]'

    session, sampler = recorded(say, params=LONG)
    asyncio.run(delegated(session, tools, times))
    return trajectory_of(session), sampler.seen["s"]


def test_a_main_agent_goes_on_where_it_was_after_each_sub_agent(recorded, lookup_tools):
    trajectory, seen = delegating(recorded, lookup_tools, 3)
    assert trajectory.sequences == ((0, 2, 4, 6), (1,), (3,), (5,))
    assert [turn.break_cause for turn in trajectory.turns] == [
        None,
        "sub_agent",
        None,
        "sub_agent",
        None,
        "sub_agent",
        None,
    ]
    assert_prompts_are_what_was_sampled_from(trajectory, seen)


def test_tokens_trained_on_grow_with_what_was_said_and_not_with_its_square(recorded, lookup_tools):
    sizes = []
    for times in (1, 2, 4, 8):
        trajectory, seen = delegating(recorded, lookup_tools, times)
        sequences = training_sequences(trajectory, [1.0] * len(trajectory.turns))
        assert sum(s.n_action_tokens for s in sequences) == sum(len(sample.token_ids) for _, sample in seen)
        sizes.append(sum(len(s.tokens) for s in sequences))
    per_delegation = (sizes[1] - sizes[0], (sizes[2] - sizes[1]) / 2, (sizes[3] - sizes[2]) / 4)
    assert len(set(per_delegation)) == 1


def test_main_agent_and_a_sub_agent_that_goes_on_are_two_sequences(recorded):
    session, sampler = recorded("one", "two", "three", "four", "five", "six", params=LONG)

    async def run():
        main, sub = list(MAIN), [SUB, user("Begin.")]
        for round in range(3):
            for messages in (main, sub):
                answer = await session.chat(messages)
                messages += [answer.message, user(f"and {round}?")]

    asyncio.run(run())
    trajectory = trajectory_of(session)
    assert trajectory.sequences == ((0, 2, 4), (1, 3, 5))
    assert_prompts_are_what_was_sampled_from(trajectory, sampler.seen["s"])


def test_two_branches_of_one_history_each_go_on(recorded):
    session, _ = recorded("left", "right", "left again", "right again", params=LONG)

    async def run():
        left = (await session.chat(MAIN)).message
        right = (await session.chat(MAIN)).message
        await session.chat([*MAIN, left, user("more")])
        await session.chat([*MAIN, right, user("more")])

    asyncio.run(run())
    assert trajectory_of(session).sequences == ((0, 2), (1, 3))
    assert [turn.break_cause for turn in session.turns] == [None, "parallel_branch", None, None]


def renamed(message):
    return {**message, "tool_calls": [{**call, "id": f"toolu_{n}"} for n, call in enumerate(message["tool_calls"])]}


def numbered_otherwise(message):
    function = {"name": "search", "arguments": '{"limit": 2, "text": "x"}'}
    return {**message, "tool_calls": [{**message["tool_calls"][0], "function": function}]}


def without_a_name(message):
    return {**message, "name": "assistant", "tool_calls": [{**call, "index": 0} for call in message["tool_calls"]]}


@pytest.mark.parametrize("client", [renamed, numbered_otherwise, without_a_name])
def test_what_a_client_writes_otherwise_and_the_model_never_sees_breaks_nothing(recorded, lookup_tools, client):
    session, _ = recorded('[search(text="x", limit=2.0)]', "Done.", params=LONG)

    async def run():
        said = client((await session.chat(MAIN, lookup_tools)).message)
        await session.chat([*MAIN, said, told(said["tool_calls"][0], "red")], lookup_tools)

    asyncio.run(run())
    assert [turn.extends for turn in session.turns] == [True, True]
    (call,) = observed_tool_calls(session.turns)
    assert (call.name, call.arguments, call.result) == ("search", {"text": "x", "limit": 2.0}, "red")


def test_other_reasoning_than_the_models_is_another_history(recorded, pythonic):
    class Thinking:
        def __getattr__(self, name):
            return getattr(pythonic, name)

        def parse_response(self, ids, **how):
            parsed = pythonic.parse_response(ids, **how)
            parsed.reasoning_content = "I think so."
            return parsed

        def render(self, messages, **how):
            texts = [f"{m.get('reasoning_content') or ''}{m['content']}" for m in messages]
            return pythonic.render([{**m, "content": t} for m, t in zip(messages, texts, strict=True)], **how)

    for reasoning, extends in ((None, True), ("I think so.", True), ("I do not.", False)):
        session, _ = recorded("Red.", "Done.", params=LONG, renderer=Thinking())

        async def run(session=session, reasoning=reasoning):
            said = (await session.chat(MAIN)).message
            await session.chat([*MAIN, {**said, "reasoning_content": reasoning}, user("more")])

        asyncio.run(run())
        assert session.turns[1].extends == extends


ANSWER = {"role": "assistant", "content": "It is a deep red."}


@pytest.mark.parametrize(
    ("second", "cause"),
    [
        ([SUB, user("Look at box 1.")], "sub_agent"),
        ([user("Look at box 1.")], "sub_agent"),
        ([SUB, MAIN[1]], "sub_agent"),
        ([MAIN[0], user("Another question.")], "parallel_branch"),
        ([MAIN[0], user("Known so far: it is red.")], "rewritten_history"),
        ([MAIN[0], user("You said: It is a deep red. Which box?")], "rewritten_history"),
        ([*MAIN, user("Summary: it is red.")], "rewritten_history"),
        ([{"role": "system", "content": "Now: noon."}, MAIN[1], ANSWER, user("more")], "rewritten_history"),
        ([MAIN[0], ANSWER, user("more")], "rewritten_history"),
        ([ANSWER, user("more")], "rewritten_history"),
        ([{"role": "assistant", "content": "Hello."}, user("Hi")], "other"),
    ],
)
def test_why_a_sequence_begins(recorded, second, cause):
    session, _ = recorded(ANSWER["content"], "Well.", params=LONG)

    async def run():
        await session.chat(MAIN)
        await session.chat(second)

    asyncio.run(run())
    assert session.turns[1].break_cause == cause


def test_a_history_continued_otherwise_after_an_answer_is_a_branch(recorded):
    session, _ = recorded("Red.", "Well.", "Hm.", params=LONG)

    async def run():
        said = (await session.chat(MAIN)).message
        await session.chat([*MAIN, said, user("And the other?")])
        await session.chat([*MAIN, said, user("Are you sure?")])

    asyncio.run(run())
    assert [turn.break_cause for turn in session.turns] == [None, None, "parallel_branch"]


class Forgetful:
    """A renderer that says of earlier answers only that there were some, as templates do with reasoning."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def render(self, messages, **how):
        last = max((n for n, m in enumerate(messages) if m["role"] == "user"), default=0)
        short = [{**m, "content": "…"} if m["role"] == "assistant" and n < last else m for n, m in enumerate(messages)]
        return self.inner.render(short, **how)

    def bridge_to_next_turn(self, *_, **__):
        return None


def test_a_turn_that_breaks_does_not_tell_its_history_again(recorded, pythonic):
    session, _ = recorded("One.", "Two.", "Three.", params=LONG, renderer=Forgetful(pythonic))

    async def run():
        messages = list(MAIN)
        for text in ("And then?", "And now?", ""):
            messages += [(await session.chat(messages)).message, user(text)]

    asyncio.run(run())
    trajectory = trajectory_of(session)
    assert [turn.break_cause for turn in session.turns] == [None, "template", "template"]
    said = [(message["role"], message["content"]) for message in trajectory.messages]
    assert said == [
        ("system", MAIN[0]["content"]), ("user", MAIN[1]["content"]), ("assistant", "One."),
        ("user", "And then?"), ("assistant", "Two."), ("user", "And now?"), ("assistant", "Three."),
    ]  # fmt: skip
    assert len(session.turns[2].messages) == 6  # the turn itself keeps its whole prompt
    assert Rollout.of(trajectory, Task("t", "do", {})).turn_places == (2, 4, 6)


def test_examples_in_a_prompt_are_no_turns(recorded):
    session, _ = recorded("Blue.", params=LONG)
    asyncio.run(session.chat([*MAIN, {"role": "assistant", "content": "Red."}, user("And this one?")]))
    rollout = Rollout.of(trajectory_of(session), Task("t", "do", {}))
    assert rollout.turn_places == (4,)
    assert rollout.answer == "Blue."


def test_an_answer_is_no_turn_before_it_is_recorded(recorded):
    session, _ = recorded("Lost.", "Red.", "Well.", params=LONG)

    async def run():
        lost = await session.sample(MAIN)
        assert session.turns == ()
        said = (await session.chat(MAIN)).message
        await session.chat([*MAIN, said, user("more")])
        session.record(lost)

    asyncio.run(run())
    assert [turn.response["content"] for turn in session.turns] == ["Red.", "Well.", "Lost."]
    assert trajectory_of(session).sequences == ((0, 1), (2,))


def test_an_answer_recorded_after_its_history_went_on_is_a_branch(recorded):
    session, sampler = recorded("Red.", "Left.", "Right.", params=LONG)

    async def run():
        said = (await session.chat(MAIN)).message
        left, right = [await session.sample([*MAIN, said, user(side)]) for side in ("left", "right")]
        session.record(left)
        session.record(right)

    asyncio.run(run())
    assert [turn.break_cause for turn in session.turns] == [None, None, "parallel_branch"]
    assert_prompts_are_what_was_sampled_from(trajectory_of(session), sampler.seen["s"])


@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=4)), min_size=1, max_size=6))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_conversations_alternate_each_is_one_sequence_of_the_tokens_sampled(
    pythonic, tiny_sampler, recorder, steps
):
    """On the real sampler: its cache follows one conversation at a time, and must not mix them up."""
    sampler = recorder(tiny_sampler)
    session = Session("s", sampler, pythonic, SamplingParams(temperature=0.0, max_tokens=4), 7)
    alone = recorder(tiny_sampler)

    async def run():
        talks = {}
        for who, text in steps:
            messages = talks.setdefault(who, [{"role": "system", "content": f"Agent {who}"}])
            messages.append(user(text))
            messages.append((await session.chat(messages)).message)
        session.release()
        for prompt, sample in sampler.seen["s"]:
            again = await alone.sample("alone", prompt, SamplingParams(0.0, 1.0, 4, (2,)), 7)
            alone.release("alone")
            assert again.token_ids == sample.token_ids
        return talks

    talks = asyncio.run(run())
    trajectory = trajectory_of(session)
    assert len(trajectory.sequences) == len(talks)
    assert_prompts_are_what_was_sampled_from(trajectory, sampler.seen["s"])
    assert sorted(json.dumps(m) for m in trajectory.messages) == sorted(
        json.dumps(m) for t in talks.values() for m in t
    )
