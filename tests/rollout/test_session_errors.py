"""Conversations that cannot be rendered, and arguments no client should send."""

import asyncio

import pytest

from practicum.errors import RolloutError


def user(text):
    return {"role": "user", "content": text}


BROKEN = [
    [],
    [{"content": "no role"}],
    [{"role": None, "content": 5}],
    [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [{"id": "c"}]}],
]


@pytest.mark.parametrize("messages", BROKEN, ids=range(len(BROKEN)))
@pytest.mark.parametrize("late", [True, False], ids=["later turn", "first turn"])
def test_a_conversation_that_cannot_be_rendered_is_a_rollouts_error(recorded, messages, late):
    session, _ = recorded("Hello.")

    async def run():
        if late:
            answer = await session.chat([user("Hi")])
            messages[:0] = [user("Hi"), answer.message] if messages else []
        with pytest.raises(RolloutError, match="cannot render the conversation"):
            await session.chat(list(messages))

    messages = list(messages)
    asyncio.run(run())
    assert len(session.turns) == late


NASTY = [
    '{"text": NaN}',
    '{"text": 1e999}',
    "[" * 100_000,
    "null",
    "7",
    "[1, 2]",
    '"text"',
    "\ud800",
    '{"text": "\\ud800"}',
]


@pytest.mark.parametrize("arguments", NASTY, ids=range(len(NASTY)))
def test_whatever_arguments_a_client_sends_the_session_answers_or_says_what_is_wrong(recorded, lookup_tools, arguments):
    session, _ = recorded("Hello.", "Well.")
    call = {"id": "c", "type": "function", "function": {"name": "search", "arguments": arguments}}

    async def run():
        answer = await session.chat([user("Hi")], lookup_tools)
        for history in ([user("Hi"), answer.message], [user("Hi")]):
            try:
                await session.chat(
                    [
                        *history,
                        {"role": "assistant", "tool_calls": [call]},
                        {"role": "tool", "tool_call_id": "c", "content": "{}"},
                    ],
                    lookup_tools,
                )
            except RolloutError as error:
                assert "cannot render the conversation" in str(error)

    asyncio.run(run())
