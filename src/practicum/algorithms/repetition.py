"""Degenerate rollouts: text that goes round in circles.

A policy on its way to collapse writes the same few tokens until the limit. Such a rollout tells little about the task,
and its many equal tokens weigh heavily in a token mean; the repetition filter leaves it out of its group, as if it had
failed. It then teaches nothing, not even to avoid itself.
"""

from collections.abc import Sequence

import numpy as np

from practicum.trajectory import Trajectory


def longest_repetition(tokens: Sequence[int] | np.ndarray, max_ngram_size: int) -> int:
    """Length, in tokens, of the longest stretch that is one n-gram again and again.

    A stretch holds its n-gram at least twice, the first time included, and may end within it: in 5 1 2 1 2 1 7 the
    2-gram 1 2 goes on for five tokens. 0 where nothing repeats.

    Args:
        tokens: Token ids.
        max_ngram_size: Longest n-gram that is looked for.
    """
    ids, longest = np.asarray(tokens), 0
    for n in range(1, min(max_ngram_size, len(ids) // 2) + 1):
        run = _longest_run(ids[n:] == ids[:-n])
        if run >= n:
            longest = max(longest, run + n)
    return longest


def degenerate_rollouts(
    trajectories: Sequence[Trajectory], *, max_repeated_tokens: int, max_ngram_size: int, max_filter_rate: float
) -> list[str]:
    """Ids of the rollouts to leave out, the worst first.

    Args:
        trajectories: The whole batch; those that failed or sampled nothing are not counted.
        max_repeated_tokens: A rollout goes when one of its turns sampled a longer repetition. Tokens that were fed
            (prompts, tool results) and what is alike in different turns do not count.
        max_ngram_size: As in ``longest_repetition``.
        max_filter_rate: Largest share of the batch to leave out; where more are degenerate, the longest repetitions
            go (of equal ones the earlier rollout's) and the rest is trained on.
    """
    batch = [t for t in trajectories if t.error is None and t.n_action_tokens]
    repeated = {
        t.id: max(longest_repetition(turn.action_ids, max_ngram_size) for turn in t.turns if turn.action_ids)
        for t in batch
    }
    found = [id for id, length in repeated.items() if length > max_repeated_tokens]
    # Not a rounding error below a whole number: 0.29 · 100 is 28.999999999999996.
    most = int(max_filter_rate * len(batch) + 1e-9)
    return sorted(found, key=lambda id: -repeated[id])[:most]


def _longest_run(holds: np.ndarray) -> int:
    """Most consecutive True values."""
    breaks = np.flatnonzero(~np.concatenate([[False], holds, [False]]))
    return int(np.diff(breaks).max()) - 1
