"""Text for people: never longer than asked, and never silently cut; JSON where it is JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from practicum.text import both_ends, json_object, json_or_text, shortened


@given(st.text(max_size=40), st.integers(1, 30))
def test_a_text_is_as_long_as_asked_and_says_that_it_was_cut(text, limit):
    short = shortened(text, limit)
    assert len(short) <= limit
    assert short == text if len(text) <= limit else short == f"{text[: limit - 1]}…"


def test_of_a_long_message_both_ends_stay():
    assert both_ends("a short one") == "a short one"
    assert both_ends("0123456789" * 3, 10) == "01234 … 56789"


@pytest.mark.parametrize(("text", "value"), [('{"a": [1]}', {"a": [1]}), ("3", 3), ("{'a': 1}", "{'a': 1}"), ("", "")])
def test_a_text_that_is_json_is_data(text, value):
    assert json_or_text(text) == value


def test_nested_too_deeply_it_is_text():
    deep = "[" * 100_000
    assert json_or_text(deep) == deep
    assert json_object(deep) is None


@pytest.mark.parametrize("text", ["[1]", "null", '"{}"', "{", b"\xff"])
def test_what_is_no_object_is_none(text):
    assert json_object(text) is None


def test_an_object_is_taken_from_bytes_too():
    assert json_object(b'{"a": 1}') == json_object('{"a": 1}') == {"a": 1}
