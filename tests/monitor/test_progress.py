import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from practicum.monitor.progress import BLOCKS, SPARK_WIDTH, TrainingView, sparkline

ANSI = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=140, _environ={})


def shown(view_console):
    return ANSI.sub("", view_console.file.getvalue())


def play(view_console, steps=3, **changes):
    values = {"held_out": None, "groups_without_signal": 1, "groups": 8, "tokens_per_s": 812.4}
    with TrainingView(20, "desk [run]", console=view_console) as view:
        view.phase("rollout")
        view.message("saved to [/tmp]")
        for number in range(1, steps + 1):
            held_out = 0.5 if number == 2 else None
            view.step(number, reward=number / 10, **{**values, "held_out": held_out, **changes})


def test_without_a_terminal_every_step_and_message_is_one_plain_line():
    out = console(terminal=False)
    play(out)
    lines = shown(out).splitlines()
    assert lines[0] == "saved to [/tmp]"
    assert len(lines) == 4
    assert re.fullmatch(r"step 1/20  reward 0\.100  without signal 1/8  812 tokens/s  0s a step  0s left", lines[1])
    assert "held-out 0.500" in lines[2]
    assert "held-out" not in lines[3]
    assert "\x1b" not in out.file.getvalue()


def test_an_unknown_reward_is_a_dash():
    out = console(terminal=False)
    with TrainingView(20, console=out) as view:
        view.step(1, reward=None, held_out=None, groups_without_signal=8, groups=8, tokens_per_s=0.0)
    assert "reward –" in shown(out)


@pytest.mark.parametrize(
    ("begun", "shown_as"),
    [(0.1, "reward 0.100  "), (0.104, "reward 0.100  "), (0.3, "reward 0.100 (of all begun 0.300)")],
)
def test_the_reward_of_all_begun_stands_beside_that_of_those_trained_on_where_they_differ(begun, shown_as):
    for terminal, text in ((False, shown_as), (True, shown_as.removeprefix("reward ").strip())):
        out = console(terminal)
        play(out, steps=1, begun=begun)
        assert text in shown(out)


def test_a_terminal_shows_steps_course_phase_and_messages_within_100_columns():
    out = console(terminal=True)
    play(out)
    text = shown(out)
    for expected in ("desk [run]", "step 3/20", "finished", "saved to [/tmp]", "held-out", "1 of 8", "0.300"):
        assert expected in text
    assert any(block in text for block in BLOCKS)
    assert max(len(line) for line in text.replace("\r", "\n").splitlines()) <= 100


def test_a_terminal_keeps_the_last_steps_only():
    out = console(terminal=True)
    play(out, steps=19)
    last = shown(out)[-2200:]
    assert "1.900" in last
    assert "0.900" not in last.split("without signal")[-1]


def test_an_exception_passes_through_and_the_view_ends():
    out = console(terminal=True)
    with pytest.raises(RuntimeError, match="boom"), TrainingView(3, console=out) as view:
        view.phase("rollout")
        raise RuntimeError("boom")
    assert "stopped" in shown(out)


def test_a_resumed_run_judges_the_time_left_by_its_own_steps():
    out = console(terminal=False)
    with TrainingView(20, first_step=10, console=out) as view:
        view._began -= 60
        view.step(12, reward=0.1, held_out=None, groups_without_signal=0, groups=8, tokens_per_s=1.0)
    assert "4m 00s left" in shown(out)


@given(st.lists(st.floats(-1e6, 1e6), max_size=200))
def test_a_sparkline_is_as_long_as_its_values_up_to_the_width(values):
    line = sparkline(values)
    assert len(line) == min(len(values), SPARK_WIDTH)
    assert set(line) <= set(BLOCKS)


def test_a_sparkline_spans_from_the_lowest_to_the_highest_block():
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert sparkline([0.0] * 60 + [1.0] * 60) == "▁" * 30 + "█" * 30
