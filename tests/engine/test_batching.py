"""How sequences are cut into micro-batches and laid out flat."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from practicum.engine.local.batching import MIN_SHARED, PART_COST, FlatBatch, micro_batches, shared_prefix
from practicum.engine.protocol import Datum


def test_the_shared_prefix_ends_before_any_trained_token_and_leaves_every_row_a_token():
    def datum(tokens, trained_from):
        mask = (np.arange(len(tokens)) >= trained_from).astype(int)
        return Datum(np.array(tokens), mask, np.zeros(len(tokens)), np.zeros(len(tokens)))

    long = list(range(40))
    assert shared_prefix([datum(long, 39), datum(long, 25)]) == 25
    assert shared_prefix([datum(long, 39), datum(long[:30], 29)]) == 29
    assert shared_prefix([datum(long, 39), datum([*long[:20], 99, 99], 21)]) == 20
    assert shared_prefix([datum(long, 39), datum([*long[:15], 99, 99], 16)]) == 0  # not worth it
    assert shared_prefix([datum(long, 30)]) == 0


def test_micro_batches_keep_to_the_budget_the_order_and_one_temperature(random_data):
    data = random_data(1, rows=6) + random_data(1, rows=3, temperature=0.5)
    untrained = replace(data[0], mask=np.zeros_like(data[0].mask))
    parts = list(micro_batches([untrained, *data], 90))
    assert [id(d) for part in parts for d in part] == [id(d) for d in data]
    assert len(parts) > 2
    for part in parts:
        assert len({d.temperature for d in part}) == 1
        shared = shared_prefix(part)
        assert shared + sum(len(d.tokens) - shared for d in part) <= 90 or len(part) == 1


def computed(part):
    """Tokens a part really computes."""
    shared = shared_prefix(part)
    return shared + sum(len(d.tokens) - shared for d in part)


@st.composite
def batches(draw):
    """Groups of sequences that begin alike for a while, by group and all together."""
    data = []
    head = list(range(draw(st.integers(0, 30))))
    for group in range(draw(st.integers(1, 3))):
        prompt = [*head, *([100 + group] * draw(st.integers(1, 25)))]
        for row in range(draw(st.integers(1, 4))):
            tokens = [*prompt, *([200 + row] * draw(st.integers(1, 30)))]
            mask = np.zeros(len(tokens), dtype=np.float32)
            mask[len(prompt) :] = 1
            data.append(Datum(np.array(tokens), mask, mask * row, mask * -0.5))
    return data


@settings(max_examples=100, deadline=None)
@given(data=batches(), budget=st.integers(1, 200))
def test_no_part_exceeds_the_budget_or_should_have_taken_the_next_sequence(data, budget):
    parts = list(micro_batches(data, budget))
    assert [id(d) for part in parts for d in part] == [id(d) for d in data]
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        assert computed(part) <= budget or len(part) == 1
        if following is not None:
            together, apart = computed([*part, following[0]]), computed(part) + len(following[0].tokens)
            assert together > min(budget, apart + PART_COST)


def test_another_prompt_begins_another_part_where_sharing_saves_more_than_room_does():
    def group(mark, prompt=100, answers=8):
        tokens = [*range(20), *([mark] * (prompt - 20))]
        mask = (np.arange(prompt + 10) >= prompt).astype(np.float32)
        zeros = np.zeros(prompt + 10)
        return [Datum(np.array([*tokens, *([200 + n] * 10)]), mask, zeros, zeros) for n in range(answers)]

    data = [*group(98), *group(99)]
    parts = list(micro_batches(data, 100_000))
    assert [len(part) for part in parts] == [8, 8]
    assert sum(map(computed, parts)) == 2 * (100 + 8 * 10)
    few = [*group(98, answers=3), *group(99, answers=3)]  # too little to save
    assert [len(part) for part in micro_batches(few, 100_000)] == [6]


@settings(max_examples=100, deadline=None)
@given(data=batches())
def test_the_flat_batch_holds_every_token_once_and_knows_what_predicts_what(data):
    batch = FlatBatch.of(data, torch.device("cpu"))
    shared = shared_prefix(data)
    assert shared == 0 or shared >= MIN_SHARED
    assert len(batch.tokens) == computed(data)
    at = 0
    for datum, start in zip(data, shared + np.cumsum([0, *(len(d.tokens) - shared for d in data)]), strict=False):
        row = [*batch.tokens[:shared].tolist(), *batch.tokens[start : start + len(datum.tokens) - shared].tolist()]
        assert row == datum.tokens.tolist()
        for place in np.flatnonzero(datum.mask):
            assert batch.target[at] == datum.tokens[place]
            assert batch.tokens[batch.index[at]] == datum.tokens[place - 1]
            assert batch.positions[batch.index[at]] == place - 1
            assert (batch.advantages[at], batch.logprobs[at]) == (datum.advantages[place], datum.logprobs[place])
            at += 1
    assert at == len(batch.target)


def test_a_part_of_one_sequence_and_one_without_trained_tokens(random_data):
    datum = random_data(1, rows=1)[0]
    assert shared_prefix([datum]) == 0
    assert list(micro_batches([replace(datum, mask=np.zeros_like(datum.mask))], 10)) == []


@pytest.mark.parametrize("weight", [0.25, 3.0])
def test_a_sequences_weight_is_that_of_each_of_its_tokens(random_data, weight):
    data = [replace(d, weight=weight) for d in random_data(1)]
    assert set(FlatBatch.of(data, torch.device("cpu")).weight.tolist()) == {weight}
