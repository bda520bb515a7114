"""Choosing the renderer for a model: the package's own where it knows the family, ours for plain ChatML."""

from pathlib import Path
from typing import Any, Protocol

from renderers import create_renderer
from renderers.base import MODEL_RENDERER_MAP, RenderedTokens
from renderers.configs import CustomRendererConfig

from practicum.errors import ModelError
from practicum.rollout.native import NativeRenderer

CHATML = "practicum.rollout.chatml.ChatMLRenderer"


class Renderer(Protocol):
    """What a session needs of a renderer (``renderers.base.Renderer``)."""

    def render(self, messages: Any, *, tools: Any = None, add_generation_prompt: bool = False) -> RenderedTokens:
        """A whole conversation's tokens."""
        ...

    def parse_response(self, token_ids: Any, *, tools: Any = None, prompt_ids: Any = None) -> Any:
        """Sampled tokens as text and tool calls."""
        ...

    def get_stop_token_ids(self) -> list[int]:
        """Tokens that end a turn."""
        ...

    def bridge_to_next_turn(
        self, previous_prompt_ids: Any, previous_completion_ids: Any, new_messages: Any, *, tools: Any = None
    ) -> RenderedTokens | None:
        """The next prompt, what was sampled kept as it is; None where that cannot be promised."""
        ...


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
        return NativeRenderer(create_renderer(tokenizer), tokenizer)
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
