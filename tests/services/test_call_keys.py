"""Which calls are the same, and which recorded one is nearest."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from practicum.services.recording import call_key, canonical_arguments, edit_distance, nearest

REQUEST = {"properties": {"id": {"type": "string"}, "limit": {"type": "integer", "default": 10}, "any": True}}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 5.0}, {"a": 5}, True),
        ({"a": [{"b": 2.0}]}, {"a": [{"b": 2}]}, True),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": None}, {}, False),
        ({"id": "x"}, {"id": "x", "limit": 10}, True),
        ({"id": "x"}, {"id": "x", "limit": 11}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
    ],
)
def test_calls_are_the_same_when_their_arguments_mean_the_same(one, other, same):
    assert (call_key(one, REQUEST) == call_key(other, REQUEST)) is same


def test_arguments_are_kept_sorted_and_with_defaults():
    assert list(canonical_arguments({"z": 1.0, "a": 2}, REQUEST).items()) == [("a", 2), ("limit", 10), ("z", 1)]
    with pytest.raises(ValueError, match="JSON"):
        call_key({"a": float("nan")}, {})


def slow_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


@given(st.text("abcé🎉", max_size=80), st.text("abcé🎉", max_size=80))
def test_edit_distance_is_the_textbooks(a, b):
    assert edit_distance(a, b) == slow_distance(a, b)


@given(st.text("ab", max_size=12), st.lists(st.text("ab", max_size=12), max_size=8))
def test_the_nearest_is_the_first_in_order_of_text_of_those_with_the_least_distance(wanted, recorded):
    found = nearest(wanted, recorded)
    expected = min(recorded, key=lambda key: (slow_distance(wanted, key), key), default=None)
    assert found == expected == nearest(wanted, recorded[::-1])


def test_ten_thousand_recorded_calls_are_searched_while_an_agent_waits():
    recorded = [f'{{"ticket_id":"T{n}","note":"{n * 7919}"}}' for n in range(10_000)]
    began = time.process_time()
    assert nearest('{"ticket_id":"T5x","note":"39595"}', recorded) == '{"ticket_id":"T5","note":"39595"}'
    assert time.process_time() - began < 2
