"""``practicum recipe …``: what a recipe says."""

from typing import Annotated

import typer

from practicum.commands.app import Overrides, RecipeFile, app, console, loaded_recipe

recipe_app = typer.Typer(help="Look into recipes.", no_args_is_help=True)
app.add_typer(recipe_app, name="recipe")


@recipe_app.command(epilog="Example: practicum recipe explain support_desk learning_rate=1e-5")
def explain(
    recipe: RecipeFile,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
) -> None:
    """Print every key: its value, where it came from, what is allowed, and advice."""
    from practicum.recipe.explanation_table import print_explanation

    print_explanation(loaded_recipe(recipe, overrides), console(), as_json=as_json)
