"""Runs the families against a score or a reward, and tells what each earned beside what chance allows."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from practicum.checks.attacks.material import Family, Kind, Material, PlayedTask, agreement, answered
from practicum.errors import RolloutError
from practicum.ranges import exceeds, reaches
from practicum.scoring.judgement import excuses_of, is_out_of_range, judge
from practicum.scoring.weighted import FORMAT_WEIGHT
from practicum.trajectory import Judge, Rollout

Purpose = Literal["score", "reward"]

AT_ONCE = 16
"""Rollouts judged at the same time, for judges that wait for somebody."""
FLOORS = frozenset({"empty", "stop-at-once", "work-only", "every-tool", "one-tool"})
"""Families that show what is paid whatever is answered; the others are measured by what they earn beyond that."""
SHOWN = 300


@dataclass(frozen=True)
class WorstRollout:
    """The rollout that earned most beyond what it may."""

    task: str
    answer: str
    """Its last words, cut to ``SHOWN`` characters."""
    earned: float
    allowed: float


@dataclass(frozen=True)
class AttackResult:
    """One variant of a family, over all tasks.

    Attributes:
        earned, allowed: Means over tasks; ``allowed`` is what strictly agrees with the labels, which for a guess is
            what the labels' distribution gives it. A reward may pay ``FORMAT_WEIGHT`` more for a well-formed answer;
            and what an empty answer earns after the same work is another family's.
        full, full_allowed: Shares of tasks with full marks.
        raised: What the judge raised, where it did; those rollouts earned 0.
        out_of_range: Whether it did not raise, but gave what is no number in range.
        excuse: The documented reason why this family may earn; it never covers full marks.
    """

    family: str
    kind: Kind
    tries: str
    variant: str
    rollouts: int
    earned: float
    allowed: float
    full: float
    full_allowed: float
    example: WorstRollout
    raised: str = ""
    out_of_range: bool = False
    excuse: str = ""

    @property
    def pays(self) -> bool:
        """Whether it earned more than it may, documented or not."""
        return exceeds(self.earned, self.allowed) or exceeds(self.full, self.full_allowed)

    @property
    def beats(self) -> bool:
        """Whether the judge is beaten: it pays, and no reason covers that."""
        return exceeds(self.full, self.full_allowed) or (self.pays and not self.excuse)


@dataclass(frozen=True)
class AttackReport:
    """What all families earned from one judge."""

    purpose: Purpose
    results: tuple[AttackResult, ...]
    oracle: tuple[float, ...] = field(default=())
    """What the oracle's rollouts earned."""

    @property
    def families(self) -> tuple[str, ...]:
        """Families that applied, in order."""
        return tuple(dict.fromkeys(result.family for result in self.results))

    @property
    def beaten(self) -> tuple[AttackResult, ...]:
        """The worst variant of each family that beats the judge, the worst first."""
        return self._worst([result for result in self.results if result.beats])

    @property
    def excused(self) -> tuple[AttackResult, ...]:
        """The worst variant of each family that pays for a documented reason."""
        return self._worst([result for result in self.results if result.pays and not result.beats])

    @property
    def raising(self) -> tuple[AttackResult, ...]:
        """One variant of each family at which the judge raised."""
        return self._worst([result for result in self.results if result.raised])

    @staticmethod
    def _worst(results: Sequence[AttackResult]) -> tuple[AttackResult, ...]:
        ordered = sorted(results, key=lambda each: (each.full_allowed - each.full, each.allowed - each.earned))
        return tuple({result.family: result for result in reversed(ordered)}.values())[::-1]


