"""How often intervals over several rollouts of a task hold the truth: ``python benchmarks/coverage.py`` (a minute).

Simulated evaluations: tasks with success rates of their own (beta-binomial), whose rollouts so correlate more or less.
Prints, for each true rate and correlation, in which share of evaluations the 95% interval of ``practicum eval`` holds
the true rate, and in which share Wilson's over all rollouts does.
"""

import argparse

import numpy as np

from practicum.evaluation.statistics import clustered_interval, wilson_interval

RATES, CORRELATIONS = (0.1, 0.3, 0.5, 0.8), (0.0, 0.2, 0.5, 0.8, 1.0)
ROLLOUTS = 4


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[20, 60])
    parser.add_argument("--trials", type=int, default=1000)
    asked = parser.parse_args()
    print(f"{ROLLOUTS} rollouts of each task, {asked.trials} evaluations a line")
    print(f"{'tasks':>5} {'rate':>5} {'correlation':>11} {'eval':>6} {'Wilson':>6}")
    lows = []
    for tasks in asked.tasks:
        for rate in RATES:
            for correlation in CORRELATIONS:
                ours, wilson = covered(tasks, rate, correlation, asked.trials)
                lows.append((ours, wilson))
                print(f"{tasks:5} {rate:5} {correlation:11} {ours:6.3f} {wilson:6.3f}", flush=True)
    ours, wilson = map(min, zip(*lows, strict=True))
    print(f"least: eval {ours:.3f}, Wilson {wilson:.3f}")


def covered(tasks: int, rate: float, correlation: float, trials: int) -> tuple[float, float]:
    """Shares of evaluations whose interval holds the true rate: ours, and Wilson's over all rollouts."""
    rng = np.random.default_rng([tasks, int(100 * rate), int(100 * correlation)])
    ours = wilson = 0
    for _ in range(trials):
        outcomes = rng.random((tasks, ROLLOUTS)) < abilities(rng, tasks, rate, correlation)[:, None]
        low, high = clustered_interval(outcomes.tolist())
        ours += low <= rate <= high
        low, high = wilson_interval(int(outcomes.sum()), outcomes.size)
        wilson += low <= rate <= high
    return ours / trials, wilson / trials


def abilities(rng: np.random.Generator, tasks: int, rate: float, correlation: float) -> np.ndarray:
    """Each task's success rate, so that two of its rollouts correlate so much."""
    if correlation in (0.0, 1.0):
        return (rng.random(tasks) < rate).astype(float) if correlation else np.full(tasks, rate)
    size = 1 / correlation - 1
    return rng.beta(rate * size, (1 - rate) * size, tasks)


if __name__ == "__main__":
    main()
