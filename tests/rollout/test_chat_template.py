"""What training rendered and what a tokenizer's chat template writes are the same tokens, turn after turn."""

import copy
import json
import keyword
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from practicum.rollout.chat_template import CONVERSATIONS, chatml_template, template_difference
from practicum.rollout.renderer import make_renderer
from practicum.suites.support_desk import SupportDesk

SPECIAL = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")

# Any text but special tokens written out, which are another matter; code points that UTF-8 has.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=24) | st.lists(
    st.sampled_from(
        ["\n", " ", "  ", "\t", "'", '"', "\\", "{", "[f(a=1)]", "é漢😀", "x", "12", "</tool_call>", "<|im"]
    ),
    max_size=6,
).map("".join)
names = st.sampled_from(["ticket_id", "limit", "class", "None", "a-b", "a b", "ünï", "_private", "1st", ""]) | texts
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
calls = st.builds(
    lambda name, arguments: {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}},
    st.sampled_from(["get_ticket", "search", "Ping_2"]),
    st.dictionaries(names, values, max_size=4),
)
blocks = texts.map(lambda text: [{"type": "text", "text": text}, {"type": "text", "text": "!"}])
contents = texts | blocks | st.none()
# What a model says after the newline of its turn is told apart from it; a template cannot (see below).
said = texts.map(str.lstrip)
messages = st.one_of(
    st.builds(lambda text: {"role": "user", "content": text}, contents),
    st.builds(lambda text: {"role": "system", "content": text}, contents),
    st.builds(lambda text: {"role": "tool", "tool_call_id": "c", "name": "search", "content": text}, contents),
    st.builds(lambda text: {"role": "assistant", "content": text}, said | st.none()),
    st.builds(
        lambda text, wishes: {"role": "assistant", "content": text, "tool_calls": wishes},
        said | st.none(),
        st.lists(calls, min_size=1, max_size=3),
    ),
)
tools = st.builds(
    lambda name, description, parameters: {
        "type": "function",
        "function": {
            "name": name,
            **({} if description is None else {"description": description}),
            "parameters": {"type": "object", "properties": {key: {"enum": [1, None]} for key in parameters}},
        },
    },
    st.sampled_from(["get_ticket", "search"]),
    texts | st.none(),
    st.lists(names, max_size=3, unique=True),
)


def in_template(
    tokenizer: Any, template: str, conversation: list[Any], schemas: Any, *, more: bool = True
) -> list[int]:
    ids = tokenizer.apply_chat_template(
        copy.deepcopy(conversation), tools=schemas, chat_template=template, add_generation_prompt=more
    )["input_ids"]
    return list(ids)


def calling(argument: str) -> dict[str, Any]:
    function = {"name": "get_ticket", "arguments": {argument: None}}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": function}],
    }


@pytest.mark.parametrize("style", ["pythonic", "hermes"])
@given(st.lists(messages, min_size=1, max_size=5), st.none() | st.lists(tools, max_size=2), st.booleans())
@example([{"role": "user", "content": "\n  indented"}], None, True)
@example([{"role": "system", "content": ""}, {"role": "user", "content": None}], [], False)
@example([calling("ª")], None, False)
@example([calling("né")], None, False)
@settings(max_examples=60, deadline=None)
def test_a_template_gives_the_renderers_tokens(
    request: Any, tokenizer: Any, style: Any, conversation: Any, schemas: Any, more: bool
) -> None:
    renderer = request.getfixturevalue(style)

    ours = renderer.render_ids(conversation, tools=schemas, add_generation_prompt=more)

    assert in_template(tokenizer, chatml_template(style), conversation, schemas, more=more) == ours


@pytest.mark.parametrize("style", ["pythonic", "hermes"])
def test_whole_episodes_of_a_suite_are_equal_at_every_turn(request: Any, tokenizer: Any, style: Any) -> None:
    renderer, template, desk = request.getfixturevalue(style), chatml_template(style), SupportDesk(level=2)
    for task in desk.tasks("test")[:5]:
        desk.reset(task, 0)
        conversation: list[Any] = [
            {"role": "system", "content": desk.system_prompt(task)},
            {"role": "user", "content": task.prompt},
        ]
        play, answer = desk.oracle(task), None
        turns = 0
        while True:
            ours = renderer.render_ids(conversation, tools=desk.schemas(), add_generation_prompt=True)
            assert in_template(tokenizer, template, conversation, desk.schemas()) == ours
            try:
                call = play.send(answer)
            except StopIteration:
                break
            result = desk.call(call.name, call.arguments).text
            turns, answer = turns + 1, json.loads(result)
            wish = {"id": "c", "type": "function", "function": {"name": call.name, "arguments": dict(call.arguments)}}
            conversation += [
                {"role": "assistant", "content": "", "tool_calls": [wish]},
                {"role": "tool", "tool_call_id": "c", "name": call.name, "content": result},
            ]
        assert turns == 2
        desk.close()


