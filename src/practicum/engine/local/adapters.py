"""LoRA adapters as models: what a run wrote, merged into the weights it was trained on.

An adapter folder (PEFT's format: ``adapter_config.json``, ``adapter_model.safetensors``) names its base model.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import peft
from safetensors import SafetensorError
from transformers import PreTrainedModel

from practicum.errors import ModelError

CONFIG = "adapter_config.json"
UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError)
"""What Transformers and PEFT raise of a folder whose files are broken, or do not belong together."""
COPY_AGAIN = "put the folder back from where it came from: a file in it is broken, or belongs to another model"
TOKENIZER = (
    *("tokenizer_config.json", "tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt"),
    *("spiece.model", "sentencepiece.bpe.model", "tiktoken.model"),
)
"""Files by which a folder with a tokenizer is known."""


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


def tokenizer_folder(folder: Path, folder_of: Callable[[str], Path]) -> Path:
    """Where a model's tokenizer is: an adapter that PEFT wrote has none, and uses its base's.

    Args:
        folder, folder_of: As for ``adapters_below``.

    Raises:
        ModelError: as ``adapters_below``.
    """
    adapters, base = adapters_below(folder, folder_of)
    return next((each for each in adapters[::-1] if any((each / name).is_file() for name in TOKENIZER)), base)


def merged(model: PreTrainedModel, adapters: Sequence[Path]) -> PreTrainedModel:
    """A float32 model with adapters merged into its weights, one after the other.

    Raises:
        ModelError: one does not fit the model.
    """
    for adapter in adapters:
        try:
            wrapped = peft.PeftModel.from_pretrained(model, str(adapter))
            model = wrapped.merge_and_unload()
        except UNREADABLE as error:
            raise ModelError(f"cannot merge the adapter: {error}", where=str(adapter), fix=COPY_AGAIN) from error
    return model
