"""A sampled answer as the agent sees it: text, reasoning and tool calls; what is no readable call stays text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from renderers.base import ParsedToolCall, ToolCallParseStatus

from practicum.chat import Message
from practicum.engine.protocol import Sample
from practicum.rollout.calls import portable
from practicum.rollout.renderer import Renderer
from practicum.trajectory import StopReason

_NAMED = (ToolCallParseStatus.OK, ToolCallParseStatus.UNKNOWN_TOOL)
"""A call of a tool that does not exist is a call: whoever executes it says so."""


@dataclass(frozen=True)
class ParsedAnswer:
    """An assistant message, why it ended, and the malformed calls in it as the model wrote them."""

    message: Message
    finish_reason: StopReason
    malformed: tuple[str, ...] = ()


def read_answer(
    renderer: Renderer, sample: Sample, prompt_ids: Sequence[int], tools: Sequence[Mapping[str, Any]], number: int
) -> ParsedAnswer:
    """Read a sample; calls are named ``call_{number}_0`` and on.

    Whoever offers no tools gets calls as text. An answer that was cut says ``length``, complete calls in it or not.
    """
    parsed = renderer.parse_response(list(sample.token_ids), tools=tools or None, prompt_ids=list(prompt_ids))
    calls = [call for call in parsed.tool_calls if tools and _readable(call)]
    unread = [call.raw.strip() for call in parsed.tool_calls if not (tools and _readable(call))]
    text = "\n".join(part for part in (parsed.content, *_missing(unread, parsed.content)) if part)
    message: Message = {"role": "assistant", "content": text}
    if parsed.reasoning_content:
        message["reasoning_content"] = parsed.reasoning_content
    if calls:
        message["tool_calls"] = [_call(call, f"call_{number}_{position}") for position, call in enumerate(calls)]
    complete: StopReason = "tool_calls" if calls else "stop"
    return ParsedAnswer(
        message, complete if sample.finish_reason == "stop" else "length", tuple(unread) if tools else ()
    )


def _readable(call: ParsedToolCall) -> bool:
    # A name may be anything that was JSON in the sampled text; only a text names a tool.
    return call.status in _NAMED and isinstance(call.name, str) and portable(call.arguments)


def _missing(unread: Sequence[str], text: str) -> list[str]:
    """Those that a parser took out of the text."""
    return [raw for raw in unread if raw not in text]


def _call(call: ParsedToolCall, id: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": call.name, "arguments": _json_text(call.arguments)}}


def _json_text(arguments: Any) -> str:
    """Arguments as JSON text, which some families' parsers leave them in."""
    if not isinstance(arguments, str):
        return json.dumps(arguments)
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        return json.dumps(arguments)
    return arguments
