"""What all checks look at: the environment loaded, the episodes to play, and what came of each one alone."""

import random
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from practicum.checks.episodes import Plan, Transcript
from practicum.checks.findings import RecordedCalls
from practicum.checks.processes.client import NoEnd, StageHandle
from practicum.checks.processes.stage import Loaded
from practicum.checks.watch.outside_access import EPISODE, Kind, Touch
from practicum.checks.ways import solo
from practicum.checks.ways.solo import Alone, Facts, SampledTask
from practicum.environment import Call
from practicum.environment.places import is_users, place_of_class, place_of_method
from practicum.environment.target import EnvironmentTarget
from practicum.errors import EnvironmentFault, RunError
from practicum.seeds import derive
from practicum.trajectory import Trajectory

T = TypeVar("T")


@dataclass(frozen=True)
class Trial:
    """One environment under check.

    Attributes:
        home: The process, as this one is, that it was loaded in.
        loaded: How that went.
        samples: The tasks played, in order.
        plans: Episodes, each with its calls.
        alone: What each plan gave in a process of its own.
        allowed: Reasons for what may be touched.
        recorded: What a recorded run gave to play; None where none was named.
    """

    target: EnvironmentTarget
    home: StageHandle
    loaded: Loaded
    facts: Facts
    samples: tuple[SampledTask, ...]
    plans: tuple[Plan, ...]
    alone: tuple[Alone, ...]
    allowed: Mapping[Kind, str]
    recorded: RecordedCalls | None = None

    @property
    def transcripts(self) -> list[Transcript]:
        """Each plan's, played alone."""
        return [each.transcript for each in self.alone]

    @property
    def sampled(self) -> dict[str, int]:
        """Tasks played, per split."""
        return {split: sum(each.split == split for each in self.samples) for split in self.loaded.digests}

    def place(self, method: str) -> str:
        """``file:line`` of a method of the environment; of its class, where it does not define the method."""
        place = place_of_method(self.target.environment, {"reset": "start"}.get(method, method))
        if is_users(place.rpartition(":")[0], self.target.home):
            return place
        return place_of_class(self.target.environment)

    def touched(self, touches: Sequence[Touch]) -> bool:
        """Whether something was touched in an episode that counts as a fault."""
        return any(self.is_fault(touch) for touch in touches)

    def is_fault(self, touch: Touch) -> bool:
        """Whether a touch is one, whatever comes of it: the user's own, or of what no one may touch."""
        if touch.kind in self.allowed:
            return False
        if touch.kind in ("network", "subprocess", "files"):
            return True
        return (touch.phase == EPISODE and touch.direct) or touch.name == "the machine's locale"


def prepare(
    target: EnvironmentTarget,
    home: StageHandle,
    allowed: Mapping[Kind, str],
    tasks_per_split: int,
    seed: int,
    recorded: Path | None,
) -> Trial:
    """Sample tasks, let the oracle play them, draw random episodes, and play each alone.

    Raises:
        EnvironmentFault: the environment cannot be made, or gives no training tasks; or an episode does not end.
        RunError: the recorded trajectories cannot be read.
    """
    loaded = home.loaded
    if loaded.error is not None:
        raise loaded.error
    facts = result_of(home.ask(solo.facts))
    chosen = [
        (split, index)
        for split, digests in loaded.digests.items()
        for index in sorted(
            random.Random(derive(seed, "tasks", split)).sample(range(len(digests)), min(tasks_per_split, len(digests)))
        )
    ]
    sampling = [home.ask(solo.sample, split, index, seed) for split, index in chosen]
    samples = tuple(result_of(pending) for pending in sampling)
    plans = [plan for sampled in samples for plan in sampled.plans]
    counts = None
    if recorded is not None:
        ids = result_of(home.ask(solo.ids))
        some, counts = recorded_plans(recorded, ids, most=2 * tasks_per_split, seed=seed)
        plans += some
    playing = [home.ask(solo.play_alone, plan) for plan in plans]
    alone = tuple(result_of(pending) for pending in playing)
    return Trial(target, home, loaded, facts, samples, tuple(plans), alone, allowed, counts)


def result_of(pending: "Future[T]") -> T:
    """What came of a piece of work that has to come to an end.

    Raises:
        EnvironmentFault: it did not.
    """
    try:
        return pending.result()
    except NoEnd as error:
        trouble = error.trouble
        raise EnvironmentFault(f"an episode cannot be played: {trouble.reason}", where=trouble.where) from error


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
    from practicum.store import read_trajectories  # lazily: what is done in forks needs no Parquet

    files = [run] if run.is_file() else sorted((run / "trajectories").glob("*.parquet"))
    if not files:
        raise RunError("no recorded trajectories", where=str(run), allowed="a run's folder with trajectories/*.parquet")
    recorded = [
        plan for file in files for trajectory in read_trajectories(file) if (plan := _plan(trajectory, ids)) is not None
    ]
    if not recorded:
        raise RunError(
            "none of the recorded trajectories is of one of this environment's tasks",
            where=str(run),
            fix="give a run of this environment",
        )
    calling = [plan for plan in recorded if plan.calls]
    distinct = list({(plan.task, plan.seed, repr(plan.calls)): plan for plan in calling}.values())
    plans = random.Random(derive(seed, "recorded")).sample(distinct, min(most, len(distinct)))
    return plans, RecordedCalls(str(run), len(recorded), len(calling), len(plans))


def _plan(trajectory: Trajectory, ids: Mapping[str, tuple[str, int]]) -> Plan | None:
    if trajectory.task_id not in ids:
        return None
    split, index = ids[trajectory.task_id]
    steps = [(step.tool, step.arguments) for step in trajectory.transitions]
    # An agent that had its environment elsewhere has left no transitions, only its calls.
    steps = steps or [(call.name, call.arguments) for call in trajectory.tool_calls]
    calls = tuple(Call(name, dict(arguments)) for name, arguments in steps)
    return Plan(split, index, trajectory.task_id, trajectory.seed, calls, "recorded")
