"""Result sets are compared strictly, and a query must be right in every database it is run on."""

import asyncio
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from practicum.errors import RolloutError
from practicum.scoring import judge
from practicum.scoring.fields import TOLERANCE, same
from practicum.scoring.results import Exam, rows_in_common, same_rows, score_rows, tagged_text

SAME = [
    ([], []),
    ([(1, "a")], [(1, "a")]),
    ([(1,), (2,)], [(2,), (1,)]),
    ([(1,), (1,), (2,)], [(1,), (2,), (1,)]),
    ([(3,)], [(3.0,)]),
    ([(0.1 + 0.2,)], [(0.3,)]),
    ([(1e12 + 0.0001,)], [(1e12,)]),
    ([(None,)], [(None,)]),
    ([[1, "a"]], [(1, "a")]),
    # Sorted, the rows of one side would stand the other way round.
    ([(0.1 + 0.2, "b"), (0.3, "a")], [(0.3, "b"), (0.1 + 0.2, "a")]),
    # The first row fits both, the second only one of them.
    ([(1.0,), (1.0 + 9e-10,)], [(1.0 + 5e-10,), (1.0 - 9e-10,)]),
]
DIFFERENT = [
    ([], [(1,)]),
    ([(1,)], []),
    ([(1,), (1,)], [(1,)]),
    ([(1,), (1,), (2,)], [(1,), (2,), (2,)]),
    ([(1, 2)], [(2, 1)]),
    ([(1,)], [(1, 1)]),
    ([("3",)], [(3,)]),
    ([("a",)], [("A",)]),
    ([("a ",)], [("a",)]),
    ([("",)], [(None,)]),
    ([(0,)], [(None,)]),
    ([("NULL",)], [(None,)]),
    ([(True,)], [(1,)]),
    ([(b"a",)], [("a",)]),
    ([(1.0001,)], [(1,)]),
    ([(1,)], [(2,)]),
    ([(10**17,)], [(10**17 + 1,)]),
    ([(float("nan"),)], [(float("nan"),)]),
    ([(10**400,)], [(1.5,)]),
    ([(float("inf"),)], [(10**400,)]),
    ([(1,), (2, 3)], [(1,), (2,)]),
]


@pytest.mark.parametrize(("rows", "others"), SAME)
def test_equal_result_sets(rows, others):
    assert same_rows(rows, others)
    assert same_rows(others, rows)
    assert rows_in_common(rows, others) == 1


@pytest.mark.parametrize(("rows", "others"), DIFFERENT)
def test_result_sets_that_are_not_equal(rows, others):
    for columns in ("given", "any"):
        swapped = rows == [(1, 2)] and columns == "any"
        assert same_rows(rows, others, columns=columns) is swapped
        assert same_rows(others, rows, columns=columns) is swapped
    assert rows_in_common(rows, others) < 1


def test_order_counts_only_where_it_was_asked_for():
    assert same_rows([(2,), (1,)], [(1,), (2,)])
    assert not same_rows([(2,), (1,)], [(1,), (2,)], ordered=True)
    assert same_rows([(1,), (0.1 + 0.2,)], [(1,), (0.3,)], ordered=True)
    assert not same_rows([(1,)], [(1,), (2,)], ordered=True)


def test_columns_may_stand_in_another_order_where_that_is_allowed():
    right = [("Ann", 1, 1), ("Bob", 2, 1)]
    turned = [(1, "Bob", 2), (1, "Ann", 1)]
    assert not same_rows(turned, right)
    assert same_rows(turned, right, columns="any")
    assert rows_in_common(turned, right, columns="any") == 1
    # Each column holds the right values, and no order of columns gives the right rows.
    assert not same_rows([(1, "Ann", 1), (2, "Bob", 1)], [("Ann", 2, 1), ("Bob", 1, 1)], columns="any")
    # Two columns hold the same values: both orders have to be tried.
    assert same_rows([(1, 2), (2, 1), (1, 1), (2, 2)], [(2, 1), (1, 2), (1, 1), (2, 2)], columns="any")
    assert same_rows([(1, 2, 5), (2, 1, 6)], [(2, 1, 5), (1, 2, 6)], columns="any")
    assert same_rows([], [], columns="any")
    assert not same_rows([(1, 2)], [(2, 1)], ordered=True)
    assert same_rows([(1, 2)], [(2, 1)], ordered=True, columns="any")


