"""A model's folder that is broken is said to be so, whatever library found it out."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from practicum.engine.local.export import export_merged
from practicum.engine.local.models import load_weights
from practicum.errors import ModelError

CPU = torch.device("cpu")


def torn(folder: Path, name: str) -> None:
    """The file's first bytes alone, as a copy that was interrupted leaves it."""
    path = folder / name
    path.write_bytes(path.read_bytes()[:200])


def other_sizes(folder: Path, name: str) -> None:
    weights = load_file(folder / name)
    key = next(key for key in weights if weights[key].dim() == 2)
    save_file({**weights, key: torch.zeros(3, 5)}, folder / name, metadata={"format": "pt"})


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture
def adapter(model: Path, tmp_path: Path) -> Path:
    import peft
    from transformers import AutoModelForCausalLM

    wrapped = peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(model), peft.LoraConfig(r=2, target_modules=["q_proj"])
    )
    wrapped.save_pretrained(str(tmp_path / "adapter"))
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": str(model)}))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model / name, tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.parametrize("harm", [torn, other_sizes])
def test_weights_that_cannot_be_read(model: Path, harm: object, tmp_path: Path) -> None:
    harm(model, "model.safetensors")  # type: ignore[operator]
    for load in (lambda: load_weights(model, torch.float32, CPU), lambda: export_merged(model, tmp_path / "out")):
        with pytest.raises(ModelError, match="cannot load the model") as failed:
            load()
        assert failed.value.where == str(model)
        assert "put the folder back" in failed.value.fix
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("harm", [torn, other_sizes])
def test_an_adapter_that_cannot_be_read(adapter: Path, harm: object, tmp_path: Path) -> None:
    harm(adapter, "adapter_model.safetensors")  # type: ignore[operator]
    for load in (lambda: load_weights(adapter, torch.float32, CPU), lambda: export_merged(adapter, tmp_path / "out")):
        with pytest.raises(ModelError, match="cannot merge the adapter") as failed:
            load()
        assert failed.value.where == str(adapter)
    assert not (tmp_path / "out").exists()
