"""Each estimator against its paper's formula, written here with plain loops over Python floats."""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from practicum.algorithms.advantages import EPSILON, ESTIMATORS, compute_advantages
from practicum.algorithms.advantages import TrajectoryRewards as Rewards

METHODS = tuple(ESTIMATORS)
GROUP_METHODS: tuple[str, ...] = (
    "group_based",
    "group_based_per_turn",
    "rloo",
    "opo",
    "grpo_passk",
    "gpg",
    "max_rl",
)
WHITENED: tuple[str, ...] = ("monte_carlo", "reinforce_pp", "reinforce_pp_baseline")
Batch = list[list[Rewards]]
Nested = list[list[list[float]]]


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def std(values: list[float], lost: int = 0) -> float:
    centre = mean(values)
    return math.sqrt(math.fsum((v - centre) ** 2 for v in values) / max(len(values) - lost, 1))


def returns_by_definition(member: Rewards, gamma: float) -> list[float]:
    turns = len(member.action_tokens)
    earned = [0.0] * (turns - 1) + [member.rewards[0]] if len(member.rewards) == 1 else list(member.rewards)
    return [sum(gamma ** (k - t) * earned[k] for k in range(t, turns)) for t in range(turns)]


def repeat(batch: Batch, scalars: list[list[float]]) -> Nested:
    return [
        [[scalars[g][i]] * len(member.action_tokens) for i, member in enumerate(group)] for g, group in enumerate(batch)
    ]


def reference_group_based(batch: Batch, normalize: bool, _: float) -> Nested:
    scalars = []
    for group in batch:
        rewards = [sum(member.rewards) for member in group]
        divisor = std(rewards) + EPSILON if normalize else 1.0
        scalars.append([(r - mean(rewards)) / divisor for r in rewards])
    return repeat(batch, scalars)


def reference_group_based_per_turn(batch: Batch, normalize: bool, gamma: float) -> Nested:
    result = []
    for group in batch:
        returns = [returns_by_definition(member, gamma) for member in group]
        out = []
        for own in returns:
            advantages = []
            for t, value in enumerate(own):
                reached = [other[t] for other in returns if t < len(other)]
                if len(reached) == 1:  # compared with how all the others ended
                    reached += [other[-1] for other in returns if other is not own and other]
                divisor = std(reached) + EPSILON if normalize else 1.0
                advantages.append((value - mean(reached)) / divisor)
            out.append(advantages)
        result.append(out)
    return result


def reference_rloo(batch: Batch, _: bool, __: float) -> Nested:
    scalars = []
    for group in batch:
        rewards = [sum(member.rewards) for member in group]
        others = [rewards[:i] + rewards[i + 1 :] for i in range(len(rewards))]
        scalars.append([r - mean(o) if o else 0.0 for r, o in zip(rewards, others, strict=True)])
    return repeat(batch, scalars)


def reference_opo(batch: Batch, _: bool, __: float) -> Nested:
    scalars = []
    for group in batch:
        lengths = [sum(member.action_tokens) for member in group]
        rewards = [sum(member.rewards) for member in group]
        baseline = sum(n * r for n, r in zip(lengths, rewards, strict=True)) / sum(lengths)
        scalars.append([r - baseline for r in rewards])
    return repeat(batch, scalars)


def reference_grpo_passk(batch: Batch, normalize: bool, _: float) -> Nested:
    scalars = []
    for group in batch:
        rewards = [sum(member.rewards) for member in group]
        out = [0.0] * len(rewards)
        if len(rewards) > 1:
            best = max(range(len(rewards)), key=rewards.__getitem__)
            second = max(rewards[:best] + rewards[best + 1 :])
            out[best] = (rewards[best] - second) / (std(rewards) + EPSILON if normalize else 1.0)
        scalars.append(out)
    return repeat(batch, scalars)


def reference_gpg(batch: Batch, normalize: bool, gamma: float) -> Nested:
    every = [sum(member.rewards) for group in batch for member in group]
    nonzero = sum(r != 0 for r in every)
    alpha = len(every) / nonzero if nonzero else 0.0
    plain = reference_group_based(batch, normalize, gamma)
    return [[[alpha * a for a in turns] for turns in group] for group in plain]


def reference_max_rl(batch: Batch, _: bool, __: float) -> Nested:
    scalars = []
    for group in batch:
        rewards = [sum(member.rewards) for member in group]
        level = mean(rewards) - min(0.0, *rewards)
        scalars.append([(r - mean(rewards)) / level if level else 0.0 for r in rewards])
    return repeat(batch, scalars)


