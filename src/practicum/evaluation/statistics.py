"""What a count of successes lets one say: intervals, pass@k, pass^k, paired tests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

Interval = tuple[float, float]

PRIOR_TASKS = 5
"""Tasks' worth of doubt about how alike one task's rollouts are: few tasks tell it badly, and mostly too low."""


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson, 1927), for independent trials.

    Unlike p ± z·√(p(1−p)/n) it stays within [0, 1] and does not shrink to a point at 0 or n successes. With
    no trials nothing is known: (0, 1). Trials of one task are not independent: see ``clustered_interval``.

    Raises:
        ValueError: If the counts are negative, successes exceed trials, or confidence is not in (0, 1).
    """
    _check_counts(successes, trials)
    z = _critical_value(confidence)
    return _score_interval(successes / trials, trials, z) if trials else (0.0, 1.0)


def clustered_interval(by_task: Sequence[Sequence[bool]], *, confidence: float = 0.95) -> Interval:
    """Interval of the share of successes among all rollouts, where those of one task go together.

    Wilson's interval for as many independent trials as the rollouts are worth: their number over the design effect
    (Kish 1965), the variance between tasks over what independent rollouts would have. It is estimated as for any
    ratio of cluster totals, with Student's t in the place of the normal distribution (Korn and Graubard 1998), drawn
    towards its largest value, where a task's rollouts all end alike, with the weight of ``PRIOR_TASKS`` tasks, and is
    that value where nothing or everything succeeded. With one rollout per task it is ``wilson_interval``.

    Simulated (``benchmarks/coverage.py``), it covers the truth in 0.93 of cases and more for 20 and 60 tasks of 4
    rollouts, whatever the correlation within tasks; a Wilson interval over all rollouts does so in 0.60 to 0.97.

    Args:
        by_task: For each task, whether each of its rollouts succeeded.
        confidence: In (0, 1).

    Raises:
        ValueError: a task has no rollout, or confidence is not in (0, 1).
    """
    z = _critical_value(confidence)
    if not by_task:
        return 0.0, 1.0
    if not all(len(rollouts) for rollouts in by_task):
        raise ValueError("an interval over tasks needs at least one rollout of each task")
    sizes = np.array([len(rollouts) for rollouts in by_task], dtype=np.float64)
    wins = np.array([sum(map(bool, rollouts)) for rollouts in by_task], dtype=np.float64)
    rollouts, rate = float(sizes.sum()), float(wins.sum() / sizes.sum())
    return _score_interval(rate, rollouts / _design_effect(sizes, wins, z), z)


def _design_effect(sizes: np.ndarray, wins: np.ndarray, z: float) -> float:
    """How many times the variance of independent rollouts theirs is: from 1 to a task's (mean) number of rollouts."""
    tasks, rollouts = len(sizes), sizes.sum()
    most = float((sizes**2).sum() / rollouts)
    rate = wins.sum() / rollouts
    if tasks == 1 or rate in (0.0, 1.0):
        return most
    between = tasks / (tasks - 1) * float(((wins - sizes * rate) ** 2).sum()) / rollouts**2
    measured = min(max(between / (rate * (1 - rate) / rollouts), 1.0), most)
    likely = (tasks * measured + PRIOR_TASKS * most) / (tasks + PRIOR_TASKS)
    return min(likely * (_student(z, tasks - 1) / z) ** 2, most)


def _student(z: float, freedom: int) -> float:
    """Student's quantile for the normal one, by Cornish and Fisher's series (Abramowitz and Stegun 26.7.5)."""
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def _score_interval(rate: float, trials: float, z: float) -> Interval:
    unit = z * z / trials
    centre = (rate + unit / 2) / (1 + unit)
    half = math.sqrt(rate * (1 - rate) * unit + unit * unit / 4) / (1 + unit)
    # At the ends the bound is 0 or 1 exactly; rounding would leave it a hair off.
    return (0.0 if rate == 0.0 else centre - half), (1.0 if rate == 1.0 else centre + half)


