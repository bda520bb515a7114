"""The foothold as a stage of a run: demonstrations, supervised passes, a checkpoint to start reinforcement from."""

import random
import time
from collections.abc import Sequence

from rich.console import Console

from practicum.engine.protocol import Datum
from practicum.recipe import Recipe
from practicum.seeds import derive
from practicum.tasks import Task, TaskSet
from practicum.training.checkpoint import save_checkpoint
from practicum.training.foothold import Pass, demonstrations, imitate
from practicum.training.run import Run
from practicum.training.workbench import Workbench

VALIDATION_DEMONSTRATIONS = 16


def warmstart(bench: Workbench, run: Run, console: Console) -> None:
    """Supervised passes over demonstrations of training tasks; ends with checkpoint 0."""
    recipe = bench.recipe
    with console.status("foothold: playing the oracle's demonstrations"):
        chosen, data, held_out = supervision(bench)
    passes = imitate(
        bench.learner,
        data,
        held_out,
        epochs=recipe.warmstart_epochs,
        batch_size=recipe.warmstart_batch_size,
        learning_rate=recipe.warmstart_learning_rate,
        seed=recipe.seed,
        select_best=recipe.warmstart_select_best,
    )
    losses, began = list[dict[str, float]](), time.monotonic()
    with console.status(f"foothold: {recipe.warmstart_epochs} passes over {len(data)} demonstrations"):
        for done in passes:
            losses.append({"train": done.train_loss, "validation": done.validation_loss})
            record_pass(run, "foothold", done, time.monotonic() - began)
            began = time.monotonic()
            console.print(
                f"pass {done.epoch}/{recipe.warmstart_epochs} over {len(data)} demonstrations: "
                f"loss {done.train_loss:.3f}, held out {done.validation_loss:.3f} nats per token",
                highlight=False,
            )
    checkpoint = save_checkpoint(run.folder, 0, bench.learner)
    run.events.append(
        "warmstart",
        {"demonstrations": [task.id for task in chosen], "losses": losses, "checkpoint": checkpoint.digest},
    )


def supervision(bench: Workbench) -> tuple[Sequence[Task], list[Datum], list[Datum]]:
    """The tasks that are demonstrated, their demonstrations, and held-out ones of validation tasks."""
    seed, make, renderer = bench.recipe.seed, bench.target.make, bench.renderer
    chosen = chosen_demonstrations(bench.recipe, bench.splits["train"])
    held_out = bench.splits["validation"][:VALIDATION_DEMONSTRATIONS]
    return chosen, demonstrations(make, renderer, chosen, seed), demonstrations(make, renderer, held_out, seed)


def chosen_demonstrations(recipe: Recipe, train: TaskSet) -> Sequence[Task]:
    """The training tasks that are demonstrated, drawn by the recipe's seed."""
    n = min(recipe.warmstart_demonstrations, len(train))
    return random.Random(derive(recipe.seed, "demonstrations")).sample(list(train), n)


def record_pass(run: Run, phase: str, done: Pass, seconds: float) -> None:
    """One supervised pass as metrics; its step is the pass's number."""
    numbers = {"training/nll": done.train_loss, "val/nll": done.validation_loss, "timing_s/training": seconds}
    run.record_metrics(phase, done.epoch, numbers)
