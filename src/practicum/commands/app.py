"""What all commands share: the application, arguments that recur, the console, and how recipes are found."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from practicum.display import say_line, screen

if TYPE_CHECKING:
    from rich.console import Console

    from practicum.recipe import Recipe

PLAIN_WIDTH = 120
"""Columns of what is printed where there is no terminal to ask."""

app = typer.Typer(
    name="practicum",
    help="Train tool-using language-model agents with multi-turn reinforcement learning, on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipeFile = Annotated[str, typer.Argument(help="A recipe: a .yaml file, or the name of one that ships.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Recipe keys to override, such as learning_rate=1e-5.")]
RunName = Annotated[str | None, typer.Option("--run", help="Name (below runs/) or path of the run folder.")]
RunFolder = Annotated[Path, typer.Argument(help="A run folder, such as runs/demo.")]
Target = Annotated[str, typer.Argument(help="A file, file.py:Class, package.module:Class, a suite, or a recipe.")]


def console() -> "Console":
    """Standard output, of a steady width where it is no terminal."""
    output = screen()
    if not output.is_terminal and "COLUMNS" not in os.environ:
        output = screen(width=PLAIN_WIDTH)
    return output


def loaded_recipe(name: str, overrides: list[str] | None) -> "Recipe":
    """A recipe by its file's path or by the name of one that ships.

    Raises:
        RecipeError: there is none, or it is not valid.
    """
    from practicum.recipe import load_recipe
    from practicum.recipes import shipped

    path = Path(name) if name.endswith((".yaml", ".yml")) else shipped(name)
    return load_recipe(path, overrides or [])


def run_name(run: str | None, recipe: "Recipe", given: str) -> str:
    """The run's name: the one asked for, the recipe's own, or that of its file; the latter two below output_path."""
    name = recipe.name or Path(given).stem
    if run or recipe.output_path is None:
        return run or name
    if recipe.output_path.parts[0] == "s3:":
        from practicum.runs.versions import RUNS

        say_line(f"practicum: output_path is on S3, which is not written to: the run is made in {RUNS}", stderr=True)
        return name
    return str(recipe.output_path / name)
