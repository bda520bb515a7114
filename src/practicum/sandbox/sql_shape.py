"""A look at a query before SQLite sees it: does naming tables or columns make it grow beyond measure?

SQLite copies a common table expression to each place that names it, while it prepares, where no limit of its own
applies: thirty of them, each naming the one before twice, would be a thousand million copies. The same
holds of columns (``sql_expansion``).
"""

import math
from collections import Counter

from practicum.sandbox.sql_expansion import places
from practicum.sandbox.sql_tokens import tokens_of

MAX_COPIES = 1_000
MAX_PLACES = 200_000
MAX_QUERY = 20_000
"""Bytes of a query."""

_AFTER_AS = (["("], ["materialized", "("], ["not", "materialized", "("])
_BEFORE_A_TABLE = frozenset({"from", "join", ",", "(", "in"})


def check_shape(query: str) -> str:
    """Why a query is refused as it stands; "" if it is not. The work is linear in a length that is bounded first."""
    if len(query) > MAX_QUERY or len(query.encode("utf-8", "replace")) > MAX_QUERY:
        return f"the query is too large: at most {MAX_QUERY:,} bytes"
    if "\0" in query or any("\ud800" <= character <= "\udfff" for character in query):
        return "a query cannot hold NUL characters or lone surrogates"
    tokens = tokens_of(query)
    if not set(tokens) - {";"}:
        return "the query is empty"
    if tokens[0] == "vacuum":  # whether SQLite asks about it depends on its version
        return "VACUUM is not allowed"
    return _growth(tokens)


def _growth(tokens: list[str]) -> str:
    copies = _copies(tokens)
    if copies > MAX_COPIES:
        return "the query names its common table expressions in one another too often: use each of them once"
    if copies * places(tokens) > MAX_PLACES:
        return "the query's subqueries name one another's columns too often: name each of them once"
    return ""


def _copies(tokens: list[str]) -> int:
    """How often a table may be copied, at most, where common table expressions name one another."""
    defined = _defined(tokens)
    named = Counter(
        word
        for place, word in enumerate(tokens)
        if word in defined and place and tokens[place - 1] in _BEFORE_A_TABLE and place not in defined[word]
    )
    return math.prod(named.values())


def _defined(tokens: list[str]) -> dict[str, set[int]]:
    """Names that are followed by AS ( or by (columns) AS (, and where each is defined."""
    found: dict[str, set[int]] = {}
    closing = _next_closing(tokens)
    for place, word in enumerate(tokens):
        rest = place + 1
        if tokens[rest : rest + 1] == ["("]:
            rest = closing[rest] + 1
        if tokens[rest : rest + 1] == ["as"] and _opens_a_query(tokens[rest + 1 : rest + 4]):
            found.setdefault(word, set()).add(place)
    return found


def _next_closing(tokens: list[str]) -> list[int]:
    """For each place, that of the first closing bracket from there on; past the end where none follows."""
    places, following = [0] * len(tokens), len(tokens)
    for place in range(len(tokens) - 1, -1, -1):
        following = place if tokens[place] == ")" else following
        places[place] = following
    return places


def _opens_a_query(after_as: list[str]) -> bool:
    """Whether what follows AS is ``(``, ``MATERIALIZED (`` or ``NOT MATERIALIZED (``."""
    return any(after_as[: len(form)] == form for form in _AFTER_AS)
