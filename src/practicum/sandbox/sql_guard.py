"""What stands between an agent's statement and the database while it runs: permissions, limits, counters."""

import ctypes
import os
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from datetime import datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from practicum.sandbox import sql_functions
from practicum.sandbox.sql_functions import MAX_LENGTH
from practicum.sandbox.sql_shape import MAX_QUERY, tokens_of

# Full-text indexes that an agent's statement may write: texts of a bounded length, and none of an index's commands.
# What a search costs grows with a text's length times the pattern's, and SQLite looks at no limit within a row.
# Commands (INSERT INTO note(note) VALUES ('rebuild')) work on a whole index at once, or change for good how it works.

MAX_WRITTEN = 10_000
"""Longest text or blob, in bytes, of a statement that writes where there is a full-text index."""
INDEX_INTERVAL = 50
"""Instructions between two looks at the limits where there is one: a few rows."""
_WRITING = frozenset({"insert", "replace", "update", "delete"})


def may_write(tokens: Collection[str]) -> bool:
    """Whether a statement may write: it names the word somewhere."""
    return not _WRITING.isdisjoint(tokens)


def index_command(tokens: Sequence[str], tables: Set[str]) -> str:
    """The index to which a statement gives a command, by the column that bears the index's own name; "" for none."""
    start = tokens.index("into") if "into" in tokens else len(tokens)
    opened = next((place for place in range(start, len(tokens)) if tokens[place] == "("), len(tokens))
    closed = next((place for place in range(opened, len(tokens)) if tokens[place] == ")"), len(tokens))
    named = tables & set(tokens[start:opened]) & set(tokens[opened:closed])
    return min(named, default="")


INTERVAL = 1_000  # instructions between two looks at the limits
_CLOSER = {"json_patch": 5, "like": 50, "glob": 50, "json": 50, "->": 50}  # where a query holds such a word
_SLOW_WORD = re.compile("json_patch|like|glob|json|->", re.IGNORECASE)
MAX_GROWTH = 64 << 20  # bytes that a statement may make SQLite take

READING_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
    | {"data_version"}  # full-text search asks for it
)
_CLOSED_TABLES = frozenset({"dbstat", "sqlite_dbpage", "sqlite_stmt", "bytecode", "tables_used", "fts3tokenize"})
_SCHEMA_TABLES = frozenset({"sqlite_master", "sqlite_temp_master"})
_WRITES = {sqlite3.SQLITE_INSERT: "INSERT", sqlite3.SQLITE_UPDATE: "UPDATE", sqlite3.SQLITE_DELETE: "DELETE"}
_NAMED = """ATTACH DETACH TRANSACTION SAVEPOINT ANALYZE REINDEX ALTER_TABLE CREATE_INDEX CREATE_TABLE CREATE_TRIGGER
    CREATE_VIEW CREATE_VTABLE CREATE_TEMP_INDEX CREATE_TEMP_TABLE CREATE_TEMP_TRIGGER CREATE_TEMP_VIEW DROP_INDEX
    DROP_TABLE DROP_TRIGGER DROP_VIEW DROP_VTABLE DROP_TEMP_INDEX DROP_TEMP_TABLE DROP_TEMP_TRIGGER DROP_TEMP_VIEW"""
_NAMES = {getattr(sqlite3, f"SQLITE_{name}"): name.replace("_", " ") for name in _NAMED.split()}
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_LENGTH,  # also bounds what one call of a function can take
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: MAX_QUERY,
    sqlite3.SQLITE_LIMIT_COLUMN: 500,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 32,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 20,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}


