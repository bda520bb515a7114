"""What is advised of a key that is wrong is about that key."""

from pathlib import Path

import pytest

from practicum.errors import RecipeError
from practicum.recipe import build_recipe, load_recipe


def test_a_key_is_suggested_only_where_one_is_near(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("model_name: m\n")
    with pytest.raises(RecipeError, match="the nearest known key is learning_rate"):
        load_recipe(tmp_path / "a.yaml", ["lerning_rate=1"])
    with pytest.raises(RecipeError, match="unknown key nokey") as failed:
        load_recipe(tmp_path / "a.yaml", ["nokey=1"])
    assert "nearest" not in failed.value.fix
    with pytest.raises(RecipeError, match="unknown key nokey"):
        build_recipe({"nokey": 1})


def test_a_key_given_twice_is_not_a_missing_quote(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("seed: 1\nseed: 2\n")
    with pytest.raises(RecipeError, match="already given in line 1") as failed:
        load_recipe(tmp_path / "a.yaml", [])
    assert failed.value.fix == "a key stands once: take out one of the two lines"
