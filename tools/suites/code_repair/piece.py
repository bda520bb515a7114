"""``Piece``: a small right module, the ways to break it, and the calls that show whether it is whole."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["off by one", "operator", "edge case", "default", "shared default", "return", "order", "condition"]


@dataclass(frozen=True)
class Bug:
    """A change that breaks a module: ``right``, which stands in it once, becomes ``wrong``."""

    kind: Kind
    right: str
    wrong: str


@dataclass(frozen=True)
class Piece:
    """A module.

    Attributes:
        name: The module's name.
        source: Its right text; the docstrings say all that it must do.
        cases: Python whose last expression has the value, or raises the exception, that is right.
    """

    name: str
    source: str
    bugs: tuple[Bug, ...]
    cases: tuple[str, ...]


def piece(name: str, source: str, bugs: Sequence[tuple[Kind, str, str]], cases: str) -> Piece:
    """A piece from indented text; one case a line."""
    text = textwrap.dedent(source).strip() + "\n"
    listed = tuple(line.strip() for line in cases.strip().splitlines())
    return Piece(name, text, tuple(Bug(*bug) for bug in bugs), listed)
