"""Attacks on a score or a reward: degenerate answers made from the task's own schema and labels, and a search.

>>> report = asyncio.run(attack(score, material_of(cases), purpose="score"))
>>> [result.family for result in report.beaten]
"""

from practicum.scoring.attacks.family import Family, Kind
from practicum.scoring.attacks.forms import FORMS
from practicum.scoring.attacks.guesses import GUESSES
from practicum.scoring.attacks.idle import IDLE
from practicum.scoring.attacks.material import AnswerForm, Case, Material, material_of
from practicum.scoring.attacks.near import NEAR
from practicum.scoring.attacks.run import AttackReport, AttackResult, Example, attack
from practicum.scoring.attacks.search import Gap, search

FAMILIES: tuple[Family, ...] = (*GUESSES, *NEAR, *FORMS, *IDLE)
"""Every family, in the order in which they are tried."""

__all__ = [
    "FAMILIES",
    "AnswerForm",
    "AttackReport",
    "AttackResult",
    "Case",
    "Example",
    "Family",
    "Gap",
    "Kind",
    "Material",
    "attack",
    "material_of",
    "search",
]
