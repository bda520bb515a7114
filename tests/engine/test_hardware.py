"""What computes has a name, since rounding moves results as a seed does."""

import pytest
import torch

from practicum.engine.local.hardware import instructions, onednn_level, processor

ZEN_4 = "sse4_1 avx avx2 avx512f avx512bw avx512dq avx512vl avx512_vnni avx512_bf16"
CPUINFO = f"""processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC 9B14
flags\t\t: fpu {ZEN_4}

processor\t: 1
model name\t: another
"""
CPU = torch.device("cpu")


def test_a_processor_is_told_by_name_family_and_model(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO)
    assert processor(CPU, path) == "AMD EPYC 9B14 (family 25, model 17)"
    assert processor(CPU, tmp_path / "none")  # the system's own word where there is no such file


def test_instructions_name_the_kernels_and_onednns_level(tmp_path, monkeypatch):
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO)
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    kernels = f"ATen {torch.backends.cpu.get_cpu_capability()}"
    assert instructions(CPU, path) == f"{kernels}, oneDNN AVX512_CORE_BF16"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")
    assert instructions(CPU, path) == f"{kernels}, oneDNN AVX2"
    assert instructions(CPU, tmp_path / "none") == kernels


@pytest.mark.parametrize(
    ("flags", "settings", "level"),
    [
        (ZEN_4, {}, "AVX512_CORE_BF16"),
        (f"{ZEN_4} avx512_fp16 amx_tile amx_bf16 amx_int8", {}, "AVX512_CORE_AMX"),
        (f"{ZEN_4} avx512_fp16 amx_tile amx_bf16", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, "AVX512_CORE_BF16"),
        (ZEN_4, {"DNNL_MAX_CPU_ISA": "AVX2"}, "AVX2"),
        (ZEN_4, {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"}, "AVX2"),
        (ZEN_4, {"ONEDNN_MAX_CPU_ISA": "DEFAULT"}, "AVX512_CORE_BF16"),
        ("sse4_1 avx avx2 avx512_vnni", {}, "AVX2"),
        ("asimd", {}, None),
    ],
)
def test_onednns_level_is_the_highest_that_processor_and_environment_allow(flags, settings, level):
    assert onednn_level(set(flags.split()), settings) == level
