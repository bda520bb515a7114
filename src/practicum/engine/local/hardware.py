"""Where a model runs and in which number format, when the user leaves that to the machine."""

from typing import Literal

import torch

from practicum.errors import ModelError


def choose_device(wanted: Literal["cpu", "cuda", "auto"] = "auto") -> torch.device:
    """The device asked for; ``auto`` is the GPU where there is one.

    Raises:
        ModelError: cuda is asked for and PyTorch finds no GPU.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ModelError("the recipe asks for cuda, but PyTorch finds no GPU", fix="set device: cpu or auto")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def choose_dtype(wanted: Literal["bfloat16", "float32", "auto"], device: torch.device) -> torch.dtype:
    """The number format asked for; ``auto`` is bfloat16 where the device is fast at it."""
    if wanted != "auto":
        return torch.bfloat16 if wanted == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16
    # Without AVX512-BF16 or AMX a CPU emulates bfloat16 products, slower than float32.
    capable = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if capable else torch.float32
