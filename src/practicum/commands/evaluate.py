"""``practicum eval``: a run's newest weights on its held-out test split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from practicum.commands.app import Overrides, RunName, app, console, loaded_recipe, run_name
from practicum.display import say
from practicum.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from practicum.commands.stages import Pipeline
    from practicum.recipe import Recipe
    from practicum.runs.checkpoint import Checkpoint


@app.command("eval", epilog="Example: practicum eval runs/demo; or: practicum eval desk.yaml --run desk")
def evaluate(
    what: Annotated[str, typer.Argument(help="A run folder, or a recipe: its run's newest weights.")],
    overrides: Overrides = None,
    run: RunName = None,
) -> None:
    """Evaluate a run's model on its test split, beside what is on record for base and foothold.

    A recipe stands for its run (or the one named with --run); where that has not been trained, the base model and the
    reference are evaluated alone.
    """
    path = Path(what)
    if path.suffix in (".yaml", ".yml") or (path.name == what and not path.is_dir()):
        loaded = loaded_recipe(what, overrides)
        evaluate_recipe(loaded, console(), name=run_name(run, loaded, what))
        return
    if overrides or run:
        raise RunError("a run folder has its own recipe and name", where=what, fix=f"practicum eval {what}")
    evaluate_run(path, console())


def evaluate_recipe(recipe: "Recipe", console: "Console", *, name: str) -> None:
    """Evaluate the newest weights of the recipe's run; where it has not been trained, base and reference alone."""
    from practicum.commands.pipeline import open_pipeline
    from practicum.runs.folder import named_folder

    folder = named_folder(name)
    checkpoint = _newest(folder, console)
    with open_pipeline(folder, console, recipe) as pipeline:  # refuses a run of another recipe
        _evaluate_newest(pipeline, checkpoint)


def evaluate_run(folder: Path, console: "Console") -> None:
    """Evaluate a run's newest weights on the test split, beside what is on record."""
    from practicum.commands.pipeline import open_pipeline
    from practicum.runs.folder import require_run

    require_run(folder)
    if not (folder / "checkpoints").exists():
        raise RunError(f"{folder} has no checkpoint to evaluate", fix=f"practicum resume {folder}")
    checkpoint = _newest(folder, console)
    if checkpoint is None:
        raise RunError(f"{folder} has no whole checkpoint to evaluate", fix=f"practicum resume {folder}")
    with open_pipeline(folder, console) as pipeline:
        _evaluate_newest(pipeline, checkpoint)


def _newest(folder: Path, console: "Console") -> "Checkpoint | None":
    from practicum.runs.checkpoint import latest_checkpoint

    return latest_checkpoint(folder, lambda text: say(console, text, style="yellow"))


def _evaluate_newest(pipeline: "Pipeline", checkpoint: "Checkpoint | None") -> None:
    from practicum.commands.summary import print_evaluations
    from practicum.runs.evaluations import evaluations_of

    folder, console = pipeline.run.folder, pipeline.console
    if not any(each.label == "base" for each in evaluations_of(folder)):
        pipeline.evaluate("base")
    if checkpoint is not None:
        pipeline.load(checkpoint)
        pipeline.evaluate("trained" if pipeline.step else "foothold")
    pipeline.evaluate_reference()
    print_evaluations(evaluations_of(folder), console)
    pipeline.conclude()
    say(console, f"on record in {folder}; page: {pipeline.report()}")
