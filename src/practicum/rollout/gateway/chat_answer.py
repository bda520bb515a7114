"""What an OpenAI-compatible client gets from Chat Completions: a whole body, or the same as server-sent events."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from practicum.rollout.gateway.chat_request import MODEL, ChatRequest
from practicum.rollout.session import ChatResult
from practicum.trajectory import StopReason


def completion(id: str, answer: ChatResult, request: ChatRequest) -> dict[str, Any]:
    """A whole ``chat.completion`` body."""
    message, finish = _outgoing(answer, request)
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    return {**_envelope(id, "chat.completion"), "choices": [choice], "usage": _usage(answer)}


def chunks(id: str, answer: ChatResult, request: ChatRequest) -> Iterator[str]:
    """The same answer as server-sent events, ``[DONE]`` last.

    Tool calls can only be parsed from the whole response, so the events follow it rather than run along.
    """
    message, finish = _outgoing(answer, request)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{key: message[key]} for key in ("reasoning_content", "content") if message.get(key)]
    calls = message.get("tool_calls", [])
    deltas += [{"tool_calls": [{"index": index, **call}]} for index, call in enumerate(calls)]
    usage: dict[str, Any] = {"usage": None} if request.include_usage else {}
    for delta in deltas:
        yield _event(id, [{"index": 0, "delta": delta, "finish_reason": None}], usage)
    yield _event(id, [{"index": 0, "delta": {}, "finish_reason": finish}], usage)
    if request.include_usage:
        yield _event(id, [], {"usage": _usage(answer)})
    yield "data: [DONE]\n\n"


def model_list() -> dict[str, Any]:
    """Body of ``GET /v1/models``: the one policy that is being sampled."""
    model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "practicum"}
    return {"object": "list", "data": [model]}


def _outgoing(answer: ChatResult, request: ChatRequest) -> tuple[dict[str, Any], StopReason]:
    """The assistant message and finish reason as they go on the wire.

    Under ``tool_choice="none"`` a call the policy uttered all the same is withheld, as the contract says. ``stop``
    cuts the text alone: what follows a call is where a model goes on as if it had the result.
    """
    source = answer.message
    content = source.get("content")
    visible = _cut(content, request.stops) if isinstance(content, str) else content
    message: dict[str, Any] = {"role": "assistant", "content": visible, "refusal": None}
    if source.get("reasoning_content"):
        message["reasoning_content"] = source["reasoning_content"]
    finish: StopReason = "stop" if visible != content and answer.finish_reason == "length" else answer.finish_reason
    if source.get("tool_calls") and request.tool_choice != "none":
        message["tool_calls"] = _calls(source["tool_calls"])
    elif finish == "tool_calls":
        finish = "stop"
    return message, finish


def _cut(text: str, stops: Sequence[str]) -> str:
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


def _calls(calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": call["id"], "type": "function", "function": dict(call["function"])} for call in calls]


def _usage(answer: ChatResult) -> dict[str, int]:
    total = answer.prompt_tokens + answer.completion_tokens
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": total,
    }


def _envelope(id: str, kind: str) -> dict[str, Any]:
    return {"id": id, "object": kind, "created": int(time.time()), "model": MODEL}


def _event(id: str, choices: list[dict[str, Any]], usage: Mapping[str, Any]) -> str:
    body = {**_envelope(id, "chat.completion.chunk"), "choices": choices, **usage}
    return f"data: {json.dumps(body)}\n\n"
