"""What an agent asked for, read from a rollout's messages."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from practicum.environment import Call
from practicum.trajectory import Message


def asked_calls(messages: Iterable[Message]) -> list[Call]:
    """Every tool call of the assistant's, in order.

    Arguments that are no JSON object become one that names no argument, so that the tool's check refuses them.
    """
    return [
        Call(call["function"]["name"], _arguments(call["function"]))
        for message in messages
        if message.get("role") == "assistant"
        for call in message.get("tool_calls") or ()
    ]


def _arguments(function: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except (TypeError, ValueError, RecursionError):
        arguments = None
    return arguments if isinstance(arguments, dict) else {"": arguments}