def difference_interval(
    first_successes: int,
    first_trials: int,
    second_successes: int,
    second_trials: int,
    *,
    confidence: float = 0.95,
) -> Interval:
    """Interval of (first rate − second rate) for two independent samples (Newcombe 1998, method 10).

    Each side's distance combines the Wilson bounds of both. For the same tasks under two models use
    ``paired_interval`` and ``paired_test``.

    Raises:
        ValueError: As ``wilson_interval``, and where a sample is empty: it has no rate.
    """
    if not (first_trials and second_trials):
        raise ValueError(f"both samples need at least one trial, got {first_trials} and {second_trials}")
    low_1, high_1 = wilson_interval(first_successes, first_trials, confidence)
    low_2, high_2 = wilson_interval(second_successes, second_trials, confidence)
    rate_1, rate_2 = first_successes / first_trials, second_successes / second_trials
    difference = rate_1 - rate_2
    return (
        difference - math.hypot(rate_1 - low_1, high_2 - rate_2),
        difference + math.hypot(high_1 - rate_1, rate_2 - low_2),
    )


def pass_at_k(trials: int, successes: int, k: int) -> float:
    """Probability that at least one of k attempts succeeds, unbiased: 1 − C(n−c, k) / C(n, k).

    Chen et al. 2021 (arXiv 2107.03374), by their product, in which no term overflows. Average it over tasks.

    Raises:
        ValueError: If the counts are impossible, or k is not in 1..trials: fewer cannot estimate it.
    """
    _check_k(trials, successes, k)
    failures = trials - successes
    if failures < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / n for n in range(failures + 1, trials + 1))


def pass_power_k(trials: int, successes: int, k: int) -> float:
    """Probability that all of k attempts succeed, unbiased: C(c, k) / C(n, k).

    The "pass^k" of tau-bench (arXiv 2406.12045). Average it over tasks.

    Raises:
        ValueError: As ``pass_at_k``.
    """
    _check_k(trials, successes, k)
    if successes < k:
        return 0.0
    return math.prod((successes - i) / (trials - i) for i in range(k))


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same tasks: where they disagree, and how surprising that is if neither is better."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar_exact(first: Sequence[bool], second: Sequence[bool]) -> PairedTest:
    """Exact two-sided McNemar test (1947): of the tasks only one model solved, is the split a fair coin's?

    Args:
        first: Whether the first model solved each task.
        second: The same for the second model, in the same order.

    Raises:
        ValueError: If the lengths differ.
    """
    if len(first) != len(second):
        raise ValueError(f"a paired test needs the same tasks on both sides, got {len(first)} and {len(second)}")
    only_first = sum(1 for a, b in zip(first, second, strict=True) if a and not b)
    only_second = sum(1 for a, b in zip(first, second, strict=True) if b and not a)
    return PairedTest(only_first, only_second, fair_coin(only_first, only_second))


def fair_coin(heads: int, tails: int) -> float:
    """Exact two-sided p of so many heads and tails of a fair coin (the sign test)."""
    throws = heads + tails
    tail = sum(math.comb(throws, i) for i in range(min(heads, tails) + 1))
    return min(1.0, 2 * tail / 2**throws)


def paired_interval(
    first: Sequence[Sequence[bool]], second: Sequence[Sequence[bool]], *, confidence: float = 0.95
) -> Interval:
    """Interval of (second rate − first rate) of two models on the same tasks (Newcombe 1998, paired, method 10).

    Each side's distance combines the bounds of both ``clustered_interval``s, less what the tasks' shares of successes
    have in common. Unlike a bootstrap it does not shrink to a point where all tasks differ alike, as one task does.

    Args:
        first: For each task, whether each of the first model's rollouts succeeded.
        second: The same of the second model, in the same order.

    Raises:
        ValueError: the numbers of tasks differ, or as ``clustered_interval``.
    """
    if len(first) != len(second):
        raise ValueError(f"a paired comparison needs the same tasks on both sides, got {len(first)} and {len(second)}")
    if not first:
        return -1.0, 1.0
    (low_1, high_1), (low_2, high_2) = (clustered_interval(side, confidence=confidence) for side in (first, second))
    rate_1, rate_2 = (sum(map(sum, side)) / sum(map(len, side)) for side in (first, second))
    shares = np.array([[sum(task) / len(task) for task in side] for side in (first, second)], dtype=np.float64)
    spread = float(np.prod(shares.std(axis=1)))
    # Newcombe's correction: what few tasks seem to have in common is less than it looks.
    shared = float(np.cov(shares, bias=True)[0, 1]) - 1 / (2 * len(first))
    common = min(max(shared, 0.0) / spread, 1.0) if spread else 0.0

    def distance(one: float, other: float) -> float:
        return math.sqrt(max(one**2 - 2 * common * one * other + other**2, 0.0))

    difference = rate_2 - rate_1
    low = difference - distance(rate_2 - low_2, high_1 - rate_1)
    return max(low, -1.0), min(difference + distance(high_2 - rate_2, rate_1 - low_1), 1.0)