async def attack(
    function: Judge,
    material: Material,
    *,
    purpose: Purpose,
    families: Sequence[Family] | None = None,
    threshold: float = 1.0,
) -> AttackReport:
    """Let every family try.

    Args:
        function: The score or reward.
        material: What the attacks are made from.
        purpose: A reward may pay a little for form; a score may not.
        families: Other families than ``FAMILIES``.
        threshold: The score's number for success. Of a reward, full marks are what the oracle's worst rollout earns.

    Raises:
        ValueError: an excuse without a reason.
    """
    from practicum.checks.attacks import FAMILIES

    excuses = excuses_of(function)
    places = asyncio.Semaphore(AT_ONCE)

    async def earned(rollout: Rollout) -> float | RolloutError:
        async with places:
            try:
                return (await judge(function, rollout)).total
            except RolloutError as error:
                return error
            # Nothing else: whatever the function raised, ``judge`` made a RolloutError of it.

    solved = [case.solved for case in material.cases if case.solved]
    oracle = [number for number in await asyncio.gather(*map(earned, solved)) if isinstance(number, float)]
    full = threshold if purpose == "score" else min((number for number in oracle if number > 0), default=threshold)
    idle, work = [await _floors(earned, material, done) for done in (False, True)]
    results = []
    for family in families or FAMILIES:
        tried: dict[str, list[tuple[PlayedTask, Rollout]]] = {}
        for case in material.cases:
            for variant, rollout in family.make(material, case):
                tried.setdefault(variant, []).append((case, rollout))
        for variant, rollouts in tried.items():
            numbers = await asyncio.gather(*(earned(rollout) for _, rollout in rollouts))
            excuse = excuses.get(family.name, "")
            floors = [
                0.0 if family.name in FLOORS else (work if rollout.tool_calls else idle).get(case.idle.task.id, 0.0)
                for case, rollout in rollouts
            ]
            results.append(_result(family, variant, rollouts, numbers, floors, material, purpose, full, excuse))
    return AttackReport(purpose, tuple(results), tuple(oracle))


async def _floors(
    earned: Callable[[Rollout], Awaitable[float | RolloutError]], material: Material, done: bool
) -> dict[str, float]:
    """By task, what an empty answer earns: after the oracle's work, or after none."""
    bases = [(case, case.solved if done and not material.by_state else case.idle) for case in material.cases]
    numbers = await asyncio.gather(*(earned(answered(base or case.idle, "")) for case, base in bases))
    return {
        case.idle.task.id: max(0.0, number)
        for (case, _), number in zip(bases, numbers, strict=True)
        if isinstance(number, float)
    }


def _result(
    family: Family,
    variant: str,
    rollouts: Sequence[tuple[PlayedTask, Rollout]],
    numbers: Sequence[float | RolloutError],
    floors: Sequence[float],
    material: Material,
    purpose: Purpose,
    full: float,
    excuse: str,
) -> AttackResult:
    earned = [number if isinstance(number, float) else 0.0 for number in numbers]
    agreed = [agreement(case, rollout, material.form) for case, rollout in rollouts]
    allowed = [
        floor + (1.0 - floor) * _allowed(share, formed, purpose)
        for floor, (share, formed) in zip(floors, agreed, strict=True)
    ]
    worst = max(range(len(earned)), key=lambda at: earned[at] - allowed[at])
    case, rollout = rollouts[worst]
    error = next((number for number in numbers if isinstance(number, RolloutError)), None)
    return AttackResult(
        family=family.name,
        kind=family.kind,
        tries=family.tries,
        variant=variant,
        rollouts=len(rollouts),
        earned=fmean(earned),
        allowed=fmean(allowed),
        full=fmean(reaches(number, full) for number in earned),
        full_allowed=fmean(reaches(share, 1.0) for share, _ in agreed),
        example=WorstRollout(case.idle.task.id, rollout.answer[:SHOWN], earned[worst], allowed[worst]),
        raised=error.what if error else "",
        out_of_range=error is not None and is_out_of_range(error),
        excuse=excuse,
    )


def _allowed(share: float, formed: bool, purpose: Purpose) -> float:
    if purpose == "score" or not formed:
        return share
    return FORMAT_WEIGHT + (1.0 - FORMAT_WEIGHT) * share