@pytest.mark.parametrize("style", ["pythonic", "hermes"])
def test_whatever_a_server_adds_to_a_tool_changes_nothing(request: Any, tokenizer: Any, style: Any) -> None:
    plain = {"name": "look", "description": "sees", "parameters": {"type": "object", "properties": {"at": {}}}}
    server = {"type": "function", "function": {**dict(reversed(plain.items())), "strict": None}, "defer_loading": None}
    asked = [{"role": "user", "content": "Look."}]
    template, renderer = chatml_template(style), request.getfixturevalue(style)

    seen = [in_template(tokenizer, template, asked, [tool]) for tool in ({"function": plain}, server)]
    trained = [renderer.render_ids(asked, tools=[tool], add_generation_prompt=True) for tool in (plain, server)]

    assert seen[0] == seen[1] == trained[0] == trained[1]


def test_arguments_as_json_text_are_refused_where_they_would_be_written_wrong(tokenizer: Any) -> None:
    wish = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": true}'}}
    conversation = [{"role": "assistant", "content": "", "tool_calls": [wish]}]

    with pytest.raises(Exception, match=r"pass json\.loads\(string\)"):
        in_template(tokenizer, chatml_template("pythonic"), conversation, None)
    written = tokenizer.decode(in_template(tokenizer, chatml_template("hermes"), conversation, None))
    assert '{"name": "f", "arguments": {"a": true}}' in written


@pytest.mark.parametrize("text", SPECIAL)
def test_special_tokens_in_a_text_stay_text_in_training_alone(pythonic: Any, tokenizer: Any, text: str) -> None:
    conversation = [{"role": "user", "content": f"What is {text}?"}]
    special = tokenizer.convert_tokens_to_ids(text)

    ours = pythonic.render_ids(conversation)
    theirs = in_template(tokenizer, chatml_template("pythonic"), conversation, None, more=False)

    assert theirs.count(special) == ours.count(special) + 1
    assert tokenizer.decode(theirs) == tokenizer.decode(ours)


def test_white_space_that_begins_an_answer_stays_apart_from_its_newline_in_training_alone(
    pythonic: Any, tokenizer: Any
) -> None:
    conversation = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "\n\nHello"}]

    ours = pythonic.render_ids(conversation)
    theirs = in_template(tokenizer, chatml_template("pythonic"), conversation, None, more=False)

    assert theirs != ours
    assert tokenizer.decode(theirs) == tokenizer.decode(ours)


def test_the_template_knows_the_keywords_of_python() -> None:
    assert repr(keyword.kwlist) in chatml_template("pythonic")
    assert "KEYWORDS" not in chatml_template("hermes") + chatml_template("pythonic")


@pytest.mark.parametrize("style", ["pythonic", "hermes"])
def test_making_a_renderer_makes_its_template_the_tokenizers(tokenizer: Any, style: Any) -> None:
    mine = copy.deepcopy(tokenizer)

    renderer = make_renderer(mine, "smollm2-135m", style)

    assert mine.chat_template == chatml_template(style)
    assert template_difference(mine, renderer) == ""


@pytest.mark.parametrize(
    ("template", "difference"),
    [
        (None, "no chat template"),
        ("{{ raise_exception('no tools here') }}", "a first question: the template refuses it: no tools here"),
        (
            "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
            "tools: training wrote 'system\\nTools:\\nlook_up(ticket, open): one",
        ),
    ],
)
def test_a_template_that_writes_something_else_is_told_apart(
    pythonic: Any, tokenizer: Any, template: Any, difference: str
) -> None:
    other = copy.deepcopy(tokenizer)
    other.chat_template = template

    assert difference in template_difference(other, pythonic)


def test_conversations_to_compare_on_hold_calls_results_and_earlier_turns() -> None:
    roles = [message["role"] for _, messages, _ in CONVERSATIONS for message in messages]
    assert set(roles) == {"system", "user", "assistant", "tool"}
    assert any(message.get("tool_calls") for _, messages, _ in CONVERSATIONS for message in messages)
