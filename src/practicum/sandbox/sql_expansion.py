"""How large a query's expressions become where SQLite merges subqueries into what reads them.

SQLite puts the expression of a subquery's column in each place that names the column, while it prepares, where no limit
of its own applies: thirty tables, each naming a column of the one before twice, would be a thousand million places.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from practicum.sandbox.sql_tokens import is_name

ENDLESS = 1 << 60
"""Places of tables that read one another in a circle."""
_COLUMNS = frozenset({"select", "values"})
_AFTER_FROM = frozenset({"where", "group", "having", "order", "limit", "union", "intersect", "except", "returning"})
_BEFORE_A_TABLE = frozenset({"from", "join", ",", "("})


@dataclass(eq=False)
class _Block:
    """The whole query or one within brackets; ``part`` is the clause that is being read, ``depth`` its open brackets.

    Attributes:
        table: Name under which others may read it ("" for none).
        names: Columns named in its result, in all.
        widest: Columns named in one column of its result, at most.
        others: Columns named in its other clauses.
    """

    table: str = ""
    names: int = 0
    widest: int = 1
    others: int = 0
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
            if self.part == "from" and before in _BEFORE_A_TABLE:
                self.reads.add(token)
            elif after not in ("(", ".") and before != "as":
                self.count(1)

    def count(self, names: int) -> None:
        """Columns that are named where the reading stands."""
        if self.part not in _COLUMNS:
            self.others += names
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
            total += block.names * largest + block.others * sizes[block]
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
            around.count(block.names + block.others)
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
