"""Episodes from a run's recorded trajectories: the calls a real policy made."""

import random
from collections.abc import Mapping
from pathlib import Path

from practicum.checks.episodes import Plan
from practicum.checks.findings import RecordedCalls
from practicum.environment import Call
from practicum.errors import RunError
from practicum.seeds import derive
from practicum.store import read_trajectories
from practicum.trajectory import Trajectory


def recorded_plans(
    run: Path, ids: Mapping[str, tuple[str, int]], *, most: int, seed: int
) -> tuple[list[Plan], RecordedCalls]:
    """Plans from a run folder's ``trajectories/*.parquet``, at most so many, drawn by ``seed``; and a count of them.

    Rollouts in which no tool was called give nothing to play, and that is a result.

    Args:
        run: The run's folder, or one Parquet file.
        ids: Split and place of every task of the environment by its id; others are passed over.

    Raises:
        RunError: there are no trajectories, or none of this environment's tasks.
    """
    files = [run] if run.is_file() else sorted((run / "trajectories").glob("*.parquet"))
    if not files:
        raise RunError("no recorded trajectories", where=str(run), allowed="a run's folder with trajectories/*.parquet")
    found = [
        plan for file in files for trajectory in read_trajectories(file) if (plan := _plan(trajectory, ids)) is not None
    ]
    if not found:
        raise RunError(
            "none of the recorded trajectories is of one of this environment's tasks",
            where=str(run),
            fix="give a run of this environment",
        )
    calling = [plan for plan in found if plan.calls]
    distinct = list({(plan.task, plan.seed, repr(plan.calls)): plan for plan in calling}.values())
    plans = random.Random(derive(seed, "recorded")).sample(distinct, min(most, len(distinct)))
    return plans, RecordedCalls(str(run), len(found), len(calling), len(plans))


def _plan(trajectory: Trajectory, ids: Mapping[str, tuple[str, int]]) -> Plan | None:
    if trajectory.task_id not in ids:
        return None
    split, index = ids[trajectory.task_id]
    steps = [(step.tool, step.arguments) for step in trajectory.transitions]
    # An agent that had its environment elsewhere has left no transitions, only its calls.
    steps = steps or [(call.name, call.arguments) for call in trajectory.tool_calls]
    calls = tuple(Call(name, dict(arguments)) for name, arguments in steps)
    return Plan(split, index, trajectory.task_id, trajectory.seed, calls, "recorded")
