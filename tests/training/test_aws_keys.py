"""Keys as AWS's flat jobs write them, carried through a whole run."""

from pathlib import Path
from typing import Any

import pytest

from practicum.commands.app import run_name
from practicum.recipe import build_recipe


def test_a_job_that_clips_nothing_and_saves_at_the_end_only(commands: Any) -> None:
    keys = ("save_every=0", "adam_grad_clip_norm=0.0", "adam_weight_decay=0.1", "output_path=out", "val_every=0")
    done = commands("train", "desk.yaml", *keys)

    assert done.code == 0, done.err
    run = commands.folder / "out/desk"
    kept = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert kept == ["step-000000", "step-000003"]
    assert (run / "report.html").is_file()
    assert commands("verify", "out/desk").code == 0


@pytest.mark.parametrize(
    ("run", "output", "name"),
    [
        (None, None, "triage"),
        (None, "/data/out", "/data/out/triage"),
        ("first", "/data/out", "first"),
        (None, "s3://bucket/out", "triage"),
    ],
)
def test_runs_are_made_below_output_path_unless_the_command_names_them(
    run: str | None, output: str | None, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = build_recipe({"output_path": output})
    assert run_name(run, recipe, str(Path("jobs/triage.yaml"))) == name
    assert ("on S3, which is not written to" in capsys.readouterr().err) == (output is not None and "s3" in output)
