import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from practicum.algorithms.losses import (
    Aggregation,
    TrainingSequence,
    aggregation_weights,
    training_sequences,
)
from practicum.trajectory import EnvironmentRef, Trajectory, Turn


def turn(context: list[int], action: list[int], *, version: int = 0, extends: bool = True) -> Turn:
    return Turn(
        messages=(),
        response={"role": "assistant"},
        context_ids=tuple(context),
        action_ids=tuple(action),
        logprobs=tuple(-token / 8 for token in action),
        versions=(version,) * len(action),
        finish_reason="stop",
        extends=extends,
        break_cause=None if extends else "rewritten_history",
    )


def trajectory(*turns: Turn) -> Trajectory:
    return Trajectory(
        id="t1",
        task_id="task",
        group_id="g",
        seed=0,
        environment=EnvironmentRef("e", "1", "d"),
        turns=turns,
        tool_calls=(),
        ending="final",
        rewards=(1.0,),
    )


def test_turns_that_extend_become_one_sequence_with_the_sampled_tokens_marked() -> None:
    (sequence,) = training_sequences(
        trajectory(turn([1, 2, 3], [4, 5], version=6), turn([7], [8, 9], version=7)), [0.5, -1.0]
    )
    assert sequence.tokens.tolist() == [1, 2, 3, 4, 5, 7, 8, 9]
    assert sequence.mask.tolist() == [0, 0, 0, 1, 1, 0, 1, 1]
    assert sequence.advantages.tolist() == [0, 0, 0, 0.5, 0.5, 0, -1, -1]
    assert sequence.logprobs.tolist() == [0, 0, 0, -0.5, -0.625, 0, -1, -1.125]
    assert sequence.n_action_tokens == 4
    dtypes = [array.dtype for array in vars(sequence).values() if isinstance(array, np.ndarray)]
    assert dtypes == [np.int64, np.float32, np.float32, np.float32]


def test_a_break_starts_a_new_sequence_that_further_turns_extend() -> None:
    turns = (
        turn([1], [2]),
        turn([3], [4]),
        turn([1, 9], [5], extends=False),
        turn([6], [7]),
        turn([8], [8], extends=False),
    )
    sequences = training_sequences(trajectory(*turns), [1, 2, 3, 4, 5])
    assert [s.tokens.tolist() for s in sequences] == [[1, 2, 3, 4], [1, 9, 5, 6, 7], [8, 8]]
    assert [s.advantages[s.mask > 0].tolist() for s in sequences] == [[1, 2], [3, 4], [5]]


def test_turns_of_two_sequences_in_alternation_are_two_sequences() -> None:
    main, sub = {"sequence": 0}, {"sequence": 1}
    turns = [
        replace(turn([1], [2]), **main),
        replace(turn([7], [8], extends=False), **sub),
        replace(turn([3], [4]), **main),
        replace(turn([9], [10]), **sub),
    ]
    sequences = training_sequences(trajectory(*turns), [1, 2, 3, 4])
    assert [s.tokens.tolist() for s in sequences] == [[1, 2, 3, 4], [7, 8, 9, 10]]
    assert [s.advantages[s.mask > 0].tolist() for s in sequences] == [[1, 3], [2, 4]]


def test_the_first_turn_starts_a_sequence_whether_or_not_it_extends() -> None:
    for extends in (True, False):
        (sequence,) = training_sequences(trajectory(turn([1], [2], extends=extends)), [0.0])
        assert sequence.tokens.tolist() == [1, 2]


@pytest.mark.parametrize("context", [[5], []])
def test_a_sequence_that_sampled_nothing_is_not_trained_on(context: list[int]) -> None:
    turns = (turn([1], [2]), turn(context, [], extends=False), turn([3], [4], extends=False))
    sequences = training_sequences(trajectory(*turns), [1, 1, 1])
    assert [s.tokens.tolist() for s in sequences] == [[1, 2], [3, 4]]


def test_a_trajectory_without_turns_has_no_sequence() -> None:
    assert training_sequences(trajectory(), []) == []


def test_a_sampled_token_without_a_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match=r"t1.*sampled token"):
        training_sequences(trajectory(turn([], [2])), [1.0])


def test_advantages_must_match_the_turns() -> None:
    with pytest.raises(ValueError, match="2 turns but 1 advantages"):
        training_sequences(trajectory(turn([1], [2]), turn([3], [4])), [1.0])


TURNS = st.builds(
    turn,
    st.lists(st.integers(0, 999), min_size=1, max_size=6),
    st.lists(st.integers(0, 999), max_size=6),
    version=st.integers(0, 9),
    extends=st.booleans(),
)


