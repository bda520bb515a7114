"""What ``practicum replay`` says: a pass only of what was replayed, and the rest counted by its reason."""

import io

import pytest
from rich.console import Console

from practicum.commands.replay import print_replays
from practicum.runs.playback import Replay

SAME = Replay("step-000001.parquet", "a", 3)
IDLE = Replay("step-000001.parquet", "b", 0)
ELSEWHERE = Replay("step-000001.parquet", "c", 0, skipped="its agent had its environment elsewhere")
OTHER = Replay("step-000001.parquet", "d", 2, difference="transition 1, draw({}): result differs")


def said(*replays: Replay, **more: str) -> tuple[bool, str]:
    out = io.StringIO()
    passed = print_replays(replays, Console(file=out, width=200), **more)
    return passed, out.getvalue()


def test_what_came_out_the_same_passes_with_a_count_of_what_it_stands_for():
    assert said(SAME, SAME) == (True, "identical: 2 of 2 trajectories, 6 transitions\n")


@pytest.mark.parametrize("replays", [(IDLE, IDLE), (ELSEWHERE,), (IDLE, ELSEWHERE)])
def test_nothing_replayed_is_no_pass(replays):
    passed, text = said(*replays)

    assert not passed
    assert f"nothing was replayed: 0 of {len(replays)} trajectories, 0 transitions" in text
    assert "identical" not in text


def test_an_agent_elsewhere_is_named_as_the_reason():
    passed, text = said(IDLE, agent="http://127.0.0.1:8070")

    assert not passed
    assert "the tools ran behind http://127.0.0.1:8070" in text


def test_what_was_not_replayed_is_counted_beside_what_was():
    passed, text = said(SAME, ELSEWHERE, ELSEWHERE, IDLE)

    assert passed
    assert "identical: 1 of 4 trajectories, 3 transitions" in text
    assert "2 not replayed: its agent had its environment elsewhere" in text
    assert "1 with nothing to replay: no tool was called" in text


def test_a_difference_fails_and_is_shown():
    passed, text = said(SAME, OTHER)

    assert not passed
    assert "result differs" in text
    assert "1 of 2 trajectories differ; replayed: 2 of 2 trajectories, 5 transitions" in text