def paired_test(first: Sequence[Sequence[bool]], second: Sequence[Sequence[bool]]) -> float:
    """Exact two-sided p of two models on the same tasks: how often would chance part them so far, were they equal?

    If neither is better, each task's difference in successes could as well have the other sign (Fisher 1935); p is the
    share of all assignments of signs whose sum lies as far from 0. With one rollout per task it is McNemar's.

    Args:
        first: For each task, whether each of the first model's rollouts succeeded.
        second: The same of the second model, in the same order.

    Raises:
        ValueError: the numbers of tasks differ, or a task has no rollout.
    """
    if len(first) != len(second):
        raise ValueError(f"a paired test needs the same tasks on both sides, got {len(first)} and {len(second)}")
    if not all(len(rollouts) for side in (first, second) for rollouts in side):
        raise ValueError("a paired test needs at least one rollout of each task")
    pairs = list(zip(first, second, strict=True))
    # Whole numbers: differences of shares over one common denominator.
    unit = math.lcm(*(len(rollouts) for pair in pairs for rollouts in pair)) if pairs else 1
    gains = [sum(b) * (unit // len(b)) - sum(a) * (unit // len(a)) for a, b in pairs]
    sizes = [abs(gain) for gain in gains if gain]
    step = math.gcd(*sizes) or 1
    ways = np.array([1.0])  # of sums −total, …, total
    for size in (size // step for size in sizes):
        ways = (np.pad(ways, (2 * size, 0)) + np.pad(ways, (0, 2 * size))) / 2
    total, far = sum(sizes) // step, abs(sum(gains)) // step
    sums = np.arange(-total, total + 1)
    return min(1.0, float(ways[np.abs(sums) >= far].sum()))


def bootstrap_interval(
    by_task: Sequence[Sequence[float]], *, seed: int, resamples: int = 2000, confidence: float = 0.95
) -> Interval:
    """Percentile interval of the mean over tasks of each task's mean, by resampling tasks (Efron 1979).

    Tasks, not rollouts, are drawn: rollouts of one task go together, and treating them as independent would
    make the interval too narrow. With few tasks it is too narrow all the same, and where all tasks come to the same
    mean it is a point: no interval of a rate near 0 or 1. For successes there is ``clustered_interval``.

    Args:
        by_task: For each task, its rollouts' values (or one difference between two models).
        seed: The same seed gives the same interval.
        resamples: How many times the tasks are drawn.
        confidence: In (0, 1).

    Raises:
        ValueError: If there is no task, a task has no value or one that is not finite, or resamples < 1.
    """
    _critical_value(confidence)
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    if not by_task or not all(len(values) for values in by_task):
        raise ValueError("a bootstrap needs at least one task, and at least one value of each task")
    means = np.array([np.mean(values) for values in by_task], dtype=np.float64)
    if not np.isfinite(means).all():
        raise ValueError("values must be finite numbers")
    rng = np.random.default_rng(seed)
    drawn = np.array([means[rng.integers(len(means), size=len(means))].mean() for _ in range(resamples)])
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _critical_value(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95, got {confidence}")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _check_counts(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"needs 0 ≤ successes ≤ trials, got {successes} of {trials}")


def _check_k(trials: int, successes: int, k: int) -> None:
    _check_counts(successes, trials)
    if not 1 <= k <= trials:
        raise ValueError(f"k must lie between 1 and the {trials} attempts made, got {k}; sample more rollouts")
