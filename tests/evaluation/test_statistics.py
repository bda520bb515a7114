import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from practicum.evaluation.statistics import (
    bootstrap_interval,
    clustered_interval,
    difference_interval,
    mcnemar_exact,
    paired_interval,
    paired_test,
    pass_at_k,
    pass_power_k,
    wilson_interval,
)

COUNTS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=150, deadline=None)
@given(counts=COUNTS, confidence=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_agrees_with_scipy(counts: tuple[int, int], confidence: float) -> None:
    expected = stats.binomtest(*counts).proportion_ci(confidence, method="wilson")
    assert wilson_interval(*counts, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_is_exact_at_the_ends_and_knows_nothing_without_trials() -> None:
    assert wilson_interval(0, 17)[0] == 0.0
    assert wilson_interval(17, 17)[1] == 1.0
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5), (1, 0), (0, -1)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="successes ≤ trials"):
        wilson_interval(successes, trials)
    with pytest.raises(ValueError, match="successes ≤ trials"):
        pass_at_k(trials, successes, 1)
    with pytest.raises(ValueError, match="successes ≤ trials"):
        pass_power_k(trials, successes, 1)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, math.nan])
def test_a_confidence_that_is_no_fraction_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        wilson_interval(1, 2, confidence)
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval([[1.0]], seed=0, confidence=confidence)


@pytest.mark.parametrize(
    ("counts", "expected"),
    # Newcombe 1998 (Statistics in Medicine 17:873), table II, method 10.
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 10), (-0.2775, 0.2775)),
        ((10, 10, 0, 10), (0.6075, 1.0)),
    ],
)
def test_difference_agrees_with_the_published_intervals(
    counts: tuple[int, int, int, int], expected: tuple[float, float]
) -> None:
    assert difference_interval(*counts) == pytest.approx(expected, abs=1e-4)


@settings(max_examples=80, deadline=None)
@given(first=COUNTS, second=COUNTS)
def test_difference_is_antisymmetric_and_holds_the_observed_difference(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    low, high = difference_interval(*first, *second)
    assert -1.0 - 1e-12 <= low <= first[0] / first[1] - second[0] / second[1] <= high <= 1.0 + 1e-12
    assert difference_interval(*second, *first) == pytest.approx((-high, -low), abs=1e-12)


def test_a_difference_needs_trials_on_both_sides() -> None:
    with pytest.raises(ValueError, match="at least one trial"):
        difference_interval(0, 0, 1, 2)


@pytest.mark.parametrize("trials", range(1, 8))
def test_pass_at_k_and_pass_power_k_agree_with_enumeration(trials: int) -> None:
    for successes in range(trials + 1):
        outcomes = [True] * successes + [False] * (trials - successes)
        for k in range(1, trials + 1):
            subsets = list(itertools.combinations(outcomes, k))
            assert pass_at_k(trials, successes, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-14)
            assert pass_power_k(trials, successes, k) == pytest.approx(sum(map(all, subsets)) / len(subsets), abs=1e-14)


def test_pass_at_k_and_pass_power_k_stay_stable_for_many_trials() -> None:
    for trials, successes, k in ((10_000, 37, 1000), (5000, 4990, 64), (2000, 1, 2000)):
        n, c = math.comb(trials, k), math.comb(trials - successes, k)
        assert pass_at_k(trials, successes, k) == pytest.approx((n - c) / n, rel=1e-9)
        assert pass_power_k(trials, successes, k) == pytest.approx(math.comb(successes, k) / n, rel=1e-9)


def test_of_one_attempt_both_are_the_success_rate() -> None:
    assert pass_at_k(8, 3, 1) == pytest.approx(3 / 8)
    assert pass_power_k(8, 3, 1) == pytest.approx(3 / 8)


@pytest.mark.parametrize(("trials", "k"), [(4, 5), (4, 0), (4, -1), (0, 1)])
def test_more_attempts_than_were_made_are_refused(trials: int, k: int) -> None:
    for estimator in (pass_at_k, pass_power_k):
        with pytest.raises(ValueError, match="k must lie"):
            estimator(trials, 0, k)


@settings(max_examples=150, deadline=None)
@given(pairs=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=200))
def test_mcnemar_agrees_with_scipys_binomial_test(pairs: list[tuple[bool, bool]]) -> None:
    result = mcnemar_exact([a for a, _ in pairs], [b for _, b in pairs])
    assert result.only_first == pairs.count((True, False))
    assert result.only_second == pairs.count((False, True))
    discordant = result.only_first + result.only_second
    expected = stats.binomtest(result.only_first, discordant, 0.5).pvalue if discordant else 1.0
    assert result.p_value == pytest.approx(expected, rel=1e-9)