def resident(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """What stays closed on a connection of ours even for trusted statements."""
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and second == "load_extension":
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and (first or "").startswith("temp_store") and second is not None:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


class Guard:
    """Guards a connection within its ``with`` block. ``reason`` is why it stopped a statement, if it did."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        query: str,
        *,
        steps: int,
        seconds: float,
        writes: bool,
        now: datetime | None,
    ) -> None:
        self.connection, self.steps, self.seconds, self.writes, self.now = connection, steps, seconds, writes, now
        self.reason = ""
        words = (word.lower() for word in _SLOW_WORD.findall(query))
        indexes = _virtual_tables(connection)
        tokens = tokens_of(query) if indexes else []
        widest = INTERVAL if indexes.isdisjoint(tokens) else INDEX_INTERVAL
        self._interval = min(*map(_CLOSER.__getitem__, words), widest, INTERVAL)
        self._places: Counter[str] = Counter()
        self._shadows: Mapping[str, str] = _shadow_tables(connection) if writes else {}
        self._bounds = _LIMITS
        if writes and indexes:
            if index := index_command(tokens, frozenset(self._shadows.values())):
                self.refuse(f"commands of the full-text index {index} are not allowed")
            if may_write(tokens):
                self._bounds = _LIMITS | {sqlite3.SQLITE_LIMIT_LENGTH: MAX_WRITTEN}
        self._written: set[str] = set()
        self._taken = 0
        self._before: dict[str, Any] = {}
        self._limits: dict[int, int] = {}

    def __enter__(self) -> "Guard":
        connection = self.connection
        self._before = {name: getattr(connection, name) for name in ("isolation_level", "text_factory", "row_factory")}
        if connection.isolation_level is not None:
            connection.isolation_level = None  # or Python would begin a transaction
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        connection.row_factory = None
        self._limits = {
            limit: connection.setlimit(limit, min(most, connection.getlimit(limit)))
            for limit, most in self._bounds.items()
        }
        self._deadline = time.monotonic() + self.seconds
        self._memory = memory_used()
        sql_functions.active.guard = self
        connection.set_progress_handler(self._look, min(self._interval, self.steps))
        connection.set_authorizer(self._authorize)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sql_functions.active.guard = None
        connection = self.connection
        connection.set_authorizer(resident if type(connection).__module__ == "practicum.sandbox.sql" else None)
        connection.set_progress_handler(None, 0)
        for limit, before in self._limits.items():
            connection.setlimit(limit, before)
        for name, value in self._before.items():
            if getattr(connection, name) != value:
                setattr(connection, name, value)

    def charge(self, steps: int) -> None:
        """Counts work that SQLite's machine does not see. Raises ValueError when it is too much."""
        self._taken += steps
        if self._taken > self.steps:
            raise ValueError(self.refuse(self._too_long()))
        if time.monotonic() > self._deadline:
            raise ValueError(self.refuse(self._too_slow()))

    def _look(self) -> int:
        self._taken += min(self._interval, self.steps)
        if self._taken > self.steps:
            self.refuse(self._too_long())
        elif time.monotonic() > self._deadline:
            self.refuse(self._too_slow())
        elif memory_used() - self._memory > MAX_GROWTH:
            self.refuse(f"the query needs more than {MAX_GROWTH >> 20} MiB of memory")
        return 1 if self.reason else 0

    def _too_slow(self) -> str:
        return f"the query takes longer than {self.seconds:g} s"

    def _too_long(self) -> str:
        return f"the query needs more than {self.steps:,} steps: join on keys, filter earlier, or end the recursion"

    def _authorize(self, action: int, first: str | None, second: str | None, *place: str | None) -> int:
        refused = self.reason or self._objection(action, (first or "").lower(), (second or "").lower())
        if refused:
            self.refuse(refused)
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def _objection(self, action: int, first: str, second: str) -> str:
        if action == sqlite3.SQLITE_FUNCTION:
            self._places[second] += 1
            return sql_functions.objection(second, self.now is not None) or sql_functions.too_many_slow(self._places)
        if action in _WRITES:
            return self._objection_to_write(_WRITES[action], first)
        refused = {
            sqlite3.SQLITE_SELECT: "",
            sqlite3.SQLITE_RECURSIVE: "",
            sqlite3.SQLITE_READ: f"table {first} is not readable" if first in _CLOSED_TABLES else "",
            sqlite3.SQLITE_PRAGMA: f"PRAGMA {first} is not allowed" if first not in READING_PRAGMAS else "",
        }
        return refused.get(action, f"{_NAMES.get(action, 'this statement')} is not allowed")

    def _objection_to_write(self, statement: str, table: str) -> str:
        if table in _SCHEMA_TABLES:  # a virtual table being connected; all else is refused by SQLite or as CREATE, DROP
            return ""
        if not self.writes:
            return f"{statement} is not allowed: this database is for reading"
        owner = self._shadows.get(table)
        if table.startswith("sqlite_") or (owner is not None and owner not in self._written):
            return f"table {table} cannot be written"
        self._written.add(table)
        return ""

    def refuse(self, reason: str) -> str:
        """Remembers the first reason, and gives it."""
        self.reason = self.reason or reason
        return self.reason


def _shadow_tables(connection: sqlite3.Connection) -> dict[str, str]:
    """Tables in which a virtual table keeps its data, each with that table's name, both in lower case.

    Only the virtual table itself may write them: SQLite asks for leave for that too, once it writes the virtual table.
    """
    kinds = {str(row[1]).lower(): row[2] for row in connection.execute("PRAGMA table_list").fetchall()}
    virtual = [name for name, kind in kinds.items() if kind == "virtual"]
    shadows = (name for name, kind in kinds.items() if kind == "shadow")
    owners = ((name, [owner for owner in virtual if name.startswith(f"{owner}_")]) for name in shadows)
    return {name: max(found, key=len) for name, found in owners if found}


def _virtual_tables(connection: sqlite3.Connection) -> set[str]:
    """Names of virtual tables in lower case, with those of views where there are any, which may read them."""
    query = "SELECT name, type = 'table' FROM sqlite_master WHERE type = 'view' OR (type = 'table' AND rootpage = 0)"
    found = [(str(row[0]).lower(), row[1]) for row in connection.execute(query).fetchall()]
    return {name for name, _ in found} if any(is_virtual for _, is_virtual in found) else set()


_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory_used() -> int:
    """Bytes that SQLite holds in this process: its own count, or the process's where that is switched off.

    Only differences mean anything.
    """
    return _meter()()


@cache
def _meter() -> Callable[[], int]:
    import _sqlite3

    try:
        count = ctypes.CDLL(_sqlite3.__file__).sqlite3_memory_used
        count.restype = ctypes.c_int64
        connection = sqlite3.connect(":memory:")
        connection.execute("CREATE TABLE t (a)")
        counts = count() > 0
        connection.close()
        if counts:
            return lambda: int(count())
    except (OSError, AttributeError):  # built into the interpreter, or under another name
        pass
    return lambda: int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE
