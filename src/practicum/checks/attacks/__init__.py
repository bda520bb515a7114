"""Attacks on a score or a reward: degenerate answers made from the task's own schema and labels, and a search.

>>> report = asyncio.run(attack(score, material_of(cases), purpose="score"))
>>> [result.family for result in report.beaten]
"""

from practicum.checks.attacks.forms import FORMS
from practicum.checks.attacks.guesses import GUESSES
from practicum.checks.attacks.idle import IDLE
from practicum.checks.attacks.material import AnswerForm, Family, Kind, Material, PlayedTask, material_of
from practicum.checks.attacks.near_values import NEAR
from practicum.checks.attacks.run import AttackReport, AttackResult, WorstRollout, attack
from practicum.checks.attacks.search import Gap, search

FAMILIES: tuple[Family, ...] = (*GUESSES, *NEAR, *FORMS, *IDLE)
"""Every family, in the order in which they are tried."""

__all__ = [
    "FAMILIES",
    "AnswerForm",
    "AttackReport",
    "AttackResult",
    "Family",
    "Gap",
    "Kind",
    "Material",
    "PlayedTask",
    "WorstRollout",
    "attack",
    "material_of",
    "search",
]
