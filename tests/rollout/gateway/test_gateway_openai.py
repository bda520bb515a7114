"""The official OpenAI client against the server: what an agent's author would write."""

import asyncio

import openai
import pytest

CALL = {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": '{"id": "T-7"}'}}
TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Find a ticket",
        "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
    },
}
USER = {"role": "user", "content": "What about T-7?"}


def client_of(gateway, trajectory, kind=openai.OpenAI):
    headers = {"X-Amzn-SageMaker-Trajectory-Id": trajectory, "X-Amzn-SageMaker-Job-Arn": "arn:job"}
    return kind(
        base_url=f"{gateway.url}/v1",
        api_key="sagemaker-api-key-abc",
        default_headers=headers,
        max_retries=0,
        timeout=10,
    )


def test_a_plain_answer(gateway, trajectory):
    session = gateway.open(trajectory, "It is open.", job_arn="arn:job")
    answer = client_of(gateway, trajectory).chat.completions.create(
        model="default", messages=[USER], temperature=0.5, top_p=0.9, max_tokens=32
    )
    assert answer.choices[0].message.content == "It is open."
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        7,
        3,
        10,
    )
    assert session.asked == [{"messages": [USER], "tools": None, "temperature": 0.5, "top_p": 0.9, "max_tokens": 32}]


def test_an_agent_that_can_only_set_a_base_url(gateway, trajectory):
    gateway.open(trajectory, "found you")
    client = openai.OpenAI(base_url=f"{gateway.url}/rollouts/{trajectory}/v1", api_key="none", max_retries=0)
    answer = client.chat.completions.create(model="default", messages=[USER])
    assert answer.choices[0].message.content == "found you"
    assert [model.id for model in client.models.list()] == ["default"]


def test_a_tool_call_comes_back_as_it_was_answered(gateway, trajectory):
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    session = gateway.open(trajectory, called, "It is open.")
    client = client_of(gateway, trajectory)
    first = client.chat.completions.create(model="default", messages=[USER], tools=[TOOL], tool_choice="auto")
    assert first.choices[0].finish_reason == "tool_calls"
    assert first.choices[0].message.tool_calls[0].function.name == "lookup"

    result = {"role": "tool", "tool_call_id": "call_1", "content": "open"}
    history = [USER, first.choices[0].message.model_dump(), result]
    second = client.chat.completions.create(model="default", messages=history, tools=[TOOL])
    assert second.choices[0].message.content == "It is open."
    assert session.asked[1]["messages"] == [USER, called, result]
    assert session.asked[1]["tools"] == [TOOL]


def test_a_tool_call_without_text_keeps_empty_and_missing_text_apart(gateway, trajectory):
    called = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    session = gateway.open(trajectory, called)
    client = client_of(gateway, trajectory)
    answer = client.chat.completions.create(model="default", messages=[USER], tools=[TOOL])
    assert answer.choices[0].message.content == ""
    client.chat.completions.create(model="default", messages=[USER, answer.choices[0].message])
    assert session.asked[1]["messages"][1] == called


def test_streamed_text_adds_up_and_counts_tokens_when_asked(gateway, trajectory):
    gateway.open(trajectory, "It is open.")
    create = client_of(gateway, trajectory).chat.completions.create
    events = list(create(model="default", messages=[USER], stream=True, stream_options={"include_usage": True}))
    text = "".join(e.choices[0].delta.content or "" for e in events if e.choices)
    assert text == "It is open."
    assert [e.choices[0].finish_reason for e in events if e.choices][-1] == "stop"
    assert [e.usage.total_tokens for e in events if e.usage] == [10]
    assert events[-1].choices == [] and events[-1].usage

    plain = list(create(model="default", messages=[USER], stream=True))
    assert all(e.usage is None and e.choices for e in plain)


def test_streamed_tool_calls_are_what_the_client_helper_assembles(gateway, trajectory):
    second = {**CALL, "id": "call_2", "function": {"name": "lookup", "arguments": "{}"}}
    gateway.open(trajectory, {"role": "assistant", "content": "Looking.", "tool_calls": [CALL, second]})
    with client_of(gateway, trajectory).chat.completions.stream(
        model="default", messages=[USER], tools=[TOOL]
    ) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.content == "Looking."
    assert [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls] == [
        ("call_1", "lookup", '{"id": "T-7"}'),
        ("call_2", "lookup", "{}"),
    ]


