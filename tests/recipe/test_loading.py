from pathlib import Path
from typing import Any

import pytest

from practicum.errors import RecipeError
from practicum.recipe import Recipe, build_recipe, load_recipe
from practicum.recipe.layout import SECTIONS, SPELLINGS

AWS_RECIPE = Path(__file__).with_name("aws_recipe.yaml")

AWS_RECIPE_FLAT = {
    "display_name": "Ticket triage, first try",
    "recipe_version": "1.0",
    "name": "ticket-triage",
    "model_type": "small-instruct",
    "global_batch_size": 32,
    "group_size": 4,
    "val_batch_size": 16,
    "val_group_size": 2,
    "val_random_sample": True,
    "advantage_method": "rloo",
    "advantage_normalization": False,
    "gamma": 0.99,
    "loss_fn": "cispo",
    "clip_low_threshold": 0.9,
    "clip_high_threshold": 5.0,
    "temperature": 0.8,
    "sampling_top_p": 0.95,
    "sampling_max_tokens": 512,
    "val_temperature": 0.2,
    "val_top_p": 0.9,
    "val_max_tokens": 640,
    "pass_k_values": (1, 4),
    "success_threshold": 0.5,
    "max_epochs": 2,
    "max_steps": 120,
    "save_every": 5,
    "val_every": 20,
    "val_at_start": False,
    "model_name": "smollm2-135m",
    "max_sequence_length": 8192,
    "lora_rank": 16,
    "lora_alpha": 48,
    "lora_plus_lr_ratio": 4.0,
    "learning_rate": 1e-5,
    "adam_beta1": 0.85,
    "adam_beta2": 0.98,
    "adam_eps": 1e-7,
    "weight_decay": 0.01,
    "grad_clip_norm": 0.5,
    "rollout_max_concurrency": 12,
    "rollout_timeout": 90.0,
    "rollout_max_retries": 1,
    "rollout_tps": 2.5,
    "max_steps_off_policy": 1,
    "max_filter_rate": 0.3,
    "max_repeated_tokens": 40,
    "max_ngram_size": 6,
    "filter_reward": -0.25,
}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "desk.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return str(caught.value)


# What is accepted


def test_an_aws_recipe_file_loads_as_it_is() -> None:
    recipe = load_recipe(AWS_RECIPE)
    assert {key: getattr(recipe, key) for key in AWS_RECIPE_FLAT} == AWS_RECIPE_FLAT
    assert {key for key, source in recipe.sources.items() if source == "file"} == set(AWS_RECIPE_FLAT)


def test_the_sample_covers_every_nested_key_and_every_one_leads_to_a_setting() -> None:
    of_evaluations = {"test_tasks", "eval_group_size", "deploy_temperature"}
    assert set(SPELLINGS.values()) <= set(AWS_RECIPE_FLAT) | set(OF_OTHER_FILES) | of_evaluations
    assert set(SPELLINGS.values()) <= set(Recipe.model_fields)
    assert not set(SECTIONS) & set(Recipe.model_fields)


def test_an_aws_evaluation_recipe_loads_as_it_is(write: Any) -> None:
    text = """
display_name: Triage, measured
recipe_version: 1.0.15
run: {name: triage-eval, model_type: mtrl, base_model_name: ""}
batch: {eval_batch_size: 40, eval_group_size: 4, eval_random_sample: true}
eval_metrics_config: {pass_k_values: [1, 4], success_threshold: 0.5}
eval_sampling_params: {temperature: 0, top_p: 0.9, max_tokens: 300}
model: {model_name: ""}
"""
    recipe = load_recipe(write(text))
    assert (recipe.test_tasks, recipe.eval_group_size, recipe.eval_random_sample) == (40, 4, True)
    assert (recipe.pass_k_values, recipe.success_threshold) == ((1, 4), 0.5)
    assert (recipe.deploy_temperature, recipe.val_temperature) == (0, 0)
    assert (recipe.val_top_p, recipe.val_max_tokens) == (0.9, 300)
    assert (recipe.model_name, recipe.base_model_name) == (None, None)
    assert load_recipe(write(text.replace("eval_batch_size: 40", "eval_batch_size: null"))).test_tasks is None


