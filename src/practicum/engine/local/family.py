"""Which model a folder's weights began as: that says how conversations are written for them, wherever they lie.

A chat format is known by a model's hub name, which the last two parts of its folder are (``…/Qwen/Qwen3-0.6B``). What
was trained from it lies elsewhere (``runs/desk/output``), so the name is written down beside the weights.
"""

import json
from pathlib import Path

from practicum.engine.local.adapters import base_of, is_adapter
from practicum.engine.local.hub import hub_name
from practicum.errors import ModelError
from practicum.files import write_text
from practicum.recipe import load_recipe

FAMILY = "family.json"


def family_of(model: str) -> str:
    """The name that chooses a model's chat format; its last two parts count.

    That which is written beside the weights; else, of a run's output and of an adapter, that of the model it was
    trained from; else the given one.

    Args:
        model: As in a recipe: a folder, or the name of a carried model.

    Raises:
        ModelError: what stands beside the weights cannot be read.
    """
    seen = set[str]()
    while model not in seen:
        seen.add(model)
        folder = Path(model).expanduser()
        recipe = folder.absolute().parent / "recipe.yaml"
        if (folder / FAMILY).is_file():
            return _read(folder / FAMILY)
        if folder.name == "output" and recipe.is_file():
            model = load_recipe(recipe).model_name or model
        elif is_adapter(folder):
            model = base_of(folder)
    return hub_name(Path(model)) or model


def write_family(folder: Path, model: str) -> None:
    """Write down beside weights what ``family_of`` said of the model they come from."""
    write_text(folder / FAMILY, json.dumps({"family": "/".join(Path(model).parts[-2:])}) + "\n")


def _read(path: Path) -> str:
    try:
        name = json.loads(path.read_text(encoding="utf-8"))["family"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        name = error
    if not isinstance(name, str) or not name:
        raise ModelError(
            f"cannot read the model's family: {name!r}",
            where=str(path),
            allowed='such as {"family": "Qwen/Qwen3-0.6B"}',
            fix="write it so, or remove the file",
        )
    return name
