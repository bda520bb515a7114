"""Text that people and models read: cut to a length, and taken as JSON where it is JSON."""

import json
from typing import Any


def shortened(text: str, limit: int) -> str:
    """The text, cut to ``limit`` characters, the last of which then says so."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def both_ends(text: str, limit: int = 300) -> str:
    """Beginning and end of a text longer than ``limit`` characters: of a message that quotes, what it says of that."""
    return text if len(text) <= limit else f"{text[: limit // 2]} … {text[-limit // 2 :]}"


def json_or_text(text: str) -> Any:
    """What the text holds as JSON; where it is none, the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def json_object(text: str | bytes) -> dict[str, Any] | None:
    """The JSON object that the text is; None where it is something else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