@pytest.mark.parametrize("empty", ["model: {model_name: ''}\n", "model_name: null\n", ""])
def test_the_base_model_is_the_model_where_the_recipe_leaves_that_empty(write: Any, empty: str) -> None:
    text = f"run: {{base_model_name: smollm2-135m}}\n{empty}"
    assert load_recipe(write(text)).model_name == "smollm2-135m"
    other = load_recipe(write(text), ["model_name=./tuned"])
    assert (other.model_name, other.base_model_name) == (str(write(text).parent / "tuned"), "smollm2-135m")


def test_flat_keys_of_aws_jobs_load(write: Any) -> None:
    text = "adam_weight_decay: 0.01\nadam_grad_clip_norm: 0.0\ndata_path: rows.jsonl\noutput_path: out\nsave_every: 0\n"
    recipe = load_recipe(write(text))
    assert (recipe.weight_decay, recipe.grad_clip_norm, recipe.save_every) == (0.01, 0.0, 0)
    folder = write(text).parent
    assert (recipe.training_dataset, recipe.output_path) == (folder / "rows.jsonl", folder / "out")
    stored = load_recipe(write("data_path: s3://bucket/rows.jsonl\noutput_path: s3://bucket/out\n"))
    assert load_recipe(write(stored.to_yaml())) == stored


def test_flat_and_nested_keys_mix(write: Any) -> None:
    recipe = load_recipe(write("gamma: 0.5\nrl:\n  loss_fn: cispo\nbatch.group_size: 4\ndata_filter:\n"))
    assert (recipe.gamma, recipe.loss_fn, recipe.group_size) == (0.5, "cispo", 4)


def test_one_setting_spelled_twice_with_one_value_is_fine(write: Any) -> None:
    assert load_recipe(write("global_batch_size: 32\nbatch: {training_batch_size: 32}\n")).global_batch_size == 32


def test_the_temperature_of_an_evaluation_is_the_one_that_evaluations_sample_with(write: Any) -> None:
    text = "eval_sampling_params: {temperature: 0.7}\n"
    own = load_recipe(write(text + "val_sampling_params: {temperature: 0.2}\n"))
    assert (own.deploy_temperature, own.val_temperature) == (0.7, 0.2)

    alone = load_recipe(write(text))
    assert (alone.deploy_temperature, alone.val_temperature) == (0.7, 0.7)
    overridden = load_recipe(write(text), ["deploy_temperature=0.5", "eval_sampling_params.top_p=0.9"])
    assert (overridden.deploy_temperature, overridden.val_temperature, overridden.val_top_p) == (0.5, 0.7, 0.9)


def test_a_wrong_evaluation_temperature_is_named_once(write: Any) -> None:
    with pytest.raises(RecipeError, match=r"eval_sampling_params\.temperature may not be 3") as refused:
        load_recipe(write("eval_sampling_params: {temperature: 3}\n"))
    assert str(refused.value).count("may not be") == 1


def test_training_at_temperature_zero_is_refused_with_the_settings_that_were_meant(write: Any) -> None:
    with pytest.raises(RecipeError, match="temperature is 0, the greedy end of its range of 0 to 2") as refused:
        load_recipe(write("sampling_params: {temperature: 0}\n"))
    assert "val_temperature and deploy_temperature" in str(refused.value)


@pytest.mark.parametrize("section", ["val_sampling_params", "eval_sampling_params"])
def test_validation_sampling_goes_by_either_section(section: str) -> None:
    recipe = build_recipe({section: {"temperature": 0.5, "top_p": 0.6, "max_tokens": 7}})
    assert (recipe.val_temperature, recipe.val_top_p, recipe.val_max_tokens) == (0.5, 0.6, 7)


