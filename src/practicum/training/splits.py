"""The tasks a run trains, validates and tests on; none of them twice."""

import random
from collections.abc import Iterator, Mapping, Sequence

from practicum.environment.target import SPLITS, EnvironmentTarget
from practicum.errors import EnvironmentFault, TaskError
from practicum.recipe import Recipe
from practicum.seeds import derive
from practicum.tasks import Task, TaskSet


class Splits(dict[str, TaskSet]):
    """Task sets by split. Asking for a split that the environment does not have raises what it said of it.

    An environment with nothing but a test split can be evaluated; training in it fails where tasks are asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.absent: dict[str, EnvironmentFault | TaskError] = {}

    def __missing__(self, split: str) -> TaskSet:
        raise self.absent[split]


def load_splits(recipe: Recipe, target: EnvironmentTarget) -> Splits:
    """Tasks of ``train``, ``validation`` and ``test``, capped as the recipe says.

    Raises:
        TaskError: a dataset cannot be read, has fewer rows than a training step needs, or shares a prompt with
            what is held out.
        EnvironmentFault: the environment's own ``tasks`` raised for a split that is used, or it has no test split.
    """
    splits = Splits()
    for split in SPLITS:
        try:
            splits[split] = _split(recipe, target, split)
        except (EnvironmentFault, TaskError) as fault:
            said_so = isinstance(fault, EnvironmentFault) and fault.__cause__ is None and split != "test"
            if not (said_so or _unused(split, recipe, target)):
                raise
            splits.absent[split] = fault
    if "train" in splits and len(splits["train"]) < recipe.global_batch_size:
        train = splits["train"]
        raise TaskError(
            f"{train.name} has {len(train)} tasks, fewer than one step's global_batch_size {recipe.global_batch_size}",
            fix="give more tasks or lower global_batch_size",
        )
    _refuse_overlap(splits)
    return splits


def _unused(split: str, recipe: Recipe, target: EnvironmentTarget) -> bool:
    """Whether nothing asks for the split: a validation that never takes place."""
    return split == "validation" and not recipe.validates and split not in target.datasets


def _split(recipe: Recipe, target: EnvironmentTarget, split: str) -> TaskSet:
    cap = {"train": recipe.train_tasks, "validation": recipe.val_tasks, "test": recipe.test_tasks}[split]
    if split in target.datasets:
        tasks = target.dataset(split)
    else:  # whose tasks have ids of their own
        tasks = TaskSet(target.tasks_or_fault(split), name=f"{target.environment.id} {split}", games=True)
    chosen: Sequence[Task] = tasks[:cap]
    if split == "test" and recipe.eval_random_sample and cap is not None and cap < len(tasks):
        chosen = random.Random(derive(recipe.seed, "test tasks")).sample(list(tasks), cap)
    return TaskSet(chosen, name=tasks.name, games=tasks.games, columns=tasks.columns)


def columns_told(recipe: Recipe, target: EnvironmentTarget, splits: Mapping[str, TaskSet]) -> Iterator[str]:
    """What was taken for what in each dataset file, a line each; and which tasks are held out, if nobody said so."""
    files = set()
    for split, tasks in splits.items():
        if tasks.columns is None or (path := target.datasets[split]) in files:
            continue
        files.add(path)
        roles = {"prompt": "the prompt", "id": "the id", "answer": "the label"}
        parts = [f"column {name!r} is {roles[role]}" for role, name in tasks.columns.named().items()]
        guessed = recipe.prompt_column is None and tasks.columns.prompt != "prompt"
        yield f"{path.name}: {', '.join(parts)}" + ("; prompt_column chooses another" if guessed else "")
    if target.reading.carved:
        yield (
            f"{len(splits['test'])} of its tasks are held out for validation and test, {len(splits['train'])} are "
            "trained on; validation_dataset or test_dataset chooses others"
        )
    elif recipe.environment is None and not (recipe.validation_dataset and recipe.test_dataset):
        yield f"{splits['test'].name} is both what is validated and what is tested on"


def _refuse_overlap(splits: Mapping[str, TaskSet]) -> None:
    for held_out in (splits[split] for split in ("validation", "test") if split in splits and "train" in splits):
        shared = splits["train"].overlap(held_out)
        if shared:
            raise TaskError(
                f"{len(shared)} prompts stand both in {splits['train'].name} and in {held_out.name}, such as "
                f"{shared[0][:80]!r}",
                fix="remove them from one of the two: a score on trained tasks says nothing",
            )
