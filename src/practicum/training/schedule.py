"""What each step of a training run consists of: its tasks, its learning rate. Functions of the recipe and the step."""

import math
import random
from collections.abc import Sequence

from practicum.recipe import Recipe
from practicum.seeds import derive
from practicum.tasks import Task, TaskSet


def total_steps(recipe: Recipe, n_tasks: int) -> int:
    """Steps until max_steps or max_epochs, whichever comes first."""
    return min(recipe.max_steps, recipe.max_epochs * (n_tasks // recipe.global_batch_size))


def batch_of(tasks: TaskSet, step: int, recipe: Recipe) -> list[Task]:
    """The tasks of a step (from 1): every epoch in its own seeded order, an epoch's remainder left out."""
    per_epoch = len(tasks) // recipe.global_batch_size
    epoch, place = divmod(step - 1, per_epoch)
    order = list(tasks)
    random.Random(derive(recipe.seed, "order", epoch)).shuffle(order)
    return order[place * recipe.global_batch_size : (place + 1) * recipe.global_batch_size]


def validation_tasks(tasks: Sequence[Task], step: int, recipe: Recipe) -> list[Task]:
    """The tasks of one validation: the first ``val_batch_size``, or as many drawn anew each time."""
    n = min(recipe.val_batch_size or len(tasks), len(tasks))
    if recipe.val_random_sample:
        return random.Random(derive(recipe.seed, "validation", step)).sample(list(tasks), n)
    return list(tasks[:n])


def learning_rate(recipe: Recipe, step: int, last: int) -> float:
    """The rate of a step (from 1): linear warmup, then constant, or linear or cosine down to its least after the last.

    Steps beyond the last, which ``extend_steps`` adds, go on at the least.
    """
    if step <= recipe.warmup_steps:
        return recipe.learning_rate * step / recipe.warmup_steps
    if recipe.lr_schedule == "constant":
        return recipe.learning_rate
    done = min((step - 1 - recipe.warmup_steps) / max(last - recipe.warmup_steps, 1), 1.0)
    share = 1 - done if recipe.lr_schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return recipe.learning_rate * (recipe.min_lr_ratio + (1 - recipe.min_lr_ratio) * share)
