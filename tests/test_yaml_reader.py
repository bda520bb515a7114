"""YAML from elsewhere: what its aliases stand for is counted before it is built."""

from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from practicum.checks.changed_files import _is_recipe
from practicum.errors import EnvironmentFault, RecipeError
from practicum.recipe import load_recipe
from practicum.services.documents import line_of, load_document
from practicum.yaml_reader import MOST_CHARACTERS, parse, require_bounded

LEVELS = "abcdefghij"


def bomb(form: str = "[{}]") -> str:
    """Ten lines that stand for ten to the power of nine values."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in pairwise(LEVELS):
        lines.append(f"{name}: &{name} " + form.format(", ".join([f"*{before}"] * 9)))
    return "\n".join(lines)


def merging_bomb() -> str:
    lines = ["a: &a {k: v}"]
    lines += [f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 30)}]}}" for before, name in pairwise(LEVELS)]
    return "\n".join(lines)


@pytest.mark.parametrize("text", [bomb(), bomb("{{<<: [{}]}}").replace("[x, x", "{k: v} #"), merging_bomb()])
def test_a_bomb_is_refused_with_the_line_where_it_is_too_much(text: str) -> None:
    with pytest.raises(RecipeError, match=r"its aliases stand for more than 100,000 values") as caught:
        parse(text, "bomb.yaml")
    assert "bomb.yaml, line" in caught.value.where


def test_a_value_within_itself_is_refused() -> None:
    with pytest.raises(RecipeError, match="an alias stands within what it names"):
        parse("a: &a [1, *a]", "loop.yaml")


def test_aliases_in_use_are_read() -> None:
    assert parse("a: &a [1, 2]\nb: *a\nc: {<<: {d: 3}}", "x.yaml")[0] == {"a": [1, 2], "b": [1, 2], "c": {"d": 3}}


def test_a_recipe_of_too_many_characters_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("practicum.yaml_reader._Loader", lambda text: pytest.fail("it was parsed"))
    with pytest.raises(RecipeError, match="characters of YAML"):
        parse("a: " + "x" * MOST_CHARACTERS, "long.yaml")


def test_the_count_visits_each_node_once() -> None:
    node = yaml.compose(bomb(), Loader=yaml.SafeLoader)
    visited: list[int] = []

    class Counted(dict[int, int | None]):
        def __setitem__(self, key: int, value: int | None) -> None:
            visited.append(key)
            super().__setitem__(key, value)

    from practicum import yaml_reader

    yaml_reader._values(node, 10**12, Counted())
    assert len(visited) < 500
    with pytest.raises(yaml.MarkedYAMLError):
        require_bounded(node)


@pytest.mark.parametrize("text", [bomb(), merging_bomb(), "a: &a [*a]"])
def test_recipes_schemas_and_hooks_all_refuse_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text(f"environment: support_desk\nmodel_name: m\n{text}")
    with pytest.raises(RecipeError, match="alias"):
        load_recipe(path)
    with pytest.raises(EnvironmentFault, match="alias"):
        load_document(path)
    assert line_of(path, ("j",)) is None
    assert _is_recipe(path)  # by its keys: that it is a bad one is said when it is loaded
