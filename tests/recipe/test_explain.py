import io
import json

import pytest
from rich.console import Console

from practicum.monitor.names import describe
from practicum.recipe import Recipe, build_recipe, explain
from practicum.recipe.explain import ADVICE
from practicum.recipe.explanation_table import print_explanation
from practicum.recipe.layout import SECTIONS


def test_every_setting_has_one_row_with_range_and_help() -> None:
    rows = explain(Recipe())
    assert [row.key for row in rows] == list(Recipe.model_fields)
    assert all(row.range and row.help for row in rows)


def test_a_row_tells_value_and_source() -> None:
    recipe = build_recipe({"rl": {"loss_fn": "cispo"}, "group_size": 4}, ["group_size=6", "seed=0"])
    told = {row.key: (row.value, row.source) for row in explain(recipe)}
    assert told["loss_fn"] == ("cispo", "file")
    assert told["group_size"] == (6, "override")
    assert told["seed"] == (0, "override")
    assert told["clip_high_threshold"] == (6.0, "default")
    assert told["gamma"] == (1.0, "default")


def test_ranges_are_told_in_words() -> None:
    told = {row.key: row.range for row in explain(Recipe())}
    assert told["temperature"] == "a number, at least 0 and at most 2"
    assert told["val_batch_size"] == "an integer, at least 1, or null"
    assert told["adam_beta1"] == "a number, at least 0 and below 1"
    assert told["lr_schedule"] == "one of constant, linear, cosine"
    assert told["val_at_start"] == "true or false"
    assert told["training_dataset"] == "a path, or null"
    assert told["environment"] == "package.module:Class or path/to/file.py:Class, or null"


def test_the_advice_of_the_guide_stands_beside_the_settings() -> None:
    told = {row.key: row.help for row in explain(Recipe())}
    assert "ppo at (0.8, 1.2)" in told["loss_fn"]
    assert "learning_rate × lora_alpha / lora_rank" in told["lora_alpha"]
    assert "sparse rewards" in told["learning_rate"]
    assert "3 hides latency" in told["max_steps_off_policy"]


def test_every_setting_belongs_to_a_section_and_knows_its_place_in_an_aws_file() -> None:
    rows = {row.key: row for row in explain(Recipe())}
    assert list(dict.fromkeys(row.section for row in rows.values())) == [
        "What runs",
        "Batch and schedule",
        "Algorithm",
        "Sampling",
        "Validation and evaluation",
        "Model and optimizer",
        "Rollouts",
        "Foothold",
        "Machine",
    ]
    assert (rows["kl_coef"].section, rows["gamma"].aws, rows["kl_coef"].aws) == ("Algorithm", "rl.gamma", "")
    assert rows["val_temperature"].aws == "val_sampling_params.temperature"
    assert {row.aws for row in rows.values() if row.aws} == {
        f"{section}.{key}"
        for section, keys in SECTIONS.items()
        for key in keys
        if section not in ("eval_sampling_params", "eval_metrics_config")
    } | {rows["deploy_temperature"].aws}
    assert rows["deploy_temperature"].aws == "eval_sampling_params.temperature"


def test_advice_is_for_settings_that_exist_and_names_metrics_that_exist() -> None:
    assert set(ADVICE) <= set(Recipe.model_fields)
    named = {
        word.strip("().,:;")
        for advice in ADVICE.values()
        for text in advice
        for word in text.split()
        if word.strip("(").startswith(("rollout/", "analysis/", "val/", "training/"))
    }
    assert len(named) > 3
    assert [name for name in named if describe(name) is None] == []


@pytest.mark.parametrize("width", [100, 160])
def test_the_table_shows_every_setting_once_by_section(width: int) -> None:
    recipe = build_recipe({"group_size": 4, "loss_fn": "cispo"}, ["learning_rate=1e-5"])
    out = io.StringIO()
    print_explanation(recipe, Console(file=out, width=width))
    lines = out.getvalue().splitlines()
    firsts = [line.split()[0] for line in lines if line and not line[0].isspace()]
    assert [word for word in firsts if word in Recipe.model_fields] == list(Recipe.model_fields)
    assert max(map(len, lines)) <= width
    by_key = {line.split()[0]: line.split() for line in lines if line and not line[0].isspace()}
    assert by_key["learning_rate"][1:3] == ["1e-05", "override"]
    assert by_key["loss_fn"][1:3] == ["cispo", "file"]
    assert by_key["clip_high_threshold"][1:3] == ["6.0", "default"]
    text = " ".join(out.getvalue().split())
    assert "an integer, at least 2; in an AWS recipe batch.group_size" in text
    assert "cispo tends to collapse" in text


def test_as_json_it_is_one_list_of_rows(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(build_recipe({}, ["rl.gamma=0.5"]), Console(), as_json=True)
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(Recipe.model_fields)
    assert (rows["gamma"]["value"], rows["gamma"]["source"], rows["gamma"]["aws"]) == (0.5, "override", "rl.gamma")
    assert rows["learning_rate"]["advice"]
