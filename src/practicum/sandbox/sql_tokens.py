"""A query in tokens, cut where SQLite cuts it: a name is one name however it is quoted."""

import re

_TOKEN = re.compile(
    r"""
      (?P<skip>  [ \t\n\f\r\ufeff]+ | --[^\n]* | /\*.*?(?:\*/|$) )
    | (?P<text>  '(?:[^']|'')*'? )
    | (?P<name>  "(?:[^"]|"")*"? | `(?:[^`]|``)*`? | \[[^\]]*\]? )
    | (?P<word>  [A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]* )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_WORDS = """all and as between case collate distinct else escape except exists from group having in intersect into is
    isnull join limit not notnull null on or order returning select then union using values when where"""
RESERVED = frozenset(_WORDS.split())
"""Words that are never a name, unless they are quoted."""


def tokens_of(query: str) -> list[str]:
    """Words and names in lower case, and signs; comments left out. The work is linear in the query.

    A name in quotes stands as it would without them; with ``"`` before it where that would be another token (a reserved
    word, a bracket). Text stands in the same way, since SQLite takes ``FROM 'a'`` for a table.
    """
    found = []
    for match in _TOKEN.finditer(query):
        token = match[0]
        if match["word"]:
            found.append(token.lower())
        elif match["name"] or match["text"]:
            found.append(_unquoted(token))
        elif match["other"]:
            found.append(token)
    return found


def is_name(token: str) -> bool:
    """Whether a token may name something."""
    first = token[0]
    return token not in RESERVED and (first.isalpha() or first in '_"' or first >= "\u0080")


def _unquoted(token: str) -> str:
    quote = {"[": "]"}.get(token[0], token[0])
    inner = token[1:-1] if len(token) > 1 and token[-1] == quote else token[1:]
    name = (inner if quote == "]" else inner.replace(quote * 2, quote)).lower()
    plain = bool(name) and _TOKEN.fullmatch(name) and is_name(name) and name[0] not in "\"'[`"
    return name if plain else f'"{name}'
