"""``practicum demo``: the whole loop on one recipe, in a fresh run folder."""

from typing import TYPE_CHECKING, Annotated

import typer

from practicum.commands.app import RunName, app, console, loaded_recipe
from practicum.display import heading

if TYPE_CHECKING:
    from rich.console import Console

    from practicum.recipe import Recipe


@app.command(epilog="Example: practicum demo --seed 1 --run first")
def demo(
    recipe: Annotated[str, typer.Option(help="Recipe to run: a .yaml file, or one that ships.")] = "support_desk",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    control: Annotated[bool, typer.Option("--control", help="Also run the supervised control, as long again.")] = False,
    run: RunName = None,
) -> None:
    """The whole loop on one recipe: check, baseline, foothold, reinforcement, evaluation, report."""
    run_demo(loaded_recipe(recipe, [f"seed={seed}"]), console(), name=run or "demo", control=control)


def run_demo(recipe: "Recipe", console: "Console", *, name: str, control: bool) -> None:
    """Check, baseline, foothold, reinforcement, evaluation, report, in a fresh run folder."""
    from rich.text import Text

    from practicum.commands.pipeline import carry_out, open_pipeline
    from practicum.runs.folder import default_folder

    folder = default_folder(name)
    heading(console, Text.assemble(("Practicum demo", "bold"), f"  run folder {folder}"))
    with open_pipeline(folder, console, recipe, {"whole": True, "control": control}) as pipeline:
        carry_out(pipeline, whole=True, control=control)
