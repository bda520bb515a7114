"""What a count of successes lets one say: intervals, pass@k, pass^k, paired tests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

Interval = tuple[float, float]


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson, 1927), for independent trials.

    Unlike p ± z·√(p(1−p)/n) it stays within [0, 1] and does not shrink to a point at 0 or n successes. With
    no trials nothing is known: (0, 1). Trials of one task are not independent: see ``bootstrap_interval``.

    Raises:
        ValueError: If the counts are negative, successes exceed trials, or confidence is not in (0, 1).
    """
    _check_counts(successes, trials)
    z = _critical_value(confidence)
    if trials == 0:
        return 0.0, 1.0
    rate, unit = successes / trials, z * z / trials
    centre = (rate + unit / 2) / (1 + unit)
    half = math.sqrt(rate * (1 - rate) * unit + unit * unit / 4) / (1 + unit)
    # At the ends the bound is 0 or 1 exactly; rounding would leave it a hair off.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


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
    ``mcnemar_exact``, or ``bootstrap_interval`` on the differences per task.

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
    discordant = only_first + only_second
    tail = sum(math.comb(discordant, i) for i in range(min(only_first, only_second) + 1))
    return PairedTest(only_first, only_second, min(1.0, 2 * tail / 2**discordant))


def bootstrap_interval(
    by_task: Sequence[Sequence[float]], *, seed: int, resamples: int = 2000, confidence: float = 0.95
) -> Interval:
    """Percentile interval of the mean over tasks of each task's mean, by resampling tasks (Efron 1979).

    Tasks, not rollouts, are drawn: rollouts of one task go together, and treating them as independent would
    make the interval too narrow.

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
