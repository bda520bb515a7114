"""Full-text indexes that an agent's statement may write: texts of a bounded length, and none of an index's commands.

What a search costs grows with a text's length times the pattern's, and SQLite looks at no limit within a row. Commands
(``INSERT INTO note(note) VALUES ('rebuild')``) work on a whole index at once, or change for good how it works.
"""

from collections.abc import Collection, Sequence, Set

MAX_WRITTEN = 10_000
"""Longest text or blob, in bytes, of a statement that writes where there is a full-text index."""
INTERVAL = 50
"""Instructions between two looks at the limits where there is one: a few rows."""
_WRITING = frozenset({"insert", "replace", "update", "delete"})


def may_write(tokens: Collection[str]) -> bool:
    """Whether a statement may write: it names the word somewhere."""
    return not _WRITING.isdisjoint(tokens)


def command(tokens: Sequence[str], tables: Set[str]) -> str:
    """The index to which a statement gives a command, by the column that bears the index's own name; "" for none."""
    start = tokens.index("into") if "into" in tokens else len(tokens)
    opened = next((place for place in range(start, len(tokens)) if tokens[place] == "("), len(tokens))
    closed = next((place for place in range(opened, len(tokens)) if tokens[place] == ")"), len(tokens))
    named = tables & set(tokens[start:opened]) & set(tokens[opened:closed])
    return min(named, default="")
