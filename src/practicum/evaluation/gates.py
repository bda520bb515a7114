"""Gates that rest on evaluations: whether training may begin, and whether a model or a reward may be promoted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from practicum.errors import RunError
from practicum.evaluation.comparison import compare
from practicum.evaluation.summary import Evaluation


@dataclass(frozen=True)
class PromotionGate:
    """What an evaluation must show.

    Attributes:
        min_success: Least success rate, at the lower end of its 95% interval over tasks.
        better_than: Label of the model that must be beaten in a paired comparison; empty for none.
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
    bootstrap: tuple[float, float]
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
    base = [each for each in evaluations if each.label == "base"]
    if not base or any(each.successes for each in base):
        return
    rollouts = sum(each.n_rollouts for each in base)
    paid = max(each.reward_mean for each in base)
    partly = f"; its mean reward is {paid:.3g}, so parts are paid" if paid > 0 else ", and its reward is 0 throughout"
    raise RunError(
        f"the base model succeeds in none of {rollouts} held-out rollouts{partly}",
        where=run,
        fix=f"get a foothold: practicum warmstart {recipe}; or easier tasks (environment_args: a lower level); "
        "then run the baseline again",
    )


def require_baseline(evaluations: Sequence[Evaluation], run: Path) -> None:
    """Refuse to train without a baseline on record in the run's folder.

    Raises:
        RunError: no evaluation of base or foothold is there.
    """
    if not any(each.label in ("base", "foothold") for each in evaluations):
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
    own = [each for each in evaluations if each.label == label]
    if not own:
        raise RunError(f"no evaluation of {label} is on record", fix="practicum eval RUN, then promote it")
    found = next((each for each in own if each.mode == "sampled"), own[0])
    misses, notes = [], []
    low = found.bootstrap[0]
    if low < gate.min_success:
        misses.append(f"its success rate may be as low as {low:.1%}; {gate.min_success:.1%} is asked for")
    if gate.better_than:
        other = next((e for e in evaluations if e.label == gate.better_than and e.mode == found.mode), None)
        if other is None:
            misses.append(f"no evaluation of {gate.better_than} ({found.mode}) to compare it with")
        else:
            test = compare(other, found)
            notes.append(f"{test.difference:+.1%} against {other.label}, exact McNemar p = {test.p_value:.2g}")
            if test.interval[0] <= 0:
                misses.append(f"it is not clearly better than {other.label}: 95% from {test.interval[0]:+.1%}")
    if not found.independent:
        notes.append(f"not independent: {found.doubt}")
    unearned = unearned_share(found)
    notes.append(f"{unearned:.1%} of rollouts are paid like a success without being one")
    if unearned > gate.max_unearned:
        misses.append(
            f"{unearned:.1%} of rollouts are paid like a success without being one; at most "
            f"{gate.max_unearned:.1%} may be"
        )
    if misses:
        raise RunError(
            f"{what} {digest[:12]} misses the gate: {'; '.join(misses)}",
            where=found.name,
            fix="read the disagreements, tighten the reward, train on, or change the recipe's gate",
        )
    return Promotion(what, digest, found.name, found.success_rate, found.bootstrap, gate, tuple(notes))


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
    return sum(reward >= least - 1e-9 and not right for reward, right in pairs) / len(pairs)
