"""Which model is served, and how its conversations are rendered."""

from pathlib import Path

import peft
import pytest
import torch

from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.policy import Policy
from practicum.errors import ModelError
from practicum.rollout.serving import load_policy


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
