"""What the checks of judges look at: tasks, walkthroughs, and baseline rollouts, recorded or made."""

import copy
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from practicum.checks.actions import random_calls
from practicum.checks.attacks import PlayedTask, material_of
from practicum.checks.attacks.material import answered, with_call
from practicum.checks.attacks.search import MUTATIONS
from practicum.checks.episodes import demonstrate
from practicum.environment import Call
from practicum.environment.places import place_of_error
from practicum.environment.play import opening
from practicum.environment.target import SPLITS, EnvironmentTarget
from practicum.errors import EnvironmentFault, PracticumError, RunError
from practicum.recipe import BUILTIN, load_recipe
from practicum.seeds import derive
from practicum.store import read_trajectories
from practicum.tasks import Task
from practicum.trajectory import Rollout, Trajectory

BASELINE = 100
"""Baseline rollouts that are looked at."""
ONE_TOOL = 12
"""Times the one tool is called."""


@dataclass(frozen=True)
class Recorded:
    """What a run has on record: its untrained model's rollouts, and every evaluation, newest last.

    ``agent`` is who played them, as the run's recipe says.
    """

    trajectories: tuple[Trajectory, ...] = ()
    evaluations: tuple[Mapping[str, Any], ...] = ()
    agent: str = BUILTIN


@dataclass(frozen=True)
class Evidence:
    """One environment's judges in use.

    Attributes:
        tasks: All tasks, by split; a split that the environment does not have is left out.
        cases: Some tasks, played.
        baseline: (rollout, where it comes from): recorded, or made of random play and spoilt walkthroughs.
        schemas: The tools.
        max_turns: The environment's bound.
    """

    tasks: Mapping[str, Sequence[Task]]
    cases: tuple[PlayedTask, ...]
    baseline: tuple[Rollout, ...]
    recorded: Recorded
    schemas: Sequence[Mapping[str, Any]]
    max_turns: int
    synthetic: bool = True
    """Whether the baseline was made, because none of these tasks is on record."""


def gather(target: EnvironmentTarget, *, count: int, seed: int, recorded: Recorded | None) -> Evidence:
    """Play some tasks and collect baseline rollouts.

    Args:
        count: Tasks played.
        seed: Draws them.
        recorded: A run's; its rollouts are the baseline where it has any of these tasks.

    Raises:
        EnvironmentFault: no split has tasks, or the environment cannot be played.
    """
    tasks = all_tasks(target)
    pool = next((tasks[split] for split in ("train", "validation", "test") if tasks.get(split)), None)
    if not pool:
        raise EnvironmentFault("the environment has no tasks in any split", fix="define tasks(self, split)")
    rng = random.Random(derive(seed, "judges"))
    chosen = rng.sample(list(pool), min(count, len(pool)))
    cases = tuple(play_case(target, task, derive(seed, "judges", task.id)) for task in chosen)
    environment = target.make()
    schemas, turns = environment.schemas(), environment.max_turns
    on_record = recorded or Recorded()
    by_id = {task.id: task for split in tasks.values() for task in split}
    rollouts = [
        Rollout.of(t, by_id[t.task_id]) for t in on_record.trajectories if t.task_id in by_id and t.error is None
    ]
    synthetic = not rollouts
    baseline = made_baseline(cases, seed) if synthetic else rollouts[:BASELINE]
    return Evidence(tasks, cases, tuple(baseline), on_record, schemas, turns, synthetic)


def all_tasks(target: EnvironmentTarget) -> dict[str, list[Task]]:
    """Tasks by split, without the splits that the environment says it does not have."""
    tasks = {}
    for split in SPLITS:
        try:
            tasks[split] = target.tasks_or_fault(split)
        except EnvironmentFault as fault:
            if fault.__cause__ is not None:
                raise
    return tasks


