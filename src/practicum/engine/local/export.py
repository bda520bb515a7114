"""A trained model as one ordinary Hugging Face folder.

Merging is done in float32 and rounded once, so that the merged weights are as near to the adapter as their format
allows.
"""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from practicum.engine.local.adapters import (
    COPY_AGAIN,
    UNREADABLE,
    adapters_below,
    is_adapter,
    merged,
    tokenizer_folder,
)
from practicum.engine.local.family import FAMILY, family_of, write_family
from practicum.errors import ModelError
from practicum.files import write_folder


def export_merged(output: Path, target: Path, base: Path | None = None) -> None:
    """Write a Hugging Face folder that needs no adapter: for Transformers, vLLM and others.

    Args:
        output: A run's output: an adapter, or (after full fine-tuning) a whole model, which is written as it is.
        target: The folder to write; it must not exist.
        base: The adapter's base model; None for the one it names.

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
    if adapters:
        dtype = model.dtype
        model = merged(torch.nn.Module.to(model, torch.float32), adapters)
        torch.nn.Module.to(model, dtype)

    def fill(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_family(folder, family)

    write_folder(target, fill)


def _folder(base: str) -> Path:
    folder = Path(base).expanduser()
    if not folder.is_dir():
        raise ModelError(
            f"the adapter's base model is not at {base!r}",
            fix="name its folder with --base",
        )
    return folder
