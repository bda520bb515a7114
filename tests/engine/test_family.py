"""What is trained from a model goes on being spoken to in that model's chat format."""

from pathlib import Path

import pytest
import torch

from practicum.engine.local.export import export_merged
from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.models import family_of, write_family
from practicum.engine.local.policy import Policy
from practicum.errors import ModelError
from practicum.recipe import build_recipe

QWEN = "Qwen/Qwen3-0.6B"


def run_output(folder: Path, model: str) -> Path:
    """A run's output folder beside the run's recipe, as runs of earlier versions left it."""
    output = folder / "output"
    output.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(build_recipe({"model_name": model}).to_yaml())
    return output


def adapter_of(folder: Path, base: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(f'{{"base_model_name_or_path": "{base}"}}')
    return folder


def test_a_model_is_known_by_the_name_it_is_given() -> None:
    assert family_of("smollm2-135m") == "smollm2-135m"
    assert family_of(f"models/{QWEN}") == f"models/{QWEN}"


def test_a_runs_output_belongs_to_the_model_it_was_trained_from_over_any_number_of_runs(tmp_path: Path) -> None:
    first = run_output(tmp_path / "first", f"models/{QWEN}")
    second = run_output(tmp_path / "second", str(first))

    assert family_of(str(first)) == family_of(str(second)) == f"models/{QWEN}"


def test_a_recipe_that_lies_beside_a_model_says_nothing_about_it(tmp_path: Path) -> None:
    run_output(tmp_path, f"models/{QWEN}")

    assert family_of(str(tmp_path / "own-model")) == str(tmp_path / "own-model")


def test_an_adapter_belongs_to_its_base(tmp_path: Path) -> None:
    first = adapter_of(tmp_path / "first", f"models/{QWEN}")

    assert family_of(str(adapter_of(tmp_path / "second", str(first)))) == f"models/{QWEN}"


def test_what_stands_beside_the_weights_goes_before_everything(tmp_path: Path) -> None:
    output = run_output(tmp_path, "smollm2-135m")
    write_family(output, f"/elsewhere/models/{QWEN}")

    assert family_of(str(output)) == QWEN


@pytest.mark.parametrize("rank", [0, 2], ids=["whole", "adapter"])
def test_outputs_and_exported_folders_say_what_they_are(tiny_model: Path, tmp_path: Path, rank: int) -> None:
    base = tmp_path / "models" / QWEN
    base.parent.mkdir(parents=True)
    base.symlink_to(tiny_model)
    policy = Policy.load(base, dtype=torch.float32, device=torch.device("cpu"))
    output = tmp_path / "anywhere"
    output.mkdir()

    LocalLearner(policy, lora_rank=rank).export(output)
    export_merged(output, tmp_path / "merged")

    assert family_of(str(output)) == family_of(str(tmp_path / "merged")) == QWEN


@pytest.mark.parametrize("text", ["", "[]", '{"family": 5}', '{"family": ""}'])
def test_a_family_that_cannot_be_read_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "family.json").write_text(text)

    with pytest.raises(ModelError, match="cannot read the model's family") as refused:
        family_of(str(tmp_path))
    assert "family.json" in refused.value.where


def test_a_recipe_that_names_its_own_output_ends_the_search(tmp_path: Path) -> None:
    output = run_output(tmp_path, str(tmp_path / "output"))

    assert family_of(str(output)) == str(output)
