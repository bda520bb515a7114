"""Disagreements in the terminal and on the page."""

import io
import json

import pytest
from rich.console import Console

from practicum.errors import RunError
from practicum.evaluation.disagreements import disagreements, print_disagreements, recorded_disagreements
from practicum.report.evaluation_sections import comparison_table, disagreement_list, gap_chart, tool_chart
from practicum.report.run_page import write_report
from practicum.store import write_trajectories
from practicum.trajectory import EnvironmentRef, Trajectory, Turn

REF = EnvironmentRef("e", "1", "d")
EVIL = "<img src=x onerror=alert(1)>"


def rollout(task, reward, score, answer="I am done"):
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"box": 1}'}}
    first = Turn(
        ({"role": "user", "content": f"Box of {task}?"},),
        {"role": "assistant", "content": "", "tool_calls": [call]},
        *((1,), (2,), (0.0,), (0,)),
        "tool_calls",
    )
    last = Turn(({"role": "tool", "content": "red"},), {"role": "assistant", "content": answer}, (), (), (), (), "stop")
    parts = {"metrics": {"words": 0.9}, "score_metrics": {"exact": 0.0}}
    return Trajectory(task, task, task, 0, REF, (first, last), (), "final", rewards=(reward,), score=score, **parts)


def printed(found, **more):
    console = Console(file=io.StringIO(), width=100)
    print_disagreements(found, console, **more)
    return console.file.getvalue()


def test_the_worst_are_shown_turn_by_turn_with_their_components():
    text = printed(disagreements([rollout("mild", 0.2, 0.0), rollout("bad", 0.9, 0.0, EVIL)]), count=1)
    assert "2 rollouts; 2 are paid without success" in text
    assert "bad: reward 0.9, score 0, final" in text
    for said in ("Box of bad?", 'look({"box": 1})', "red", EVIL, "reward words 0.9"):
        assert said in text
    assert "mild" not in text


def test_agreement_is_said_too():
    assert "agree on every rollout" in printed(disagreements([rollout("same", 1.0, 1.0)]))


def test_those_of_the_last_evaluated_model_are_read_from_the_run(tmp_path):
    with pytest.raises(RunError, match="no evaluation"):
        recorded_disagreements(tmp_path)
    write_trajectories(tmp_path / "trajectories/eval-base-greedy.parquet", [rollout("base", 1.0, 0.0)])
    assert [each.trajectory.task_id for each in recorded_disagreements(tmp_path)] == ["base"]
    write_trajectories(tmp_path / "trajectories/eval-trained-sampled.parquet", [rollout("trained", 1.0, 0.0)])
    assert [each.trajectory.task_id for each in recorded_disagreements(tmp_path)] == ["trained"]


def test_the_page_shows_comparisons_tool_calls_and_the_worst_disagreement(tmp_path):
    write_trajectories(tmp_path / "trajectories/eval-trained-greedy.parquet", [rollout("hacked", 0.9, 0.0, EVIL)])
    pair = {"first": "base", "second": "trained", "mode": "greedy", "difference": 0.25, "interval": [0.1, 0.4]}
    pair |= {"only_first": 1, "only_second": 9, "p_value": 0.031}
    (tmp_path / "evaluation.json").write_text(json.dumps({"comparisons": [pair]}))
    (tmp_path / "evaluations").mkdir()
    one = {
        "label": "trained",
        "mode": "greedy",
        "tool_calls": {"look": 3},
        "n_rollouts": 2,
        "correctness": 0.5,
        "independent": False,
    }
    (tmp_path / "evaluations/trained-greedy.json").write_text(json.dumps(one))
    page = write_report(tmp_path).read_text()
    for said in (
        "trained against base",
        "25.0%",
        "10.0% – 40.0%",
        "0.031",
        "hacked",
        "Reward against score",
        "Tool calls",
    ):
        assert said in page
    assert "right where completed" in page
    assert "trained, judged by itself" in page
    assert EVIL not in page


def test_a_broken_record_leaves_the_page_whole(tmp_path):
    (tmp_path / "trajectories").mkdir()
    (tmp_path / "trajectories/eval-trained-greedy.parquet").write_bytes(b"no table")
    (tmp_path / "evaluation.json").write_text("[1")
    page = write_report(tmp_path).read_text()
    assert "What could not be read" in page


def test_nothing_gives_no_section():
    assert (comparison_table([]), disagreement_list([]), tool_chart([]), gap_chart([])) == ("", "", None, None)
