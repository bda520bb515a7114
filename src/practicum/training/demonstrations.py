"""Who demonstrates: the environment's oracle, rollouts that succeeded, or a model behind an endpoint.

``warmstart_source`` says which. Rollouts and models are believed only where the score is: what did not succeed is no
demonstration. Only training tasks are demonstrated. Whatever the source, the tokens imitated are those a session would
feed and sample: rollouts of a model with the same tokenizer are taken token by token, all others are rendered anew.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from practicum.algorithms.losses import TrainingSequence, training_sequences
from practicum.engine.local.models import tokenizer_digest
from practicum.errors import RecipeError, RunError
from practicum.evaluation.evaluator import EvaluationPlan
from practicum.evaluation.reference import Reference, evaluate_reference
from practicum.ranges import reaches
from practicum.recipe import Recipe
from practicum.runs.manifest import read_manifest
from practicum.scoring import judge
from practicum.scoring.endpoint import Endpoint
from practicum.scoring.judgement import reported_reward
from practicum.seeds import derive
from practicum.store import read_trajectories, write_trajectories
from practicum.tasks import Task, TaskSet
from practicum.training.components import Workbench
from practicum.training.imitation import demonstrations, lesson
from practicum.trajectory import Message, Rollout, Trajectory

HELD_OUT = 16
"""Demonstrations that the supervised loss is measured on, at most."""
HELD_BACK = 8
"""Where no oracle demonstrates validation tasks, every so many-th demonstration is kept back to measure on."""
TRIES = 4
"""A model behind an endpoint is asked about at most so many times the tasks wanted."""


@dataclass(frozen=True)
class Lessons:
    """Demonstrations to imitate, and others to measure on."""

    tasks: tuple[str, ...]
    """Ids of the tasks demonstrated."""
    data: list[TrainingSequence]
    held_out: list[TrainingSequence]


def lessons(bench: Workbench, played: Path, say: Callable[[str], None] = lambda text: None) -> Lessons:
    """The recipe's demonstrations.

    Args:
        bench: The run's parts.
        played: Where what a model behind an endpoint played is kept, so that going on does not ask it again.
        say: Told what is going on.

    Raises:
        RecipeError: the source is none of the three.
        RunError: it holds no success on a training task, or fewer than a model needs.
        EnvironmentFault: the oracle is missing or broken.
    """
    recipe = bench.recipe
    source = recipe.warmstart_source
    if source == "oracle":
        chosen = chosen_tasks(recipe, bench.splits["train"])
        data = demonstrations(bench.target.make, bench.renderer, chosen, recipe.seed)
        return _measured(bench, tuple(task.id for task in chosen), data)
    if source.startswith(("http://", "https://")):
        return _of_rollouts(bench, _rollouts_of_endpoint(bench, played, say), source, exact=False)
    table, exact = _recorded(Path(source), bench.folder)
    return _of_rollouts(bench, [t for path in table for t in read_trajectories(path)], source, exact=exact)


def chosen_tasks(recipe: Recipe, train: TaskSet) -> Sequence[Task]:
    """The training tasks that an oracle demonstrates, drawn by the recipe's seed."""
    n = min(recipe.warmstart_demonstrations, len(train))
    return random.Random(derive(recipe.seed, "demonstrations")).sample(list(train), n)


def _by_the_oracle(bench: Workbench) -> list[TrainingSequence]:
    held_out = bench.splits["validation"][:HELD_OUT]
    return demonstrations(bench.target.make, bench.renderer, held_out, bench.recipe.seed)


def _of_rollouts(bench: Workbench, rollouts: Iterable[Trajectory], source: str, *, exact: bool) -> Lessons:
    """Successes on training tasks: each task's first one before any task's second, drawn by the seed."""
    recipe = bench.recipe
    good = _successes(bench, rollouts)
    if not good:
        raise RunError(
            "there is no success on a training task among the rollouts to imitate",
            where=source,
            allowed=f"finished rollouts of the recipe's training tasks with a score of {recipe.success_threshold:g}",
            fix="name another warmstart_source, or evaluate a better model on the training tasks first",
        )
    chosen = _spread(good, recipe)
    data = [datum for t in chosen for datum in _data(t, bench, exact=exact)]
    return _measured(bench, tuple(t.task_id for t in chosen), data)


def _measured(bench: Workbench, tasks: tuple[str, ...], data: list[TrainingSequence]) -> Lessons:
    """With what to measure on: validation tasks that the oracle demonstrates, else some kept back."""
    if bench.target.has_oracle and "validation" in bench.splits:
        return Lessons(tasks, data, _by_the_oracle(bench))
    held_out = data[HELD_BACK - 1 :: HELD_BACK][:HELD_OUT] or data[-1:]
    kept = [datum for datum in data if not any(datum is held for held in held_out)] or data
    return Lessons(tasks, kept, held_out)


