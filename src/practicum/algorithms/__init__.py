"""From rewards to what is trained on: advantages, losses, repetition; functions on arrays and tensors."""

from practicum.algorithms.advantages import ESTIMATORS, TrajectoryRewards, compute_advantages
from practicum.algorithms.losses import LOSSES, TrainingSequence, policy_loss, training_sequences

__all__ = [
    "ESTIMATORS",
    "LOSSES",
    "TrainingSequence",
    "TrajectoryRewards",
    "compute_advantages",
    "policy_loss",
    "training_sequences",
]
