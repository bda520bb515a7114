"""Arithmetic that an agent wrote: numbers and functions of numbers, nothing else, and never too large.

    evaluate("0.1 + 0.2")       # Fraction(3, 10): decimals are read as what they say
    evaluate("sqrt(2) * 10**3")  # 1414.213562373095
    evaluate("comb(52, 5)")     # 2598960

The expression is parsed (``ast``), never evaluated by Python. Results are exact (int, Fraction) as long as every step
is, and a whole number has at most 1,000 digits; a root without an exact value makes a float, and so does a fraction
of more digits than that.
"""

import ast
import math
import re
from collections.abc import Callable
from fractions import Fraction

from practicum.sandbox.math_functions import FUNCTIONS, MAX_DIGITS, Bounds, Number, bounded, power

MAX_LENGTH, MAX_DEPTH, MAX_PARTS, MAX_ARGUMENTS = 1_000, 50, 500, 100

CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}
_TYPOGRAPHY = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "π": " pi ", "\u00a0": " "})
_ODD = re.compile(r"[^A-Za-z0-9_+\-*/%(),.\s]")
_NUMBER = re.compile(r"(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?")
_GLUED = re.compile(r"(?<![\w.])\d[\d_.]*+(?:[eE][+-]?\d+)?+[A-Za-z_]\w*")
_HINTS = {
    "^": "write powers with **",
    "=": "only an expression is evaluated: no assignment, no equation, no comparison",
    "!": "write factorial(n)",
    "√": "write sqrt(x)",
    "[": "give several numbers as arguments: max(1, 2, 3)",
    "$": "leave currency signs out",
}


class MathError(Exception):
    """The expression is wrong, has no value or is too large; the text is for the agent, and the same each time."""


def evaluate(expression: str) -> Number:
    """The value of an expression: an int if it is whole, a Fraction if it is exact, else a float.

    Known are + - * / // % **, parentheses, the constants pi, e, tau, and the functions of ``functions()``.

    Raises:
        MathError: says what is wrong and what to write instead.
    """
    if not isinstance(expression, str):
        raise MathError(f"an expression is text, not {type(expression).__name__}")
    if len(expression) > MAX_LENGTH:
        raise MathError(f"the expression is longer than {MAX_LENGTH} characters")
    source = " ".join(expression.translate(_TYPOGRAPHY).split())
    if not source:
        raise MathError("the expression is empty")
    if odd := _ODD.search(source):
        hint = _HINTS.get(odd.group(), "only numbers, names, + - * / // % ** ( ) , are known")
        raise MathError(f"{odd.group()!r} is not part of an expression: {hint}")
    if glued := _GLUED.search(source):
        raise MathError(f"{glued.group()!r}: an operator is missing between a number and a name, such as 2*pi")
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise MathError(f"the expression is not complete or not well formed{_place(source, error)}") from None
    try:
        return bounded(_Evaluator(source).value(tree.body, 0))
    except Bounds as error:
        raise MathError(str(error)) from None
    except ZeroDivisionError:
        raise MathError("division by zero") from None
    except (ValueError, OverflowError) as error:
        raise MathError(f"no value: {error}") from None


def render(value: Number) -> str:
    """A value as text: whole numbers in full, fractions as "1/3 (0.333333333333)", floats by 12 digits."""
    if isinstance(value, Fraction) and value.denominator != 1:
        decimal = f"{float(value):.12g}" if abs(value) < 10**300 else "large"
        exact = _finite_decimal(value)
        return exact or f"{value.numerator}/{value.denominator} ({decimal})"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def functions() -> list[str]:
    """Names of the functions, sorted."""
    return sorted(FUNCTIONS)


def _finite_decimal(value: Fraction) -> str:
    """A fraction whose decimal ends, such as 3/10, written so ("" if it does not, or is long)."""
    for places in range(1, 13):
        if (scaled := value * 10**places).denominator == 1:
            digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
            return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
    return ""


def _place(source: str, error: Exception) -> str:
    offset = getattr(error, "offset", None)
    return f", near {source[max(offset - 1, 0) : offset + 9]!r}" if offset and offset <= len(source) else ""


class _Evaluator:
    """Walks the tree of one expression; every value on the way is bounded."""

    def __init__(self, source: str) -> None:
        self.source, self.parts = source, 0

    def value(self, node: ast.expr, depth: int) -> Number:
        self.parts += 1
        if self.parts > MAX_PARTS or depth > MAX_DEPTH:
            raise Bounds(f"the expression has more than {MAX_PARTS} parts or is nested deeper than {MAX_DEPTH}")
        if isinstance(node, ast.Constant):
            return self._number(node)
        if isinstance(node, ast.Name):
            if node.id in CONSTANTS:
                return CONSTANTS[node.id]
            raise Bounds(f"{node.id!r} is not known; constants are {', '.join(CONSTANTS)}")
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
            value = self.value(node.operand, depth + 1)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            left, right = self.value(node.left, depth + 1), self.value(node.right, depth + 1)
            return bounded(_OPERATORS[type(node.op)](left, right))
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        raise Bounds(f"{ast.get_source_segment(self.source, node) or 'this'!r:.60} is not arithmetic")

    def _number(self, node: ast.Constant) -> Number:
        text = ast.get_source_segment(self.source, node) or ""
        if type(node.value) not in (int, float) or not _NUMBER.fullmatch(text):
            raise Bounds(f"{text!r:.60} is not a decimal number")
        if len(text) > MAX_DIGITS or abs(int(text.lower().partition("e")[2] or 0)) > MAX_DIGITS:
            raise Bounds(f"a number has more than {MAX_DIGITS} digits")
        exact = Fraction(text.replace("_", ""))
        return bounded(exact.numerator if exact.denominator == 1 else exact)

    def _call(self, node: ast.Call, depth: int) -> Number:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            name = ast.get_source_segment(self.source, node.func) or "this"
            raise Bounds(f"function {name!r:.60} is not known; there are {', '.join(functions())}")
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise Bounds("arguments are plain values")
        function = FUNCTIONS[node.func.id]
        if not function.least <= len(node.args) <= min(function.most, MAX_ARGUMENTS):
            raise Bounds(f"{node.func.id} takes {function.takes}, not {len(node.args)}")
        return bounded(function.apply(*(self.value(argument, depth + 1) for argument in node.args)))


def _divide(left: Number, right: Number) -> Number:
    if isinstance(left, float) or isinstance(right, float):
        return float(left) / float(right)
    return Fraction(left) / right


_OPERATORS: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: _divide,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Mod: lambda left, right: left % right,
    ast.Pow: power,
}