def test_mcnemar_is_exact_for_thousands_of_tasks() -> None:
    first, second = [True] * 2100 + [False] * 1900, [False] * 2100 + [True] * 1900
    expected = stats.binomtest(2100, 4000, 0.5).pvalue
    assert mcnemar_exact(first, second).p_value == pytest.approx(expected, rel=1e-9)


def test_mcnemar_needs_the_same_tasks() -> None:
    with pytest.raises(ValueError, match="same tasks"):
        mcnemar_exact([True], [True, False])


OUTCOMES = st.lists(st.booleans(), min_size=1, max_size=60)


def abilities(rng: np.random.Generator, tasks: int, rate: float, correlation: float) -> np.ndarray:
    """Each task's success rate, so that two rollouts of one task correlate so much (beta-binomial)."""
    if not correlation:
        return np.full(tasks, rate)
    size = 1 / correlation - 1
    return rng.beta(rate * size, (1 - rate) * size, tasks)


def played(rng: np.random.Generator, rates: np.ndarray, rollouts: int) -> list[list[bool]]:
    found: list[list[bool]] = (rng.random((len(rates), rollouts)) < rates[:, None]).tolist()
    return found


@given(outcomes=OUTCOMES)
def test_with_one_rollout_per_task_the_clustered_interval_is_wilsons(outcomes: list[bool]) -> None:
    assert clustered_interval([[won] for won in outcomes]) == wilson_interval(sum(outcomes), len(outcomes))


@given(outcomes=OUTCOMES, rollouts=st.integers(2, 8))
def test_rollouts_that_all_end_alike_are_worth_one(outcomes: list[bool], rollouts: int) -> None:
    expected = wilson_interval(sum(outcomes), len(outcomes))
    assert clustered_interval([[won] * rollouts for won in outcomes]) == pytest.approx(expected)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("tasks", [20, 60])
def test_the_clustered_interval_covers_the_truth_however_alike_a_tasks_rollouts_are(
    rate: float, correlation: float, tasks: int
) -> None:
    rng, trials = np.random.default_rng([tasks, int(100 * rate), int(100 * correlation)]), 400
    covered = 0
    for _ in range(trials):
        low, high = clustered_interval(played(rng, abilities(rng, tasks, rate, correlation), 4))
        covered += low <= rate <= high
    assert covered / trials >= 0.93


def test_a_wilson_interval_over_all_rollouts_would_not() -> None:
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        won = sum(map(sum, played(rng, abilities(rng, 60, 0.5, 0.5), 4)))
        low, high = wilson_interval(won, 240)
        covered += low <= 0.5 <= high
    assert covered / 400 < 0.85


def test_the_clustered_interval_takes_tasks_of_any_size_and_none() -> None:
    low, high = clustered_interval([[True] * 3, [False], [True, False], [True] * 5, [False] * 4])
    assert 0 < low < 9 / 15 < high < 1
    assert clustered_interval([]) == (0.0, 1.0)
    with pytest.raises(ValueError, match="at least one rollout"):
        clustered_interval([[True], []])


def test_nothing_and_everything_solved_leave_an_interval() -> None:
    assert clustered_interval([[True] * 4]) == pytest.approx(wilson_interval(1, 1))
    assert clustered_interval([[False] * 4] * 20) == pytest.approx(wilson_interval(0, 20))
    low, high = paired_interval([[False]], [[True]])
    assert low < 0
    assert high == 1.0


