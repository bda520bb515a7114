"""Choosing the renderer for a model: the package's own where it knows the family, ours for plain ChatML."""

from pathlib import Path
from typing import Any

from renderers import create_renderer
from renderers.base import MODEL_RENDERER_MAP
from renderers.configs import CustomRendererConfig

from practicum.errors import ModelError
from practicum.rollout.session import Renderer

CHATML = "practicum.rollout.chatml.ChatMLRenderer"


def make_renderer(tokenizer: Any, model_name: str, tool_format: str = "pythonic") -> Renderer:
    """The renderer of a model.

    Args:
        tokenizer: The model's tokenizer. Where the renderer is ours, its chat template becomes one that writes the
            same, so that whatever is saved with this tokenizer can be served as it was trained.
        model_name: As in the recipe; a hub name or a folder whose last parts are one (``…/Qwen/Qwen3-0.6B``) selects
            that family's renderer.
        tool_format: How a plain ChatML model writes its calls: ``pythonic`` or ``hermes``.

    Raises:
        ModelError: the family is unknown and the tokenizer has no ChatML tokens.
    """
    hub_name = "/".join(Path(model_name).parts[-2:])
    if hub_name in MODEL_RENDERER_MAP:
        tokenizer.name_or_path = hub_name
        return create_renderer(tokenizer)
    try:
        renderer = create_renderer(tokenizer, CustomRendererConfig(import_path=CHATML, tool_format=tool_format))
    except ValueError as error:
        raise ModelError(
            f"no renderer is known for the model {model_name!r}: {error}",
            allowed="families the renderers package knows (by hub name), or models with ChatML tokens",
            fix="keep the hub name as the last two parts of the model's folder, such as models/Qwen/Qwen3-0.6B",
        ) from error
    tokenizer.chat_template = renderer.chat_template
    return renderer