def _successes(bench: Workbench, rollouts: Iterable[Trajectory]) -> list[Trajectory]:
    """Judged here and now, by the score of the present environment."""
    tasks = {task.id: task for task in bench.splits["train"]}
    candidates = [t for t in rollouts if t.task_id in tasks and t.error is None and t.turns]

    async def right(trajectory: Trajectory) -> bool:
        if bench.score is reported_reward:
            return reaches(trajectory.reward, bench.recipe.success_threshold)
        found = await judge(bench.score, Rollout.of(trajectory, tasks[trajectory.task_id]))
        return reaches(found.total, bench.recipe.success_threshold)

    return [t for t in candidates if bench.run(right(t))]


def _spread(good: Sequence[Trajectory], recipe: Recipe) -> list[Trajectory]:
    order = sorted(good, key=lambda t: t.id)
    random.Random(derive(recipe.seed, "demonstrations")).shuffle(order)
    times: dict[str, int] = {}
    rounds = []
    for t in order:
        times[t.task_id] = times.get(t.task_id, 0) + 1
        rounds.append((times[t.task_id], t))
    return [t for _, t in sorted(rounds, key=lambda pair: pair[0])][: recipe.warmstart_demonstrations]


def _data(trajectory: Trajectory, bench: Workbench, *, exact: bool) -> list[TrainingSequence]:
    if exact and all(turn.action_ids for turn in trajectory.turns):
        sequences = training_sequences(trajectory, np.ones(len(trajectory.turns)))
        zeros = [np.zeros(len(s.tokens), dtype=np.float32) for s in sequences]
        return [replace(s, advantages=zero, logprobs=zero) for s, zero in zip(sequences, zeros, strict=True)]
    last = next(members for members in trajectory.sequences if members[-1] == len(trajectory.turns) - 1)
    turns = [trajectory.turns[n] for n in last]
    messages: list[Message] = [message for turn in turns for message in (*turn.messages, turn.response)]
    return [lesson(bench.renderer, messages, trajectory.tools)]


def _recorded(source: Path, model: Path) -> tuple[list[Path], bool]:
    """Tables of trajectories at a path, and whether their tokens are those of the model's tokenizer."""
    if source.is_file():
        return [source], False
    run = (source / "manifest.json").is_file()
    tables = sorted(source.glob("trajectories/*.parquet" if run else "*.parquet"))
    if not tables:
        raise RecipeError(
            f"warmstart_source: there are no rollouts at {str(source)!r}",
            allowed="oracle; a run's folder, a Parquet file of trajectories, or a folder of them; or the http:// or "
            "https:// address of an OpenAI-compatible endpoint",
        )
    same = run and read_manifest(source).tokenizer == tokenizer_digest(model)
    return tables, same


def _rollouts_of_endpoint(bench: Workbench, played: Path, say: Callable[[str], None]) -> list[Trajectory]:
    """Rollouts of a model behind an endpoint, until there are successes enough."""
    recipe = bench.recipe
    if played.is_file():
        return read_trajectories(played)
    if not recipe.warmstart_model:
        raise RecipeError(
            "warmstart_source is an endpoint, and the recipe does not say which model to ask there",
            fix="warmstart_model: NAME",
        )
    endpoint = Endpoint(recipe.warmstart_source, recipe.warmstart_model, recipe.warmstart_api_key_env or "")
    reference = Reference(endpoint, max_tokens=recipe.sampling_max_tokens)
    order = list(bench.splits["train"])
    random.Random(derive(recipe.seed, "demonstrations")).shuffle(order)
    enough, rollouts, good = recipe.warmstart_demonstrations, list[Trajectory](), 0
    for start in range(0, min(len(order), TRIES * enough), enough):
        tasks = TaskSet(order[start : start + enough])
        plan = EvaluationPlan("train", tasks, 1, recipe.success_threshold, (1,), derive(recipe.seed, "teacher"))
        work = evaluate_reference(
            reference, plan, bench.target.make, score=bench.score, max_turns=recipe.max_turns, label="teacher"
        )
        rollouts += bench.run(work)[1]
        good = len(_successes(bench, rollouts))
        say(f"{endpoint.model}: {good} of {len(rollouts)} rollouts succeeded")
        if good >= enough:
            break
    if all(t.error for t in rollouts):
        raise RunError(f"{endpoint.model} gave no rollout: {rollouts[0].error}", where=endpoint.base_url)
    write_trajectories(played, rollouts)
    return rollouts
