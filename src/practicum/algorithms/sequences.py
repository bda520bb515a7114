"""From a trajectory to the token sequences it is trained on.

A plain tool loop is one sequence with its action tokens marked; a turn that rewrote history, or a sub-agent's first,
starts another, which later turns extend. Tokens are the ones sampled, in their order, and nothing is added.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from practicum.trajectory import Trajectory, Turn

Aggregation = Literal["token_mean", "sequence_mean", "constant"]

NO_VERSION = -1
"""Version of a token that was not sampled."""


@dataclass(frozen=True)
class TrainingSequence:
    """One sequence of T tokens; every array has length T and speaks of the token at that position."""

    tokens: np.ndarray
    """int64 token ids."""
    mask: np.ndarray
    """float32, 1 where the policy sampled the token."""
    advantages: np.ndarray
    """float32 advantage of the token's turn; 0 on context."""
    logprobs: np.ndarray
    """float32 log-probability under the sampler, nats; 0 on context."""
    versions: np.ndarray
    """int64 policy version that sampled the token; −1 on context."""

    @property
    def n_action_tokens(self) -> int:
        """Number of tokens trained on."""
        return int(np.count_nonzero(self.mask))

    @property
    def oldest_version(self) -> int:
        """Version of the oldest action token: what staleness is measured from."""
        return int(self.versions[self.mask > 0].min())


def training_sequences(trajectory: Trajectory, advantages: Sequence[float] | np.ndarray) -> list[TrainingSequence]:
    """The sequences of one trajectory: one, and one more for each break that left something to train on.

    Sub-agents have sequences of their own: n turns of main agent and sub-agent in alternation are two sequences, and
    every token of both stands in them once.

    Args:
        trajectory: What was sampled.
        advantages: One per turn.

    Raises:
        ValueError: If there is not one advantage per turn, or a sequence begins with a sampled token, whose
            probability nothing in the sequence conditions.
    """
    if len(advantages) != len(trajectory.turns):
        raise ValueError(
            f"trajectory {trajectory.id} has {len(trajectory.turns)} turns but {len(advantages)} advantages"
        )
    runs = [[(trajectory.turns[n], float(advantages[n])) for n in members] for members in trajectory.sequences]
    return [_joined(trajectory.id, run) for run in runs if any(turn.action_ids for turn, _ in run)]


def aggregation_weights(
    sequences: Sequence[TrainingSequence],
    how: Aggregation,
    *,
    length: float | None = None,
    trajectories: Sequence[Hashable] | None = None,
) -> np.ndarray:
    """Weight of each sequence such that Σ weight · (token loss) over the batch is its aggregate loss.

    What the papers call a sequence is a whole answer: here a trajectory, in however many sequences it was cut. With
    N trajectories, of which i sampled T_i tokens in all its sequences together, the weight of each token of i is

    - ``token_mean``: 1 / Σ_j T_j, every action token of the batch the same (DAPO, arXiv 2503.14476);
    - ``sequence_mean``: 1 / (N · T_i), the mean over a trajectory's tokens, then over trajectories (GRPO, arXiv
      2402.03300);
    - ``constant``: 1 / (N · ``length``), so that a long answer's tokens weigh no less than a short one's (Dr. GRPO,
      arXiv 2503.20783).

    Args:
        sequences: The whole batch, however it is cut into micro-batches later.
        how: The aggregation.
        length: For ``constant``: the divisor in tokens, such as the most a rollout may sample.
        trajectories: What tells the trajectory of each sequence, such as its id; None: each sequence is one.

    Returns:
        float64, shape (sequences,).

    Raises:
        ValueError: If ``how`` is unknown, ``length`` is missing, not positive, or given without ``constant``, or there
            is not one trajectory for each sequence.
    """
    if how not in get_args(Aggregation):
        raise ValueError(f"unknown loss_aggregation {how!r}; allowed: {', '.join(get_args(Aggregation))}")
    if (how == "constant") != (length is not None) or (length is not None and length <= 0):
        raise ValueError(f"length must be a positive number with 'constant' and absent otherwise, got {length}")
    owners = range(len(sequences)) if trajectories is None else trajectories
    tokens = Counter[Hashable]()
    for owner, sequence in zip(owners, sequences, strict=True):
        tokens[owner] += sequence.n_action_tokens
    if how == "token_mean":
        return np.full(len(sequences), 1.0 / max(tokens.total(), 1))
    divisors = [float(max(tokens[owner], 1)) if length is None else float(length) for owner in owners]
    return 1.0 / (np.array(divisors) * max(len(tokens), 1))


def _joined(trajectory_id: str, run: Sequence[tuple[Turn, float]]) -> TrainingSequence:
    if not run[0][0].context_ids:
        raise ValueError(f"trajectory {trajectory_id}: a sequence begins with a sampled token; it needs a prompt")
    tokens: list[int] = []
    mask: list[float] = []
    advantages: list[float] = []
    logprobs: list[float] = []
    versions: list[int] = []
    for turn, advantage in run:
        fed, sampled = len(turn.context_ids), len(turn.action_ids)
        tokens += [*turn.context_ids, *turn.action_ids]
        mask += [0.0] * fed + [1.0] * sampled
        advantages += [0.0] * fed + [advantage] * sampled
        logprobs += [0.0] * fed + list(turn.logprobs)
        versions += [NO_VERSION] * fed + list(turn.versions)
    return TrainingSequence(
        tokens=np.array(tokens, dtype=np.int64),
        mask=np.array(mask, dtype=np.float32),
        advantages=np.array(advantages, dtype=np.float32),
        logprobs=np.array(logprobs, dtype=np.float32),
        versions=np.array(versions, dtype=np.int64),
    )
