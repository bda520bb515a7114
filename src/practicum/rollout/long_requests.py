"""Requests whose text an agent made long: refused before they are tokenized, or tokenized beside the event loop.

A tokenizer takes about a second for a megabyte. On the event loop every other rollout, and the sampler, would stand
still meanwhile; in a thread they go on, since it works without the interpreter's lock. Short texts stay on the loop.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from practicum.chat import Message, text_of
from practicum.errors import ContextFull

LONG = 50_000
"""Characters from which a text is tokenized in a thread."""
LONGEST_TOKEN = 128
"""Characters of the longest token of any vocabulary in use: so many times the context is surely too much."""

_THREADS = ThreadPoolExecutor(2, "practicum-render")

T = TypeVar("T")


def characters(messages: Sequence[Message]) -> int:
    """Characters of what messages say, their tool calls included."""
    return sum(len(text_of(message)) + sum(map(_written, message.get("tool_calls") or ())) for message in messages)


def context_of(sampler: Any) -> int | None:
    """Most tokens of a prompt and its answer, where a sampler says so (``max_length``)."""
    most: int | None = getattr(sampler, "max_length", None)
    return most


def require_room(messages: Sequence[Message], most_tokens: int | None) -> None:
    """Refuse what cannot fit, whatever its tokens.

    Args:
        messages: A conversation.
        most_tokens: The context; None where the engine does not say.

    Raises:
        ContextFull: more messages than tokens, or more characters than as many of the longest tokens hold.
    """
    if most_tokens is None:
        return
    size = characters(messages)
    if len(messages) > most_tokens or size > most_tokens * LONGEST_TOKEN:
        raise ContextFull(
            f"a conversation of {len(messages)} messages and {size} characters leaves no room in max_sequence_length "
            f"{most_tokens}",
            fix="shorten the history or the tool results, or raise max_sequence_length",
        )


async def rendered(render: Callable[[], T], messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> T:
    """What ``render`` makes of messages and tools; in a thread where they are long.

    Raises:
        Exception: what ``render`` raises.
    """
    if characters(messages) + sum(len(str(tool.get("function", tool))) for tool in tools) < LONG:
        return render()
    return await asyncio.get_running_loop().run_in_executor(_THREADS, render)


def _written(call: Mapping[str, Any]) -> int:
    arguments = call["function"]["arguments"]
    return len(arguments) if isinstance(arguments, str) else len(str(arguments))
