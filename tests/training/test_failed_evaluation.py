"""An evaluation whose rollouts fail says so: a broken score must not look like a model that knows nothing."""

import json
from typing import Any


def break_score(commands: Any, where: str) -> None:
    """Let the desk's score raise where the expression holds."""
    desk = commands.folder / "desk.py"
    broken = "def score(rollout):\n    if {}:\n        raise KeyError('colour')\n    return 0.0\n"
    desk.write_text(desk.read_text().replace("\nscore = ", "\nunbroken = ") + "\n\n" + broken.format(where))


def test_a_baseline_whose_every_rollout_fails_ends_with_the_cause_and_leaves_nothing_on_record(commands: Any) -> None:
    break_score(commands, "True")

    done = commands("baseline", "desk.yaml", "--run", "runs/a")

    assert done.code == 1
    assert "all 3 rollouts of the evaluation base-sampled failed" in done.err
    assert "KeyError" in done.err
    assert "colour" in done.err
    assert "what to do: mend the cause" in done.err
    assert "foothold" not in done.err + done.out
    assert not list((commands.folder / "runs/a").glob("evaluations/*"))


def test_rollouts_that_failed_are_told_below_the_table_with_their_commonest_cause(commands: Any) -> None:
    break_score(commands, "rollout.task.id == 'test-200'")

    done = commands("baseline", "desk.yaml", "--run", "runs/a")

    table, _, below = done.out.partition("base-sampled: 1 of 3 rollouts failed and count as missed, most often with:")
    assert "Held-out success" in table
    assert "KeyError" in below.splitlines()[1]
    record = json.loads((commands.folder / "runs/a/evaluations/base-greedy.json").read_text())
    assert record["failed"] == 1
    assert "KeyError" in record["commonest_error"]
