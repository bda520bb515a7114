"""Runs that begin from what another left, and runs with less than the usual: no validation split, more checkpoints."""

from pathlib import Path
from typing import Any

import peft
import pytest
import transformers as tf

ADAPTER = ("desk.yaml", "lora_rank=4", "train_embeddings=false", "max_steps=1", "save_every=1", "val_every=0")


def test_training_goes_on_from_another_runs_adapter_wherever_the_command_is_given(commands: Any) -> None:
    assert commands("train", *ADAPTER, "--run", "a").code == 0
    begun = commands("train", *ADAPTER, "max_steps=2", "model_name=runs/a/output", "--run", "b")
    assert begun.code == 0, begun.err

    run = commands.folder / "runs/b"
    (run / "output").rename(run / "gone")
    # From another folder, where runs/a is not to be found by its relative name.
    (commands.folder / "elsewhere").mkdir()
    there = f"import os; os.chdir({str(commands.folder / 'elsewhere')!r})"
    resumed = commands("resume", str(run), first=there)
    assert resumed.code == 0, resumed.err

    assert commands("export", "runs/b", "models/b").code == 0
    config = peft.PeftConfig.from_pretrained(run / "output")
    assert config.r == 8  # both adapters, one upon the other
    merged = tf.AutoModelForCausalLM.from_pretrained(commands.folder / "models/b")
    adapted = peft.AutoPeftModelForCausalLM.from_pretrained(run / "output").merge_and_unload()
    pairs = zip(merged.state_dict().items(), adapted.state_dict().values(), strict=True)
    assert all((one - other).abs().max() < 1e-6 for (_, one), other in pairs)


@pytest.mark.parametrize("keys", [("max_steps_off_policy=0",), ("max_steps_off_policy=1",)])
def test_without_validation_no_validation_split_is_asked_for(commands: Any, keys: tuple[str, ...]) -> None:
    _without_validation(commands.folder)
    recipe = ("desk.yaml", "val_every=0", "val_at_start=false", "max_steps=1", "warmstart_demonstrations=4", *keys)
    done = commands("train", *recipe, "--run", "a")
    assert done.code == 0, done.err
    assert (commands.folder / "runs/a/output").is_dir()


def test_with_validation_a_missing_split_is_told_before_anything_long(commands: Any) -> None:
    _without_validation(commands.folder)
    done = commands("train", "desk.yaml", "val_every=1", "warmstart_demonstrations=4", "--run", "a")
    assert done.code == 1
    assert "tasks('validation') raised KeyError" in done.err
    assert not (commands.folder / "runs/a").exists()


def test_as_many_checkpoints_stay_as_the_recipe_says(commands: Any) -> None:
    keys = ("max_steps=4", "save_every=1", "val_every=0", "keep_checkpoints=3")
    assert commands("train", "desk.yaml", *keys, "--run", "a").code == 0
    kept = sorted(path.name for path in (commands.folder / "runs/a/checkpoints").glob("step-*"))
    assert kept == ["step-000002", "step-000003", "step-000004"]


def _without_validation(folder: Path) -> None:
    """An environment that has no validation tasks."""
    text = (folder / "desk.py").read_text()
    assert '"validation": 100, ' in text
    (folder / "desk.py").write_text(text.replace('"validation": 100, ', ""))