@pytest.mark.parametrize(
    ("rows", "right", "share"),
    [
        ([(1,), (2,)], [(1,), (2,), (3,), (4,)], 2 * 2 / 6),
        ([(n,) for n in range(24)], [(1,), (2,)], 2 * 2 / 26),
        ([(1,), (1,)], [(1,)], 2 / 3),
        ([("x", 1)], [(1,)], 0),
        ([], [(1,)], 0),
        ([], [], 1),
    ],
)
def test_the_share_of_rows_in_common(rows, right, share):
    assert rows_in_common(rows, right) == pytest.approx(share)


values = st.none() | st.integers(-3, 3) | st.sampled_from(["", "a", "1"]) | st.sampled_from([0.5, 1.0, 2.25])


@given(st.lists(st.tuples(values, values, values), min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_shuffled_rows_and_columns_are_found_again_and_one_changed_value_is_noticed(rows, rng):
    order = rng.sample(range(3), 3)
    turned = [tuple(row[column] for column in order) for row in rng.sample(rows, len(rows))]
    assert same_rows(rng.sample(rows, len(rows)), rows)
    assert same_rows(turned, rows, columns="any")
    assert 0 <= rows_in_common(turned, rows) <= 1
    spoilt = [list(row) for row in rows]
    spoilt[0][0] = "another"
    assert not same_rows(spoilt, rows)
    assert not same_rows(spoilt, rows, columns="any")
    assert rows_in_common(spoilt, rows) == pytest.approx((len(rows) - 1) / len(rows))


def test_many_rows_that_are_equal_within_the_tolerance_are_compared_in_time():
    rng = random.Random(0)
    right = [(n / 7, "x") for n in range(400)]
    rows = [(value + 1e-11, "x") for value, _ in right]
    rng.shuffle(rows)
    assert same_rows(rows, right)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("<sql>SELECT 1</sql>", "SELECT 1"),
        (" \n<sql>\nSELECT 1;\n</sql> ", "SELECT 1;"),
        ("<sql>SELECT '<b>'</sql>", "SELECT '<b>'"),
        ("<sql></sql>", None),
        ("<sql>  </sql>", None),
        ("SELECT 1", None),
        ("", None),
        ("Here: <sql>SELECT 1</sql>", None),
        ("<sql>SELECT 1</sql>.", None),
        ("<sql>SELECT 1</sql><sql>SELECT 1</sql>", None),
        ("<SQL>SELECT 1</SQL>", None),
        ("<sql>SELECT 1", None),
        ("<sql><sql>SELECT 1</sql></sql>", None),
    ],
)
def test_the_query_in_an_answer(text, query):
    assert tagged_text(text, "sql") == query


FIRST = "CREATE TABLE t (name TEXT, n INTEGER); INSERT INTO t VALUES ('a', 1), ('b', 2), ('c', 3);"
SECOND = "CREATE TABLE t (name TEXT, n INTEGER); INSERT INTO t VALUES ('c', 3), ('d', 4), ('e', 5);"
RIGHT = "SELECT name, n FROM t WHERE n > 1"


def exams(task):
    return [Exam(FIRST, [("b", 2), ("c", 3)]), Exam(SECOND, [("c", 3), ("d", 4), ("e", 5)])]


exact = score_rows("sql", exams, exact=True)
partial = score_rows("sql", exams, partial=True)


def scored(rule, finished, query, *, whole=""):
    judgement = asyncio.run(judge(rule, finished(whole or f"<sql>{query}</sql>")))
    return judgement.total, judgement.components


@pytest.mark.parametrize(
    "query",
    [
        RIGHT,
        f"{RIGHT};",
        f"-- those above one\n{RIGHT}",
        "SELECT name AS other, n FROM t WHERE n >= 2 ORDER BY n DESC",
        "WITH big AS (SELECT * FROM t WHERE n > 1) SELECT * FROM big",
        "SELECT name, n * 1.0 FROM t WHERE n > 1",
    ],
)
def test_any_query_that_gives_the_right_rows_everywhere_is_right(finished, query):
    parts = {"format": 1, "runs": 1, "overlap": 1, "exact": 1}
    assert scored(exact, finished, query) == (1.0, parts)
    assert scored(partial, finished, query) == (1.0, parts)


