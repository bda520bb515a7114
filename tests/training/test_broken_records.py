"""A record that somebody broke is said to be broken, with its file and line."""

import json
from pathlib import Path

import pytest

from practicum.errors import RunError
from practicum.evaluation.evaluator import read_evaluation
from practicum.recipe import build_recipe
from practicum.runs.evaluations import evaluations_of, recorded_evaluations
from practicum.runs.folder import Run

LINE = json.dumps({"step": 1, "time": 1.0, "phase": "rl", "metrics": {}}) + "\n"


@pytest.mark.parametrize("broken", ['{"step": 2, "ti', '{"step": 2}', "[1]"])
def test_a_broken_line_amid_the_metrics_is_named(tmp_path: Path, broken: str) -> None:
    with Run.create(tmp_path / "run", build_recipe({}), 0.0) as run:
        pass
    (run.folder / "metrics.jsonl").write_text(LINE + broken + "\n" + LINE)

    with pytest.raises(RunError, match="a line of the metrics cannot be read") as failed:
        Run.reopen(run.folder, 0.0)

    assert failed.value.where == f"{run.folder}/metrics.jsonl, line 2"
    assert "take it out" in failed.value.fix
    (run.folder / "metrics.jsonl").write_text(LINE + LINE)
    Run.reopen(run.folder, 0.0).close()


@pytest.mark.parametrize("broken", ['{"label": "base",\n "mo', '{"label": "base"}', "[]", '{"interval": 3}'])
def test_a_broken_evaluation_is_named(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "evaluations" / "base-greedy.json"
    path.parent.mkdir()
    path.write_text(broken)

    for read in (
        lambda: read_evaluation(path),
        lambda: recorded_evaluations(tmp_path),
        lambda: evaluations_of(tmp_path),
    ):
        with pytest.raises(RunError, match="an evaluation cannot be read") as failed:
            read()
        assert failed.value.where.startswith(str(path))
        assert "practicum eval" in failed.value.fix


@pytest.mark.parametrize(
    "error", [SystemExit(3), RuntimeError("no"), KeyboardInterrupt()], ids=lambda e: type(e).__name__
)
def test_whatever_ends_a_run_but_ctrl_c_is_on_record(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), Run.create(tmp_path / "run", build_recipe({}), 0.0):
        raise error

    said = (tmp_path / "run/events.jsonl").read_text()
    assert (type(error).__name__ in said) is not isinstance(error, KeyboardInterrupt)
