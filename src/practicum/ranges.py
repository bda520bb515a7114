"""Comparisons at the ends of ranges and at thresholds: what is equal on paper must not be decided by rounding.

0.8 + 0.05 + 0.05 + 0.1 is 1.0000000000000002 in floats, and 0.7 + 0.2 + 0.1 is 0.9999999999999999; both are 1.
Every comparison of a reward, a score or a rate with a bound is made here. NaN reaches and exceeds nothing.
"""

import math
from collections.abc import Iterable

TOLERANCE = 1e-9
"""How near a number must be to a bound to count as being at it."""


def reaches(value: float, threshold: float) -> bool:
    """Whether the value is at the threshold or above it."""
    return value >= threshold - TOLERANCE


def exceeds(value: float, bound: float) -> bool:
    """Whether the value is above the bound, and not merely at it."""
    return value > bound + TOLERANCE


def clipped(value: float, low: float, high: float) -> float:
    """The value; the end of the range, where it is at one; NaN where it lies in no range."""
    for end in (low, high):
        if end - TOLERANCE <= value <= end + TOLERANCE:
            return end
    return value if low < value < high else math.nan


def total(parts: Iterable[float]) -> float:
    """Sum of a rollout's rewards. A sum of several that is at −1, 0 or 1, the ends of every range, is that number."""
    numbers = list(parts)
    amount = float(sum(numbers))
    if len(numbers) < 2:
        return amount
    return next((end for end in (-1.0, 0.0, 1.0) if abs(amount - end) <= TOLERANCE), amount)
