"""A look at a query before SQLite sees it: does naming tables or columns make it grow beyond measure?

SQLite copies a common table expression to each place that names it, while it prepares, where no limit of its own
applies: thirty of them, each naming the one before twice, would be a thousand million copies. The same holds of
columns: the expression of a subquery's column is put in each place that names the column.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

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
    tokens = []
    for match in _TOKEN.finditer(query):
        token = match[0]
        if match["word"]:
            tokens.append(token.lower())
        elif match["name"] or match["text"]:
            tokens.append(_unquoted(token))
        elif match["other"]:
            tokens.append(token)
    return tokens


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
    definitions: dict[str, set[int]] = {}
    closing = _next_closing(tokens)
    for place, word in enumerate(tokens):
        following = place + 1
        if tokens[following : following + 1] == ["("]:
            following = closing[following] + 1
        if tokens[following : following + 1] == ["as"] and _opens_a_query(tokens[following + 1 : following + 4]):
            definitions.setdefault(word, set()).add(place)
    return definitions


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


ENDLESS = 1 << 60
"""Places of tables that read one another in a circle."""
_COLUMNS = frozenset({"select", "values"})
_AFTER_FROM = frozenset({"where", "group", "having", "order", "limit", "union", "intersect", "except", "returning"})
_BEFORE_A_SOURCE = frozenset({"from", "join", ",", "("})


@dataclass(eq=False)
class _Block:
    """The whole query or one within brackets; ``part`` is the clause that is being read, ``depth`` its open brackets.

    Attributes:
        table: Name under which others may read it ("" for none).
        names: Columns named in its result, in all.
        widest: Columns named in one column of its result, at most.
        other_names: Columns named in its other clauses.
    """

    table: str = ""
    names: int = 0
    widest: int = 1
    other_names: int = 0
    part: str = ""
    depth: int = 0
    column: int = 0
    reads: set[str] = field(default_factory=set)
    inner: "list[_Block]" = field(default_factory=list)

    def meet(self, token: str, before: str, after: str) -> None:
        """Take in the next token of the query itself."""
        begins = token in _COLUMNS or token in _AFTER_FROM or (token == "from" and before != "distinct")
        if begins and self.depth == 0:
            self.part = token
            self.column = 0
        elif token == "," and self.depth == 0:
            self.column = 0
        elif is_name(token):
            if self.part == "from" and before in _BEFORE_A_SOURCE:
                self.reads.add(token)
            elif after not in ("(", ".") and before != "as":
                self.count(1)

    def count(self, names: int) -> None:
        """Columns that are named where the reading stands."""
        if self.part not in _COLUMNS:
            self.other_names += names
            return
        self.names += names
        self.column += names
        self.widest = max(self.widest, self.column)


def places(tokens: Sequence[str]) -> int:
    """How many places name a column once all is merged, at most; the work is linear in the tokens.

    A column of a block counts as many as its widest, each as large as the largest column that the block may read: of a
    subquery in it, or of a common table expression.
    """
    blocks = list(_blocks(tokens))
    tables: dict[str, list[_Block]] = {}
    for block in blocks:
        if block.table:
            tables.setdefault(block.table, []).append(block)
    sources = {block: [*block.inner, *_read(block, tables)] for block in blocks}
    total, sizes = 0, dict[_Block, int]()
    try:
        for block in TopologicalSorter(sources).static_order():
            largest = max((sizes[source] for source in sources[block]), default=1)
            sizes[block] = min(largest * block.widest, ENDLESS)
            total += block.names * largest + block.other_names * sizes[block]
    except CycleError:
        return ENDLESS
    return total


def _read(block: _Block, tables: Mapping[str, list[_Block]]) -> Iterator[_Block]:
    """Common table expressions that a block reads; a recursive one is never merged with itself."""
    for name in block.reads & tables.keys():
        yield from (table for table in tables[name] if table is not block)


def _blocks(tokens: Sequence[str]) -> Iterator[_Block]:
    """Each query within brackets, as it ends, and the whole at last."""
    open_blocks, brackets, partner = [_Block()], list[tuple[int, bool]](), dict[int, int]()
    for place, token in enumerate(tokens):
        block, after = open_blocks[-1], tokens[place + 1] if place + 1 < len(tokens) else ""
        if token == "(":
            begins = after in ("select", "values", "with")
            brackets.append((place, begins))
            if begins:
                open_blocks.append(_Block(_table(tokens, place, partner)))
            else:
                block.depth += 1
        elif token == ")" and brackets:
            opened, ended = brackets.pop()
            partner[place] = opened
            if ended:
                yield _closed(open_blocks)
            else:
                block.depth -= 1
        else:
            block.meet(token, tokens[place - 1] if place else "", after)
    while len(open_blocks) > 1:
        yield _closed(open_blocks)
    yield open_blocks[0]


def _closed(open_blocks: list[_Block]) -> _Block:
    """The innermost block, handed to the one around it: there its names count too, for what it names may be merged."""
    block, around = open_blocks.pop(), open_blocks[-1]
    if not block.table:
        around.inner.append(block)
        if around.part != "from":
            around.count(block.names + block.other_names)
    return block


def _table(tokens: Sequence[str], opened: int, partner: Mapping[int, int]) -> str:
    """The name in ``name (columns) AS NOT MATERIALIZED (``; "" where the bracket follows anything else."""
    place = opened - 1
    for word in ("materialized", "not"):
        place -= place >= 0 and tokens[place] == word
    if place < 1 or tokens[place] != "as":
        return ""
    place -= 1
    if tokens[place] == ")":
        place = partner.get(place, 0) - 1
    return tokens[place] if place >= 0 else ""