def test_the_async_client_streaming_and_not(gateway, trajectory):
    gateway.open(trajectory, "one", "two")

    async def talk():
        async with client_of(gateway, trajectory, openai.AsyncOpenAI) as client:
            whole = await client.chat.completions.create(model="default", messages=[USER])
            stream = await client.chat.completions.create(model="default", messages=[USER], stream=True)
            parts = [event.choices[0].delta.content or "" async for event in stream]
        return whole.choices[0].message.content, "".join(parts)

    assert asyncio.run(talk()) == ("one", "two")


def test_content_blocks_become_text_and_developer_becomes_system(gateway, trajectory):
    session = gateway.open(trajectory)
    blocks = [{"type": "text", "text": "What about "}, {"type": "text", "text": "T-7?"}]
    client_of(gateway, trajectory).chat.completions.create(
        model="default",
        messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": blocks}],
    )
    assert session.asked[0]["messages"] == [{"role": "system", "content": "Be brief."}, USER]


def test_with_tool_choice_none_no_tool_is_offered_and_none_is_called(gateway, trajectory):
    session = gateway.open(trajectory, {"role": "assistant", "content": "hm", "tool_calls": [CALL]})
    answer = client_of(gateway, trajectory).chat.completions.create(
        model="default", messages=[USER], tools=[TOOL], tool_choice="none"
    )
    assert session.asked[0]["tools"] is None
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].finish_reason == "stop"


def test_a_refusal_is_an_error_the_client_knows(gateway, trajectory):
    gateway.open(trajectory)
    with pytest.raises(openai.BadRequestError, match=r"response_format=.*json_object.* is not supported"):
        client_of(gateway, trajectory).chat.completions.create(
            model="default", messages=[USER], tools=[TOOL], response_format={"type": "json_object"}
        )


@pytest.mark.parametrize(
    "shape",
    [
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "lookup"}}},
        {"parallel_tool_calls": False},
        {"seed": 7},
    ],
)
def test_what_frameworks_send_to_shape_an_answer_is_accepted_and_the_policy_stays_free(gateway, trajectory, shape):
    session = gateway.open(trajectory, "I would rather talk.")
    answer = client_of(gateway, trajectory).chat.completions.create(
        model="default", messages=[USER], tools=[TOOL], **shape
    )
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("I would rather talk.", "stop")
    assert session.asked[0]["tools"] == [TOOL]


@pytest.mark.parametrize("stop", ["Observation:", ["never said", "Observation:"]])
def test_a_stop_cuts_what_the_client_sees_and_not_what_is_recorded(gateway, trajectory, stop):
    said = {"role": "assistant", "content": "I look.\nObservation: it is open.", "tool_calls": [CALL]}
    session = gateway.open(trajectory, said)
    create = client_of(gateway, trajectory).chat.completions.create
    answer = create(model="default", messages=[USER], tools=[TOOL], stop=stop)
    events = create(model="default", messages=[USER], tools=[TOOL], stop=stop, stream=True)
    assert answer.choices[0].message.content == "I look.\n"
    assert answer.choices[0].message.tool_calls[0].id == "call_1"
    assert "".join(event.choices[0].delta.content or "" for event in events) == "I look.\n"
    assert [turn.response["content"] for turn in session.turns] == [said["content"]] * 2


def test_a_sealed_trajectory_tells_the_client_in_the_words_aws_looks_for(gateway, trajectory):
    session = gateway.open(trajectory)
    gateway.complete(trajectory)
    with pytest.raises(openai.ConflictError) as caught:
        client_of(gateway, trajectory).chat.completions.create(model="default", messages=[USER])
    assert "Cannot transition trajectory" in str(caught.value)
    assert session.asked == []


def test_a_text_with_any_character_survives_both_ways(gateway, trajectory):
    text = "naïve 日本 🎓 \u2028 \x7f <|im_end|>"
    session = gateway.open(trajectory, text)
    client = client_of(gateway, trajectory)
    asked = {"role": "user", "content": text}
    assert client.chat.completions.create(model="default", messages=[asked]).choices[0].message.content == text
    events = client.chat.completions.create(model="default", messages=[asked], stream=True)
    assert "".join(event.choices[0].delta.content or "" for event in events) == text
    assert session.asked[1]["messages"] == [asked]