@pytest.mark.parametrize(
    ("query", "runs", "overlap"),
    [
        # Looked up and written down: right in the database the agent saw, and nowhere else.
        ("SELECT 'b', 2 UNION ALL SELECT 'c', 3", 1, 2 / 5),
        ("VALUES ('b', 2), ('c', 3)", 1, 2 / 5),
        ("SELECT name, n FROM t LIMIT 2 OFFSET 1", 1, 4 / 5),
        ("SELECT * FROM t", 1, 4 / 5),
        ("SELECT n, name FROM t WHERE n > 1", 1, 0),
        ("SELECT name FROM t WHERE n > 1", 1, 0),
        ("SELECT name, CAST(n AS TEXT) FROM t WHERE n > 1", 1, 0),
        ("SELECT name, n FROM t WHERE 0", 1, 0),
        ("SELECT 1", 1, 0),
        ("SELECT", 0, 0),
        ("SELEC 1", 0, 0),
        ("hello", 0, 0),
        ("SELECT name, n FROM nowhere", 0, 0),
        (f"{RIGHT}; {RIGHT}", 0, 0),
        ("DELETE FROM t", 0, 0),
        ("DROP TABLE t", 0, 0),
        ("ATTACH ':memory:' AS other", 0, 0),
        ("PRAGMA table_info(t)", 1, 0),
        ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT * FROM r", 0, 0),
        ("SELECT a.n FROM t a, t b, t c, t d, t e, t f, t g, t h", 0, 0),
    ],
)
def test_any_other_query_is_wrong(finished, query, runs, overlap):
    value, components = scored(exact, finished, query)
    assert value == 0
    assert components == pytest.approx({"format": 1, "runs": runs, "overlap": overlap, "exact": 0})
    assert scored(partial, finished, query)[0] == pytest.approx(0.1 * runs + 0.4 * overlap)


@pytest.mark.parametrize("answer", ["", RIGHT, f"Sure! <sql>{RIGHT}</sql>", "<sql></sql>", "[['b', 2], ['c', 3]]"])
def test_an_answer_of_the_wrong_form_earns_nothing(finished, answer):
    for rule in (exact, partial):
        value, components = scored(rule, finished, "", whole=answer or " ")
        assert value == 0
        assert set(components.values()) == {0.0}


def test_an_order_that_was_asked_for_has_to_be_kept(finished):
    rule = score_rows("sql", lambda task: [Exam(FIRST, [("c",), ("b",), ("a",)], ordered=True)], exact=True)
    assert scored(rule, finished, "SELECT name FROM t ORDER BY n DESC")[0] == 1
    value, components = scored(rule, finished, "SELECT name FROM t ORDER BY n")
    assert (value, components["overlap"]) == (0, 1)


def test_columns_in_any_order_is_a_setting(finished):
    rule = score_rows("sql", exams, exact=True, columns="any")
    assert scored(rule, finished, "SELECT n, name FROM t WHERE n > 1")[0] == 1
    assert scored(rule, finished, "SELECT n, n FROM t WHERE n > 1")[0] == 0


def test_one_query_cannot_change_what_the_next_one_sees(finished):
    assert scored(exact, finished, "DELETE FROM t")[0] == 0
    assert scored(exact, finished, RIGHT)[0] == 1


def test_a_slow_query_does_not_hold_up_others(finished):
    async def both():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        other = asyncio.create_task(tick())
        slow = "SELECT count(*) FROM t a, t b, t c, t d, t e, t f, t g, t h, t i, t j, t k, t l"
        await judge(exact, finished(f"<sql>{slow}</sql>"))
        other.cancel()
        return ticks

    assert asyncio.run(both()) > 10


def test_a_task_without_a_database_cannot_be_scored(finished):
    rule = score_rows("sql", lambda task: [], exact=True)
    with pytest.raises(RolloutError, match="at least one database"):
        asyncio.run(judge(rule, finished("<sql>SELECT 1</sql>")))


@pytest.mark.parametrize("how", [{}, {"exact": True, "partial": True}])
def test_exactly_one_kind_is_asked_for(how):
    with pytest.raises(ValueError, match="either exact=True or partial=True"):
        score_rows("sql", exams, **how)


def test_a_tag_is_a_name():
    with pytest.raises(ValueError, match="the tag must be a name"):
        score_rows("a b", exams, exact=True)


def test_the_digest_follows_the_rule():
    rules = [
        exact,
        partial,
        score_rows("other", exams, exact=True),
        score_rows("sql", exams, exact=True, columns="any"),
    ]
    assert len({rule.digest for rule in rules}) == 4
    assert score_rows("sql", exams, exact=True).digest == exact.digest


def test_numbers_are_numbers_and_nothing_else_is():
    assert same(2, 2.0, TOLERANCE)
    assert same(1 / 3, 0.33333333333, TOLERANCE)
    assert not same(1, True, TOLERANCE)
    assert not same("1", 1, TOLERANCE)
    assert json.loads("1e3") == 1000
    assert same(1e3, 1000, TOLERANCE)
