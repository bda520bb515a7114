"""The run folder's own rules."""

import json
from pathlib import Path

import pytest

from practicum.commands.control import supervised_and_reinforced_seconds
from practicum.errors import RunError
from practicum.recipe import build_recipe
from practicum.runs.folder import Run, default_folder, refuse_taken


def lines(folder: Path) -> list[tuple[str, int]]:
    return [(e["phase"], e["step"]) for e in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())]


def write_lines(folder: Path, tail: str = "") -> None:
    steps = [("foothold", 1), ("validation", 0), ("rl", 1), ("checkpoint", 1), ("rl", 2), ("validation", 2), ("rl", 3)]
    whole = [{"phase": phase, "step": step, "time": 1.5 + n, "metrics": {}} for n, (phase, step) in enumerate(steps)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in whole) + tail)


def test_a_new_demo_takes_the_next_free_number(tmp_path: Path) -> None:
    wanted = str(tmp_path / "demo")
    assert default_folder(wanted).name == "demo"
    for name in ("demo", "demo-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text("")

    assert default_folder(wanted).name == "demo-3"


def test_a_folder_with_something_else_in_it_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")

    with pytest.raises(RunError, match="is not an empty folder"):
        refuse_taken(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_reopening_drops_what_a_killed_process_left_half_written(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", build_recipe({"seed": 3}), 0.0):
        pass
    folder = tmp_path / "run"
    write_lines(folder, tail='{"phase": "rl", "ste')
    (folder / ".report.html.7.part").write_text("<htm")
    (folder / "checkpoints" / ".step-000001.7.part").mkdir(parents=True)

    with Run.reopen(folder, 0.0) as run:
        assert run.recipe.seed == 3

    assert len(lines(folder)) == 7
    assert sorted(path.name for path in folder.rglob(".*")) == []


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        (None, []),
        (0, [("foothold", 1)]),
        (1, [("foothold", 1), ("validation", 0), ("rl", 1), ("checkpoint", 1)]),
    ],
)
def test_what_is_done_again_is_dropped_from_the_metrics(
    tmp_path: Path, step: int | None, kept: list[tuple[str, int]]
) -> None:
    with Run.create(tmp_path / "run", build_recipe({}), 0.0) as run:
        write_lines(run.folder)
        run.forget_after(step)

        assert lines(run.folder) == kept


def test_the_control_gets_the_seconds_of_foothold_and_steps_alone(tmp_path: Path) -> None:
    entries = [
        {"phase": "foothold", "step": 1, "metrics": {"timing_s/training": 2.0}},
        {"phase": "rl", "step": 1, "metrics": {"timing_s/step": 5.0}},
        {"phase": "validation", "step": 1, "metrics": {"timing_s/eval": 100.0}},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    assert supervised_and_reinforced_seconds(tmp_path) == 7.0
