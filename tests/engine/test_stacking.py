"""Whatever was trained on what: an adapter is one of the whole model below, for PEFT and Transformers alone."""

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers as tf
from safetensors.torch import load_file

from practicum.engine.local.export import export_merged
from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.models import load_weights
from practicum.engine.local.policy import Policy
from practicum.errors import ModelError

CPU = torch.device("cpu")
IDS = torch.tensor([[1, 5, 9, 200, 7, 31]])


def logits(model: Any) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        found: torch.Tensor = model(IDS).logits
        return found


def train(source: Path, output: Path, *, rank: int, alpha: int = 8) -> torch.Tensor:
    """An adapter on whatever ``source`` is, its weights far from zero; returns the policy's logits."""
    policy = Policy.load(source, dtype=torch.float32, device=CPU)
    learner = LocalLearner(policy, lora_rank=rank, lora_alpha=alpha)
    torch.manual_seed(rank)
    learner.restore({name: torch.randn_like(value) * 0.3 for name, value in learner.snapshot().items()})
    output.mkdir()
    learner.export(output)
    policy.model.set_attn_implementation("sdpa")
    return logits(policy.model)


def named_base(adapter: Path) -> str:
    return str(json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"])


def through_peft(adapter: Path) -> torch.Tensor:
    base = tf.AutoModelForCausalLM.from_pretrained(named_base(adapter), dtype=torch.float32)
    return logits(peft.PeftModel.from_pretrained(base, str(adapter)))


def assert_alike(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_every_generation_of_adapters_loads_with_peft_alone_and_is_the_policy_that_was_trained(
    tiny_model: Path, tmp_path: Path
) -> None:
    before, source = logits(tf.AutoModelForCausalLM.from_pretrained(tiny_model)), tiny_model
    for number, (rank, alpha) in enumerate([(2, 8), (2, 8), (3, 5)]):
        output = tmp_path / f"generation-{number}"
        trained = train(source, output, rank=rank, alpha=alpha)

        assert named_base(output) == str(tiny_model)
        assert_alike(through_peft(output), trained)
        assert_alike(logits(peft.AutoPeftModelForCausalLM.from_pretrained(output)), trained)
        assert_alike(logits(tf.AutoModelForCausalLM.from_pretrained(output)), trained)
        assert not torch.allclose(trained, before, atol=0.1)
        before, source = trained, output


def test_a_base_is_named_so_that_it_is_found_from_anywhere(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_model.parent)
    train(Path(tiny_model.name), tmp_path / "output", rank=2)

    assert named_base(tmp_path / "output") == str(tiny_model)


def peft_adapter(tiny_model: Path, folder: Path, **config: Any) -> torch.Tensor:
    """An adapter as PEFT itself writes it, without a tokenizer; returns its model's logits."""
    torch.manual_seed(7)
    base = tf.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **config))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(str(folder))
    return logits(model)


@pytest.mark.parametrize(
    "config",
    [
        {"r": 4, "target_modules": ["q_proj"]},
        {"r": 4, "lora_alpha": 6, "use_rslora": True, "target_modules": ["q_proj", "up_proj"]},
        {
            "r": 4,
            "target_modules": ["q_proj", "down_proj"],
            "rank_pattern": {"down_proj": 6},
            "alpha_pattern": {"layers.1.self_attn.q_proj": 20},
            "layers_to_transform": [1],
        },
    ],
    ids=["one-module", "rank-stabilised", "patterns"],
)
def test_training_on_an_adapter_of_pefts_own_gives_one_adapter_of_both(
    tiny_model: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    first = peft_adapter(tiny_model, tmp_path / "first", **config)
    trained = train(tmp_path / "first", tmp_path / "second", rank=2)

    assert not torch.allclose(first, trained, atol=0.1)
    assert named_base(tmp_path / "second") == str(tiny_model)
    assert_alike(through_peft(tmp_path / "second"), trained)


def test_an_adapter_that_names_an_adapter_as_its_base_is_continued_too(tiny_model: Path, tmp_path: Path) -> None:
    train(tiny_model, tmp_path / "first", rank=2)
    peft_adapter(tiny_model, tmp_path / "second", target_modules=["q_proj"])
    config = json.loads((tmp_path / "second/adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(tmp_path / "first")
    (tmp_path / "second/adapter_config.json").write_text(json.dumps(config))

    trained = train(tmp_path / "second", tmp_path / "third", rank=2)

    assert named_base(tmp_path / "third") == str(tiny_model)
    assert_alike(through_peft(tmp_path / "third"), trained)


def test_an_adapter_on_a_whole_model_is_written_as_it_was_trained(tiny_model: Path, tmp_path: Path) -> None:
    train(tiny_model, tmp_path / "output", rank=3, alpha=5)

    config = json.loads((tmp_path / "output/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["task_type"]) == (3, 5, "CAUSAL_LM")
    weights = load_file(tmp_path / "output/adapter_model.safetensors")
    assert {value.shape[0] for name, value in weights.items() if "lora_A" in name} == {3}


@pytest.mark.filterwarnings("ignore::UserWarning")  # PEFT's own, of what is refused here
@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"target_modules": ["q_proj"], "use_dora": True}, "its use_dora is True"),
        ({"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, "its modules_to_save is"),
        ({"target_modules": ["q_proj"], "bias": "lora_only"}, "its bias is 'lora_only'"),
        ({"target_modules": ["embed_tokens"]}, "embed_tokens"),
        ({"target_modules": ["lm_head"]}, "lm_head"),
        ({"target_modules": ["q_proj"], "init_lora_weights": "pissa"}, "its init_lora_weights is 'pissa'"),
    ],
    ids=["dora", "whole-layer", "bias", "embeddings", "head", "pissa"],
)
def test_an_adapter_that_is_no_plain_lora_is_refused_before_training_with_a_way_out(
    tiny_model: Path, tmp_path: Path, config: dict[str, Any], why: str
) -> None:
    peft_adapter(tiny_model, tmp_path / "odd", **config)
    policy = Policy(load_weights(tmp_path / "odd", torch.float32, CPU), None, tmp_path / "odd")

    with pytest.raises(ModelError, match="cannot be trained on this one") as refused:
        LocalLearner(policy, lora_rank=2)
    assert why in str(refused.value)
    assert "practicum export" in refused.value.fix


def test_an_adapter_of_another_kind_is_refused_for_another_adapter_but_not_for_full_training(
    tiny_model: Path, tmp_path: Path
) -> None:
    base = tf.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    peft.get_peft_model(base, peft.LoHaConfig(r=2, target_modules=["q_proj"])).save_pretrained(str(tmp_path / "odd"))
    weights = load_weights(tmp_path / "odd", torch.float32, CPU)

    LocalLearner(Policy(weights, None, tmp_path / "odd"), lora_rank=0)
    with pytest.raises(ModelError, match="PEFT's type"):
        LocalLearner(Policy(weights, None, tmp_path / "odd"), lora_rank=2)


def test_an_adapter_without_a_tokenizer_takes_its_bases(tiny_model: Path, tmp_path: Path, tokenizer: Any) -> None:
    peft_adapter(tiny_model, tmp_path / "plain", target_modules=["q_proj"])
    assert not list((tmp_path / "plain").glob("tokenizer*"))

    loaded = Policy.load(tmp_path / "plain", dtype=torch.float32, device=CPU)
    export_merged(tmp_path / "plain", tmp_path / "merged")

    text = "Which box is red?"
    merged = tf.AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert loaded.tokenizer(text).input_ids == merged(text).input_ids == tokenizer(text).input_ids
