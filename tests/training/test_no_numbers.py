"""A run whose model computes no numbers ends with an error: nothing is sampled, trained or evaluated from them."""

import math
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file


def test_a_model_of_nan_weights_ends_the_run_and_is_named_as_the_cause(commands: Any, able_model: Path) -> None:
    folder = Path(shutil.copytree(able_model, commands.folder / "broken"))
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "mlp" in name)
    weights[name][0, 0] = math.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    ended = commands("train", "desk.yaml", f"model_name={folder}", "--run", "a")

    assert ended.code == 1
    assert "logits are NaN or infinite" in ended.err
    assert "after 0 optimizer steps" in ended.err
