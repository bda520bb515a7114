"""What SQLite would copy while it prepares, what it would keep, and what it does within one row: refused beforehand."""

import sqlite3
from collections.abc import Iterator

import pytest

from practicum.sandbox import sql
from practicum.sandbox.sql_guard import memory_used
from practicum.sandbox.sql_shape import MAX_PLACES, check_shape, places, tokens_of


def chain(length: int, column: str, table: str = "c{}", read: str = "", again: str = "") -> str:
    """Tables that each read the one before, which is named ``table`` (``read`` where it is read)."""
    read = read or table
    rest = "".join(
        f", {table.format(n)} AS (SELECT {column} FROM {read.format(n - 1)} x{again.format(n - 1)})"
        for n in range(1, length)
    )
    return f"WITH {table.format(0)} AS (SELECT 1 AS a){rest} SELECT * FROM {read.format(length - 1)}"


@pytest.mark.parametrize(
    "column",
    [
        "a+a AS a",
        'a+a "a"',
        "max(a,a,a,a,a) a",
        "CASE a WHEN a THEN a END AS a",
        "a IS DISTINCT FROM a AS a",
        'x."a" || x.[a] AS a',
        "x.'a' || x.'a' AS a",
        "a + (SELECT a) AS a",
        "CASE WHEN 1 THEN a ELSE a END a, 1 b",
        '"from" + "from" AS "from"',
        '"returning" + "returning" AS "returning"',
    ],
)
def test_columns_that_double_from_table_to_table_are_refused_before_sqlite_sees_them(column: str) -> None:
    assert "too often" in check_shape(chain(25, column))
    assert check_shape(chain(3, column)) == ""


def test_brackets_within_brackets_double_columns_too() -> None:
    query = "t"
    for _ in range(20):
        query = f"(SELECT a+a AS a FROM {query})"
    assert "too often" in check_shape(f"SELECT a FROM {query}")


def test_tables_defined_after_they_are_read_count_as_well() -> None:
    tables = [f"c{n} AS (SELECT a+a AS a FROM c{n - 1})" for n in range(1, 25)]
    assert "too often" in check_shape(f"WITH {', '.join(reversed(tables))}, c0 AS (SELECT 1 AS a) SELECT a FROM c24")


def test_a_recursive_table_is_not_merged_with_itself() -> None:
    query = "WITH RECURSIVE f(n, x, y) AS (SELECT 1, 0, 1 UNION ALL SELECT n + 1, y, x + y FROM f WHERE n < 9) {}"
    assert check_shape(query.format("SELECT x FROM f")) == ""


def test_an_analysis_of_many_steps_is_far_from_the_bound() -> None:
    query = """
    WITH month AS (SELECT region, substr(day, 1, 7) AS month, sum(CASE WHEN state = 'paid' THEN price * count ELSE 0
        END) AS revenue, count(DISTINCT buyer) AS buyers FROM sale JOIN place USING (id) GROUP BY 1, 2),
    ranked AS (SELECT *, revenue / nullif(buyers, 0) AS each, lag(revenue) OVER (ORDER BY month) AS before FROM month),
    growth AS (SELECT *, CASE WHEN before IS NULL THEN NULL ELSE round(100.0 * (revenue - before) / before, 2) END
        AS up, CASE WHEN revenue > 9 THEN 'high' WHEN revenue > 3 THEN 'mid' ELSE 'low' END AS band FROM ranked)
    SELECT region, month, up, band, each FROM growth WHERE up > (SELECT avg(up) FROM growth) ORDER BY month, up DESC"""
    assert check_shape(query) == ""
    assert places(tokens_of(query)) * 10 < MAX_PLACES


@pytest.mark.parametrize(
    ("table", "read"),
    [
        ("c{}", "'c{}'"),
        ("'c{}'", "c{}"),
        ('"c""{}"', '[c"{}]'),
        ("`c``{}`", '"c`{}"'),
        ("€c{}", "€c{}"),
        ("c\u00a0{}", "c\u00a0{}"),
        ('"("', '"("'),
        ('c{}(")")', "c{}"),
        ("c{}(a) /* ( */", '"C{}"'),
    ],
)
def test_a_table_is_one_table_however_its_name_is_written(table: str, read: str) -> None:
    assert "too often" in check_shape(chain(14, "1 AS a", table, read, again=f", {read} y"))


def test_names_are_cut_where_sqlite_cuts_them() -> None:
    assert tokens_of('a€b\u00a0c \'(\'  "x""y" [x"y] "Select"--(\n)') == [
        "a€b\u00a0c",
        '"(',
        '"x"y',
        '"x"y',
        '"select',
        ")",
    ]


def test_nothing_stays_of_what_functions_of_ours_were_called_with() -> None:
    def call(count: int) -> None:
        query = f"SELECT length(printf('%.1s'{', x' * count})) FROM (SELECT hex(zeroblob(49000)) AS x)"
        sql.run(sql.connect(), query)

    call(1)
    before = memory_used()
    for count in range(2, 30):
        call(count)
    assert memory_used() - before < 1_000_000


def test_widths_of_a_format_are_bounded_together() -> None:
    with pytest.raises(sql.SqlError, match="come to more than 200,000 characters"):
        sql.run(sql.connect(), "SELECT printf(replace(hex(zeroblob(6000)), '00', '%9999d'))")
    assert sql.run(sql.connect(), "SELECT printf('%-8s|%.2f', 'a', 1.5)").rows == (("a       |1.50",),)


@pytest.fixture(params=["fts5", "fts4"])
def notes(request: pytest.FixtureRequest) -> Iterator[sqlite3.Connection]:
    connection = sql.connect(
        f"CREATE VIRTUAL TABLE note USING {request.param}(body); INSERT INTO note VALUES ('hello world');"
    )
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO note(note) VALUES ('delete-all')",
        "INSERT INTO note(note) VALUES ('rebuild')",
        "REPLACE INTO main.note AS n (body, [NOTE]) VALUES ('x', 'optimize')",
        "INSERT INTO 'note' (rowid, 'note') SELECT 1, 'merge=500,2'",
        "WITH x AS (SELECT 1 AS \"into\") INSERT INTO note(note, rank) SELECT 'rank', 'bm25(9)' FROM x",
    ],
)
def test_an_index_takes_no_commands(notes: sqlite3.Connection, statement: str) -> None:
    with pytest.raises(sql.SqlError, match="commands of the full-text index note are not allowed"):
        sql.run(notes, statement, writes=True)
    assert sql.run(notes, "SELECT body FROM note WHERE note MATCH 'hello'").rows == (("hello world",),)


def test_a_text_in_an_index_is_bounded_by_what_a_search_in_it_would_cost(notes: sqlite3.Connection) -> None:
    with pytest.raises(sql.SqlError, match="too big"):
        sql.run(notes, "INSERT INTO note VALUES (hex(zeroblob(6000)))", writes=True)
    assert sql.run(notes, "INSERT INTO note(body) VALUES (hex(zeroblob(600)))", writes=True).changed == 1
    assert sql.run(notes, "SELECT length(hex(zeroblob(6000)))", writes=True).rows == ((12_000,),)


@pytest.mark.parametrize("function", ["snippet(note)", "offsets(note)", "matchinfo(note)"])
def test_functions_that_compare_each_place_found_with_each_are_closed(notes: sqlite3.Connection, function: str) -> None:
    with pytest.raises(sql.SqlError, match="is not allowed"):
        sql.run(notes, f"SELECT {function} FROM note WHERE note MATCH 'hello'")