def whitened(batch: Batch, values: Nested, normalize: bool) -> Nested:
    """Repeat each turn's value once per action token, then take plain statistics of that list."""
    tokens = [
        values[g][i][t]
        for g, group in enumerate(batch)
        for i, member in enumerate(group)
        for t, length in enumerate(member.action_tokens)
        for _ in range(length)
    ]
    divisor = std(tokens) + EPSILON if normalize else 1.0
    return [[[(v - mean(tokens)) / divisor for v in turns] for turns in group] for group in values]


def reference_reinforce_pp(batch: Batch, normalize: bool, gamma: float) -> Nested:
    return whitened(batch, [[returns_by_definition(m, gamma) for m in group] for group in batch], normalize)


def reference_reinforce_pp_baseline(batch: Batch, normalize: bool, gamma: float) -> Nested:
    return whitened(batch, reference_group_based(batch, False, gamma), normalize)


def reference_monte_carlo(batch: Batch, normalize: bool, gamma: float) -> Nested:
    returns = [[returns_by_definition(m, gamma) for m in group] for group in batch]
    if not normalize:
        return returns
    trajectories = [turns for group in returns for turns in group]
    centre = mean([mean(turns) for turns in trajectories])
    spread = math.sqrt(mean([mean([(v - centre) ** 2 for v in turns]) for turns in trajectories]))
    return [[[(v - centre) / (spread + EPSILON) for v in turns] for turns in group] for group in returns]


REFERENCES: dict[str, Callable[[Batch, bool, float], Nested]] = {
    "monte_carlo": reference_monte_carlo,
    "group_based": reference_group_based,
    "group_based_per_turn": reference_group_based_per_turn,
    "rloo": reference_rloo,
    "reinforce_pp": reference_reinforce_pp,
    "reinforce_pp_baseline": reference_reinforce_pp_baseline,
    "opo": reference_opo,
    "grpo_passk": reference_grpo_passk,
    "gpg": reference_gpg,
    "max_rl": reference_max_rl,
}


@st.composite
def trajectories(draw: st.DrawFn) -> Rewards:
    # On a grid of 1/64 sums are exact: equal means equal here and in the reference.
    reward = st.integers(-256, 256).map(lambda n: n / 64)
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))
    per_turn = draw(st.booleans())
    count = len(lengths) if per_turn else 1
    return Rewards(tuple(draw(reward) for _ in range(count)), tuple(lengths))


BATCHES = st.lists(st.lists(trajectories(), min_size=1, max_size=8), min_size=1, max_size=4)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60, deadline=None)
@given(batch=BATCHES, normalize=st.booleans(), gamma=st.sampled_from([0.0, 0.5, 1.0]))
def test_agrees_with_the_papers_formula(method: str, batch: Batch, normalize: bool, gamma: float) -> None:
    ours = compute_advantages(method, batch, normalize=normalize, gamma=gamma)
    reference = REFERENCES[method](batch, normalize, gamma)
    assert [len(group) for group in ours] == [len(group) for group in batch]
    for group, expected_group in zip(ours, reference, strict=True):
        for advantages, expected in zip(group, expected_group, strict=True):
            assert advantages.dtype == np.float64
            # Rounding of the reference, over ε: 1e-15 / 1e-6.
            np.testing.assert_allclose(advantages, expected, rtol=1e-7, atol=1e-8)


def singles(*rewards: float, lengths: tuple[int, ...] | None = None) -> list[Rewards]:
    lengths = lengths or tuple(range(1, len(rewards) + 1))
    return [Rewards((reward,), (length,)) for reward, length in zip(rewards, lengths, strict=True)]


def scalars(method: str, group: list[Rewards], normalize: bool = True) -> list[float]:
    (advantages,) = compute_advantages(method, [group], normalize=normalize)
    return [float(turns[0]) for turns in advantages]


@pytest.mark.parametrize(
    ("method", "normalize", "expected"),
    [
        ("group_based", True, [math.sqrt(3), *[-1 / math.sqrt(3)] * 3]),
        ("group_based", False, [0.75, -0.25, -0.25, -0.25]),
        ("rloo", True, [1.0, -1 / 3, -1 / 3, -1 / 3]),
        ("opo", True, [0.9, -0.1, -0.1, -0.1]),
        ("grpo_passk", False, [1.0, 0.0, 0.0, 0.0]),
        ("gpg", False, [3.0, -1.0, -1.0, -1.0]),
        ("max_rl", True, [3.0, -1.0, -1.0, -1.0]),
        ("monte_carlo", False, [1.0, 0.0, 0.0, 0.0]),
        ("monte_carlo", True, [math.sqrt(3), *[-1 / math.sqrt(3)] * 3]),
        ("reinforce_pp", True, [3.0, -1 / 3, -1 / 3, -1 / 3]),
    ],
)
def test_one_success_in_four(method: str, normalize: bool, expected: list[float]) -> None:
    group = singles(1.0, 0.0, 0.0, 0.0, lengths=(1, 2, 3, 4))
    np.testing.assert_allclose(scalars(method, group, normalize), expected, rtol=1e-5)


