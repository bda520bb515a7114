from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from practicum.algorithms.repetition import degenerate_rollouts, longest_repetition
from practicum.trajectory import EnvironmentRef, Trajectory, Turn


@pytest.mark.parametrize(
    ("tokens", "n", "length"),
    [
        ([], 8, 0),
        ([1], 8, 0),
        ([1, 2, 3, 4], 8, 0),
        ([1, 1], 8, 2),
        ([5, 1, 2, 1, 2, 1, 7], 8, 5),
        ([5, 1, 2, 1, 2, 1, 7], 1, 0),
        ([1, 2, 1], 8, 0),  # the 2-gram is not there twice
        ([1, 2, 3, 1, 2, 3], 3, 6),
        ([1, 2, 3, 1, 2, 3], 2, 0),
        ([9, 9, 9, 1, 2, 1, 2, 1, 2], 8, 6),
        ([7] * 50, 8, 50),
    ],
)
def test_the_longest_stretch_of_one_ngram(tokens: list[int], n: int, length: int) -> None:
    assert longest_repetition(tokens, n) == length
    assert longest_repetition(np.array(tokens, dtype=np.int64), n) == length


@settings(max_examples=150, deadline=None)
@given(tokens=st.lists(st.integers(0, 2), max_size=24), most=st.integers(1, 6))
def test_it_is_what_trying_every_stretch_finds(tokens: list[int], most: int) -> None:
    def repeats(stretch: list[int]) -> bool:
        periods = range(1, min(most, len(stretch) // 2) + 1)
        return any(all(stretch[i] == stretch[i - n] for i in range(n, len(stretch))) for n in periods)

    ends = range(len(tokens) + 1)
    expected = max((b - a for a in ends for b in ends if b - a > 1 and repeats(tokens[a:b])), default=0)
    assert longest_repetition(tokens, most) == expected


def test_a_stretch_may_be_asked_to_hold_its_ngram_more_than_twice() -> None:
    tokens = [9, *[1, 2, 3] * 4, 1, 8, *[5] * 6]
    assert [longest_repetition(tokens, 8, times=times) for times in (2, 4, 5, 6, 7)] == [13, 13, 6, 6, 0]


def rollout(id: str, *turns: list[int], **more: Any) -> Trajectory:
    def turn(tokens: list[int]) -> Turn:
        zeros = (0.0,) * len(tokens)
        # What is fed repeats itself, and does not count.
        return Turn((), {}, (4,) * 90, tuple(tokens), zeros, (0,) * len(tokens), "stop")

    ref = EnvironmentRef("e", "1", "d")
    return Trajectory(id, "task", "g", 0, ref, tuple(map(turn, turns)), (), "final", **more)


FINE = list(range(40))


def found(trajectories: list[Trajectory], rate: float = 1.0, limit: int = 10) -> list[str]:
    return degenerate_rollouts(trajectories, max_repeated_tokens=limit, max_ngram_size=4, max_filter_rate=rate)


def test_rollouts_that_repeat_themselves_too_long_in_one_turn_are_found_worst_first() -> None:
    batch = [
        rollout("fine", FINE, FINE),
        rollout("at the limit", [3] * 10),
        rollout("one more", FINE, [3] * 11),
        rollout("worse", [1, 2] * 20, FINE),
        rollout("two halves", [3] * 8, [3] * 8),
        rollout("too long an n-gram", [1, 2, 3, 4, 5] * 9),
    ]
    assert found(batch) == ["worse", "one more"]


def test_above_the_rate_only_the_worst_go() -> None:
    batch = [rollout(f"r{n}", [7] * n) for n in (30, 12, 50, 13)] + [rollout(f"fine{n}", FINE) for n in range(6)]
    assert found(batch, rate=1.0) == ["r50", "r30", "r13", "r12"]
    assert found(batch, rate=0.2) == ["r50", "r30"]
    assert found(batch, rate=0.19) == ["r50"]
    assert found(batch, rate=0.0) == []


def test_rounding_does_not_take_one_from_the_rate() -> None:
    batch = [rollout(f"r{n}", [7] * 20) for n in range(100)]
    assert [len(found(batch, rate=rate)) for rate in (0.29, 0.57, 0.58)] == [29, 57, 58]


def test_failed_rollouts_and_those_without_a_token_are_not_counted() -> None:
    gone = rollout("failed", [7] * 20, error="gone")
    batch = [rollout("bad", [7] * 20), gone, rollout("silent", []), rollout("no turn")]
    assert found(batch) == ["bad"]
    assert found(batch, rate=0.5) == []


def test_a_loop_over_which_the_agent_raised_is_one() -> None:
    raised = rollout("raised", [7] * 20, error="ValueError: no JSON", failure="policy", rewards=(0.0,))
    assert found([raised, rollout("fine", FINE)]) == ["raised"]


def rows(frame: list[int], contents: list[list[int]]) -> list[int]:
    """A list whose items repeat a frame around what differs."""
    return [token for content in contents for token in (*frame, *content)]


# Token ids as byte-level tokenizers give them: a frame of a few tokens, content of one or two.
NUMBERED = rows([12, 840, 216], [[100 + n // 10, 110 + n % 10] for n in range(40)])
YES_OR_NO = rows([12, 840, 7, 216, 9, 33], [[500 + (n * n // 3) % 2] for n in range(60)])
FLAGS = rows([4, 37, 1, 8, 2], [[600 + (n in (5, 11, 12, 20, 27))] for n in range(30)])
EQUAL_ROWS = [1, *rows([4, 37, 1, 8, 2, 90], [[7]] * 7), 2]
TABLE = rows([91], [[(n * 37) % 8, 92, (n * 11) % 5, 92, 3, 93] for n in range(30)])
MATRIX = rows([60], [[0, 61] * 7 + [62]] * 7)


@pytest.mark.parametrize("text", [NUMBERED, YES_OR_NO, FLAGS, EQUAL_ROWS, TABLE, MATRIX])
def test_lists_tables_and_code_repeat_a_frame_and_are_no_loop(text: list[int]) -> None:
    batch = [rollout("structured", text), rollout("fine", FINE)]
    assert degenerate_rollouts(batch, max_repeated_tokens=20, max_ngram_size=8, max_filter_rate=1.0) == []


@pytest.mark.parametrize(
    "text",
    [
        [7] * 60,
        [*FINE, *[1, 2, 3] * 30],
        [*FINE, *rows([4, 37, 1, 8, 2, 90], [[7]] * 40)],
        [*FINE, *[5, 6] * 50, *FINE],  # it got out, after all that
        [*NUMBERED, *NUMBERED[-5:] * 20, 1],
    ],
)
def test_the_same_again_and_again_is_a_loop_wherever_it_stands(text: list[int]) -> None:
    batch = [rollout("loop", text), rollout("fine", FINE)]
    assert degenerate_rollouts(batch, max_repeated_tokens=40, max_ngram_size=8, max_filter_rate=1.0) == ["loop"]
