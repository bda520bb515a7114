"""``practicum warmstart``: a foothold by supervised steps, on record before reinforcement."""

from typing import TYPE_CHECKING

from practicum.commands.app import Overrides, RecipeFile, RunName, app, console, loaded_recipe, run_name
from practicum.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from practicum.recipe import Recipe


@app.command(epilog="Example: practicum warmstart support_desk warmstart_epochs=5 --run desk")
def warmstart(recipe: RecipeFile, overrides: Overrides = None, run: RunName = None) -> None:
    """Supervised steps on demonstrations (an oracle's, successful rollouts', or a model's): a foothold."""
    loaded = loaded_recipe(recipe, overrides)
    warmstart_run(loaded, console(), name=run_name(run, loaded, recipe))


def warmstart_run(recipe: "Recipe", console: "Console", *, name: str) -> None:
    """A foothold and its evaluation, on record.

    Raises:
        RunError: the recipe asks for none, or the run has begun reinforcement.
    """
    from practicum.commands.pipeline import open_pipeline, print_stage
    from practicum.runs.folder import named_folder

    if not recipe.warmstart_demonstrations:
        raise RunError("the recipe asks for no foothold", fix="warmstart_demonstrations=32")
    folder = named_folder(name)
    with open_pipeline(folder, console, recipe) as pipeline:
        step = pipeline.foothold()
        if step:
            raise RunError(f"{folder} is already at step {step}", fix="start a new run with --run NAME")
        print_stage(pipeline.evaluate("foothold"), pipeline)
