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


def refused(folder: Path, what: str, target: Path) -> list[ModelError]:
    """The errors of loading and of exporting it; nothing is written."""
    errors = []
    for load in (lambda: load_weights(folder, torch.float32, CPU), lambda: export_merged(folder, target)):
        with pytest.raises(ModelError, match=what) as failed:
            load()
        errors.append(failed.value)
    assert not target.exists()
    return errors


@pytest.mark.parametrize("harm", [torn, other_sizes])
def test_weights_that_cannot_be_read(model: Path, harm: object, tmp_path: Path) -> None:
    harm(model, "model.safetensors")  # type: ignore[operator]
    for error in refused(model, "cannot load the model", tmp_path / "out"):
        assert error.where == str(model)
        assert "put the folder back" in error.fix


@pytest.mark.parametrize("harm", [torn, other_sizes])
def test_an_adapter_that_cannot_be_read(adapter: Path, harm: object, tmp_path: Path) -> None:
    harm(adapter, "adapter_model.safetensors")  # type: ignore[operator]
    for error in refused(adapter, "cannot merge the adapter", tmp_path / "out"):
        assert error.where == str(adapter)
