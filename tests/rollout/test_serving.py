"""Which model is served, and how its conversations are rendered."""

from pathlib import Path

import peft
import pytest
import torch
from rich.console import Console

from practicum.commands.serve import load_policy, serve_model
from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.policy import Policy
from practicum.errors import ModelError, RunError


def test_an_adapter_is_merged_into_its_base_model(tiny_model: Path, tmp_path: Path) -> None:
    policy = Policy.load(tiny_model, dtype=torch.float32, device=torch.device("cpu"))
    learner = LocalLearner(policy, lora_rank=2, lora_alpha=4)
    weights = {name: torch.randn_like(value) for name, value in learner.snapshot().items()}
    learner.restore(weights)
    learner.export(tmp_path)

    served = load_policy(str(tmp_path))

    assert not any(isinstance(module, peft.tuners.lora.LoraLayer) for module in served.model.modules())
    name = "model.layers.0.self_attn.q_proj"
    trained = policy.model.get_submodule(name)
    expected = trained.base_layer.weight + trained.get_delta_weight("default")
    assert torch.allclose(served.model.get_submodule(name).weight.float(), expected, rtol=0.01, atol=0.02)  # bfloat16


def test_an_adapter_whose_base_is_gone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "/nowhere/base"}')

    with pytest.raises(ModelError, match="no model at '/nowhere/base'"):
        load_policy(str(tmp_path))


@pytest.mark.parametrize("host", ["0.0.0.0", "", "192.168.1.7", "::", "gpu.lab.example"])
def test_a_model_that_other_machines_can_call_needs_a_key(host: str) -> None:
    with pytest.raises(RunError, match="needs a key") as refused:
        serve_model("smollm2-135m", host, 0, Console())
    assert "--api-key-env" in refused.value.fix


def test_a_key_whose_variable_is_empty_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_KEY", "")
    with pytest.raises(RunError, match="MODEL_KEY is not set"):
        serve_model("smollm2-135m", "127.0.0.1", 0, Console(), "MODEL_KEY")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_a_model_for_this_machine_alone_needs_none(host: str) -> None:
    with pytest.raises(ModelError, match="no model at '/nowhere'"):
        serve_model("/nowhere", host, 0, Console())
