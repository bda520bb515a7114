"""``practicum baseline``: what the untrained model can do, on record before it is trained."""

from typing import TYPE_CHECKING

from practicum.commands.app import Overrides, RecipeFile, RunName, app, console, loaded_recipe, run_name

if TYPE_CHECKING:
    from rich.console import Console

    from practicum.recipe import Recipe


@app.command(epilog="Example: practicum baseline support_desk --run desk")
def baseline(recipe: RecipeFile, overrides: Overrides = None, run: RunName = None) -> None:
    """Evaluate the untrained model on the held-out test split, and the reference model if the recipe names one.

    Exit status 1 where it never succeeds: it needs a foothold, or easier tasks.
    """
    loaded = loaded_recipe(recipe, overrides)
    baseline_run(loaded, console(), name=run_name(run, loaded, recipe), spelling=recipe)


def baseline_run(recipe: "Recipe", console: "Console", *, name: str, spelling: str) -> None:
    """Base and reference model on the test split, on record; refuses to call a base that never succeeds a start.

    Args:
        spelling: The recipe as the user named it, for the advice.

    Raises:
        RunError: the base model has no success.
    """
    from practicum.commands.pipeline import open_pipeline, print_stage
    from practicum.evaluation.gates import require_foothold
    from practicum.runs.evaluations import evaluations_of
    from practicum.runs.folder import named_folder

    folder = named_folder(name)
    with open_pipeline(folder, console, recipe) as pipeline:
        evaluations = pipeline.evaluate("base")
        pipeline.evaluate_reference()
        print_stage(evaluations_of(folder), pipeline)
        require_foothold(evaluations, run=str(folder), recipe=f"{spelling} --run {folder}")