@pytest.mark.parametrize(
    ("text", "number"), [("1e-5", 1e-5), ("1E-5", 1e-5), ("0.5e-1", 0.05), (".5", 0.5), ("0", 0.0), ("+1", 1.0)]
)
def test_numbers_read_as_people_write_them(write: Any, text: str, number: float) -> None:
    assert load_recipe(write(f"learning_rate: {text}\n")).learning_rate == number
    assert build_recipe({}, [f"learning_rate={text}"]).learning_rate == number
    nested = load_recipe(write(f"environment_args: {{noise: {text}}}\n")).environment_args["noise"]
    assert nested == number


@pytest.mark.parametrize(
    ("text", "number"),
    [("010", 10), ("08", 8), ("0o10", 8), ("0x1F", 31), ("1:30", None), ("1_0", None), ("0b11", None)],
)
def test_whole_numbers_are_those_of_yaml_1_2(write: Any, text: str, number: int | None) -> None:
    path = write(f"max_steps: {text}\n")
    if number is None:
        assert f"max_steps may not be '{text}'" in refusal(path)
        assert f"max_steps may not be '{text}'" in refusal(write("seed: 1\n"), f"max_steps={text}")
    else:
        assert load_recipe(path).max_steps == number
        assert build_recipe({}, [f"max_steps={text}"]).max_steps == number
    args = load_recipe(write(f"environment_args: {{at: {text}}}\n")).environment_args
    assert args == {"at": text if number is None else number}


@pytest.mark.parametrize("tagged", ["!!int 1:30", "!!int 0b1", "!!float 1:30.5", "!!float x"])
def test_a_tag_makes_no_number_of_what_is_none(write: Any, tagged: str) -> None:
    assert "is not a number" in refusal(write(f"environment_args: {{a: {tagged}}}\n"))
    assert build_recipe({}, ["learning_rate=!!float 1"]).learning_rate == 1


def test_overrides_replace_the_file_and_the_last_one_wins(write: Any) -> None:
    path = write("rl: {loss_fn: ppo}\nseed: 1\n")
    recipe = load_recipe(path, ["loss_fn=cispo", "sampling_params.top_p=0.5", "seed=2", "seed=3"])
    assert (recipe.loss_fn, recipe.sampling_top_p, recipe.seed) == ("cispo", 0.5, 3)
    assert recipe.clip_high_threshold == 6.0


def test_override_values_are_yaml() -> None:
    given = ["pass_k_values=[1, 3]", "val_at_start=false", "val_batch_size=", "environment_args={a: {b: c}}"]
    recipe = build_recipe({"val_batch_size": 5}, given)
    assert (recipe.pass_k_values, recipe.val_at_start, recipe.val_batch_size) == ((1, 3), False, None)
    assert recipe.environment_args == {"a": {"b": "c"}}


def test_a_yaml_merge_may_be_overridden_in_place(write: Any) -> None:
    path = write(
        "sampling_params: &sampling {temperature: 0.9, top_p: 0.8}\n"
        "val_sampling_params:\n  <<: *sampling\n  temperature: 0\n"
    )
    recipe = load_recipe(path)
    assert (recipe.val_temperature, recipe.val_top_p) == (0.0, 0.8)


