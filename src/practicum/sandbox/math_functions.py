"""The functions of ``mathematics``: exact where the value is, bounded before they are carried out."""

import functools
import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Number = int | float | Fraction
MAX_DIGITS = 1_000
_MAX_BITS = MAX_DIGITS * math.log2(10)


class Bounds(Exception):
    """What was asked for is too large, or is not a number; the message says so."""


@dataclass(frozen=True)
class MathFunction:
    """A function, and how many arguments it takes."""

    apply: Callable[..., Number]
    least: int
    most: int

    @property
    def takes(self) -> str:
        """ "2 arguments", "1 to 2 arguments", "1 or more arguments"."""
        if self.most == self.least:
            return f"{self.least} argument{'s' if self.least != 1 else ''}"
        return f"{self.least} or more arguments" if self.most > 99 else f"{self.least} to {self.most} arguments"


def bounded(value: Number) -> Number:
    """The value, a fraction of too many digits as a float, a whole fraction as an int.

    Raises:
        Bounds: a whole number of more than ``MAX_DIGITS`` digits, an infinity, or no number.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Bounds("the value is too large for a decimal number, or undefined")
        return value
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        if value.denominator != 1:
            return bounded(float(value))
        raise Bounds(f"a value has more than {MAX_DIGITS} digits")
    return value.numerator if value.denominator == 1 else value


def power(base: Number, exponent: Number) -> Number:
    """base ** exponent; exact for whole exponents and perfect roots, as long as the digits are few enough.

    Raises:
        Bounds: too many digits, or a root of a negative number.
    """
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        exponent = exponent.numerator
    if isinstance(base, float) or isinstance(exponent, float):
        return _float_power(float(base), float(exponent))
    if isinstance(exponent, int):
        largest = max(abs(base.numerator), base.denominator)
        if largest > 1 and abs(exponent) * math.log10(largest) > MAX_DIGITS + 1:
            if base.denominator != 1:  # such as 1.05**1000: there is no use in its digits
                return _float_power(float(base), float(exponent))
            raise Bounds(f"a power has more than {MAX_DIGITS} digits")
        return Fraction(base) ** exponent
    if base < 0:
        raise Bounds("a negative number has no real root of this kind")
    root = _exact_root(Fraction(base), exponent.denominator)
    return power(root, exponent.numerator) if root is not None else _float_power(float(base), float(exponent))


def _float_power(base: float, exponent: float) -> float:
    value = base**exponent
    if isinstance(value, complex):
        raise Bounds("a negative number has no real root of this kind")
    return value


def _exact_root(value: Fraction, degree: int) -> Fraction | None:
    """The root if it is rational."""
    if degree > 64:
        return None
    top, bottom = _whole_root(value.numerator, degree), _whole_root(value.denominator, degree)
    return Fraction(top, bottom) if top is not None and bottom is not None else None


def _whole_root(value: int, degree: int) -> int | None:
    if degree == 2:
        guess = math.isqrt(value)
        return guess if guess**2 == value else None
    root = 1 << -(-value.bit_length() // degree)  # not below the root: from there Newton's steps only fall
    while root and (lower := ((degree - 1) * root + value // root ** (degree - 1)) // degree) < root:
        root = lower
    return root if root**degree == value else None


def _root(degree: int) -> Callable[[Number], Number]:
    def root(value: Number) -> Number:
        if degree % 2 and value < 0:
            return -power(-value, Fraction(1, degree))
        return power(value, Fraction(1, degree))

    return root


def _whole(value: Number, name: str, most: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, float) or value.denominator != 1:
        raise Bounds(f"{name} takes whole numbers")
    whole = int(value)
    if abs(whole) > most:
        raise Bounds(f"{name} takes numbers up to {most}")
    return whole


def _factorial(value: Number) -> int:
    number = _whole(value, "factorial", 450)
    if number < 0:
        raise Bounds("factorial takes numbers from 0")
    return math.factorial(number)


def _choices(name: str, count: Callable[[int, int], int]) -> Callable[[Number, Number], int]:
    def choose(total: Number, chosen: Number) -> int:
        n, k = _whole(total, name, 10**6), _whole(chosen, name, 10**6)
        if n < 0 or k < 0:
            raise Bounds(f"{name} takes numbers from 0")
        fewer = min(k, n - k) if name == "comb" else k
        if k <= n and fewer * math.log10(max(n, 1)) > 4 * MAX_DIGITS:  # a bound, found without computing it
            raise Bounds(f"{name} has too many digits")
        return count(n, k)

    return choose


def _divisors(name: str, combine: Callable[..., int]) -> Callable[..., Number]:
    def divisor(*values: Number) -> Number:
        return _folded(combine, [_whole(value, name, 10**MAX_DIGITS) for value in values], combine())

    return divisor


def _folded(step: Callable[[Any, Any], Number], values: Iterable[Number], start: Number) -> Number:
    """All values combined one after the other, none on the way larger than a value may be."""
    return functools.reduce(lambda total, value: bounded(step(total, value)), values, start)


def _floats(function: Callable[..., float]) -> Callable[..., float]:
    def apply(*values: Number) -> float:
        return function(*map(float, values))

    return apply


def _exponential(value: Number) -> Number:
    return 1 if value == 0 else math.exp(value)


def _logarithm(value: Number, base: Number | None = None) -> Number:
    """Natural without a base; exact where a whole power of the base is the value."""
    if value <= 0 or (base is not None and (base <= 0 or base == 1)):
        raise Bounds("a logarithm takes positive numbers, and a base other than 1")
    if base is None:
        return 0 if value == 1 else _log(value)
    close = _log(value) / _log(base)
    if not (isinstance(value, float) or isinstance(base, float)) and math.isfinite(close):
        whole = round(close)
        if _may_be_power(value, base, whole) and Fraction(base) ** whole == value:
            return whole
    return close


def _may_be_power(value: int | Fraction, base: int | Fraction, exponent: int) -> bool:
    """Whether base ** exponent has about as many digits as the value: found without computing it."""
    bits, bits_of_base = (math.log2(max(number.numerator, number.denominator)) for number in (value, base))
    return abs(abs(exponent) * bits_of_base - bits) < 1


def _log(value: Number) -> float:
    if isinstance(value, Fraction):  # numerator and denominator may each be beyond a float
        return math.log(value.numerator) - math.log(value.denominator)
    return math.log(value)


def _round(value: Number, digits: Number = 0) -> Number:
    places = _whole(digits, "round", MAX_DIGITS)
    if isinstance(value, float):
        return round(value, places) if places else round(value)
    return round(Fraction(value), places)


def _mean(*values: Number) -> Number:
    total = _total(*values)
    return total / len(values) if isinstance(total, float) else Fraction(total) / len(values)


def _median(*values: Number) -> Number:
    ranked = sorted(values)
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else _mean(ranked[middle - 1], ranked[middle])


def _total(*values: Number) -> Number:
    return _folded(operator.add, values, 0)


def _hypotenuse(a: Number, b: Number) -> Number:
    return power(a * a + b * b, Fraction(1, 2))


_ANY = 100
FUNCTIONS: dict[str, MathFunction] = {
    "abs": MathFunction(abs, 1, 1),
    "round": MathFunction(_round, 1, 2),
    "floor": MathFunction(math.floor, 1, 1),
    "ceil": MathFunction(math.ceil, 1, 1),
    "trunc": MathFunction(math.trunc, 1, 1),
    "min": MathFunction(min, 2, _ANY),
    "max": MathFunction(max, 2, _ANY),
    "sum": MathFunction(_total, 1, _ANY),
    "mean": MathFunction(_mean, 1, _ANY),
    "median": MathFunction(_median, 1, _ANY),
    "sqrt": MathFunction(_root(2), 1, 1),
    "cbrt": MathFunction(_root(3), 1, 1),
    "pow": MathFunction(power, 2, 2),
    "hypot": MathFunction(_hypotenuse, 2, 2),
    "exp": MathFunction(_exponential, 1, 1),
    "log": MathFunction(_logarithm, 1, 2),
    "ln": MathFunction(_logarithm, 1, 1),
    "log2": MathFunction(lambda value: _logarithm(value, 2), 1, 1),
    "log10": MathFunction(lambda value: _logarithm(value, 10), 1, 1),
    "factorial": MathFunction(_factorial, 1, 1),
    "comb": MathFunction(_choices("comb", math.comb), 2, 2),
    "perm": MathFunction(_choices("perm", math.perm), 2, 2),
    "gcd": MathFunction(_divisors("gcd", math.gcd), 1, _ANY),
    "lcm": MathFunction(_divisors("lcm", math.lcm), 1, _ANY),
    **{
        name: MathFunction(_floats(getattr(math, name)), 1, 1)
        for name in ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "degrees", "radians")
    },
    "atan2": MathFunction(_floats(math.atan2), 2, 2),
}
