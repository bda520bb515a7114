"""What of a step's rollouts cannot be trained on, by whose doing and why; and when it is so much that the run stops."""

from collections.abc import Sequence

from practicum.errors import RunError
from practicum.evaluation.summary import failures_told
from practicum.ranges import exceeds
from practicum.recipe import Recipe
from practicum.rollout.failures import causes
from practicum.runs.folder import Run
from practicum.text import both_ends
from practicum.trajectory import Group, Trajectory, failure_counts, survivors

CAUSES_SHOWN = 3


def shortfall(groups: Sequence[Group], left_out: Sequence[Group], recipe: Recipe) -> list[str]:
    """What failed or was left out of a step, for the terminal: counts, the commonest causes, groups.

    Args:
        groups: All that was collected.
        left_out: Those of them with too few rollouts that could be trained on.
        recipe: For its bound on them.
    """
    trajectories = [t for group in groups for t in group.trajectories]
    return [*_failures(trajectories), *_left_out(groups, left_out, recipe)]


def _failures(trajectories: Sequence[Trajectory]) -> list[str]:
    failures, reasons = failure_counts(trajectories), causes(trajectories)
    if not any(failures.values()):
        return []
    shares = failures_told(failures)
    again = sum(t.retries for t in trajectories)
    retried = f"; {again} further attempts were made" if again else ""
    lines = [f"failed {sum(failures.values())} of {len(trajectories)} rollouts: {shares}{retried}"]
    lines += [f"  {both_ends(str(cause).partition(chr(10))[0])}" for cause in reasons[:CAUSES_SHOWN]]
    more = len(reasons) - CAUSES_SHOWN
    return [*lines, f"  and {more} more causes"] if more > 0 else lines


def _left_out(groups: Sequence[Group], left_out: Sequence[Group], recipe: Recipe) -> list[str]:
    if not left_out:
        return []
    usable = sum(len(survivors(group.trajectories)) for group in left_out)
    return [
        f"left out {len(left_out)} of {len(groups)} groups, with {usable} rollouts that did not fail: fewer than "
        f"min_group_survivors = {recipe.min_group_survivors} in each"
    ]


def refuse_shortfall(part: str, trajectories: Sequence[Trajectory], recipe: Recipe, run: Run, where: str = "") -> None:
    """Stop where more rollouts failed for good than the recipe allows: something is down for all of them.

    The policy's own failures are no reason to stop: training is what mends them.

    Raises:
        RunError: naming each cause once, with its number.
    """
    failures = [t for t in trajectories if t.broke_off and not t.is_conclusive]
    limit = recipe.max_failed_rollouts
    if not exceeds(len(failures), limit * len(trajectories)):
        return
    reasons = "\n".join(f"  {cause}" for cause in causes(failures)[:CAUSES_SHOWN])
    raise RunError(
        f"{len(failures)} of {len(trajectories)} rollouts of {part} failed for good, after "
        f"{sum(t.retries for t in trajectories)} retries in all\n{reasons}",
        where=where,
        allowed=f"a share of {limit:g} (max_failed_rollouts)",
        fix=f"mend the cause, then: practicum resume {run.folder}",
    )