def test_relative_paths_start_at_the_recipes_folder(
    tmp_path: Path, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("training_dataset: data/train.jsonl\nenvironment: envs/desk.py:Desk\nmodel: {model_name: ./weights}\n")
    monkeypatch.chdir(tmp_path.parent)
    recipe = load_recipe(Path(tmp_path.name) / "desk.yaml", ["validation_dataset=val.csv"])
    assert recipe.training_dataset == tmp_path / "data/train.jsonl"
    assert recipe.validation_dataset == tmp_path / "val.csv"
    assert recipe.environment == f"{tmp_path}/envs/desk.py:Desk"
    assert recipe.model_name == f"{tmp_path}/weights"


def test_a_model_in_a_folder_is_found_from_elsewhere_too(
    tmp_path: Path, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here/runs/a/output").mkdir(parents=True)
    (tmp_path / "here/runs/b").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    given = ["model_name=runs/a/output", "warmstart_source=runs/b"]
    recipe = load_recipe(write("seed: 1\n"), given)
    assert recipe.model_name == f"{tmp_path}/here/runs/a/output"
    assert recipe.warmstart_source == f"{tmp_path}/here/runs/b"
    there = load_recipe(write("seed: 1\n"), ["model_name=org/model", "warmstart_source=http://127.0.0.1/v1"])
    assert (there.model_name, there.warmstart_source) == ("org/model", "http://127.0.0.1/v1")


def test_what_is_not_a_relative_path_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    values = {
        "training_dataset": "/data/train.csv",
        "validation_dataset": "~/val.csv",
        "model_name": "smollm2-135m",
    }
    recipe = build_recipe(values | {"environment": "desks.support:Desk"}, folder=tmp_path)
    assert recipe.training_dataset == Path("/data/train.csv")
    assert recipe.validation_dataset == tmp_path / "home/val.csv"
    assert (recipe.model_name, recipe.environment) == ("smollm2-135m", "desks.support:Desk")


OF_OTHER_FILES = {
    "eval_random_sample": True,
    "base_model_name": "smollm2-135m",
    "training_dataset": Path("/data/rows.jsonl"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_works_as_an_override(spelling: str) -> None:
    value = (AWS_RECIPE_FLAT | OF_OTHER_FILES).get(SPELLINGS[spelling], 2)
    text = str(list(value) if isinstance(value, tuple) else value)
    needs = {"model.max_sequence_length": {"val_max_tokens": 1}, "data_filter.reward": {"max_repeated_tokens": 40}}
    others = needs.get(spelling, {})
    recipe = build_recipe({"sampling_max_tokens": 512} | others, [f"{spelling}={text}"])
    assert getattr(recipe, SPELLINGS[spelling]) == value
    assert recipe.sources[SPELLINGS[spelling]] == "override"


# What is refused


@pytest.mark.parametrize(
    ("text", "key", "value", "line", "nearest"),
    [
        ("seed: 1\nlerning_rate: 0.1\n", "lerning_rate", "0.1", 2, "learning_rate"),
        ("rl:\n  gama: 0.9\n", "rl.gama", "0.9", 2, "rl.gamma"),
        ("batch:\n  global_batch_size: 4\n", "batch.global_batch_size", "4", 2, "global_batch_size"),
        ("7: x\n", "7", "'x'", 1, None),
        ("schedulle:\n  max_steps: 3\n", "schedulle", "{'max_steps': 3}", 1, "schedule"),
    ],
)
def test_an_unknown_key_is_named_with_value_place_and_nearest_key(
    write: Any, *, text: str, key: str, value: str, line: int, nearest: str | None
) -> None:
    path = write(text)
    said = refusal(path)
    assert f"unknown key {key} (its value: {value})" in said
    assert f"{path}, line {line}" in said
    assert ("the nearest known key is " in said) == (nearest is not None)
    if nearest:
        assert said.endswith(f"the nearest known key is {nearest}")


@pytest.mark.parametrize(
    ("text", "key", "value", "line", "allowed"),
    [
        ("batch:\n  group_size: 1\n", "batch.group_size", "1", 2, "an integer, at least 2"),
        ("group_size: true\n", "group_size", "true", 1, "an integer, at least 2"),
        ("rl: {loss_fn: pppo}\n", "rl.loss_fn", "'pppo'", 1, "one of importance_sampling, ppo, cispo"),
        ("\nlearning_rate: 1e-5x\n", "learning_rate", "'1e-5x'", 2, "a number, at least 0 and at most 1"),
        ("importance_cap: 1\n", "importance_cap", "1", 1, "a number, above 1, or null"),
        ("seed: null\n", "seed", "null", 1, "an integer, at least 0 and below 4294967296"),
        ("val_at_start: 1\n", "val_at_start", "1", 1, "true or false"),
        (
            "pass_k_values: [1, x]\n",
            "pass_k_values",
            "[1, 'x']",
            1,
            "a list of different integers, each at least 1",
        ),
        ("training_dataset: 5\n", "training_dataset", "5", 1, "a path, or null"),
        (
            "agent: here\n",
            "agent",
            "'here'",
            1,
            "builtin, or the http:// or https:// address of an agent server",
        ),
        ("environment_args: [1]\n", "environment_args", "[1]", 1, "a mapping of names to JSON values"),
        (
            "environment_args: {a: 1, b: .nan}\n",
            "environment_args",
            "nan",
            1,
            "a mapping of names to JSON values",
        ),
    ],
)
def test_a_refused_value_is_named_as_typed_with_place_and_what_is_allowed(
    write: Any, *, text: str, key: str, value: str, line: int, allowed: str
) -> None:
    path = write(text)
    said = refusal(path)
    assert said.splitlines()[:3] == [
        f"{key} may not be {value}",
        f"  where: {path}, line {line}",
        f"  allowed: {allowed}",
    ]


def test_text_that_yaml_reads_as_something_else_is_told_to_wear_quotes(write: Any) -> None:
    assert "put it in quotes" in refusal(write("display_name: 2026-07-02\n"))
    assert load_recipe(write("display_name: '2026-07-02'\n")).display_name == "2026-07-02"


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ('global_batch_size: "32"', "global_batch_size may not be '32'", "take it out of the quotes"),
        ("learning_rate: '1e-5'", "learning_rate may not be '1e-5'", "take it out of the quotes"),
        ("rl: {gamma: '1'}", "rl.gamma may not be '1'", "take it out of the quotes"),
        ("pass_k_values: ['1', 2]", "pass_k_values may not be ['1', 2]", "take it out of the quotes"),
        ("max_steps: 10.0", "max_steps may not be 10.0", "write it without a fraction"),
        ("pass_k_values: [1, 2.0]", "pass_k_values may not be [1, 2.0]", "write it without a fraction"),
        ("val_at_start: 'true'", "val_at_start may not be 'true'", None),
    ],
)
def test_a_number_of_the_wrong_type_is_refused_in_file_and_override(
    write: Any, text: str, what: str, fix: str | None
) -> None:
    said = refusal(write(text + "\n"))
    assert what in said
    assert ("what to do: " + fix in said) if fix else "what to do" not in said
    if not text.startswith("rl"):
        assert what in refusal(write("seed: 1\n"), text.replace(": ", "=", 1))


def test_what_aws_recipe_files_leave_without_quotes_stays_what_it_is(write: Any) -> None:
    """None of AWS's settings is a quoted number; its version is a number that stands for text."""
    for version in ("1.0", '"1.0"'):
        assert load_recipe(write(f"recipe_version: {version}\n")).recipe_version == "1.0"
    assert load_recipe(write("rollout: {timeout: 90}\nmodel: {learning_rate: 4e-5}\n")).rollout_timeout == 90.0


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_nesting_beyond_reason_is_refused_with_its_line(write: Any, opening: str) -> None:
    closing = {"[": "]", "{a: ": "}"}.get(opening, "")
    path = write("seed: 1\nenvironment_args:\n  " + opening * 3000 + "1" + closing * 3000 + "\n")
    said = refusal(path)
    assert "not usable as YAML: nested more than 100 levels deep" in said
    assert f"{path}, line 3" in said
    assert "nested more than 100 levels" in refusal(write("seed: 1\n"), "environment_args=" + "[" * 3000)
    deep: Any = "[" * 90 + "]" * 90
    assert load_recipe(write(f"environment_args: {{a: {deep}}}\n")).environment_args["a"]


def test_a_long_value_is_cut(write: Any) -> None:
    said = refusal(write(f"loss_fn: {'x' * 5000}\n"), f"seed=-{'1' * 5000}")
    assert max(len(line) for line in said.splitlines()) < 200


def test_all_that_is_wrong_is_said_at_once(write: Any) -> None:
    said = refusal(write("group_size: 1\nlerning_rate: 2\nrl: 5\n"), "seed=-1", "nonsense", "name=[")
    assert said.startswith("6 things are wrong with the recipe")
    for part in (
        "group_size may not be 1",
        "unknown key lerning_rate",
        "rl is a section, but holds 5",
        "seed may not be -1",
        "an override is key=value",
        "override 'name=[', line 1, column 2",
    ):
        assert part in said


def test_an_override_is_named_as_the_place_of_its_error(write: Any) -> None:
    assert "where: override 'rl.gamma=2'" in refusal(write("seed: 1\n"), "rl.gamma=2")
    assert "nearest known key is seed" in refusal(write("seed: 1\n"), "sed=2")


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        (
            "loss_fn: ppo\nrl:\n  loss_fn: cispo\n",
            "loss_fn is 'ppo'",
            "rl.loss_fn, the same setting, is 'cispo'",
        ),
        (
            "val_sampling_params: {top_p: 1}\neval_sampling_params: {top_p: 0.5}\n",
            "val_sampling_params.top_p is 1",
            "eval_sampling_params.top_p, the same setting, is 0.5",
        ),
    ],
)
def test_one_setting_spelled_twice_with_two_values_is_refused(write: Any, text: str, first: str, second: str) -> None:
    path = write(text)
    said = refusal(path)
    assert f"{first}, but {second}" in said
    assert f"{path}, line 1; {path}, line {len(text.splitlines())}" in said


