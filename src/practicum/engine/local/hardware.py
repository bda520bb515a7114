"""Where a model runs and in which number format, when the user leaves that to the machine; and what it is.

How sums are rounded depends on the processor and on the instructions that its libraries choose there. Rounding is a
second seed: two machines train the same recipe to different weights, so figures say what they were made on.
"""

import ctypes
import functools
import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch

from practicum.errors import ModelError


def choose_device(choice: Literal["cpu", "cuda", "auto"] = "auto") -> torch.device:
    """The device asked for; ``auto`` is the GPU where there is one.

    Raises:
        ModelError: cuda is asked for and PyTorch finds no GPU.
    """
    available = torch.cuda.is_available()
    if choice == "cuda" and not available:
        raise ModelError("the recipe asks for cuda, but PyTorch finds no GPU", fix="set device: cpu or auto")
    return torch.device("cuda" if available and choice != "cpu" else "cpu")


def choose_dtype(choice: Literal["bfloat16", "float32", "auto"], device: torch.device) -> torch.dtype:
    """The number format asked for; ``auto`` is bfloat16 where the device is fast at it."""
    if choice != "auto":
        return torch.bfloat16 if choice == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16
    # Without AVX512-BF16 or AMX a CPU emulates bfloat16 products, slower than float32.
    capable = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if capable else torch.float32


ONEDNN_LEVELS: Mapping[str, tuple[str, ...]] = {
    "SSE41": ("sse4_1",),
    "AVX": ("avx",),
    "AVX2": ("avx2",),
    "AVX512_CORE": ("avx512f", "avx512bw", "avx512dq", "avx512vl"),
    "AVX512_CORE_VNNI": ("avx512_vnni",),
    "AVX512_CORE_BF16": ("avx512_bf16",),
    "AVX512_CORE_FP16": ("avx512_fp16",),
    "AVX512_CORE_AMX": ("amx_tile", "amx_bf16"),
    "AVX512_CORE_AMX_FP16": ("amx_fp16",),
}
"""oneDNN's levels of x86 instructions, each with all before it, and the processor flags that each adds (oneDNN's guide,
"CPU Dispatcher Control")."""
ONEDNN_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables that keep oneDNN from higher levels."""
BELOW_AVX512 = frozenset({"AVX2_VNNI", "AVX2_VNNI_2"})
"""Limits that leave AVX2 with instructions for integers, and for converting bfloat16."""


def processor(device: torch.device, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The name of what computes, such as ``AMD EPYC 9554 (family 25, model 17)``."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    facts = _facts(cpuinfo)
    name = facts.get("model name") or platform.processor() or platform.machine()
    kind = [f"{key} {facts[given]}" for key, given in (("family", "cpu family"), ("model", "model")) if given in facts]
    return f"{name} ({', '.join(kind)})" if kind else name


def instructions(device: torch.device, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The instruction sets that decide how sums are rounded: PyTorch's own kernels' and oneDNN's matrix products'."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"compute capability {major}.{minor}"
    kernels = f"ATen {torch.backends.cpu.get_cpu_capability()}"
    level = onednn_level(set(_facts(cpuinfo).get("flags", "").split()), os.environ)
    return f"{kernels}, oneDNN {level}" if level else kernels


def onednn_level(flags: set[str], settings: Mapping[str, str]) -> str | None:
    """The highest level that a processor with these flags has and the environment allows; None for none of them."""
    limit = next((settings[name].upper() for name in ONEDNN_LIMITS if settings.get(name)), "")
    limit = "AVX2" if limit in BELOW_AVX512 else limit
    reached = None
    for level, needed in ONEDNN_LEVELS.items():
        if not flags.issuperset(needed):
            break
        reached = level
        if level == limit:
            break
    return reached


def _facts(cpuinfo: Path) -> dict[str, str]:
    """The first processor's lines of Linux's own description."""
    try:
        first = cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    return dict(re.findall(r"^([^\t:]+?)\s*:[ \t]*(.*)$", first, re.MULTILINE))


M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


@functools.cache
def keep_freed_memory() -> bool:
    """Tell glibc not to return freed memory; False where the C library is another one. Affects speed only.

    Every step allocates and frees gigabytes of activations. glibc hands large blocks back to the kernel at once, and
    getting them again costs a page fault per 4 KiB, which took up to half of a training step on a virtual machine.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
