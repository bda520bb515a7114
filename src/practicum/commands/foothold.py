"""The foothold as a stage of a run: demonstrations, supervised passes, a checkpoint to start reinforcement from."""

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from practicum.display import StatusLine, say
from practicum.runs.checkpoint import save_checkpoint
from practicum.runs.folder import Run
from practicum.runs.manifest import file_digests
from practicum.training.components import Workbench
from practicum.training.demonstrations import Lessons, lessons
from practicum.training.imitation import Pass, imitate


def warmstart(bench: Workbench, run: Run, console: Console) -> None:
    """Supervised passes over demonstrations of training tasks; ends with checkpoint 0."""
    recipe = bench.recipe
    with StatusLine(console, "foothold: gathering demonstrations"):
        taught = supervision(bench, run, lambda text: say(console, text))
    data = taught.data
    passes = imitate(
        bench.learner,
        data,
        taught.held_out,
        epochs=recipe.warmstart_epochs,
        batch_size=recipe.warmstart_batch_size,
        learning_rate=recipe.warmstart_learning_rate,
        seed=recipe.seed,
        average=recipe.warmstart_average,
        select_best=recipe.warmstart_select_best,
    )
    losses, began = list[dict[str, float]](), time.monotonic()
    with StatusLine(console, f"foothold: {recipe.warmstart_epochs} passes over {len(data)} demonstrations"):
        for outcome in passes:
            losses.append({"train": outcome.train_loss, "validation": outcome.validation_loss})
            record_pass(run, "foothold", outcome, time.monotonic() - began)
            began = time.monotonic()
            say(
                console,
                f"pass {outcome.epoch}/{recipe.warmstart_epochs} over {len(data)} demonstrations: "
                f"loss {outcome.train_loss:.3f}, held out {outcome.validation_loss:.3f} nats per token",
            )
    foothold = {
        "source": recipe.warmstart_source,
        "demonstrations": list(taught.tasks),
        "losses": losses,
        "files": file_digests(run.folder, [path for path in [played_by_a_model(run)] if path.is_file()]),
    }
    run.acknowledge(save_checkpoint(run.folder, 0, bench.learner, foothold=foothold))


def supervision(bench: Workbench, run: Run, say: Callable[[str], None] = lambda text: None) -> Lessons:
    """The recipe's demonstrations, and held-out ones to measure on."""
    return lessons(bench, played_by_a_model(run), say)


def played_by_a_model(run: Run) -> Path:
    """Where rollouts of the model that demonstrates are kept, if one does."""
    return run.folder / "trajectories" / "demonstrations.parquet"


def record_pass(run: Run, phase: str, outcome: Pass, seconds: float) -> None:
    """One supervised pass as metrics; its step is the pass's number."""
    numbers = {"training/nll": outcome.train_loss, "val/nll": outcome.validation_loss, "timing_s/training": seconds}
    run.record_metrics(phase, outcome.epoch, numbers)