def test_settings_that_contradict_each_other_name_the_file(write: Any) -> None:
    path = write("batch: {group_size: 2}\n")
    said = refusal(path, "min_group_survivors=3")
    assert "min_group_survivors (3) may not be above group_size (2)" in said
    assert str(path) in said


def test_a_bad_value_is_not_reported_again_for_the_settings_that_follow_it(write: Any) -> None:
    said = refusal(write("sampling_max_tokens: 0\n"))
    assert said.startswith("sampling_max_tokens may not be 0")
    assert "val_max_tokens" not in said


@pytest.mark.parametrize(
    ("text", "what", "place"),
    [
        ("seed: 1\nname: [a, b\n", "not usable as YAML", ", line 3, column 1"),
        ("seed: 1\ngroup_size: 4\nseed: 2\n", "'seed' is already given in line 1", ", line 3, column 1"),
        ("rl:\n  gamma: 1\n  gamma: 1\n", "'gamma' is already given in line 2", ", line 3, column 3"),
        ("environment_args: {a: {b: 1, b: 2}}\n", "'b' is already given", ", line 1"),
        ("seed: 1\n---\nseed: 2\n", "not usable as YAML", ", line 2, column 1"),
        ("seed: !!python/object:os.system 1\n", "not usable as YAML", ", line 1, column 7"),
        ("name: 2026-99-99\n", "not usable as YAML", ""),
        ('name: "\x07"\n', "not usable as YAML", ""),
    ],
)
def test_broken_yaml_and_repeated_keys_are_refused_with_their_place(
    write: Any, text: str, what: str, place: str
) -> None:
    path = write(text)
    said = refusal(path)
    assert what in said
    assert f"{path}{place}" in said


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing but a comment\n", "---\n", "null\n"])
def test_an_empty_file_is_refused(write: Any, text: str) -> None:
    assert "the recipe is empty" in refusal(write(text))


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "5\n"])
def test_a_file_that_is_no_mapping_is_refused(write: Any, text: str) -> None:
    assert "a recipe is a mapping" in refusal(write(text))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert f"no such recipe file\n  where: {tmp_path / 'none.yaml'}" in refusal(tmp_path / "none.yaml")
    assert "cannot read the recipe" in refusal(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    assert "UTF-8" in refusal(tmp_path / "latin.yaml")


def test_python_values_are_refused_with_the_same_care() -> None:
    with pytest.raises(RecipeError, match=r"rl\.gamma may not be 2\n  where: the values given"):
        build_recipe({"rl": {"gamma": 2}})
