"""Chat messages in the OpenAI shape: their text, and when two of them say the same."""

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

_WRITTEN_OUT = 1e21  # JavaScript writes whole numbers below it without an exponent

Message = dict[str, Any]
"""One chat message in the OpenAI shape: role, content, optionally tool_calls / tool_call_id / name."""


def text_of(message: Message) -> str:
    """A message's text; content blocks are joined, missing content is empty."""
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content if isinstance(block, Mapping))


def split_opening(chat: Sequence[Any]) -> tuple[tuple[Message, ...], str]:
    """Of the messages that a dataset begins an episode with, those before the last, and the last one's text.

    Raises:
        ValueError: they are none of one system message, where there is one, and then the user's; saying which and why.
    """
    opening: list[Message] = []
    for number, message in enumerate(chat, start=1):
        role, text = message.get("role"), _only_text(message.get("content"))
        if role == "system" and number > 1:
            raise ValueError(f"message {number} is a second beginning: a system message stands first")
        if role not in ("system", "user"):
            raise ValueError(f"message {number} is of role {str(role)[:20]!r}, which is for the episode itself to say")
        if not text.strip():
            raise ValueError(f"message {number} of role {role!r} has no text, or something beside text")
        opening.append({"role": role, "content": text})
    if not opening or opening[-1]["role"] != "user":
        raise ValueError("the last message is not the user's: there is nothing to answer")
    return tuple(opening[:-1]), str(opening[-1]["content"])


def plain(arguments: Any) -> Any:
    """A call's arguments as JSON can carry them; a model may have written what is no object."""
    return dict(arguments) if isinstance(arguments, Mapping) else arguments


def message_key(message: Message) -> str:
    """Equal for two messages that say the same.

    Clients drop nulls, rewrite the spacing and the numbers of JSON (2.0 as 2), and name calls anew: none of it is said
    to the model. Reasoning is left out too, since most clients lose it.

    Raises:
        KeyError, TypeError, AttributeError: it is no message.
    """
    calls = [
        [call["function"]["name"], _canonical(call["function"]["arguments"])]
        for call in message.get("tool_calls") or ()
    ]
    return json.dumps([message.get("role"), text_of(message), calls])


def json_key(value: Any) -> str:
    """Equal for equal JSON: whatever the order of its keys, and 2.0 is 2.

    Raises:
        ValueError, TypeError, RecursionError: it is no JSON.
    """
    numbered = json.loads(json.dumps(value), parse_float=_number)
    return json.dumps(numbered, sort_keys=True)


def repeated(history: Sequence[str], keys: Sequence[str]) -> list[bool]:
    """Which of a request's messages were said before: those that stand in ``history`` in the same order."""
    places: dict[str, list[int]] = {}
    for place, key in enumerate(history):
        places.setdefault(key, []).append(place)
    after, before = 0, []
    for key in keys:
        of_key = places.get(key, [])
        next_place = bisect_left(of_key, after)
        before.append(next_place < len(of_key))
        after = of_key[next_place] + 1 if before[-1] else after
    return before


def _only_text(content: Any) -> str:
    """Text, also of text blocks; empty where there is anything else in it."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    texts = [block.get("text") for block in blocks if isinstance(block, Mapping) and block.get("type") == "text"]
    whole = len(texts) == len(blocks) and all(isinstance(text, str) for text in texts)
    return "".join(map(str, texts)) if whole else ""


def _canonical(arguments: Any) -> str:
    if not isinstance(arguments, str):
        return json_key(arguments)
    try:
        return json_key(json.loads(arguments or "{}"))
    except (ValueError, RecursionError):
        return arguments


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _WRITTEN_OUT else value
