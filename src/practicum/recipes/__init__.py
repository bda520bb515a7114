"""Recipes that ship with Practicum, as YAML files."""

from pathlib import Path

from practicum.errors import RecipeError

FOLDER = Path(__file__).parent


def shipped(name: str) -> Path:
    """The file of a shipped recipe, such as ``support_desk``.

    Raises:
        RecipeError: no recipe of that name ships.
    """
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yaml")))
        raise RecipeError(f"no recipe {name!r} ships with Practicum", allowed=f"{names}, or a path to a .yaml file")
    return path