@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, -0.3, 1e9, 1e200, 1e-300])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("method", GROUP_METHODS)
def test_a_group_of_equal_rewards_has_exactly_no_advantage(
    method: str, normalize: bool, size: int, reward: float
) -> None:
    assert scalars(method, singles(*[reward] * size), normalize) == [0.0] * size


@pytest.mark.parametrize("reward", [0.0, 0.1, 1e9])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("method", WHITENED)
def test_a_batch_of_equal_rewards_has_exactly_no_advantage_once_whitened(method: str, size: int, reward: float) -> None:
    assert scalars(method, singles(*[reward] * size)) == [0.0] * size


@pytest.mark.parametrize("method", [*GROUP_METHODS, "reinforce_pp_baseline"])
def test_rounding_in_a_sum_of_turn_rewards_is_not_a_difference(method: str) -> None:
    by_turns, at_the_end = Rewards((0.1, 0.2), (4, 4)), Rewards((0.3,), (8,))
    assert by_turns.total != at_the_end.total
    group = [by_turns, at_the_end]
    advantages = compute_advantages(method, [group], gamma=1.0)[0]
    assert [turns[0] for turns in advantages] == [0.0, 0.0]


@pytest.mark.parametrize("size", [1e-200, 1e-9, 1e12, 1e200])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_huge_and_tiny_rewards_stay_finite(method: str, normalize: bool, size: float) -> None:
    values = scalars(method, singles(size, -size, 0.0, size / 2), normalize)
    assert np.isfinite(values).all()
    assert values[0] > 0 or (method == "grpo_passk" and values[1] == 0)


