"""Two models on the same tasks: is one better, or is it luck?"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from practicum.errors import RunError
from practicum.evaluation.statistics import mcnemar_exact, paired_interval, paired_test
from practicum.evaluation.summary import Evaluation, Interval

SURPRISING = 0.05


@dataclass(frozen=True)
class Comparison:
    """``second`` less ``first``.

    Attributes:
        difference: Of the success rates.
        interval: 95%; all rollouts of both count, those of one task together (``paired_interval``).
        only_first, only_second: Tasks whose first rollout only one of the two got right.
        p_value: Exact paired test over all rollouts (``paired_test``); with one rollout per task it is McNemar's.
        independent: Whether both evaluations are.
    """

    first: str
    second: str
    mode: str
    n_tasks: int
    difference: float
    interval: Interval
    only_first: int
    only_second: int
    p_value: float
    rollouts_per_task: int = 1
    independent: bool = True

    @property
    def chance(self) -> str:
        """The test and what it comes to, in words."""
        return f"exact {'McNemar' if self.rollouts_per_task == 1 else 'paired'} p = {self.p_value:.2g}"

    @property
    def is_clear(self) -> bool:
        """Whether chance alone would make this difference in less than one of twenty cases."""
        return self.p_value < SURPRISING


def compare(first: Evaluation, second: Evaluation) -> Comparison:
    """A paired comparison.

    Raises:
        RunError: the two were not evaluated on the same tasks in the same environment, or hold no scores per task.
    """
    same = all(getattr(first, key) == getattr(second, key) for key in ("split_digest", "environment", "mode"))
    if not same or first.scores.keys() != second.scores.keys():
        raise RunError(
            f"{first.name} and {second.name} cannot be compared: tasks, environment or way of sampling differ",
            fix="evaluate both on the same split, with the same environment",
        )
    if not first.scores:
        raise RunError(f"{first.name} holds no scores per task", fix="evaluate again with this version")
    tasks = list(first.scores)
    firsts = mcnemar_exact([first.succeeded(task)[0] for task in tasks], [second.succeeded(task)[0] for task in tasks])
    sides = [[each.succeeded(task) for task in tasks] for each in (first, second)]
    return Comparison(
        first=first.label,
        second=second.label,
        mode=first.mode,
        n_tasks=len(tasks),
        difference=fmean(fmean(b) - fmean(a) for a, b in zip(*sides, strict=True)),
        interval=paired_interval(*sides),
        only_first=firsts.only_first,
        only_second=firsts.only_second,
        p_value=paired_test(*sides),
        rollouts_per_task=max(len(rollouts) for side in sides for rollouts in side),
        independent=first.independent and second.independent,
    )


def comparisons(evaluations: Sequence[Evaluation]) -> list[Comparison]:
    """Every pair of models that can be compared, in the order given."""
    compared = []
    for at, first in enumerate(evaluations):
        for second in evaluations[at + 1 :]:
            try:
                compared.append(compare(first, second))
            except RunError:
                continue  # another split, or an older evaluation: nothing to compare
    return compared
