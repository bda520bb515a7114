"""Validation while training: held-out tasks are played and scored, and nothing learns from them."""

import random
import time
from collections.abc import Sequence

import numpy as np

from practicum.errors import naming
from practicum.evaluation.statistics import pass_at_k, pass_power_k
from practicum.monitor.metrics import evaluation_metrics
from practicum.recipe import Recipe
from practicum.rollout.dispatcher import RolloutRequest
from practicum.runs.folder import Run
from practicum.seeds import derive
from practicum.tasks import Task
from practicum.training.components import Workbench
from practicum.training.course import divergence
from practicum.training.shortfall import refuse_shortfall, shortfall
from practicum.trajectory import Group, group_by_task


async def validate(bench: Workbench, run: Run, tasks: Sequence[Task], step: int) -> tuple[dict[str, float], list[str]]:
    """Play validation tasks with the weights after a step.

    Returns:
        The metrics, under ``val/``, and what could not be used, in lines for the terminal.

    Raises:
        RunError: too many rollouts failed.
    """
    recipe, began = bench.recipe, time.monotonic()
    requests = [
        RolloutRequest(
            f"val-{step}/{task.id}/{n}", f"val-{step}/{task.id}", task, derive(recipe.seed, "val", step, task.id, n)
        )
        for task in validation_tasks(tasks, step, recipe)
        for n in range(recipe.val_group_size)
    ]
    # Where training rollouts go on meanwhile, none of them may wait for one of these.
    free, params = bool(recipe.max_steps_off_policy), bench.held_out_params(recipe.val_temperature)
    dispatcher = bench.dispatcher(params, scored=True, free=free)
    with naming(f"the validation after step {step}"):
        trajectories = await dispatcher.run(requests)
    refuse_shortfall(f"the validation after step {step}", trajectories, recipe, run)
    groups = group_by_task(trajectories)
    estimates = pass_estimates(groups, recipe)
    metrics = evaluation_metrics("val", groups, success_threshold=recipe.success_threshold, estimates=estimates)
    metrics["timing_s/eval"] = time.monotonic() - began
    metrics |= divergence(run.folder, metrics, "val")
    return metrics, [f"validation {line}" for line in shortfall(groups, (), recipe)]


def validation_tasks(tasks: Sequence[Task], step: int, recipe: Recipe) -> list[Task]:
    """The tasks of one validation: the first ``val_batch_size``, or as many drawn anew each time."""
    n = min(recipe.val_batch_size or len(tasks), len(tasks))
    if recipe.val_random_sample:
        return random.Random(derive(recipe.seed, "validation", step)).sample(list(tasks), n)
    return list(tasks[:n])


def pass_estimates(groups: Sequence[Group], recipe: Recipe) -> dict[str, float]:
    """Of validation rollouts, ``reward/pass_at_{k}`` and ``reward/pass_power_{k}``, counted as the evaluation counts.

    Empty where each task was played once.
    """
    n, threshold = recipe.val_group_size, recipe.success_threshold
    if n == 1 or not groups:
        return {}
    wins = [sum(t.succeeded(threshold) for t in group.trajectories) for group in groups]
    estimators = {"pass_at": pass_at_k, "pass_power": pass_power_k}
    return {
        f"reward/{name}_{k}": float(np.mean([estimate(n, won, k) for won in wins]))
        for name, estimate in estimators.items()
        for k in recipe.pass_k_values
        if k <= n
    }
