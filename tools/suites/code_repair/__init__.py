"""The right modules that tasks are made from, and their bugs. Only the generator reads them."""

from collections.abc import Mapping

from tools.suites.code_repair.amounts import AMOUNTS
from tools.suites.code_repair.dates import DATES
from tools.suites.code_repair.lists import LISTS
from tools.suites.code_repair.machines import MACHINES
from tools.suites.code_repair.numbers import NUMBERS
from tools.suites.code_repair.objects import OBJECTS
from tools.suites.code_repair.parsing import PARSING
from tools.suites.code_repair.piece import Bug, Piece
from tools.suites.code_repair.text import TEXT

FAMILIES: Mapping[str, tuple[Piece, ...]] = {
    "text": TEXT,
    "parsing": PARSING,
    "dates": DATES,
    "lists": LISTS,
    "numbers": (*NUMBERS, *AMOUNTS),
    "classes": (*OBJECTS, *MACHINES),
}
"""Pieces by what they are about."""

PIECES: Mapping[str, Piece] = {piece.name: piece for family in FAMILIES.values() for piece in family}
"""Every piece, by name."""

__all__ = ["FAMILIES", "PIECES", "Bug", "Piece"]
