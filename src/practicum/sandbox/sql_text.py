"""SQL's text functions that search one argument with another, in time that grows with their sum.

SQLite's own compare each place of one with the whole of the other: a statement may take minutes between two looks at
its limits. These give the same answers. Text that is not UTF-8 is read as far as it is.
"""

from collections.abc import Callable, Mapping
from typing import Any

MAX_LENGTH = 100_000
"""Longest text or blob, in bytes, that an agent's statement may hold."""

TextOf = Callable[[Any], str]
"""A value as SQLite writes it in text."""


class TooBig(ValueError):
    """A result would be longer than ``MAX_LENGTH``."""


def instr(text_of: TextOf, value: Any, part: Any) -> int | None:
    """Place of ``part``, from 1; 0 where it is not. Two blobs are compared by bytes."""
    if value is None or part is None:
        return None
    if isinstance(value, bytes) and isinstance(part, bytes):
        return value.find(part) + 1
    return text_of(value).find(text_of(part)) + 1


def replace(text_of: TextOf, value: Any, part: Any, by: Any) -> Any:
    """``value`` with ``by`` in place of each ``part``; the value itself where ``part`` is empty.

    Raises:
        TooBig: found before the text is made.
    """
    if value is None or part is None:
        return None
    old = text_of(part)
    if not old or old.startswith("\0"):
        return value
    if by is None:
        return None
    text, new = text_of(value), text_of(by)
    if len(new) > len(old) and len(text) + text.count(old) * (len(new) - len(old)) > MAX_LENGTH:
        raise TooBig("string or blob too big")
    return text.replace(old, new)


def _trimmed(strip: Callable[[str, str], str]) -> Callable[[TextOf, Any, Any], str | None]:
    def trim(text_of: TextOf, value: Any, characters: Any) -> str | None:
        if value is None or characters is None:
            return None
        distinct = dict.fromkeys(text_of(characters).partition("\0")[0])
        return strip(text_of(value), "".join(distinct))

    return trim


FUNCTIONS: Mapping[tuple[str, int], Callable[..., Any]] = {
    ("instr", 2): instr,
    ("replace", 3): replace,
    ("trim", 2): _trimmed(str.strip),
    ("ltrim", 2): _trimmed(str.lstrip),
    ("rtrim", 2): _trimmed(str.rstrip),
}
"""By name and number of arguments."""
