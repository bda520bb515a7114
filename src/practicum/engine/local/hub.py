"""Models by their name on the Hugging Face hub, such as ``Qwen/Qwen3-0.6B``.

They are fetched once into the hub's own cache (``$HF_HOME``), with the user's token where one is set; from then on they
are read from there, also without a network.
"""

import re
from pathlib import Path

import httpx
from huggingface_hub import snapshot_download

from practicum.errors import ModelError

NEEDED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
"""Files of a model: configuration, weights, tokenizer, chat template."""
ELSEWHERE = "*/*"
"""Folders of a repository hold the same weights for other programs."""
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(name: str) -> bool:
    """Whether it has the form ``owner/model``, and is no path of this machine."""
    return _ID.fullmatch(name) is not None and not Path(name).exists()


def fetched(name: str) -> Path:
    """The folder of a model on the hub, in the hub's cache.

    Raises:
        ModelError: it cannot be fetched, and is not in the cache.
    """
    try:
        return Path(snapshot_download(name, allow_patterns=list(NEEDED), ignore_patterns=ELSEWHERE))
    except (OSError, ValueError, httpx.HTTPError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"cannot fetch {name!r} from the Hugging Face hub: {reason}",
            allowed="a reachable hub (with HF_TOKEN, where the model asks for it), one in the hub's cache, or a folder",
            fix=f"where there is a network: hf download {name} --local-dir models/{name}; "
            f"then bring the folder here and set model_name: models/{name}",
        ) from error


def hub_name(folder: Path) -> str | None:
    """The name that a folder in the hub's cache has there; None of other folders."""
    *_, repository, snapshots, _ = ("", "", "", *folder.parts)
    owner_and_model = repository.removeprefix("models--").split("--", 1)
    if snapshots != "snapshots" or not repository.startswith("models--") or len(owner_and_model) != 2:
        return None
    return "/".join(owner_and_model)
