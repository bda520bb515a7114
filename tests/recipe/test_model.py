import pickle
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from practicum.algorithms import advantages, losses
from practicum.digests import digest
from practicum.recipe import Recipe, build_recipe
from practicum.recipe.explain import allowed

SPECIFIED_DEFAULTS = {
    "global_batch_size": 128,
    "group_size": 8,
    "advantage_method": "group_based",
    "advantage_normalization": True,
    "gamma": 1.0,
    "loss_fn": "ppo",
    "clip_low_threshold": 0.8,
    "clip_high_threshold": 1.2,
    "temperature": 1.0,
    "sampling_top_p": 1.0,
    "sampling_max_tokens": 4096,
    "val_temperature": 0.0,
    "pass_k_values": (1, 2, 4, 8, 16, 32),
    "success_threshold": 1.0,
    "max_epochs": 1,
    "max_steps": 50,
    "val_every": 10,
    "val_at_start": True,
    "save_every": 1,
    "val_batch_size": None,
    "val_group_size": 1,
    "val_random_sample": False,
    "lora_rank": 32,
    "lora_alpha": 64,
    "learning_rate": 4e-5,
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
    "adam_eps": 1e-8,
    "weight_decay": 0.0,
    "grad_clip_norm": 1.0,
    "max_sequence_length": 65536,
    "rollout_max_concurrency": 96,
    "rollout_timeout": 600.0,
    "rollout_max_retries": 3,
    "rollout_tps": 5.0,
    "max_steps_off_policy": 3,
    "stragglers": "wait",
    "seed": 0,
    "kl_coef": 0.0,
    "entropy_coef": 0.0,
    "lr_schedule": "constant",
    "warmup_steps": 0,
}

LIMITS = [  # key, the outermost values allowed, the first ones that are not
    ("group_size", [2, 64], [1]),
    ("keep_checkpoints", [1], [0]),
    ("global_batch_size", [1, 4096], [0]),
    ("gamma", [0, 1], [-0.01, 1.01]),
    ("clip_low_threshold", [0, 1], [-0.1, 1.1]),
    ("clip_high_threshold", [1, 10], [0.9, 10.1]),
    ("temperature", [0.01, 2], [-0.1, 2.1]),
    ("sampling_top_p", [0, 1], [-0.1, 1.1]),
    ("sampling_max_tokens", [1], [0]),
    ("val_temperature", [0, 2], [-0.1, 2.1]),
    ("val_every", [0], [-1]),
    ("save_every", [0], [-1]),
    ("grad_clip_norm", [0], [-0.1]),
    ("lora_rank", [0], [-1]),
    ("importance_cap", [1.001, None], [1, 0]),
    ("max_steps_off_policy", [0], [-1]),
    ("stragglers", ["wait", "cut"], ["drop", True, None]),
    ("rollout_max_retries", [0], [-1]),
    ("max_failed_rollouts", [0, 1], [-0.1, 1.1]),
    ("rollout_timeout", [0.5], [0]),
    ("adam_beta1", [0, 0.999999], [1]),
    ("seed", [0, 2**32 - 1], [-1, 2**32]),
    ("success_threshold", [-1, 1], [-1.1, 1.1]),
    ("pass_k_values", [[1], [4, 2]], [[], [0], [2, 2], 3]),
    ("max_turns", [None, 1], [0]),
    (
        "agent",
        ["builtin", "http://127.0.0.1:8080", "https://agent.example/a"],
        ["ftp://x", "http://", "other"],
    ),
    (
        "environment",
        [None, "practicum.suites.desk:Desk", "desk.py:Desk"],
        ["desk.py", "desk:9", ":Desk", "a:b:C"],
    ),
    ("name", ["run-1", "First run"], ["a/b", ".hidden", "", "a\\b", "a\nb"]),
    ("reward", ["my_reward"], ["my-reward", "9"]),
    ("loss_fn", ["importance_sampling", "ppo", "cispo"], ["PPO", "cross_entropy", None]),
]


@pytest.mark.parametrize("key", SPECIFIED_DEFAULTS)
def test_defaults_are_those_of_the_specification(key: str) -> None:
    assert getattr(Recipe(), key) == SPECIFIED_DEFAULTS[key]


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, good, _ in LIMITS for value in good])
def test_values_at_the_limits_are_accepted(key: str, value: Any) -> None:
    # The one cross-check that a limit alone can trip: clip bounds may not meet.
    others = {"clip_low_threshold": 0.5} if key == "clip_high_threshold" else {}
    recipe = Recipe.model_validate({key: value} | others)
    assert getattr(recipe, key) == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, _, bad in LIMITS for value in bad])
def test_values_beyond_the_limits_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate({key: value})
    assert key in {detail["loc"][0] for detail in caught.value.errors()}


def test_names_of_algorithms_are_those_the_algorithms_know() -> None:
    assert allowed("advantage_method") == "one of " + ", ".join(advantages.ESTIMATORS)
    assert allowed("loss_fn") == "one of " + ", ".join(losses.LOSSES)
    assert get_args(Recipe.model_fields["loss_aggregation"].annotation) == get_args(losses.Aggregation)
    assert get_args(Recipe.model_fields["advantage_std"].annotation) == get_args(advantages.Deviation)


