"""A trained model as one ordinary Hugging Face folder.

Merging is done in float32 and rounded once, so that the merged weights are as near to the adapter as their format
allows.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel

from practicum.engine.local.adapters import (
    COPY_AGAIN,
    UNREADABLE,
    adapters_below,
    is_adapter,
    merged,
    tokenizer_folder,
)
from practicum.engine.local.family import FAMILY, family_of, write_family
from practicum.engine.local.models import find_model
from practicum.errors import ModelError
from practicum.files import write_folder

Format = Callable[[Any, str], Sequence[int]]
"""Gives a tokenizer the chat template of a family; returns the tokens that end a turn there, none if unknown."""


def export_merged(
    output: Path, target: Path, base: Path | None = None, chat_format: Format = lambda tokenizer, family: ()
) -> None:
    """Write a Hugging Face folder that needs no adapter: for Transformers, vLLM and others.

    Args:
        output: A run's output: an adapter, or (after full fine-tuning) a whole model, which is written as it is.
        target: The folder to write; it must not exist.
        base: The adapter's base model; None for the one it names.
        chat_format: How conversations are written for the family; by itself the tokenizer's template stays.

    Raises:
        ModelError: something is not there, or does not fit.
    """
    if target.exists():
        raise ModelError(f"{target} is there already", fix="name a folder that does not exist yet")

    def folder_of(name: str) -> Path:
        return base or _folder(name)

    adapters, source = adapters_below(output, folder_of)
    known = base is None or not is_adapter(output) or (output / FAMILY).is_file()
    family = family_of(str(output if known else base))
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(output, folder_of))
    except UNREADABLE as error:
        raise ModelError(f"cannot load the model: {error}", where=str(source), fix=COPY_AGAIN) from error
    stop_tokens = chat_format(tokenizer, family)
    if stop_tokens:
        model.generation_config = plain_sampling(model, stop_tokens)
    if adapters:
        dtype = model.dtype
        model = merged(torch.nn.Module.to(model, torch.float32), adapters)
        torch.nn.Module.to(model, dtype)

    def fill(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_family(folder, family)

    write_folder(target, fill)


def plain_sampling(model: PreTrainedModel, stop_token_ids: Sequence[int]) -> GenerationConfig:
    """How a server samples unless it is asked otherwise: as training did, to the end of a turn.

    A base model's own settings (a temperature, a repetition penalty) are left out: servers take them for their
    default, and nothing was trained under them.

    Args:
        model: Where the other special tokens are taken from.
        stop_token_ids: The tokens that end a turn.
    """
    config = model.config.get_text_config()
    return GenerationConfig(
        bos_token_id=config.bos_token_id, pad_token_id=config.pad_token_id, eos_token_id=list(stop_token_ids)
    )


def _folder(base: str) -> Path:
    try:
        return find_model(base)
    except ModelError as error:
        raise ModelError(
            f"the adapter's base model is not at {base!r}: {error.what}", fix="name its folder with --base"
        ) from error
