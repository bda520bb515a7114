"""The same episodes in several processes at the same time."""

from collections.abc import Sequence

from practicum.checks.episodes import Plan
from practicum.checks.processes.work import Trouble
from practicum.checks.ways.forks import fork
from practicum.checks.ways.repeated import Again, play_in_order

PROCESSES = 3
ALONGSIDE = f"while {PROCESSES} processes played it"
"""How the episodes were played, in words."""


def play_together(plans: Sequence[Plan], deadline_s: float) -> list[Again | Trouble]:
    """All plans in each of a few processes, which share their temporary folder."""
    order = list(range(len(plans)))
    forks = [fork(play_in_order, plans, order, ALONGSIDE, deadline_s=deadline_s) for _ in range(PROCESSES)]
    played: list[Again | Trouble] = []
    for each in forks:
        answer = each.result()
        played += [answer] if isinstance(answer, Trouble) else answer
    return played