@pytest.mark.parametrize(
    ("given", "bounds"),
    [
        ({"loss_fn": "ppo"}, (0.8, 1.2)),
        ({"loss_fn": "importance_sampling"}, (0.8, 1.2)),
        ({"loss_fn": "cispo"}, (1.0, 6.0)),
        ({"loss_fn": "cispo", "clip_high_threshold": 4}, (1.0, 4.0)),
        ({"clip_low_threshold": 0.7, "loss_fn": "cispo"}, (0.7, 6.0)),
    ],
)
def test_clip_bounds_that_are_not_set_follow_the_loss(given: dict[str, Any], bounds: tuple[float, float]) -> None:
    recipe = Recipe(**given)
    assert (recipe.clip_low_threshold, recipe.clip_high_threshold) == bounds


def test_validation_answers_are_as_long_as_training_answers_unless_set() -> None:
    assert Recipe(sampling_max_tokens=99).val_max_tokens == 99
    assert Recipe(sampling_max_tokens=99, val_max_tokens=7).val_max_tokens == 7


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"group_size": 2, "min_group_survivors": 3}, ("min_group_survivors (3)", "group_size (2)")),
        (
            {"global_batch_size": 4, "minibatches_per_step": 5},
            ("minibatches_per_step (5)", "global_batch_size (4)"),
        ),
        (
            {"clip_low_threshold": 1, "clip_high_threshold": 1},
            ("clip_low_threshold (1)", "clip_high_threshold (1)"),
        ),
        (
            {"sampling_max_tokens": 9, "max_sequence_length": 8},
            ("sampling_max_tokens (9)", "max_sequence_length (8)"),
        ),
        ({"val_max_tokens": 65537}, ("val_max_tokens (65537)", "max_sequence_length (65536)")),
        ({"warmup_steps": 51}, ("warmup_steps (51)", "max_steps (50)")),
        ({"train_embeddings": True}, ("train_embeddings", "lora_rank must be 0, not 32")),
        ({"filter_reward": -0.5}, ("filter_reward (-0.5)", "max_repeated_tokens is null")),
        ({"lora_rank": 0, "lora_plus_lr_ratio": 2}, ("lora_plus_lr_ratio (2)", "lora_rank is 0")),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, Any], named: tuple[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Recipe(**given)
    assert all(name in str(caught.value) for name in named)


def test_all_contradictions_are_named_together() -> None:
    with pytest.raises(ValidationError, match=r"min_group_survivors.*warmup_steps"):
        Recipe(min_group_survivors=9, warmup_steps=51)


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize(
    "key",
    [key for key, field in Recipe.model_fields.items() if field.annotation is not bool and key != "name"],
)
def test_no_setting_but_a_switch_takes_a_boolean(key: str, value: bool) -> None:
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate({key: value})
    assert key in {detail["loc"][0] for detail in caught.value.errors()}


@pytest.mark.parametrize("value", [0, 1, "true", "yes", None, [True]])
def test_a_switch_takes_nothing_but_a_boolean(value: Any) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate({"val_at_start": value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nan", ".inf"])
def test_numbers_are_finite(value: Any) -> None:
    for key in ("rollout_timeout", "importance_cap"):
        with pytest.raises(ValidationError):
            Recipe.model_validate({key: value})
    with pytest.raises(ValidationError):
        Recipe.model_validate({"environment_args": {"noise": float(str(value).removeprefix("."))}})


def test_a_recipe_cannot_be_changed() -> None:
    recipe: Any = Recipe()
    with pytest.raises(ValidationError, match="frozen"):
        recipe.group_size = 4


def test_every_setting_has_help() -> None:
    assert [key for key, field in Recipe.model_fields.items() if not (field.description or "").endswith(".")] == []


def test_equal_values_make_equal_recipes_wherever_they_came_from() -> None:
    stated, silent = Recipe(group_size=8), Recipe()
    assert stated == silent
    assert hash(stated) == hash(silent)
    assert stated.digest == silent.digest
    assert stated.sources != silent.sources
    assert Recipe(group_size=4) != silent
    assert Recipe(group_size=4).digest != silent.digest


def test_the_digest_is_that_of_the_plain_data() -> None:
    recipe = Recipe(seed=3)
    assert recipe.digest == digest(yaml.safe_load(yaml.safe_dump(recipe.to_dict())))


def test_a_recipe_survives_pickling_with_its_sources() -> None:
    recipe = build_recipe({"seed": 3}, ["group_size=4"])
    copy = pickle.loads(pickle.dumps(recipe))
    assert (copy, copy.sources) == (recipe, recipe.sources)


@given(st.sampled_from([key for key, field in Recipe.model_fields.items() if field.annotation is int]), st.data())
def test_a_whole_number_is_neither_text_nor_a_fraction(key: str, data: st.DataObject) -> None:
    value = getattr(Recipe(), key)
    for other in (str(value), float(value), value + data.draw(st.floats(0.01, 0.99))):
        with pytest.raises(ValidationError):
            Recipe.model_validate({key: other})


@pytest.mark.parametrize(
    ("key", "whole"), [("learning_rate", 1), ("gamma", 0), ("importance_cap", 2), ("rollout_tps", 5)]
)
def test_a_number_may_be_whole_but_not_text(key: str, whole: int) -> None:
    number = getattr(Recipe.model_validate({key: whole}), key)
    assert (number, type(number)) == (whole, float)
    with pytest.raises(ValidationError):
        Recipe.model_validate({key: str(float(whole))})
