"""Models by their name on the Hugging Face hub, such as ``Qwen/Qwen3-0.6B``.

They are fetched once into the hub's own cache (``$HF_HOME``), with the user's token where one is set; from then on they
are read from there, also without a network.
"""

import re
import threading
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path

import httpx
from huggingface_hub import constants, snapshot_download

from practicum.display import say_line
from practicum.errors import ModelError

NEEDED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
"""Files of a model: configuration, weights, tokenizer, chat template."""
ELSEWHERE = "*/*"
"""Folders of a repository hold the same weights for other programs."""
LOOK_S, SILENT_LOOKS = 5.0, 24
"""How often it is looked whether something has come, in seconds; and after how many looks in vain the hub is silent."""
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(name: str) -> bool:
    """Whether it has the form ``owner/model``, and is no path of this machine."""
    return _ID.fullmatch(name) is not None and not Path(name).exists()


def fetched(name: str) -> Path:
    """The folder of a model on the hub, in the hub's cache.

    However long it takes as long as something comes; a hub that falls silent is given up.

    Raises:
        ModelError: it cannot be fetched, and is not in the cache.
    """
    try:
        return Path(_downloaded(name))
    except (OSError, ValueError, httpx.HTTPError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"cannot fetch {name!r} from the Hugging Face hub: {reason}",
            allowed="a reachable hub (with HF_TOKEN, where the model asks for it), one in the hub's cache, or a folder",
            fix=f"where there is a network: hf download {name} --local-dir models/{name}; "
            f"then bring the folder here and set model_name: models/{name}",
        ) from error


def _downloaded(name: str) -> str:
    """The snapshot's folder; raises what the hub's client raises, and ``TimeoutError`` where nothing comes any more."""
    outcome: Future[str] = Future()

    def work() -> None:
        try:
            outcome.set_result(snapshot_download(name, allow_patterns=list(NEEDED), ignore_patterns=ELSEWHERE))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, name="hub", daemon=True).start()
    size, silent = -1, 0
    while not wait([outcome], LOOK_S).done:
        size, before = _bytes_of(name), size
        silent = silent + 1 if size == before else 0
        if silent == SILENT_LOOKS // 4:
            most = f"{(SILENT_LOOKS - silent) * LOOK_S:g} s more at most"
            say_line(f"practicum: waiting for the Hugging Face hub: no byte of {name} for a while; {most}", stderr=True)
        if silent == SILENT_LOOKS:
            raise TimeoutError(f"nothing came for {SILENT_LOOKS * LOOK_S:g} s")
    return outcome.result()


def _bytes_of(name: str) -> int:
    """What is in the hub's cache of a repository, also of files that are not whole yet."""
    blobs = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "blobs"
    total = 0
    for path in blobs.glob("*"):
        with suppress(OSError):  # a file that was whole just now has another name
            total += path.stat().st_size
    return total


def hub_name(folder: Path) -> str | None:
    """The name that a folder in the hub's cache has there; None of other folders."""
    *_, repository, snapshots, _ = ("", "", "", *folder.parts)
    owner_and_model = repository.removeprefix("models--").split("--", 1)
    if snapshots != "snapshots" or not repository.startswith("models--") or len(owner_and_model) != 2:
        return None
    return "/".join(owner_and_model)
