"""What a player writes and reads where an episode is text: a JSON tool call, or a final answer.

    {"name": "get_ticket", "arguments": {"ticket_id": "T123"}}

A JSON object with exactly these two keys is a tool call; every other text is the final answer.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from practicum.environment.base import Call
from practicum.trajectory import Message


def parse_action(text: str) -> Call | None:
    """The tool call that ``text`` is; None where it is a final answer."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or set(value) != {"name", "arguments"}:
        return None
    name, arguments = value["name"], value["arguments"]
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return Call(name, arguments)


def opening_text(messages: Sequence[Message], schemas: Sequence[Mapping[str, Any]]) -> str:
    """What a player reads first: instructions, tools and how to call them, the task."""
    *before, task = [str(message["content"]) for message in messages]
    parts = list(before)
    if schemas:
        tools = "\n".join(json.dumps(schema["function"], ensure_ascii=False) for schema in schemas)
        how = 'Call a tool by writing only {"name": NAME, "arguments": {…}}. Any other text is your final answer.'
        parts.append(f"Tools:\n{tools}\n{how}")
    return "\n\n".join([*parts, task])


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
