"""One recipe takes another's settings and changes some."""

from pathlib import Path
from typing import Any

import pytest

from practicum.errors import RecipeError
from practicum.recipe import build_recipe, explain, load_recipe


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return str(caught.value)


def test_what_a_recipe_gives_itself_wins_and_the_rest_is_taken_over(write: Any) -> None:
    write("base.yaml", "group_size: 4\nrl: {loss_fn: cispo, gamma: 0.5}\nseed: 7\n")
    recipe = load_recipe(write("desk.yaml", "extends: base.yaml\nloss_fn: ppo\nseed: 8\n"), ["seed=9"])
    assert (recipe.group_size, recipe.loss_fn, recipe.gamma, recipe.seed) == (4, "ppo", 0.5, 9)
    assert recipe.clip_high_threshold == 1.2
    told = {row.key: row.source for row in explain(recipe)}
    assert {key: told[key] for key in ("group_size", "gamma", "loss_fn", "seed", "temperature")} == {
        "group_size": "extends base.yaml",
        "gamma": "extends base.yaml",
        "loss_fn": "file",
        "seed": "override",
        "temperature": "default",
    }


def test_chains_are_followed_and_sources_say_which_file(write: Any) -> None:
    write("common/root.yaml", "seed: 1\ngroup_size: 3\nmax_steps: 11\n")
    write("common/mid.yaml", "extends: root.yaml\nseed: 2\ngroup_size: 4\n")
    recipe = load_recipe(write("runs/desk.yaml", "extends: ../common/mid.yaml\nseed: 3\n"))
    assert (recipe.seed, recipe.group_size, recipe.max_steps) == (3, 4, 11)
    sources = [recipe.sources[key] for key in ("seed", "group_size", "max_steps")]
    assert sources == ["file", "extends ../common/mid.yaml", "extends ../common/root.yaml"]


def test_relative_paths_start_at_the_folder_of_the_file_that_gives_them(
    tmp_path: Path, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("common/base.yaml", "environment: desk.py:Desk\ntraining_dataset: train.csv\nmodel_name: ./model\n")
    write("runs/desk.yaml", "extends: ../common/base.yaml\ntraining_dataset: mine.csv\n")
    monkeypatch.chdir(tmp_path / "runs")
    recipe = load_recipe("desk.yaml", ["validation_dataset=val.csv"])
    assert recipe.environment == f"{tmp_path}/common/desk.py:Desk"
    assert recipe.model_name == f"{tmp_path}/common/model"
    assert recipe.training_dataset == tmp_path / "runs/mine.csv"
    assert recipe.validation_dataset == tmp_path / "runs/val.csv"


def test_what_is_extended_may_be_given_absolutely_or_from_python(tmp_path: Path, write: Any) -> None:
    base = write("base.yaml", "seed: 5\n")
    assert load_recipe(write("elsewhere/desk.yaml", f"extends: {base}\n")).seed == 5
    recipe = build_recipe({"extends": "base.yaml", "group_size": 6}, folder=tmp_path)
    assert (recipe.seed, recipe.group_size) == (5, 6)
    assert load_recipe(write("none.yaml", "extends:\nseed: 1\n")).seed == 1


def test_a_recipe_written_out_stands_alone(tmp_path: Path, write: Any) -> None:
    write("base.yaml", "group_size: 4\n")
    recipe = load_recipe(write("desk.yaml", "extends: base.yaml\nseed: 2\n"))
    assert "extends" not in recipe.to_yaml()
    assert load_recipe(write("other/out.yaml", recipe.to_yaml())) == recipe


def test_an_aws_file_may_be_extended(write: Any) -> None:
    aws = Path(__file__).with_name("aws_recipe.yaml")
    recipe = load_recipe(write("desk.yaml", f"extends: {aws}\nschedule: {{max_steps: 7}}\n"))
    assert (recipe.max_steps, recipe.group_size, recipe.advantage_method) == (7, 4, "rloo")


@pytest.mark.parametrize("files", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_a_circle_is_refused_and_shown(tmp_path: Path, write: Any, files: list[str]) -> None:
    for name, other in zip(files, [*files[1:], files[0]], strict=True):
        write(f"{name}.yaml", f"seed: 1\nextends: {other}.yaml\n")
    said = refusal(tmp_path / "a.yaml")
    assert "the recipe extends itself: " in said
    assert [said.count(f"/{name}.yaml") >= 1 for name in files] == [True] * len(files)
    assert f"/{files[-1]}.yaml, line 2" in said


def test_two_ways_to_one_file_are_no_circle(write: Any) -> None:
    write("sub/base.yaml", "seed: 4\n")
    write("mid.yaml", "extends: sub/../sub/base.yaml\n")
    assert load_recipe(write("desk.yaml", "extends: mid.yaml\n")).seed == 4


def test_a_file_that_is_not_there_is_named_with_the_line_that_wants_it(tmp_path: Path, write: Any) -> None:
    said = refusal(write("desk.yaml", "seed: 1\nextends: gone.yaml\n"))
    assert f"no recipe file at {tmp_path / 'gone.yaml'}" in said
    assert "desk.yaml, line 2" in said


@pytest.mark.parametrize(("text", "shown"), [("[a.yaml, b.yaml]", "['a.yaml', 'b.yaml']"), ("5", "5"), ("''", "''")])
def test_what_is_no_path_is_refused(write: Any, text: str, shown: str) -> None:
    assert f"extends may not be {shown}" in refusal(write("desk.yaml", f"extends: {text}\n"))


def test_errors_in_an_extended_file_name_that_file(tmp_path: Path, write: Any) -> None:
    write("base.yaml", "seed: 1\nlerning_rate: 2\n")
    assert f"{tmp_path / 'base.yaml'}, line 2" in refusal(write("desk.yaml", "extends: base.yaml\n"))
    write("base.yaml", "")
    said = refusal(write("desk.yaml", "extends: base.yaml\n"))
    assert "the recipe is empty" in said
    assert "base.yaml" in said


def test_it_cannot_be_overridden_and_a_slip_is_led_to_it(write: Any) -> None:
    path = write("desk.yaml", "seed: 1\n")
    assert "extends cannot be overridden" in refusal(path, "extends=other.yaml")
    assert refusal(write("slip.yaml", "extend: base.yaml\n")).endswith("the nearest known key is extends")
