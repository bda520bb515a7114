from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from practicum.algorithms.advantages import ESTIMATORS
from practicum.algorithms.losses import LOSSES
from practicum.display import visible
from practicum.errors import RecipeError
from practicum.recipe import Recipe, build_recipe, load_recipe
from practicum.recipe.layout import SECTIONS, SPELLINGS

words = st.text(max_size=12) | st.sampled_from(["1e5", "1e-5", "null", "yes", "0x1", "1:30", "2026-01-01", "=", "~"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
settings = st.fixed_dictionaries(
    {},
    optional={
        "name": st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9 ._-]{0,9}", fullmatch=True) | st.just("1e5"),
        "display_name": words,
        "environment_args": st.dictionaries(words, json_values, max_size=3),
        "training_dataset": st.just("/data/a b: c.jsonl"),
        "advantage_method": st.sampled_from(list(ESTIMATORS)),
        "loss_fn": st.sampled_from(list(LOSSES)),
        "clip_low_threshold": st.floats(0, 0.99),
        "importance_cap": st.none() | st.floats(1.001, 1e9),
        "learning_rate": st.floats(0, 1),
        "adam_eps": st.floats(1e-300, 1e-3),
        "pass_k_values": st.lists(st.integers(1, 99), min_size=1, unique=True),
        "sampling_max_tokens": st.integers(1, 65536),
        "seed": st.integers(0, 2**32 - 1),
        "val_at_start": st.booleans(),
        "max_turns": st.none() | st.integers(1, 99),
    },
)


@hypothesis.settings(deadline=None)
@hypothesis.example({"display_name": "\x85"})
@hypothesis.example({"display_name": "a\u2028 b\u2029\n c", "environment_args": {"\x85": ["\u2028"]}})
@given(settings)
def test_what_is_dumped_loads_as_an_equal_recipe(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    recipe = build_recipe(values)
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    loaded = load_recipe(path)
    assert loaded == recipe
    assert loaded.digest == recipe.digest
    assert loaded.to_yaml() == recipe.to_yaml()


@hypothesis.settings(deadline=None)
@given(settings)
def test_values_given_are_the_values_of_the_recipe(values: dict[str, Any]) -> None:
    recipe = build_recipe(values)
    plain = recipe.to_dict()
    assert {key: plain[key] for key in values} == values
    assert {key for key, source in recipe.sources.items() if source == "file"} == set(values)


@hypothesis.settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*Recipe.model_fields, *SPELLINGS, *SECTIONS]) | words,
        json_values | st.floats() | st.integers(10**300, 10**400) | st.dates() | st.binary(max_size=3),
        max_size=6,
    )
)
def test_whatever_is_given_there_is_a_recipe_or_a_refusal_that_names_a_key(
    values: dict[str, Any],
) -> None:
    try:
        recipe = build_recipe(values)
    except RecipeError as refused:
        # Of settings that contradict each other the flat names are told.
        assert any(visible(name) in str(refused) for key in values for name in (key, SPELLINGS.get(key, key)))
    else:
        assert {SPELLINGS.get(key, key) for key in values} - set(SECTIONS) <= set(Recipe.model_fields)
        assert build_recipe(recipe.to_dict()) == recipe


def test_the_aws_file_and_its_flat_dump_are_one_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(Path(__file__).with_name("aws_recipe.yaml"))
    (tmp_path / "flat.yaml").write_text(recipe.to_yaml())
    assert load_recipe(tmp_path / "flat.yaml") == recipe
