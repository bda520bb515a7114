"""Entropy that is drawn and thrown away: NumPy's ``RandomState(seed)`` seeds itself before it takes the seed given."""

import ast
import linecache
import sys
from types import FrameType
from typing import Any


def throws_entropy_away(frame: FrameType | None) -> bool:
    """Whether what the frame is calling just now is ``numpy.random.RandomState`` with a seed."""
    # While NumPy is being loaded, its generators are not there yet.
    generator = getattr(sys.modules.get("numpy.random"), "RandomState", None)
    if frame is None or generator is None:
        return False
    call = _call_under_way(frame)
    if call is None or _meant(call.func, frame) is not generator:
        return False
    given = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "seed")]
    return bool(given) and not (isinstance(given[0], ast.Constant) and given[0].value is None)


def _call_under_way(frame: FrameType) -> ast.Call | None:
    """The call expression that the frame's present instruction stands for; None where its source is not at hand."""
    positions = list(frame.f_code.co_positions())
    at = frame.f_lasti // 2
    first, last, start, end = positions[at] if at < len(positions) else (None,) * 4
    if first is None or last is None or start is None or end is None:
        return None
    lines = [line.encode() for line in linecache.getlines(frame.f_code.co_filename, frame.f_globals)[first - 1 : last]]
    if not lines:
        return None
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    try:
        found = ast.parse(b"".join(lines).decode().strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    return found if isinstance(found, ast.Call) else None


def _meant(name: ast.expr, frame: FrameType) -> Any:
    """What a dotted name stands for in the frame; None where it stands for nothing, or is no name."""
    if isinstance(name, ast.Attribute):
        return getattr(_meant(name.value, frame), name.attr, None)
    if isinstance(name, ast.Name):
        return frame.f_locals.get(name.id, frame.f_globals.get(name.id))
    return None
