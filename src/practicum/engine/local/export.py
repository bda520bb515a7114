"""What a trained model is written as: an ordinary Hugging Face folder, or one LoRA adapter in PEFT's format.

Merging is done in float32 and rounded once, so that the merged weights are as near to the adapter as their format
allows.

One adapter stands for what several trainings did to one model: a sum of LoRAs is a LoRA.
``s₁B₁A₁ + s₂B₂A₂ = [s₁B₁ s₂B₂] [A₁; A₂]``, exactly, and of rank r₁ + r₂. So an adapter that was trained on an adapter
is written as one of the model below both, which anything that reads PEFT's format can load. The rank grows with every
training; ``practicum export`` makes a plain model to start afresh from.
"""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import peft
import torch
from peft.utils.other import get_pattern_key
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel

from practicum.engine.local.adapters import (
    COPY_AGAIN,
    UNREADABLE,
    adapters_below,
    is_adapter,
    merged,
    tokenizer_folder,
)
from practicum.engine.local.models import FAMILY, family_of, find_model, write_family
from practicum.errors import ModelError
from practicum.files import write_folder

Format = Callable[[Any, str], Sequence[int]]
"""Gives a tokenizer the chat template of a family; returns the tokens that end a turn there, none if unknown."""
Factors = dict[str, tuple[Tensor, Tensor]]
"""Module → A (rank, inputs) and B (outputs, rank), float32, with the adapter's scale in B."""

PREFIX = "base_model.model."
"""What PEFT writes before a module's name."""
WEIGHT = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
HARMLESS = frozenset(
    (
        *("r", "lora_alpha", "alpha_pattern", "rank_pattern", "use_rslora", "lora_dropout", "init_lora_weights"),
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "fan_in_fan_out"),
        *("base_model_name_or_path", "task_type", "inference_mode", "revision", "auto_mapping", "peft_version"),
        *("megatron_config", "megatron_core"),
    )
)
"""Settings of a LoRA that leave it a sum of scale · B · A; every other one has to be at its default."""


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


def write_adapter(folder: Path, config: peft.LoraConfig, state: Mapping[str, Tensor], below: Sequence[Factors]) -> None:
    """Write an adapter in PEFT's format.

    Args:
        folder: An existing folder.
        config: The adapter's, with its base named.
        state: Its weights by name, as ``peft.get_peft_model_state_dict`` gives them.
        below: The adapters it was trained on (``inherited``), to be one with it.
    """
    if below:
        config, state = _stacked(config, [*below, _factors(state, _scale(config))])
    weights = {f"{PREFIX}{name}": value.contiguous() for name, value in state.items()}
    save_file(weights, folder / "adapter_model.safetensors")
    # PEFT keeps modules' names in a set, whose order differs from process to process; a file's digest shall not.
    config = copy.copy(config)
    config.target_modules = sorted(config.target_modules or ())
    config.save_pretrained(str(folder))


def inherited(folder: Path, shapes: Mapping[str, Tensor]) -> tuple[list[Factors], Path]:
    """The adapters that a policy's weights have in them already, and the folder of the model below.

    Args:
        folder: The policy's.
        shapes: Weights of the adapter that is to be trained, as ``peft.get_peft_model_state_dict`` gives them.

    Raises:
        ModelError: one of them is of a kind that cannot be part of another adapter.
    """
    chain, base = adapters_below(folder, find_model)
    inner = [_factors_in(adapter) for adapter in chain]
    own = _factors(shapes, lambda module, rank: 1.0)
    for adapter, factors in zip(chain, inner, strict=True):
        odd = [m for m, (a, b) in factors.items() if m not in own or not _fits(a, b, *own[m])]
        if odd:
            raise _refusal(adapter, f"it changes {odd[0]}")
    return inner, base


def _factors_in(folder: Path) -> Factors:
    try:
        config = peft.PeftConfig.from_pretrained(str(folder))
        state = peft.load_peft_weights(str(folder), device="cpu")
    except UNREADABLE as error:
        raise ModelError(f"cannot read the adapter: {error}", where=str(folder), fix=COPY_AGAIN) from error
    if not isinstance(config, peft.LoraConfig):
        raise _refusal(folder, f"it is of PEFT's type {config.peft_type}")
    plain = peft.LoraConfig().to_dict()
    for name, value in config.to_dict().items():
        if name not in HARMLESS and value != plain.get(name) and value:
            raise _refusal(folder, f"its {name} is {value!r}")
    if isinstance(config.init_lora_weights, str) and config.init_lora_weights != "gaussian":
        raise _refusal(folder, f"its init_lora_weights is {config.init_lora_weights!r}")
    odd = [name for name in state if not WEIGHT.fullmatch(name)]
    if odd:
        raise _refusal(folder, f"it holds {odd[0]}")
    return _factors({name.removeprefix(PREFIX): value for name, value in state.items()}, _scale(config))


def _refusal(folder: Path, why: str) -> ModelError:
    return ModelError(
        f"an adapter cannot be trained on this one and still be written as one adapter: {why}",
        where=str(folder),
        allowed="LoRA of linear layers, without DoRA, biases or whole layers; not of embeddings or the head",
        fix=f"practicum export {folder} MERGED, and set model_name to MERGED; or lora_rank=0",
    )


def _scale(config: peft.LoraConfig) -> Callable[[str, int], float]:
    """What B · A of a module is multiplied with."""

    def scale(module: str, rank: int) -> float:
        patterns = config.alpha_pattern or {}
        alpha = patterns.get(get_pattern_key(list(patterns), module), config.lora_alpha)
        return float(alpha) / (rank**0.5 if config.use_rslora else rank)

    return scale


def _factors(state: Mapping[str, Tensor], scale: Callable[[str, int], float]) -> Factors:
    modules = {match["module"] for name in state if (match := WEIGHT.fullmatch(name))}
    factors = Factors()
    for module in sorted(modules):
        a, b = (state[f"{module}.lora_{side}.weight"].detach().float().cpu() for side in "AB")
        factors[module] = (a, b * scale(module, len(a)))
    return factors


def _fits(a: Tensor, b: Tensor, own_a: Tensor, own_b: Tensor) -> bool:
    return a.dim() == b.dim() == 2 and a.shape[1] == own_a.shape[1] and b.shape[0] == own_b.shape[0]


def _stacked(config: peft.LoraConfig, parts: Sequence[Factors]) -> tuple[peft.LoraConfig, dict[str, Tensor]]:
    """One adapter of all parts. Modules of a lower rank are filled up with zeros: readers want one rank for all."""
    whole = Factors()
    for module, (own_a, own_b) in parts[-1].items():
        pairs = [part.get(module, (own_a[:0], own_b[:, :0])) for part in parts]
        whole[module] = (torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs], dim=1))
    rank = max(len(a) for a, _ in whole.values())
    state = dict[str, Tensor]()
    for module, (a, b) in whole.items():
        missing = rank - len(a)
        state[f"{module}.lora_A.weight"] = torch.nn.functional.pad(a, (0, 0, 0, missing))
        state[f"{module}.lora_B.weight"] = torch.nn.functional.pad(b, (0, missing))
    config = copy.copy(config)
    config.r = config.lora_alpha = rank  # a scale of 1: the parts' own scales are in B
    return config, state
