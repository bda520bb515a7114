"""The learning rate of a foothold: constant, or falling to 0 over all its passes."""

from typing import Any

import numpy as np
import pytest

from practicum.engine.protocol import Datum, StepStats
from practicum.training.foothold import imitate


class RateLearner:
    """Remembers the learning rate of each update."""

    def __init__(self) -> None:
        self.rates = list[float]()

    def reset_optimizer(self) -> None: ...

    def forward_backward(self, data: Any, loss: str, config: Any) -> StepStats:
        return StepStats(0.0, 1)

    def optim_step(self, params: Any) -> dict[str, float]:
        self.rates.append(params.learning_rate)
        return {}

    def evaluate(self, data: Any) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("decay", "rates"), [(False, [1.0, 1.0, 1.0, 1.0]), (True, [1.0, 0.75, 0.5, 0.25])], ids=["constant", "linear"]
)
def test_a_falling_rate_takes_the_last_demonstrations_less_seriously(decay: bool, rates: list[float]) -> None:
    ones = np.ones(3, dtype=np.float32)
    data, learner = [Datum(np.arange(3), ones, ones, ones)] * 4, RateLearner()
    for _ in imitate(learner, data, data, epochs=2, batch_size=2, learning_rate=1.0, seed=0, decay=decay):  # type: ignore[arg-type]
        pass
    assert learner.rates == pytest.approx(rates)
