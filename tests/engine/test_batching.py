"""How sequences are cut into micro-batches and laid out flat."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from practicum.algorithms.losses import TrainingSequence
from practicum.engine.local.batching import MIN_SHARED, PART_COST, FlatBatch, MicroBatch, Tree, micro_batches


def datum(tokens, trained_from, reward=0.0):
    mask = (np.arange(len(tokens)) >= trained_from).astype(np.float32)
    return TrainingSequence(np.array(tokens), mask, mask * reward, mask * -0.5)


def distinct(data):
    """Tokens of some sequences, what several begin with counted once."""
    return len({tuple(d.tokens[: place + 1]) for d in data for place in range(len(d.tokens))})


def test_what_all_begin_with_is_computed_once_and_leaves_every_sequence_a_token():
    long = list(range(400))
    other = [*range(40), *range(500, 860)]
    assert MicroBatch.of([datum(long, 39), datum(other, 25)]).prefix == 40
    assert MicroBatch.of([datum(long, 39), datum(long[:30], 29)]).computed == 400
    assert MicroBatch.of([datum(long, 39), datum([*long[:15], *other[100:]], 16)]).prefix == 0  # not worth it
    assert MicroBatch.of([datum(long, 30)]).prefix == 0


def test_what_was_sampled_alike_is_computed_once_too():
    trunk = [*range(60), *range(200, 230)]
    group = [datum([*trunk, 300 + n % 3, *range(310, 318)], 60) for n in range(8)]
    assert MicroBatch.of(group).computed == 90 + 3 * 9


def test_long_sequences_that_part_early_do_not_look_past_each_other():
    early = [datum([*range(100), *[1000 + n] * 3000], 100) for n in range(3)]
    part = MicroBatch.of(early)
    assert (part.trees, part.prefix) == (((0,), (1,), (2,)), 100)


def test_micro_batches_keep_to_the_budget_the_order_and_one_temperature(random_data):
    data = random_data(1, rows=6) + random_data(1, rows=3, temperature=0.5)
    untrained = replace(data[0], mask=np.zeros_like(data[0].mask))
    parts = list(micro_batches([untrained, *data], 90))
    assert [id(d) for part in parts for d in part] == [id(d) for d in data]
    assert len(parts) > 2
    for part in parts:
        assert len({d.temperature for d in part}) == 1
        assert MicroBatch.of(part).computed <= 90 or len(part) == 1


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
            data.append(TrainingSequence(np.array(tokens), mask, mask * row, mask * -0.5))
    return data


@settings(max_examples=100, deadline=None)
@given(data=batches(), budget=st.integers(1, 200))
def test_no_part_exceeds_the_budget_or_should_have_taken_the_next_sequence(data, budget):
    parts = list(micro_batches(data, budget))
    assert [id(d) for part in parts for d in part] == [id(d) for d in data]
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        computed = MicroBatch.of(part).computed
        assert computed <= budget or len(part) == 1
        if following is not None:
            together, apart = MicroBatch.of([*part, following[0]]).computed, computed + len(following[0].tokens)
            assert together > min(budget, apart + PART_COST)


def test_tasks_share_what_all_begin_with_and_each_what_its_own_rollouts_do():
    def group(mark):
        return [datum([*range(20), *([mark] * 80), *([200 + n] * 10)], 100) for n in range(8)]

    data = [*group(98), *group(99)]
    (part,) = micro_batches(data, 100_000)
    assert MicroBatch.of(part).computed == 20 + 2 * (80 + 8 * 10)


def test_another_prompt_begins_another_part_where_sharing_saves_more_than_room_does():
    def group(mark):
        return [datum([*range(20), *([mark] * 2000), *([200 + n] * 3000)], 2020) for n in range(4)]

    data = [*group(98), *group(99)]
    assert [len(part) for part in micro_batches(data, 100_000)] == [4, 4]


@settings(max_examples=100, deadline=None)
@given(data=batches())
def test_the_flat_batch_holds_what_sequences_share_once_and_knows_what_predicts_what(data):
    batch, part = FlatBatch.of(data, torch.device("cpu")), MicroBatch.of(data)
    assert part.prefix == 0 or part.prefix >= MIN_SHARED
    assert len(batch.tokens) == part.computed >= distinct(data)
    at = 0
    for sequence in data:
        for place in np.flatnonzero(sequence.mask):
            assert batch.target[at] == sequence.tokens[place]
            assert batch.tokens[batch.index[at]] == sequence.tokens[place - 1]
            assert batch.positions[batch.index[at]] == place - 1
            assert (batch.advantages[at], batch.logprobs[at]) == (sequence.advantages[place], sequence.logprobs[place])
            at += 1
    assert at == len(batch.target)


@settings(max_examples=100, deadline=None)
@given(data=batches())
def test_a_token_of_a_tree_follows_the_tokens_of_its_own_sequence_alone(data):
    tree = Tree.of(data)
    follows = tree.ancestry(0)
    for sequence, path in zip(data, tree.paths, strict=True):
        assert tree.tokens[path].tolist() == sequence.tokens.tolist()
        assert tree.depths[path].tolist() == list(range(len(path)))
        for place, node in enumerate(path):
            seen = range(node + 1) if follows is None else np.flatnonzero(follows[node]).tolist()
            assert list(seen) == path[: place + 1].tolist()
    assert len(tree.tokens) == distinct(data)


def test_a_part_of_one_sequence_and_one_without_trained_tokens(random_data):
    alone = random_data(1, rows=1)[0]
    assert MicroBatch.of([alone]).computed == len(alone.tokens)
    assert list(micro_batches([replace(alone, mask=np.zeros_like(alone.mask))], 10)) == []


@pytest.mark.parametrize("weight", [0.25, 3.0])
def test_a_sequences_weight_is_that_of_each_of_its_tokens(random_data, weight):
    data = [replace(d, weight=weight) for d in random_data(1)]
    assert set(FlatBatch.of(data, torch.device("cpu")).weight.tolist()) == {weight}
