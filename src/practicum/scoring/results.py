"""``score_rows``: the SQL of an answer is run, and its rows are compared with the right ones.

Rows are a multiset, or a list where their order was asked for; names of columns do not count. Values are compared by
type: NULL equals only NULL, ``'3'`` is not ``3``. Integers and floats are both numbers; where one of the two is a
float they may differ by 1e-9, relatively or absolutely, which covers the order of a sum and nothing else.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from practicum.digests import digest
from practicum.sandbox import sql
from practicum.scoring.fields import TOLERANCE, dense, same
from practicum.tasks import Task
from practicum.trajectory import Rollout

ROWS = 1_000
"""Rows a query may give; one that gives more is wrong."""

Row = Sequence[Any]
Columns = Literal["given", "any"]
"""Whether columns must stand in the order asked for."""


@dataclass(frozen=True)
class Exam:
    """A database, as the SQL that builds it, and the rows that a right query gives there."""

    script: str
    rows: Sequence[Row]
    ordered: bool = False


@dataclass(frozen=True)
class RowScore:
    """Runs the query in ``<tag>…</tag>``, the whole of the final answer, on every database of ``exams(task)``.

    More than one database shows whether the query is right, or happens to give the right rows once: an answer that
    was looked up and written down as constants fails in the second.

    With ``partial``: ``format_weight`` for a query that runs, ``exact_weight`` for the right rows everywhere, the
    rest of 1.0 times the share of right rows in the database where it is least (twice the rows in common, divided by
    all rows of both; order does not count there).
    """

    tag: str
    exams: Callable[[Task], Sequence[Exam]]
    columns: Columns = "given"
    partial: bool = False
    format_weight: float = 0.1
    exact_weight: float = 0.5

    async def __call__(self, rollout: Rollout) -> tuple[float, dict[str, float]]:
        """The score in [0, 1] and its components: ``format``, ``runs``, ``overlap``, ``exact``."""
        query = tagged_text(rollout.answer, self.tag)
        components = {"format": float(query is not None), "runs": 0.0, "overlap": 0.0, "exact": 0.0}
        if query is not None:
            # SQLite gives other threads their turn while it runs.
            components |= await asyncio.to_thread(self._examine, query, rollout.task)
        if not self.partial:
            return components["exact"], components
        rest = 1.0 - self.format_weight - self.exact_weight
        parts = (self.format_weight * components["runs"], self.exact_weight * components["exact"])
        return sum(parts) + rest * components["overlap"], components

    def _examine(self, query: str, task: Task) -> dict[str, float]:
        exams = self.exams(task)
        if not exams:
            raise ValueError("a task needs at least one database to run its answer on")
        results = [self._result(query, exam) for exam in exams]
        pairs = [(rows, exam) for rows, exam in zip(results, exams, strict=True) if rows is not None]
        if len(pairs) < len(exams):
            return {"runs": 0.0, "overlap": 0.0, "exact": 0.0}
        exact = all(same_rows(rows, exam.rows, ordered=exam.ordered, columns=self.columns) for rows, exam in pairs)
        overlap = min(rows_in_common(rows, exam.rows, columns=self.columns) for rows, exam in pairs)
        return {"runs": 1.0, "overlap": overlap, "exact": float(exact)}

    def _result(self, query: str, exam: Exam) -> list[Row] | None:
        with closing(sql.connect(exam.script)) as connection:
            try:
                result = sql.run(connection, query, max_rows=ROWS)
            except sql.SqlError:
                return None
        return None if result.truncated else list(result.rows)

    @property
    def excuses(self) -> dict[str, str]:
        """Partial credit is above an exact score by design; how far is bounded."""
        return dense(self.partial, 1.0 - self.exact_weight)

    @property
    def digest(self) -> str:
        """SHA-256 over the rule's settings; the databases are the tasks' affair."""
        settings = [self.tag, self.columns, self.partial, self.format_weight, self.exact_weight, TOLERANCE, ROWS]
        return digest(["score_rows", 1, *settings])


def score_rows(
    tag: str,
    exams: Callable[[Task], Sequence[Exam]],
    *,
    exact: bool = False,
    partial: bool = False,
    columns: Columns = "given",
) -> RowScore:
    """A score by result set: ``exact=True`` (the right rows in every database or nothing) or ``partial=True``.

    Args:
        tag: The answer is ``<tag>SELECT …</tag>``.
        exams: The databases of a task, each with the right rows.
        columns: ``any`` accepts the right columns in another order.

    Raises:
        ValueError: neither or both kinds were asked for, or the tag is not a name.
    """
    if exact == partial:
        raise ValueError("score_rows takes either exact=True or partial=True")
    if not re.fullmatch(r"[A-Za-z_]\w*", tag):
        raise ValueError(f"the tag must be a name such as 'sql', not {tag!r}")
    return RowScore(tag, exams, columns, partial)


def tagged_text(text: str, tag: str) -> str | None:
    """What stands in the only ``<tag>`` block of ``text``; None if that is not the whole text, or is blank."""
    match = re.fullmatch(rf"\s*<{tag}>(.*)</{tag}>\s*", text, flags=re.DOTALL)
    if match is None or f"<{tag}>" in match[1] or f"</{tag}>" in match[1]:
        return None
    return match[1].strip() or None


def same_rows(
    result: Sequence[Row], right: Sequence[Row], *, ordered: bool = False, columns: Columns = "given"
) -> bool:
    """Whether two result sets are equal: as multisets of rows, or as lists where ``ordered``."""
    if len(result) != len(right) or not _rectangular(result, right):
        return False
    arrangements = _arrangements(result, right) if columns == "any" else iter([result])
    return any(_equal(arranged, right, ordered) for arranged in arrangements)


def rows_in_common(result: Sequence[Row], right: Sequence[Row], *, columns: Columns = "given") -> float:
    """The share of rows in common: 2·common / (rows given + right rows); 1 for two empty result sets.

    With ``columns="any"`` columns are paired by the values they have in common, which is a guess where two columns
    hold the same values.
    """
    if not result and not right:
        return 1.0
    if not _rectangular(result, right):
        return 0.0
    if columns == "any" and result and right:
        result = [[row[column] for column in _guessed(result, right)] for row in result]
    return 2 * _common(result, right) / (len(result) + len(right))


def _equal(given: Sequence[Row], right: Sequence[Row], ordered: bool) -> bool:
    if ordered:
        return all(same(tuple(row), tuple(expected), TOLERANCE) for row, expected in zip(given, right, strict=True))
    return _common(given, right) == len(right)


def _rectangular(given: Sequence[Row], right: Sequence[Row]) -> bool:
    """Whether all rows of both have one width; an empty set has none of its own."""
    return len({len(row) for row in (*given, *right)}) <= 1


def _common(result: Sequence[Row], right: Sequence[Row]) -> int:
    """Size of the largest pairing of equal rows."""
    theirs = Counter(tuple(map(_key, row)) for row in right)
    ours = Counter(tuple(map(_key, row)) for row in result)
    exact = ours & theirs
    unpaired = [_unpaired(rows, Counter(exact)) for rows in (result, right)]
    # What is left over can only be equal within the tolerance: pairs are found by augmenting paths, because
    # sorting would pair the wrong rows where floats that are nearly equal decide the order.
    partner: dict[int, int] = {}
    return exact.total() + sum(
        _augment(row, unpaired[0], unpaired[1], partner, set()) for row in range(len(unpaired[0]))
    )


def _unpaired(rows: Sequence[Row], paired: Counter[Any]) -> list[Row]:
    unpaired = []
    for row in rows:
        key = tuple(map(_key, row))
        if paired[key] > 0:
            paired[key] -= 1
        elif any(isinstance(value, float) for value in row) or any(map(_is_number, row)):
            unpaired.append(row)
    return unpaired


def _augment(row: int, result: Sequence[Row], right: Sequence[Row], partner: dict[int, int], tried: set[int]) -> bool:
    """Pair ``row`` of ``result``, moving earlier pairs where that makes room (Kuhn's algorithm)."""
    for candidate in range(len(right)):
        if candidate not in tried and same(tuple(result[row]), tuple(right[candidate]), TOLERANCE):
            tried.add(candidate)
            if candidate not in partner or _augment(partner[candidate], result, right, partner, tried):
                partner[candidate] = row
                return True
    return False


def _arrangements(result: Sequence[Row], right: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """``result`` with its columns in every order in which each holds the values it should."""
    if not right:
        yield result
        return
    width = len(right[0])
    fits = [
        [one for one in range(width) if _common(_column(result, one), _column(right, place)) == len(right)]
        for place in range(width)
    ]
    for order in _choices(fits, ()):
        yield [[row[column] for column in order] for row in result]


def _choices(fits: Sequence[Sequence[int]], chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if len(chosen) == len(fits):
        yield chosen
        return
    for column in fits[len(chosen)]:
        if column not in chosen:
            yield from _choices(fits, (*chosen, column))


def _guessed(result: Sequence[Row], right: Sequence[Row]) -> list[int]:
    order: list[int] = []
    for place in range(len(right[0])):
        free = [column for column in range(len(right[0])) if column not in order]
        order.append(max(free, key=lambda one: _common(_column(result, one), _column(right, place))))
    return order


def _column(rows: Sequence[Row], number: int) -> list[Row]:
    return [(row[number],) for row in rows]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key(value: Any) -> tuple[str, Any]:
    """Equal for values that are equal exactly; 3 and 3.0 are, 3 and True are not."""
    kind = "number" if _is_number(value) else type(value).__name__
    return kind, value
