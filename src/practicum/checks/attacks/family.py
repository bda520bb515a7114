"""A family of degenerate answers: its name, what it tries, and how it is made from a task's own material."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from practicum.checks.attacks.material import Case, Material
from practicum.trajectory import Rollout

Kind = Literal["constant", "form", "near", "idle", "effort", "told"]
"""What earning by it means: a guess pays more than guessing may; an answer in no proper form pays; a wrong value that
looks like the right one pays; doing nothing pays; toil without a result pays; saying so pays."""

Variants = Iterable[tuple[str, Rollout]]


@dataclass(frozen=True)
class Family:
    """``make`` yields, for one task, rollouts by the name of their variant; none where it does not apply."""

    name: str
    kind: Kind
    tries: str
    make: Callable[[Material, Case], Variants]
