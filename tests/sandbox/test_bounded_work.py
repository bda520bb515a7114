"""Work that an agent chooses is bounded before it is done: counted here, never timed."""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest

from practicum.sandbox import math_functions, mathematics, sql, sql_functions, sql_shape
from practicum.sandbox.sql_functions import CHARGE_OF_TEXT, too_many_slow
from practicum.sandbox.sql_guard import Guard


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sql.connect("CREATE VIRTUAL TABLE note USING fts5(body); INSERT INTO note VALUES ('hello world');")
    yield connection
    connection.close()


def calls_within(work: Callable[[], Any]) -> int:
    """Python functions that were entered."""
    count = 0

    def count_calls(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(count_calls)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


LARGE = "2.5+1/10**980"


@pytest.mark.parametrize(
    "expression",
    [f"log(1.7, {LARGE})", f"log({LARGE}, 1.0001)", f"log2({LARGE})", f"log10({LARGE})", f"cbrt({LARGE})"],
)
def test_no_number_on_the_way_is_larger_than_a_value_may_be(expression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0

    class Watched(Fraction):
        def __pow__(self, exponent: Any) -> Any:
            nonlocal largest
            digits = (
                max(self.numerator, self.denominator).bit_length() * abs(exponent) if isinstance(exponent, int) else 0
            )
            largest = max(largest, digits)
            return super().__pow__(exponent)

    monkeypatch.setattr(math_functions, "Fraction", Watched)
    mathematics.evaluate(expression)
    assert largest <= 2 * math_functions.MAX_DIGITS * 3.33


@pytest.mark.parametrize(
    ("expression", "value"),
    [("log(8, 2)", 3), ("log(1/9, 3)", -2), ("log(0.01, 0.1)", 2), ("log(10**400, 10)", 400), ("log(7, 7)", 1)],
)
def test_logarithms_stay_exact_where_they_are(expression: str, value: int) -> None:
    assert mathematics.evaluate(expression) == value
    assert isinstance(mathematics.evaluate(expression), int)


@pytest.mark.parametrize("name", ["sum", "mean", "lcm"])
def test_what_many_arguments_come_to_is_bounded_on_the_way(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    bounded = math_functions.bounded

    def noting(value: Any) -> Any:
        seen.append(0 if isinstance(value, float) else max(value.numerator, value.denominator).bit_length())
        return bounded(value)

    monkeypatch.setattr(math_functions, "bounded", noting)
    many = ",".join(f"10**450+{n}" if name == "lcm" else f"1/(10**450+{n})" for n in range(1, 60))
    try:
        mathematics.evaluate(f"{name}({many})")
    except mathematics.MathError as error:
        assert "digits" in str(error)
    assert max(seen) < 3 * math_functions.MAX_DIGITS * 3.33


def test_a_root_takes_as_many_steps_as_digits_have_bits() -> None:
    assert mathematics.evaluate(f"cbrt({7**300}**1)") == 7**100
    assert calls_within(lambda: mathematics.evaluate("cbrt(10**300+7)")) < 2_000


@pytest.mark.parametrize("form", ["SELECT {open}", "SELECT {named}", "x {named}) as {words}", "x {open}) as {words}("])
def test_the_shape_of_a_query_is_found_in_one_pass(form: str) -> None:
    def work(size: int) -> int:
        query = form.format(open="(" * size, named="a(" * size, words="not " * size)
        return calls_within(lambda: sql_shape.check_shape(query))

    assert work(2_000) < 2.5 * work(1_000)


def test_a_query_too_long_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_shape, "tokens_of", lambda query: pytest.fail("it was read"))
    assert "too large" in sql_shape.check_shape("SELECT " + "(" * 1_000_000)
    assert "too large" in sql_shape.check_shape("SELECT '" + "é" * 15_000 + "'")


@pytest.mark.parametrize(
    ("call", "most"),
    [("'a' LIKE '%b'", 12), ("'a' GLOB '*b'", 12), ("json_set('{}', '$.a', 1)", 200), ("json_patch('{}', '{}')", 2)],
)
def test_slow_functions_stand_in_few_places(database: sqlite3.Connection, call: str, most: int) -> None:
    assert len(sql.run(database, f"SELECT {', '.join([call] * most)}").rows[0]) == most
    with pytest.raises(sql.SqlError, match="too many places: at most"):
        sql.run(database, f"SELECT {', '.join([call] * (most + 1))}")


def test_slow_functions_count_together_and_others_do_not() -> None:
    assert too_many_slow({"like": 6, "glob": 7})
    assert not too_many_slow({"like": 6, "glob": 6, "upper": 400})


def test_between_two_looks_at_the_limits_lie_fewer_steps_where_functions_are_slow(database: sqlite3.Connection) -> None:
    intervals = [
        Guard(database, query, steps=10**6, seconds=1, writes=False, now=None)._interval
        for query in ("SELECT 1", "SELECT a LIKE 'b'", "SELECT JSON_PATCH('{}', '{}') LIKE 'a'")
    ]
    assert intervals == [1_000, 50, 5]


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("instr('hällo', 'l')", 3), ("instr('abc', '')", 1), ("instr(x'000102', x'02')", 3), ("instr(12345, 34)", 3),
        ("instr(NULL, 'a')", None), ("replace('aXbX', 'X', 'yy')", "ayybyy"), ("replace('ab', '', 'x')", "ab"),
        ("replace(1.5, 5, 'x')", "1.x"), ("replace('a', 'a', NULL)", None), ("trim('xxaxx', 'x')", "a"),
        ("ltrim('xyaxy', 'yx')", "axy"), ("rtrim('xyaxy', 'yx')", "xya"), ("trim(7007, '7')", "00"),
        ("trim('a', NULL)", None),
    ],
)  # fmt: skip
def test_text_functions_of_ours_say_what_sqlites_say(database: sqlite3.Connection, call: str, value: Any) -> None:
    assert sql.run(database, f"SELECT {call}").rows == ((value,),)
    with sqlite3.connect(":memory:") as plain:
        assert plain.execute(f"SELECT {call}").fetchone() == (value,)


