"""Gates that rest on evaluations: whether training may begin, and whether a model or a reward may be promoted."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from practicum.errors import RunError
from practicum.evaluation.comparison import SURPRISING, compare
from practicum.evaluation.statistics import fair_coin, wilson_interval
from practicum.evaluation.summary import Evaluation
from practicum.ranges import exceeds, reaches

ASKED_AT_MOST = 10_000
"""Tasks beyond which nobody is told how many more it would take."""


@dataclass(frozen=True)
class PromotionGate:
    """What an evaluation must show.

    Attributes:
        min_success: Least success rate, at the lower end of its 95% interval.
        better_than: Label of the model that must be beaten in an exact paired test; empty for none.
        max_unearned: Largest share of rollouts that may be paid like a success without being one.
    """

    min_success: float = 0.0
    better_than: str = "base"
    max_unearned: float = 0.05


@dataclass(frozen=True)
class Promotion:
    """A model or a reward that met the gate; its data are the ledger's event."""

    what: str
    digest: str
    evaluation: str
    success_rate: float
    interval: tuple[float, float]
    """What the gate goes by."""
    bootstrap: tuple[float, float]
    """The same by resampling tasks, for the record."""
    gate: PromotionGate
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data."""
        return asdict(self)


def require_foothold(evaluations: Sequence[Evaluation], *, run: str, recipe: str) -> None:
    """Refuse to go on from a base model that never succeeds.

    Args:
        evaluations: Of the base model, in every way of sampling.
        run, recipe: As the user named them, for the advice.

    Raises:
        RunError: there are evaluations, and none has a success.
    """
    base = [evaluation for evaluation in evaluations if evaluation.label == "base"]
    if not base or any(evaluation.successes for evaluation in base):
        return
    rollouts = sum(evaluation.n_rollouts for evaluation in base)
    paid = max(evaluation.reward_mean for evaluation in base)
    partly = f"; its mean reward is {paid:.3g}, so parts are paid" if paid > 0 else ", and its reward is 0 throughout"
    raise RunError(
        f"the base model succeeds in none of {rollouts} held-out rollouts{partly}",
        where=run,
        fix=f"{ways_on(recipe)}; then run the baseline again",
    )


def ways_on(recipe: str) -> str:
    """What there is to do where nothing succeeds; ``recipe`` as the user names it, with its run."""
    return (
        f"get a foothold: practicum warmstart {recipe} (warmstart_demonstrations=32, or more); or easier tasks "
        "(environment_args: a lower level, or another training_dataset); or another model (model_name)"
    )


def require_baseline(evaluations: Sequence[Evaluation], run: Path, *, foothold: bool = False) -> None:
    """Refuse to train without a baseline on record in the run's folder, or on one that never succeeds.

    Args:
        evaluations: What the run has on record.
        run: Its folder.
        foothold: Whether training begins with a foothold that is still to be made.

    Raises:
        RunError: no evaluation of base or foothold is there, or none of them has a success and no foothold is to come.
    """
    starts = [evaluation for evaluation in evaluations if evaluation.label in ("base", "foothold")]
    if starts and not foothold and not any(evaluation.successes for evaluation in starts):
        before = "foothold" if any(evaluation.label == "foothold" for evaluation in starts) else "base model"
        rollouts = sum(start.n_rollouts for start in starts)
        raise RunError(
            f"the {before} succeeds in none of {rollouts} held-out rollouts on record: "
            "where nothing succeeds, nothing can be reinforced",
            where=str(run),
            fix=f"{ways_on(f'RECIPE --run {run}')}; or train all the same: --without-gate "
            '"reason", which goes into the ledger',
        )
    if not starts:
        raise RunError(
            "no baseline is on record: nobody could say what training changed",
            where=str(run),
            fix=f"practicum baseline RECIPE --run {run}, or where the base model never succeeds, practicum warmstart "
            f'RECIPE --run {run}; or train without it: --without-gate "reason", which goes into the ledger',
        )


def promote(
    what: str, digest: str, evaluations: Sequence[Evaluation], gate: PromotionGate, *, label: str = "trained"
) -> Promotion:
    """Whether a model, or the reward it was trained with, may be promoted.

    Args:
        what: ``model`` or ``reward``.
        digest: The model's, or the reward's, as the run's manifest has it.
        evaluations: What the run has on record.
        label: The model that was trained.

    Raises:
        RunError: no evaluation of it is on record, or it misses the gate; naming each number.
    """
    candidates = [candidate for candidate in evaluations if candidate.label == label]
    if not candidates:
        raise RunError(f"no evaluation of {label} is on record", fix="practicum eval RUN, then promote it")
    evaluation = next((candidate for candidate in candidates if candidate.mode == "sampled"), candidates[0])
    misses, notes = [], []
    if evaluation.n_tasks == 1:
        misses.append("it was played on one test task, which says nothing of any other")
    low = evaluation.interval[0]
    if not reaches(low, gate.min_success):
        enough = tasks_for_rate(evaluation.success_rate, gate.min_success)
        misses.append(
            f"its success rate may be as low as {low:.1%}; {gate.min_success:.1%} is asked for"
            + _on_more(evaluation.n_tasks, enough, f"a rate of {evaluation.success_rate:.1%}")
        )
    if gate.better_than:
        rival = next((e for e in evaluations if e.label == gate.better_than and e.mode == evaluation.mode), None)
        if rival is None:
            misses.append(f"no evaluation of {gate.better_than} ({evaluation.mode}) to compare it with")
        else:
            test = compare(rival, evaluation)
            gain = f"{test.difference:+.1%} against {rival.label}, {test.chance}"
            notes.append(gain)
            if not (test.is_clear and test.difference > 0):
                enough = tasks_for_difference(test.only_first, test.only_second, test.n_tasks)
                misses.append(
                    f"it is not clearly better than {rival.label}: {gain}, where less than {SURPRISING:g} is asked for"
                    + _on_more(test.n_tasks, enough, "a difference like this one")
                )
    if not evaluation.independent:
        notes.append(f"not independent: {evaluation.doubt}")
    unearned = unearned_share(evaluation)
    notes.append(f"{unearned:.1%} of rollouts are paid like a success without being one")
    if exceeds(unearned, gate.max_unearned):
        misses.append(
            f"{unearned:.1%} of rollouts are paid like a success without being one; at most "
            f"{gate.max_unearned:.1%} may be"
        )
    if misses:
        raise RunError(
            f"{what} {digest[:12]} misses the gate: {'; '.join(misses)}",
            where=evaluation.name,
            fix="read the disagreements, tighten the reward, train on, or change the recipe's gate; where tasks are "
            "too few, evaluate on more (test_tasks)",
        )
    return Promotion(
        what,
        digest,
        evaluation.name,
        evaluation.success_rate,
        evaluation.interval,
        evaluation.bootstrap,
        gate,
        tuple(notes),
    )


def tasks_for_rate(rate: float, least: float) -> int | None:
    """Test tasks, each played once, that it takes for a success rate to be at least so high with 95% confidence.

    None where no number of tasks would do.
    """
    if rate <= least:
        return None
    return _fewest(lambda tasks: reaches(wilson_interval(round(rate * tasks), tasks)[0], least))


def tasks_for_difference(only_first: int, only_second: int, n_tasks: int) -> int | None:
    """Test tasks that it takes for the second model to be clearly better, where the two go on to differ as they do.

    None where no number of tasks would do.
    """
    if only_second <= only_first:
        return None

    def clear(tasks: int) -> bool:
        lost, won = round(only_first * tasks / n_tasks), round(only_second * tasks / n_tasks)
        return fair_coin(lost, won) < SURPRISING

    return _fewest(clear)


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """The smallest number that is enough, where all above it are; doubled, then halved down to."""
    high = 1
    while not enough(high):
        high *= 2
        if high > ASKED_AT_MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _on_more(tasks: int, enough: int | None, claim: str) -> str:
    """How many test tasks would show it, where more than there are."""
    if enough is None or enough <= tasks:
        return ""
    return f" ({claim} takes about {enough} test tasks to show; it was played on {tasks})"


def unearned_share(evaluation: Evaluation) -> float:
    """Share of rollouts without success that were paid at least as much as the least paid success; where nothing
    succeeded, at least the threshold of success."""
    pairs = [
        (reward, right)
        for task, rewards in evaluation.rewards.items()
        for reward, right in zip(rewards, evaluation.succeeded(task), strict=True)
    ]
    if not pairs:
        return 0.0
    least = min((reward for reward, right in pairs if right), default=evaluation.success_threshold)
    return sum(reaches(reward, least) and not right for reward, right in pairs) / len(pairs)