def play_case(target: EnvironmentTarget, task: Task, seed: int) -> PlayedTask:
    """One task untouched, solved by the oracle where there is one, and with tools called to no purpose."""
    solved = None
    if target.has_oracle:
        shown = demonstrate(target.make(), task, seed, target.home)
        if not shown.problem and not shown.transcript["fault"]:
            solved = shown.rollout()
    try:
        idle = _played(target, task, seed, [])
        schemas = target.make().schemas()
    except PracticumError:
        raise
    except Exception as error:  # the user's code
        raise EnvironmentFault(
            f"an episode of task {task.id!r} raised {type(error).__name__}: {error}",
            where=place_of_error(error, target.home),
            fix="practicum check says more",
        ) from error
    rng = random.Random(derive(seed, "calls"))
    calls = [_call(schema, rng) for schema in schemas]
    one_tool = [rng.choice(calls)] * ONE_TOOL if calls else []
    return PlayedTask(idle, solved, *(_tried(target, task, seed, some) for some in (calls, one_tool)))


def _tried(target: EnvironmentTarget, task: Task, seed: int, calls: Sequence[Call]) -> Rollout | None:
    """None where there is nothing to call, or a tool raised: that is the environment's fault, and ENV-FAULT's."""
    try:
        return _played(target, task, seed, calls) if calls else None
    except Exception:
        return None


def made_baseline(cases: Sequence[PlayedTask], seed: int) -> list[Rollout]:
    """``BASELINE`` rollouts such as an untrained model's may be: idle, random, and walkthroughs that go wrong."""
    rng = random.Random(derive(seed, "baseline"))
    material = material_of(cases)
    written = [answered(case.idle, material.form.write(case.label)) for case in cases if material.form.is_object]
    kept = [each for case in cases for each in (case.idle, case.solved, case.every_tool) if each is not None] + written
    rollouts = rng.sample(kept, min(len(kept), BASELINE // 2))
    for _ in range(20 * BASELINE):
        if len(rollouts) >= BASELINE:
            break
        case = rng.choice(list(cases))
        _, mutation = rng.choice(MUTATIONS)
        known = answered(case.idle, material.form.write(case.label)) if material.form.is_object else case.idle
        changed = mutation(rng, material, case, case.solved or known)
        rollouts += [] if changed is None else [changed]
    return rollouts[:BASELINE]


def read_recorded(run: Path) -> Recorded:
    """A run's evaluations, and the rollouts of its untrained model: of the base, else of the foothold.

    Raises:
        RunError: the folder holds no run, or an evaluation cannot be read.
    """
    if not (run / "recipe.yaml").is_file() and not (run / "evaluations").is_dir():
        raise RunError(f"no run in {run}", fix="give the folder of a run, such as runs/demo")
    evaluations = []
    for path in sorted((run / "evaluations").glob("*.json"), key=lambda path: (path.stat().st_mtime, path.name)):
        try:
            evaluations.append(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise RunError(f"an evaluation cannot be read: {error}", where=str(path)) from error
    recipe = run / "recipe.yaml"
    agent = load_recipe(recipe).agent if recipe.is_file() else BUILTIN
    for label in ("base", "foothold"):
        for mode in ("sampled", "greedy"):
            table = run / "trajectories" / f"eval-{label}-{mode}.parquet"
            if table.is_file():
                return Recorded(tuple(read_trajectories(table)), tuple(evaluations), agent)
    return Recorded((), tuple(evaluations), agent)


def _played(target: EnvironmentTarget, task: Task, seed: int, calls: Sequence[Call]) -> Rollout:
    """The calls made, and nothing answered."""
    environment = target.make()
    environment.reset(task, seed)
    try:
        rollout = Rollout(task, opening(environment, task), [], {}, "final")
        for call in calls:
            result = environment.call(call.name, copy.deepcopy(dict(call.arguments)))
            rollout = with_call(rollout, call.name, call.arguments, result.text)
        state = json.loads(json.dumps(dict(environment.final_state()), default=dict))
    finally:
        environment.close()
    done = answered(rollout, "")
    return Rollout(task, done.messages, done.tool_calls, state, "final")


def _call(schema: Mapping[str, Any], rng: random.Random) -> Call:
    """A call of this tool with arguments of no use."""
    name = schema["function"]["name"]
    drawn = random_calls([schema], [], rng)
    return next((call for call in drawn if call.name == name), Call(name, {}))
