"""A trained model for other programs: merged, with the chat template that training rendered with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from practicum.engine.local.export import export_merged
from practicum.errors import ModelError
from practicum.rollout.chat_template import template_difference
from practicum.rollout.renderer import make_renderer


def export_model(output: Path, target: Path, base: Path | None = None) -> str:
    """Write a Hugging Face folder; see ``engine.local.export.export_merged``.

    The template is written for any output, also one that a version without it left.

    Returns:
        Where the folder's chat template writes something else than training did; empty where it does not.

    Raises:
        ModelError: something is not there, or does not fit.
    """
    difference = ""

    def chat_format(tokenizer: Any, family: str) -> Sequence[int]:
        nonlocal difference
        try:
            renderer = make_renderer(tokenizer, family)
        except ModelError as error:
            difference = f"the tokenizer's own template is kept, and could not be compared: {error.what}"
            return ()
        difference = template_difference(tokenizer, renderer)
        return renderer.get_stop_token_ids()

    export_merged(output, target, base, chat_format)
    return difference
