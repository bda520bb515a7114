"""Degenerate rollouts: text that goes round in circles.

A policy on its way to collapse writes the same few tokens until the limit. Such a rollout tells little about the task,
and its many equal tokens weigh heavily in a token mean. The repetition filter leaves it out of its group, where it
teaches nothing, not even to avoid itself; or lets it stay with a reward that the recipe names, which punishes it.

Lists, tables, JSON and code repeat a frame around what differs, and now and then two or five rows are the same: that is
no loop. A loop says the same thing again and again, ``LOOP`` times at least, with nothing new between.
"""

from collections.abc import Sequence

import numpy as np

from practicum.ranges import TOLERANCE
from practicum.trajectory import Trajectory, survivors

LOOP = 10
"""How often an n-gram stands in a row, at least, where text goes round in circles."""


def longest_repetition(tokens: Sequence[int] | np.ndarray, max_ngram_size: int, *, times: int = 2) -> int:
    """Length, in tokens, of the longest stretch that is one n-gram again and again.

    A stretch holds its n-gram at least ``times`` times, the first included, and may end within it: in 5 1 2 1 2 1 7
    the 2-gram 1 2 goes on for five tokens. 0 where nothing repeats so often.

    Args:
        tokens: Token ids.
        max_ngram_size: Longest n-gram that is looked for.
        times: From how many on it counts, at least 2.
    """
    ids, longest = np.asarray(tokens), 0
    for n in range(1, min(max_ngram_size, len(ids) // times) + 1):
        run = _longest_run(ids[n:] == ids[:-n])
        if run >= (times - 1) * n:
            longest = max(longest, run + n)
    return longest


def degenerate_rollouts(
    trajectories: Sequence[Trajectory], *, max_repeated_tokens: int, max_ngram_size: int, max_filter_rate: float
) -> list[str]:
    """Ids of the rollouts that go round in circles, the worst first.

    Args:
        trajectories: The whole batch; those that cannot be trained on are not counted.
        max_repeated_tokens: A rollout goes when one of its turns sampled a longer repetition, of ``LOOP`` times at
            least. Tokens that were fed (prompts, tool results) and what is alike in different turns do not count.
        max_ngram_size: As in ``longest_repetition``.
        max_filter_rate: Largest share of the batch to name; where more are degenerate, those with the longest
            repetitions (of equal ones the earlier rollout's), and the rest is trained on as it is.
    """
    batch = survivors(trajectories)
    repeated = {
        t.id: max(
            longest_repetition(turn.action_ids, max_ngram_size, times=LOOP) for turn in t.turns if turn.action_ids
        )
        for t in batch
    }
    names = [id for id, length in repeated.items() if length > max_repeated_tokens]
    # Not a rounding error below a whole number: 0.29 · 100 is 28.999999999999996.
    most = int(max_filter_rate * len(batch) + TOLERANCE)
    return sorted(names, key=lambda id: -repeated[id])[:most]


def _longest_run(holds: np.ndarray) -> int:
    """Most consecutive True values."""
    breaks = np.flatnonzero(~np.concatenate([[False], holds, [False]]))
    return int(np.diff(breaks).max()) - 1
