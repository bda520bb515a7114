"""An adapter is as good as a model: it can be trained on, served, and merged for others."""

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers as tf

from practicum.engine.local.export import export_merged
from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.models import find_model, load_weights, model_digest
from practicum.engine.local.policy import Policy
from practicum.errors import ModelError

IDS = torch.tensor([[1, 5, 9, 200, 7]])


@pytest.fixture
def adapter(tiny_model: Path, tmp_path: Path) -> Path:
    """What a learner with an adapter writes, its B matrices away from zero."""
    policy = Policy.load(tiny_model, dtype=torch.float32, device=torch.device("cpu"))
    learner = LocalLearner(policy, lora_rank=4, lora_alpha=8)
    torch.manual_seed(1)
    weights = {name: torch.randn_like(value) * 0.1 for name, value in learner.snapshot().items()}
    learner.restore(weights)
    folder = tmp_path / "adapter"
    folder.mkdir()
    learner.export(folder)
    return folder


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(IDS).logits
        return found


@pytest.fixture
def through_peft(adapter: Path, tiny_model: Path) -> torch.Tensor:
    base = tf.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    return logits(peft.PeftModel.from_pretrained(base, str(adapter)))


def test_the_merged_folder_computes_what_peft_does_with_the_adapter(
    adapter: Path, through_peft: torch.Tensor, tiny_model: Path, tmp_path: Path
) -> None:
    export_merged(adapter, tmp_path / "merged")

    model = tf.AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    torch.testing.assert_close(logits(model), through_peft, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits(tf.AutoModelForCausalLM.from_pretrained(tiny_model)), through_peft, atol=1e-2)
    assert tf.AutoTokenizer.from_pretrained(tmp_path / "merged").decode([5]) != ""


def test_training_can_start_from_an_adapter(adapter: Path, through_peft: torch.Tensor) -> None:
    model = load_weights(find_model(str(adapter)), torch.float32, torch.device("cpu"))
    model.set_attn_implementation("sdpa")

    torch.testing.assert_close(logits(model), through_peft, rtol=1e-4, atol=1e-4)
    LocalLearner(Policy(model, None, adapter), lora_rank=2)
    assert not any("lora" in name for name, _ in load_weights(adapter, torch.float32, IDS.device).named_parameters())


def test_another_base_makes_another_model_of_the_same_adapter(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    model = tf.AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        model.model.norm.weight.add_(1)
    model.save_pretrained(other)
    before = model_digest(adapter)

    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(other)
    (adapter / "adapter_config.json").write_text(json.dumps(config))

    assert model_digest(adapter) != before


def test_a_whole_model_is_exported_as_it_is(tiny_model: Path, tmp_path: Path) -> None:
    export_merged(tiny_model, tmp_path / "copy")

    pair = [tf.AutoModelForCausalLM.from_pretrained(folder) for folder in (tiny_model, tmp_path / "copy")]
    assert torch.equal(*map(logits, pair))


@pytest.mark.parametrize("base", ["", None, 5])
def test_an_adapter_that_does_not_name_its_base_is_refused(adapter: Path, tmp_path: Path, base: Any) -> None:
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))

    with pytest.raises(ModelError, match="does not say what model"):
        export_merged(adapter, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_base_that_is_gone_is_named_and_can_be_given(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/gone"
    (adapter / "adapter_config.json").write_text(json.dumps(config))

    with pytest.raises(ModelError, match="'/gone'"):
        export_merged(adapter, tmp_path / "merged")
    export_merged(adapter, tmp_path / "merged", tiny_model)
    assert (tmp_path / "merged/config.json").is_file()


def test_nothing_is_written_over_what_is_there(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()

    with pytest.raises(ModelError, match="is there already"):
        export_merged(tiny_model, tmp_path / "taken")


def test_an_adapter_trained_on_an_adapter_is_both(adapter: Path, tmp_path: Path) -> None:
    policy = Policy.load(adapter, dtype=torch.float32, device=torch.device("cpu"))
    learner = LocalLearner(policy, lora_rank=2, lora_alpha=4)
    torch.manual_seed(2)
    learner.restore({name: torch.randn_like(value) * 0.1 for name, value in learner.snapshot().items()})
    second = tmp_path / "second"
    second.mkdir()
    learner.export(second)
    policy.model.set_attn_implementation("sdpa")
    expected = logits(policy.model)

    loaded = load_weights(second, torch.float32, torch.device("cpu"))
    loaded.set_attn_implementation("sdpa")
    export_merged(second, tmp_path / "merged")

    torch.testing.assert_close(logits(loaded), expected, rtol=1e-4, atol=1e-4)
    exported = tf.AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    torch.testing.assert_close(logits(exported), expected, rtol=1e-4, atol=1e-4)


def test_an_adapter_that_is_its_own_base_is_refused(adapter: Path) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(adapter)
    (adapter / "adapter_config.json").write_text(json.dumps(config))

    with pytest.raises(ModelError, match="its own base"):
        load_weights(adapter, torch.float32, torch.device("cpu"))
