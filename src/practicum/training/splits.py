"""The tasks a run trains, validates and tests on; none of them twice."""

from collections.abc import Mapping

from practicum.checks.places import place_of_error
from practicum.checks.target import SPLITS, EnvironmentTarget
from practicum.errors import EnvironmentFault, PracticumError, TaskError
from practicum.recipe import Recipe
from practicum.tasks import TaskSet


def load_splits(recipe: Recipe, target: EnvironmentTarget) -> dict[str, TaskSet]:
    """Tasks of ``train``, ``validation`` and ``test``, capped as the recipe says.

    Raises:
        TaskError: a dataset cannot be read, has fewer rows than a training step needs, or shares a prompt with
            what is held out.
        EnvironmentFault: the environment's own ``tasks`` raised.
    """
    splits = {split: _split(recipe, target, split) for split in SPLITS}
    train = splits["train"]
    if len(train) < recipe.global_batch_size:
        raise TaskError(
            f"{train.name} has {len(train)} tasks, fewer than one step's global_batch_size {recipe.global_batch_size}",
            fix="give more tasks or lower global_batch_size",
        )
    _refuse_overlap(splits)
    return splits


def _split(recipe: Recipe, target: EnvironmentTarget, split: str) -> TaskSet:
    cap = {"train": recipe.train_tasks, "validation": recipe.val_tasks, "test": recipe.test_tasks}[split]
    where = target.datasets.get(split)
    name = where.name if where else f"{target.environment.id} {split}"
    try:
        tasks = target.tasks(split)
    except PracticumError:
        raise
    except Exception as error:  # the user's code
        raise EnvironmentFault(
            f"{target.environment.__name__}.tasks({split!r}) raised {type(error).__name__}: {error}",
            where=place_of_error(error, target.home),
            fix="mend that line",
        ) from error
    return TaskSet(tasks[:cap], name=name)


def _refuse_overlap(splits: Mapping[str, TaskSet]) -> None:
    train = splits["train"]
    for held_out in (splits["validation"], splits["test"]):
        shared = train.overlap(held_out)
        if shared:
            raise TaskError(
                f"{len(shared)} prompts stand both in {train.name} and in {held_out.name}, such as {shared[0][:80]!r}",
                fix="remove them from one of the two: a score on trained tasks says nothing",
            )