@settings(max_examples=80, deadline=None)
@given(turns=st.lists(TURNS, max_size=6))
def test_exactly_the_sampled_tokens_are_trained_on_each_once(turns: list[Turn]) -> None:
    sequences = training_sequences(trajectory(*turns), np.arange(len(turns), dtype=np.float64))
    trained = [
        (int(s.tokens[t]), float(s.logprobs[t]), float(s.advantages[t]))
        for s in sequences
        for t in range(len(s.tokens))
        if s.mask[t]
    ]
    sampled = [
        (token, logprob, float(i))
        for i, turn in enumerate(turns)
        for token, logprob in zip(turn.action_ids, turn.logprobs, strict=True)
    ]
    assert trained == sampled
    breaks = sum(not turn.extends for turn in turns[1:])
    assert len(sequences) <= breaks + 1


def sequence_of(n_action: int, n_context: int = 2) -> TrainingSequence:
    length = n_context + n_action
    mask = np.array([0.0] * n_context + [1.0] * n_action, dtype=np.float32)
    zeros = np.zeros(length, dtype=np.float32)
    return TrainingSequence(np.zeros(length, dtype=np.int64), mask, zeros, zeros)


@pytest.mark.parametrize("how", ["token_mean", "sequence_mean", "constant"])
@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=8), seed=st.integers(0, 1000))
def test_weighted_token_losses_add_up_to_the_aggregate(how: Aggregation, lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    losses = [rng.normal(size=length).tolist() for length in lengths]
    sums = [math.fsum(loss) for loss in losses]
    expected = {
        "token_mean": math.fsum(sums) / sum(lengths),
        "sequence_mean": math.fsum(s / n for s, n in zip(sums, lengths, strict=True)) / len(lengths),
        "constant": math.fsum(s / 64 for s in sums) / len(lengths),
    }[how]
    weights = aggregation_weights([sequence_of(n) for n in lengths], how, length=64 if how == "constant" else None)
    total = math.fsum(w * loss for w, row in zip(weights.tolist(), losses, strict=True) for loss in row)
    assert total == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("how", ["token_mean", "sequence_mean", "constant"])
@settings(max_examples=50, deadline=None)
@given(
    cut=st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=4), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
)
def test_a_trajectory_counts_once_in_however_many_sequences_it_was_cut(
    how: Aggregation, cut: list[list[int]], seed: int
) -> None:
    rng, length = np.random.default_rng(seed), 64 if how == "constant" else None
    owners = [f"t{n}" for n, parts in enumerate(cut) for _ in parts]
    apart = aggregation_weights(
        [sequence_of(part) for parts in cut for part in parts], how, length=length, trajectories=owners
    )
    whole = aggregation_weights([sequence_of(sum(parts)) for parts in cut], how, length=length)
    losses = [rng.normal(size=part).sum() for parts in cut for part in parts]
    joined = [
        sum(loss for loss, owner in zip(losses, owners, strict=True) if owner == f"t{n}") for n in range(len(cut))
    ]
    assert math.fsum(apart * losses) == pytest.approx(math.fsum(whole * joined), abs=1e-12)


def test_the_weight_of_single_sequences_is_the_same_to_the_bit_with_and_without_their_trajectories() -> None:
    sequences = [sequence_of(n) for n in (3, 7, 49)]
    for how in ("token_mean", "sequence_mean"):
        plain = aggregation_weights(sequences, how)
        np.testing.assert_array_equal(plain, aggregation_weights(sequences, how, trajectories=["a", "b", "c"]))


def test_one_trajectory_is_named_for_each_sequence() -> None:
    with pytest.raises(ValueError, match="argument"):
        aggregation_weights([sequence_of(3)] * 2, "token_mean", trajectories=["a"])


@pytest.mark.parametrize("how", ["token_mean", "sequence_mean"])
def test_no_sequences_and_no_tokens_have_finite_weights(how: Aggregation) -> None:
    assert aggregation_weights([], how).shape == (0,)
    assert np.isfinite(aggregation_weights([sequence_of(0)], how)).all()


@pytest.mark.parametrize(("how", "length"), [("constant", None), ("constant", 0), ("token_mean", 64), ("sum", None)])
def test_an_aggregation_that_cannot_be_meant_is_refused(how: Aggregation, length: float | None) -> None:
    with pytest.raises(ValueError, match=r"length|loss_aggregation"):
        aggregation_weights([sequence_of(3)], how, length=length)
