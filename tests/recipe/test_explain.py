from practicum.recipe import Recipe, build_recipe, explain


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
