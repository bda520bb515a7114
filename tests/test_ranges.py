"""Rounding decides no comparison: what is equal on paper is equal here."""

import math

import pytest

from practicum.ranges import TOLERANCE, clipped, exceeds, reaches, total

BELOW_ONE, ABOVE_ONE = 0.7 + 0.2 + 0.1, 0.8 + 0.05 + 0.05 + 0.1


def test_a_number_that_is_the_threshold_but_for_rounding_reaches_it_and_does_not_exceed_it() -> None:
    assert BELOW_ONE < 1.0 < ABOVE_ONE
    for number in (BELOW_ONE, 1.0, ABOVE_ONE):
        assert reaches(number, 1.0)
        assert not exceeds(number, 1.0)
        assert reaches(1.0, number)


def test_what_is_truly_below_or_above_is_told_apart() -> None:
    assert not reaches(1.0 - 2 * TOLERANCE, 1.0)
    assert exceeds(1.0 + 2 * TOLERANCE, 1.0)
    assert not reaches(math.nan, 0.0)
    assert not exceeds(math.nan, 0.0)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (ABOVE_ONE, 1.0),
        (BELOW_ONE, 1.0),
        (-1e-10, 0.0),
        (0.5, 0.5),
        (1.0 + 2e-9, math.nan),
        (-2e-9, math.nan),
        (math.nan, math.nan),
        (math.inf, math.nan),
        (10**400, math.nan),
    ],
)
def test_a_number_at_an_end_is_the_end_and_one_beyond_is_in_no_range(number: float, expected: float) -> None:
    assert clipped(number, 0.0, 1.0) == pytest.approx(expected, abs=0.0, nan_ok=True)


@pytest.mark.parametrize("parts", [9, 11, 18, 20, 49, 1000])
def test_equal_parts_of_one_add_up_to_one(parts: int) -> None:
    assert total([1 / parts] * parts) == 1.0
    assert total([-1 / parts] * parts) == -1.0


def test_parts_that_cancel_add_up_to_nothing() -> None:
    assert sum([0.1, 0.2, -0.3]) != 0.0
    assert total([0.1, 0.2, -0.3]) == 0.0


def test_other_sums_and_single_numbers_stay_as_they_are() -> None:
    assert total([0.1, 0.2]) == 0.1 + 0.2
    assert total([1e-12]) == 1e-12
    assert total([]) == 0.0
