"""Replay: a run's recorded transitions, executed again without a model, and compared one by one."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from practicum.environment import Environment
from practicum.errors import LedgerError, PracticumError
from practicum.store import read_trajectories
from practicum.tasks import Task
from practicum.trajectory import USER, Trajectory, Transition

_COMPARED = ("state", "result", "is_error", "next_state", "time")

SHOWN = 400
"""Characters of each side of a difference."""


@dataclass(frozen=True)
class Replay:
    """What came of one trajectory.

    Attributes:
        file, trajectory: Where it is recorded, and its id.
        steps: Transitions executed again.
        difference: The first one; empty where all were identical.
        skipped: Why nothing could be executed; empty otherwise.
    """

    file: str
    trajectory: str
    steps: int
    difference: str = ""
    skipped: str = ""

    @property
    def identical(self) -> bool:
        """Whether every transition came out as recorded."""
        return not self.difference and not self.skipped


@dataclass(frozen=True)
class Tally:
    """What of a run was replayed, and what was not.

    Attributes:
        trajectories: All of them.
        replayed: Those of which at least one transition was executed again.
        transitions: Executed again.
        different: Trajectories that came out otherwise.
        idle: Trajectories in which no tool was called: there was nothing to execute.
        skipped: Those that could not be executed, by reason.
    """

    trajectories: int
    replayed: int
    transitions: int
    different: int
    idle: int
    skipped: Mapping[str, int]

    @classmethod
    def of(cls, replays: Sequence[Replay]) -> "Tally":
        """Count them."""
        return cls(
            trajectories=len(replays),
            replayed=sum(each.steps > 0 for each in replays),
            transitions=sum(each.steps for each in replays),
            different=sum(bool(each.difference) for each in replays),
            idle=sum(each.identical and not each.steps for each in replays),
            skipped=Counter(each.skipped for each in replays if each.skipped),
        )

    @property
    def identical(self) -> bool:
        """Whether something was replayed, and all of that came out as recorded."""
        return self.transitions > 0 and not self.different


def replay_run(
    folder: Path, make: Callable[[], Environment], tasks: Mapping[str, Task], id: str | None = None
) -> Iterator[Replay]:
    """Replay a run's trajectories, in the order of its files.

    Args:
        folder: The run's.
        make: Makes a fresh environment, as the run's recipe says.
        tasks: Every task of the run by id.
        id: One trajectory's id; None for all. An id may stand in several files.

    Raises:
        LedgerError: the run has no trajectories, or none of that id.
    """
    any_replayed = False
    for file in sorted((folder / "trajectories").glob("*.parquet")):
        for trajectory in read_trajectories(file):
            if id in (None, trajectory.id):
                any_replayed = True
                yield replay(make, tasks.get(trajectory.task_id), trajectory, file.relative_to(folder).as_posix())
    if not any_replayed:
        raise LedgerError(
            "the run has no trajectories" if id is None else f"the run has no trajectory {id!r}",
            where=str(folder),
            fix="ids stand in column id of the Parquet files in trajectories/",
        )


def replay(make: Callable[[], Environment], task: Task | None, trajectory: Trajectory, file: str = "") -> Replay:
    """Execute a trajectory's transitions again."""
    skipped = ""
    if task is None:
        skipped = f"its task {trajectory.task_id!r} is not among the run's tasks"
    elif trajectory.tool_calls and not trajectory.transitions:
        skipped = "its agent had its environment elsewhere"
    if skipped or task is None:
        return Replay(file, trajectory.id, 0, skipped=skipped)
    environment = make()
    steps = 0
    try:
        environment.reset(task, trajectory.seed)
        for recorded in trajectory.transitions:
            _execute(environment, recorded)
            steps += 1
            difference = _difference(recorded, environment.transitions[-1] if environment.transitions else None)
            if difference:
                return Replay(file, trajectory.id, steps, difference + _other_environment(environment, trajectory))
    except PracticumError as error:
        return Replay(file, trajectory.id, steps, str(error))
    except Exception as error:  # the environment's own code
        return Replay(file, trajectory.id, steps, f"{type(error).__name__}: {error}")
    finally:
        environment.close()
    return Replay(file, trajectory.id, steps)


def _execute(environment: Environment, recorded: Transition) -> None:
    if recorded.tool == USER:
        environment.answered(str(recorded.arguments["answer"]))
    else:
        environment.call(recorded.tool, recorded.arguments)


def _difference(recorded: Transition, repeated: Transition | None) -> str:
    if repeated is None or repeated.index != recorded.index:
        return f"transition {recorded.index}, {recorded.tool}: the scripted user says nothing"
    for name in _COMPARED:
        before, after = getattr(recorded, name), getattr(repeated, name)
        if before != after:
            call = f"transition {recorded.index}, {recorded.tool}({dict(recorded.arguments)}): {name} differs"
            return f"{call}\n  - {str(before)[:SHOWN]}\n  + {str(after)[:SHOWN]}"
    return ""


def _other_environment(environment: Environment, trajectory: Trajectory) -> str:
    ref, recorded = environment.ref, trajectory.environment
    if ref == recorded:
        return ""
    return (
        f"\n  recorded in {recorded.id} {recorded.version} ({recorded.digest[:12]}), "
        f"replayed in {ref.id} {ref.version} ({ref.digest[:12]})"
    )
