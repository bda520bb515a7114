"""LoRA adapters as models: what a run wrote, merged into the weights it was trained on.

An adapter folder (PEFT's format: ``adapter_config.json``, ``adapter_model.safetensors``) names its base model. Merging
is done in float32 and rounded once, so that the merged weights are as near to the adapter as their format allows.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import peft
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from practicum.errors import ModelError
from practicum.files import write_folder

CONFIG = "adapter_config.json"


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter instead of a model."""
    return (folder / CONFIG).is_file()


def base_of(folder: Path) -> str:
    """Name or folder of the model that an adapter was trained on.

    Raises:
        ModelError: the adapter does not say.
    """
    try:
        base = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"cannot read what the adapter says of its base: {error}", where=str(folder)) from error
    if not isinstance(base, str) or not base:
        raise ModelError(
            "the adapter does not say what model it was trained on",
            where=str(folder / CONFIG),
            fix='write the model\'s folder there: "base_model_name_or_path": …',
        )
    return base


def adapters_below(folder: Path, folder_of: Callable[[str], Path]) -> tuple[list[Path], Path]:
    """The adapters to merge, the one nearest to the model first, and the model's folder.

    An adapter may have been trained on an adapter: then both are part of what it is.

    Args:
        folder: A model's or an adapter's.
        folder_of: The folder that an adapter's name for its base stands for.

    Raises:
        ModelError: an adapter does not name its base, or stands below itself.
    """
    chain = list[Path]()
    while is_adapter(folder):
        if folder.resolve() in [each.resolve() for each in chain]:
            raise ModelError("the adapter is its own base", where=str(folder))
        chain.append(folder)
        folder = folder_of(base_of(folder))
    return chain[::-1], folder


def merged(model: PreTrainedModel, adapters: Sequence[Path]) -> PreTrainedModel:
    """A float32 model with adapters merged into its weights, one after the other.

    Raises:
        ModelError: one does not fit the model.
    """
    for adapter in adapters:
        try:
            wrapped = peft.PeftModel.from_pretrained(model, str(adapter))
            model = wrapped.merge_and_unload()
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelError(f"cannot merge the adapter: {error}", where=str(adapter)) from error
    return model


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
    adapters, source = adapters_below(output, lambda name: base or _folder(name))
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
        tokenizer = AutoTokenizer.from_pretrained(output)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot load the model: {error}", where=str(source)) from error
    if adapters:
        dtype = model.dtype
        model = merged(torch.nn.Module.to(model, torch.float32), adapters)
        torch.nn.Module.to(model, dtype)

    def fill(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    write_folder(target, fill)


def _folder(base: str) -> Path:
    folder = Path(base).expanduser()
    if not folder.is_dir():
        raise ModelError(
            f"the adapter's base model is not at {base!r}",
            fix="name its folder with --base",
        )
    return folder
