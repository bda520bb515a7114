"""What an agent sees of an answer: calls where they can be read, text where not, and why it ended."""

import json

import pytest
from renderers.base import ParsedResponse, ParsedToolCall, ToolCallParseStatus
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from practicum.engine.protocol import Sample
from practicum.rollout.answers import read_answer
from practicum.rollout.renderer import make_renderer

MARKS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>"]
MARKS += ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
MARKS += ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"properties": {"id": {"type": "string"}}}}}]
GOOD = '<tool_call>\n{"name": "look", "arguments": {"id": "A"}}\n</tool_call>'
BROKEN = '<tool_call>\n{"name": "look", "arguments": {"id": "A"}\n</tool_call>'


@pytest.fixture(scope="module")
def letters():
    """One token a byte, and the marks of Qwen's format."""
    inner = Tokenizer(
        models.BPE({letter: n for n, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, [])
    )
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    tokenizer.add_special_tokens({"additional_special_tokens": MARKS})
    return tokenizer


@pytest.fixture(params=["ours", "Qwen/Qwen3-4B-Instruct-2507"])
def reading(request, letters):
    """Reads a text that was sampled, in our format or in that of a family."""
    renderer = make_renderer(letters, request.param, "hermes")

    def read(text, *, tools=TOOLS, cut=False):
        ids = (*letters.encode(text, add_special_tokens=False), *(() if cut else (renderer.get_stop_token_ids()[0],)))
        sample = Sample(ids, (-1.0,) * len(ids), (0,) * len(ids), "length" if cut else "stop")
        return read_answer(renderer, sample, [1, 2, 3], tools, 4)

    return read


def arguments_of(answer):
    return [json.loads(call["function"]["arguments"]) for call in answer.message["tool_calls"]]


def test_a_call_is_a_call(reading):
    answer = reading(GOOD)
    assert (answer.message["content"], answer.finish_reason, answer.malformed) == ("", "tool_calls", ())
    assert [call["id"] for call in answer.message["tool_calls"]] == ["call_4_0"]


@pytest.mark.parametrize("text", [BROKEN, "<tool_call>\nlook at A\n</tool_call>", "<tool_call>\n[]\n</tool_call>"])
def test_a_malformed_call_is_text_as_it_was_written(reading, text):
    answer = reading(text)
    assert answer.message == {"role": "assistant", "content": text}
    assert (answer.finish_reason, answer.malformed) == ("stop", (text,))


def test_a_malformed_call_beside_a_good_one_is_text_beside_it(reading):
    answer = reading(f"Let me see.\n{GOOD}\n{BROKEN}")
    assert arguments_of(answer) == [{"id": "A"}]
    assert answer.message["content"].startswith("Let me see.")
    assert BROKEN in answer.message["content"]
    assert answer.malformed == (BROKEN,)


def test_a_closing_mark_within_a_string_cuts_nothing(reading):
    wanted = {"id": "see </tool_call> and <tool_call> here"}
    text = "<tool_call>\n" + json.dumps({"name": "look", "arguments": wanted}) + "\n</tool_call>"
    answer = reading(f"{text}\n{GOOD}")
    assert arguments_of(answer) == [wanted, {"id": "A"}]
    assert (answer.message["content"], answer.malformed) == ("", ())


def test_an_answer_that_was_cut_says_so_though_a_call_was_complete(reading):
    answer = reading(f"{GOOD}\n{BROKEN[:30]}", cut=True)
    assert arguments_of(answer) == [{"id": "A"}]
    assert (answer.finish_reason, answer.malformed) == ("length", (BROKEN[:30].strip(),))


def test_whoever_offers_no_tools_gets_text(reading):
    answer = reading(GOOD, tools=[])
    assert answer.message == {"role": "assistant", "content": GOOD}
    assert (answer.finish_reason, answer.malformed) == ("stop", ())


class Parsed:
    """A renderer that parses everything into one call."""

    def __init__(self, *calls, raises=None):
        self.calls, self.raises = list(calls), raises

    def parse_response(self, *_, **__):
        return ParsedResponse(content="", tool_calls=self.calls)


SAMPLE = Sample((1,), (-1.0,), (0,), "stop")


@pytest.mark.parametrize("value", ["T-7", None, [1], 7])
def test_arguments_that_are_no_object_travel_as_json(value):
    answer = read_answer(Parsed(ParsedToolCall("raw", "look", value)), SAMPLE, [1], TOOLS, 0)
    assert arguments_of(answer) == [value]


def test_arguments_that_a_parser_leaves_as_json_text_stay_it():
    answer = read_answer(Parsed(ParsedToolCall("raw", "look", '{"id": "A"}')), SAMPLE, [1], TOOLS, 0)
    assert arguments_of(answer) == [{"id": "A"}]


@pytest.mark.parametrize(
    "call",
    [
        ParsedToolCall("raw", ["look"], {}),
        ParsedToolCall("raw", "look", {"id": float("nan")}),
        ParsedToolCall("raw", "look", {}, status=ToolCallParseStatus.INVALID_JSON),
    ],
)
def test_what_names_no_tool_or_cannot_travel_is_malformed(call):
    answer = read_answer(Parsed(call), SAMPLE, [1], TOOLS, 0)
    assert answer.message == {"role": "assistant", "content": "raw"}
    assert answer.malformed == ("raw",)


def test_a_tool_that_does_not_exist_is_called_and_whoever_executes_it_says_so():
    call = ParsedToolCall("raw", "nosuch", {}, status=ToolCallParseStatus.UNKNOWN_TOOL)
    assert read_answer(Parsed(call), SAMPLE, [1], TOOLS, 0).finish_reason == "tool_calls"