@pytest.mark.parametrize("size", [1e12, 1e200])
@pytest.mark.parametrize("method", ["monte_carlo", "group_based", "grpo_passk"])
def test_normalized_advantages_do_not_depend_on_the_size_of_the_reward(method: str, size: float) -> None:
    shape = np.array([1.0, -1.0, 0.0, 0.5])
    large, small = (scalars(method, singles(*(shape * s))) for s in (size, 1.0))
    np.testing.assert_allclose(large, small, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_empty_batches_and_groups_keep_their_shape(method: str) -> None:
    assert compute_advantages(method, []) == []
    assert compute_advantages(method, [[], []]) == [[], []]
    mixed = compute_advantages(method, [[], singles(1.0, 0.0)])
    assert [len(group) for group in mixed] == [0, 2]


@pytest.mark.parametrize("method", METHODS)
def test_trajectories_that_sampled_nothing_keep_the_others_finite(method: str) -> None:
    group = [Rewards((1.0,), (0,)), Rewards((0.0,), (0, 0)), Rewards((0.5,), ())]
    advantages = compute_advantages(method, [group])[0]
    assert [len(turns) for turns in advantages] == [1, 2, 0]
    assert all(np.isfinite(turns).all() for turns in advantages)


def test_a_turn_only_one_member_reached_is_compared_with_how_the_others_ended() -> None:
    group = [Rewards((1.0, 5.0), (1, 1)), Rewards((2.0,), (1,))]
    advantages = compute_advantages("group_based_per_turn", [group], normalize=False)[0]
    np.testing.assert_array_equal(advantages[0], [2.0, 1.5])
    np.testing.assert_array_equal(advantages[1], [-2.0])


@pytest.mark.parametrize(("short", "long"), [(1.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("normalize", [True, False])
def test_a_lone_long_loser_is_punished_and_a_lone_long_winner_encouraged_at_every_turn(
    short: float, long: float, normalize: bool
) -> None:
    group = [Rewards((short,), (3, 3)), Rewards((short,), (3,)), Rewards((long,), (3,) * 5)]
    *_, lone = compute_advantages("group_based_per_turn", [group], normalize=normalize)[0]
    *_, whole = compute_advantages("group_based", [group], normalize=normalize)[0]
    assert (np.sign(lone) == np.sign(long - short)).all()
    # Where nobody else went on, it is the comparison of whole trajectories.
    np.testing.assert_allclose(lone[2:], whole[2:], rtol=1e-12)


def test_equally_long_members_with_one_reward_at_the_end_are_compared_per_turn_as_they_are_as_a_whole() -> None:
    group = [Rewards((reward,), (2, 2, 2)) for reward in (1.0, 0.25, 0.0)]
    per_turn, whole = (compute_advantages(method, [group]) for method in ("group_based_per_turn", "group_based"))
    np.testing.assert_allclose(per_turn, whole, rtol=1e-12)


def test_a_lone_turn_is_silent_where_there_is_nobody_or_nothing_to_be_told_apart_from() -> None:
    for group in ([Rewards((1.0,), (1, 1))], [Rewards((1.0,), (1, 1)), Rewards((1.0,), (1,)), Rewards((0.0,), ())]):
        first, *_ = compute_advantages("group_based_per_turn", [group])[0]
        np.testing.assert_array_equal(first, [0.0, 0.0])


@pytest.mark.parametrize("size", [2, 4, 8])
@pytest.mark.parametrize("method", ["group_based", "group_based_per_turn", "grpo_passk", "gpg", "monte_carlo"])
def test_a_samples_standard_deviation_makes_advantages_smaller_by_a_factor_of_the_size(method: str, size: int) -> None:
    group = singles(1.0, *[0.0] * (size - 1), lengths=(3,) * size)
    (population,), (sample,) = (
        compute_advantages(method, [group], deviation=name) for name in ("population", "sample")
    )
    np.testing.assert_allclose(np.array(sample), np.array(population) * math.sqrt((size - 1) / size), rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(batch=BATCHES)
def test_a_samples_standard_deviation_agrees_with_its_formula(batch: Batch) -> None:
    for group, advantages in zip(batch, compute_advantages("group_based", batch, deviation="sample"), strict=True):
        rewards = [sum(member.rewards) for member in group]
        divisor = std(rewards, lost=1) + EPSILON
        for turns, reward in zip(advantages, rewards, strict=True):
            np.testing.assert_allclose(turns, (reward - mean(rewards)) / divisor, rtol=1e-7, atol=1e-8)


def test_whitening_with_a_samples_standard_deviation_counts_tokens() -> None:
    batch = [singles(1.0, 0.0, lengths=(1, 3))]
    tokens = [1.0, 0.0, 0.0, 0.0]
    (advantages,) = compute_advantages("reinforce_pp", batch, deviation="sample")
    np.testing.assert_allclose(np.concatenate(advantages), np.array([0.75, -0.25]) / std(tokens, lost=1), rtol=1e-5)


def test_of_two_members_that_are_left_any_difference_is_one_up_and_one_down() -> None:
    for gap in (1.0, 0.01):
        np.testing.assert_allclose(scalars("group_based", singles(0.5 + gap, 0.5)), [1.0, -1.0], rtol=1e-3)
        np.testing.assert_allclose(
            scalars("group_based", singles(0.5 + gap, 0.5), normalize=False), [gap / 2, -gap / 2]
        )


def test_an_unknown_deviation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'unbiased'.*population"):
        compute_advantages("group_based", [], deviation=cast(Any, "unbiased"))


def test_equal_groups_among_equally_long_trajectories_have_no_advantage_after_whitening() -> None:
    batch = [singles(*rewards, lengths=(7,) * len(rewards)) for rewards in ([0.1, 0.2, 0.6], [0.3] * 3, [0.7])]
    advantages = compute_advantages("reinforce_pp_baseline", batch)
    assert [float(turns[0]) for group in advantages[1:] for turns in group] == [0.0] * 4


def test_a_tie_for_the_best_leaves_passk_nothing() -> None:
    assert scalars("grpo_passk", singles(1.0, 1.0, 0.0)) == [0.0, 0.0, 0.0]
    assert scalars("grpo_passk", singles(0.1 + 0.2, 0.3, 0.0)) == [0.0, 0.0, 0.0]  # but for rounding


@settings(max_examples=50, deadline=None)
@given(batch=BATCHES)
def test_other_groups_do_not_matter_to_a_group_method(batch: Batch) -> None:
    for method in ("group_based", "group_based_per_turn", "rloo", "opo", "grpo_passk", "max_rl"):
        together = compute_advantages(method, batch)
        for group, advantages in zip(batch, together, strict=True):
            alone = compute_advantages(method, [group])[0]
            for one, other in zip(alone, advantages, strict=True):
                np.testing.assert_array_equal(one, other)


def test_max_rl_counts_from_the_lowest_reward_where_that_is_negative() -> None:
    assert scalars("max_rl", singles(1.0, -1.0, 0.0, 0.0)) == [1.0, -1.0, 0.0, 0.0]
    assert scalars("max_rl", singles(0.0, 0.0, -0.5, -0.5)) == [1.0, 1.0, -1.0, -1.0]


@pytest.mark.parametrize("gamma", [-0.1, 1.01, math.nan])
def test_a_discount_out_of_range_is_refused(gamma: float) -> None:
    with pytest.raises(ValueError, match="gamma"):
        compute_advantages("monte_carlo", [], gamma=gamma)


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'grpo'.*group_based"):
        compute_advantages(cast(Any, "grpo"), [])