@pytest.mark.parametrize(
    ("rate", "correlation", "rollouts"), [(0.3, 0.5, 4), (0.5, 0.2, 4), (0.8, 0.5, 4), (0.3, 0.5, 1)]
)
def test_the_paired_interval_covers_a_true_gain_and_the_paired_test_is_as_rare_as_it_says(
    rate: float, correlation: float, rollouts: int
) -> None:
    rng, trials = np.random.default_rng(5), 300
    covered, surprised = 0, 0
    for _ in range(trials):
        able = abilities(rng, 50, rate, correlation)
        before, after, same = (played(rng, rates, rollouts) for rates in (able, able + 0.3 * (1 - able), able))
        low, high = paired_interval(before, after)
        covered += low <= 0.3 * (1 - rate) <= high
        surprised += paired_test(before, same) < 0.05
    assert covered / trials >= 0.91
    assert surprised / trials <= 0.07


@settings(max_examples=100, deadline=None)
@given(pairs=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=80))
def test_with_one_rollout_per_task_the_paired_test_is_mcnemars(pairs: list[tuple[bool, bool]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    expected = mcnemar_exact(first, second).p_value
    assert paired_test([[a] for a in first], [[b] for b in second]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("sizes", [(4, 4), (2, 3)])
def test_the_paired_test_is_the_share_of_signs_whose_sum_is_as_far_from_0(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    first, second = (played(rng, rng.random(7), size) for size in sizes)
    gains = [np.mean(b) - np.mean(a) for a, b in zip(first, second, strict=True)]
    sums = [abs(np.dot(signs, gains)) for signs in itertools.product((-1, 1), repeat=7)]
    assert paired_test(first, second) == pytest.approx(np.mean([s >= abs(sum(gains)) - 1e-9 for s in sums]))


def test_paired_comparisons_need_the_same_tasks_and_know_nothing_without_any() -> None:
    for function in (paired_interval, paired_test):
        with pytest.raises(ValueError, match="same tasks"):
            function([[True]], [])
    assert paired_interval([], []) == (-1.0, 1.0)
    assert paired_test([], []) == 1.0
    with pytest.raises(ValueError, match="at least one rollout"):
        paired_test([[True]], [[]])


def test_bootstrap_repeats_with_its_seed_and_only_with_it() -> None:
    scores = np.random.default_rng(0).random((30, 4)).tolist()
    assert bootstrap_interval(scores, seed=1) == bootstrap_interval(scores, seed=1)
    assert bootstrap_interval(scores, seed=1) != bootstrap_interval(scores, seed=2)


def test_bootstrap_agrees_with_scipys() -> None:
    scores = np.random.default_rng(0).normal(size=(60, 3))
    expected = stats.bootstrap(
        (scores.mean(axis=1),), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    ours = bootstrap_interval(scores.tolist(), seed=0, resamples=4000)
    assert ours == pytest.approx((expected.low, expected.high), abs=0.015)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(200):
        abilities = rng.random(40)
        scores = (rng.random((40, 4)) < abilities[:, None]).astype(float)
        low, high = bootstrap_interval(scores.tolist(), seed=trial, resamples=300)
        covered += low <= 0.5 <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_rollouts_of_one_task_do_not_narrow_the_interval() -> None:
    scores = [[float(task % 2)] for task in range(20)]
    repeated = [values * 10 for values in scores]
    assert bootstrap_interval(repeated, seed=5) == bootstrap_interval(scores, seed=5)


def test_every_task_counts_once_however_many_rollouts_it_has() -> None:
    assert bootstrap_interval([[0.0] * 99 + [1.0]] * 3, seed=0) == pytest.approx((0.01, 0.01))
    low, high = bootstrap_interval([[0.0] * 50, [1.0]], seed=0)
    assert (low, high) == (0.0, 1.0)


@pytest.mark.parametrize("by_task", [[], [[]], [[1.0], []], [[math.nan]], [[math.inf], [0.0]]])
def test_bootstrap_refuses_missing_and_infinite_values(by_task: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"at least one|finite"):
        bootstrap_interval(by_task, seed=0)


def test_bootstrap_refuses_no_resamples() -> None:
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_interval([[1.0]], seed=0, resamples=0)