def test_text_functions_are_charged_by_length_and_end_at_the_limit_of_steps(database: sqlite3.Connection) -> None:
    long = "replace(hex(zeroblob(33000)), '0', 'a')"
    query = f"WITH c(x, y) AS MATERIALIZED (SELECT {long}, substr({long}, 1, 30000) || 'b') SELECT instr(x, y) FROM c"
    assert sql.run(database, query).rows == ((0,),)
    steps = 2 * (CHARGE_OF_TEXT + 66_000 // sql_functions.CHARACTERS_A_STEP)
    with pytest.raises(sql.SqlError, match=r"more than .* steps"):
        sql.run(database, query, steps=steps)


def test_a_text_that_would_grow_too_long_is_never_made(database: sqlite3.Connection) -> None:
    grown = "replace(replace(hex(zeroblob(40000)), '0', 'ab'), 'a', hex(zeroblob(10000)))"
    with pytest.raises(sql.SqlError, match="too big"):
        sql.run(database, f"SELECT length({grown})")


def test_what_an_agent_computed_is_not_kept(database: sqlite3.Connection) -> None:
    sql_functions._remembered.cache_clear()
    long = "hex(zeroblob(40000))"
    sql.run(database, f"SELECT strftime({long}, '2026-01-01'), printf('%s', {long}), date({long})")
    assert sql_functions._remembered.cache_info().currsize == 0
    sql.run(database, "SELECT strftime('%Y', '2026-01-01')")
    assert sql_functions._remembered.cache_info().currsize == 1
    held = sql_functions._CACHED * sql_functions._remembered.cache_info().maxsize
    assert held < 1_000_000


@pytest.mark.parametrize("table", ["note_data", "note_content", "note_idx", "note_docsize", "note_config"])
def test_a_full_text_index_is_written_through_its_table_alone(database: sqlite3.Connection, table: str) -> None:
    with pytest.raises(sql.SqlError, match=f"table {table} cannot be written"):
        sql.run(database, f"DELETE FROM {table}", writes=True)
    sql.run(database, "INSERT INTO note VALUES ('good bye')", writes=True)
    assert sql.run(database, "SELECT count(*) FROM note WHERE note MATCH 'bye'").rows == ((1,),)


def test_a_table_of_a_similar_name_can_be_written() -> None:
    connection = sql.connect("CREATE VIRTUAL TABLE note USING fts5(body); CREATE TABLE note_tags (tag);")
    assert sql.run(connection, "INSERT INTO note_tags VALUES ('a')", writes=True).changed == 1
    connection.close()
