"""A foothold may be the mean of its last updates' weights, so that the last batch does not decide what is likely."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from practicum.algorithms.losses import TrainingSequence
from practicum.engine.protocol import StepStats
from practicum.training.imitation import imitate


class CountingLearner:
    """One weight: the number of updates so far."""

    def __init__(self) -> None:
        self.weight = torch.zeros(1)

    def reset_optimizer(self) -> None: ...

    def forward_backward(self, data: Any, loss: str, config: Any) -> StepStats:
        return StepStats(0.0, 1)

    def optim_step(self, params: Any) -> dict[str, float]:
        self.weight += 1
        return {}

    def evaluate(self, data: Any) -> float:
        return float(self.weight)

    def snapshot(self) -> dict[str, Tensor]:
        return {"weight": self.weight.clone()}

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        self.weight.copy_(weights["weight"])


@pytest.mark.parametrize(
    ("average", "end"), [(0.0, 6.0), (1 / 6, 6.0), (0.5, 5.0), (1.0, 3.5)], ids=["none", "last", "half", "all"]
)
def test_the_last_share_of_the_updates_is_averaged(average: float, end: float) -> None:
    ones = np.ones(3, dtype=np.float32)
    data, learner = [TrainingSequence(np.arange(3), ones, ones, ones)] * 5, CountingLearner()

    passes = imitate(
        learner,  # type: ignore[arg-type]
        data,
        data,
        epochs=2,
        batch_size=2,
        learning_rate=1.0,
        seed=0,
        average=average,
    )
    held_out = [done.validation_loss for done in passes]

    assert float(learner.weight) == pytest.approx(end)
    assert held_out == pytest.approx([3.0, end])  # measured on what is handed on
