"""Learning succeeds for several seeds and number formats, not for one draw of either."""

import io

import learning_desk
import pytest
import tiny
from rich.console import Console

from practicum.commands.pipeline import open_pipeline
from practicum.recipe import load_recipe

RECIPE = {
    "environment_args": {"wrong": 0.35},
    "warmstart_demonstrations": 320,
    "warmstart_epochs": 8,
    "warmstart_learning_rate": 4e-3,
    "warmstart_batch_size": 16,
    "max_steps": 16,
    "warmup_steps": 2,
    "global_batch_size": 16,
    "learning_rate": 1e-3,
    "save_every": 100,
    "sampling_max_tokens": 24,
    "max_sequence_length": 256,
    "test_tasks": 120,
    "deploy_temperature": 1.0,
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("seed", range(5))
def test_reinforcement_learns_what_the_demonstrator_gets_wrong(tmp_path, monkeypatch, seed, dtype):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://")
    monkeypatch.setattr("practicum.commands.stages.Pipeline.modes", ("sampled",))
    monkeypatch.chdir(tmp_path)
    model = learning_desk.tiny_model(tmp_path / "raw", seed)
    path = tiny.recipe(
        tmp_path / "recipe.yaml", model, f"{learning_desk.__file__}:Desk", seed=seed, dtype=dtype, **RECIPE
    )
    with open_pipeline(tmp_path / "run", Console(file=io.StringIO()), load_recipe(path)) as pipeline:
        pipeline.foothold()
        (before,) = pipeline.evaluate("foothold")
        pipeline.reinforce(0)
        (after,) = pipeline.evaluate("trained")
    assert after.interval[0] > before.interval[1]
    assert after.success_rate > before.success_rate + 0.25
