"""SQL that an agent wrote, really run: one bounded statement on a connection that may do nothing else.

    connection = sql.connect("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2);")
    sql.run(connection, "SELECT sum(a) AS s FROM t")  # Rows(columns=('s',), rows=((3,),), truncated=False)

Everything that could differ between two runs is closed or made steady: random numbers, the clock, the local time
zone, SQLite's own version. Limits count instructions first and seconds second, so that a query which is refused is
refused on every machine.
"""

import math
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from practicum.sandbox import sql_functions
from practicum.sandbox.limits import SandboxError
from practicum.sandbox.sql_guard import Guard, resident
from practicum.sandbox.sql_shape import check_shape

Cell = None | int | float | str
MAX_BYTES = 1_000_000


class SqlError(Exception):
    """The statement failed or is not allowed; the text is for the agent, and the same each time."""


@dataclass(frozen=True)
class Rows:
    """A result, in the order SQLite gives it.

    Attributes:
        columns: Names; () for a statement without a result.
        rows: Values that JSON can hold: blobs as ``x'…'``, infinities as text.
        truncated: Whether there is more than was asked for (``max_rows``) or can be shown (1,000,000 bytes).
        changed: Rows inserted, updated or deleted.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    truncated: bool
    changed: int = 0

    def plain(self) -> dict[str, Any]:
        """As JSON-able data: columns, rows, and truncated or changed where they say something."""
        shown: dict[str, Any] = {"columns": list(self.columns), "rows": [list(row) for row in self.rows]}
        return (
            shown
            | ({"truncated": True} if self.truncated else {})
            | ({"changed": self.changed} if self.changed else {})
        )


class Connection(sqlite3.Connection):
    """What ``connect`` gives: closed to other files for good, beyond what ``run`` closes for a statement."""


def connect(script: str = "") -> sqlite3.Connection:
    """A fresh in-memory database, built by a script that is trusted.

    The connection may be used from any thread, by one at a time, and keeps no transaction open. The environment's own
    statements on it are free, but for ATTACH, extensions and temporary files.

    Raises:
        SandboxError: SQLite does not take the script.
    """
    connection = sqlite3.connect(
        ":memory:", isolation_level=None, check_same_thread=False, factory=Connection, cached_statements=0
    )
    try:
        sql_functions.install(connection)
        connection.executescript(script)
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        connection.close()
        raise SandboxError(
            f"SQLite does not take the script: {error}", where="sql.connect", fix="correct it"
        ) from error
    connection.set_authorizer(resident)
    return connection


def run(
    connection: sqlite3.Connection,
    query: str,
    *,
    max_rows: int = 200,
    steps: int = 5_000_000,
    seconds: float = 2.0,
    writes: bool = False,
    now: datetime | None = None,
) -> Rows:
    """Runs one statement of an agent's. Afterwards the connection is as it was, but for what was written.

    Any connection will do; on one that is not from ``connect``, the date functions are replaced for good by ones that
    do the same outside of ``run``.

    Args:
        connection: The database.
        query: One statement: SELECT, WITH, VALUES, EXPLAIN, a reading PRAGMA; with ``writes`` also INSERT, UPDATE,
            DELETE and REPLACE on the tables there are.
        max_rows: Rows to hand back.
        steps: Instructions of SQLite's machine that it may take (in steps of 1,000, of 50 where it matches patterns or
            reads JSON); calls of functions of ours count by the length of their arguments.
        seconds: Time by the clock that it may take.
        writes: Whether it may change rows. It does so wholly or, if refused, not at all.
        now: What 'now' and CURRENT_TIMESTAMP mean (UTC); None closes them.

    Raises:
        SqlError: the statement is wrong, not allowed or too large.
        SandboxError: ``writes`` on a connection with an open transaction, which a refused statement would undo.
    """
    if not isinstance(query, str):
        raise SqlError(f"a query is text, not {type(query).__name__}")
    if connection.in_transaction and (writes or connection.isolation_level is not None):
        raise SandboxError(
            "a transaction is open on the connection",
            where="sql.run",
            allowed="a connection with isolation_level=None and no transaction begun",
            fix="commit before an agent's statement runs",
        )
    if refused := check_shape(query):
        raise SqlError(refused)
    if connection.execute("PRAGMA writable_schema").fetchone()[0]:
        raise SandboxError("PRAGMA writable_schema is on", where="sql.run", fix="switch it off first")
    sql_functions.install(connection)
    guard = Guard(connection, query, steps=steps, seconds=seconds, writes=writes, now=now)
    try:
        with guard, closing(connection.cursor()) as cursor:
            cursor.row_factory = None
            cursor.execute(query)
            rows = _fetch(cursor, max_rows, guard)
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        raise SqlError(guard.reason or _text_of(error)) from None
    except MemoryError:
        raise SqlError("the query needs too much memory") from None
    return rows


def _fetch(cursor: sqlite3.Cursor, max_rows: int, guarded: Guard) -> Rows:
    if cursor.description is None:
        return Rows((), (), truncated=False, changed=max(cursor.rowcount, 0))
    rows: list[tuple[Cell, ...]] = []
    size, truncated = 0, False
    for row in cursor:
        if truncated:
            continue  # to its end: only then are the changes of a RETURNING counted
        cells = tuple(map(_cell, row))
        size += sum(len(cell) if isinstance(cell, str) else 8 for cell in cells)
        if len(rows) == max_rows or size > MAX_BYTES:
            truncated = True
            if not guarded.writes:
                break
        else:
            rows.append(cells)
    columns = tuple(str(entry[0]) for entry in cursor.description)
    return Rows(columns, tuple(rows), truncated, max(cursor.rowcount, 0))


def _cell(value: Any) -> Cell:
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, float) and not math.isfinite(value):
        return "Infinity" if value > 0 else "-Infinity"  # SQLite has no NaN: it is NULL
    return value


def _text_of(error: Exception) -> str:
    text = str(error)
    if "one statement at a time" in text:
        return "one statement at a time, please"
    if "bindings" in text or "parameter" in text:
        return "there are no parameters to bind: write values into the query"
    return text or type(error).__name__
