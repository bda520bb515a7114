"""LoRA+: the B matrices of an adapter learn at their own rate."""

from typing import Any

import pytest
import torch

from practicum.engine.local.learner import LocalLearner
from practicum.engine.protocol import AdamParams


@pytest.mark.parametrize("ratio", [1.0, 16.0])
def test_the_first_update_of_b_is_larger_by_the_ratio(tiny_policy: Any, random_data: Any, ratio: float) -> None:
    learner = LocalLearner(tiny_policy(), lora_rank=4, lora_plus_lr_ratio=ratio)
    before = learner.snapshot()

    learner.forward_backward(random_data(0), "cross_entropy", {})
    learner.optim_step(AdamParams(1e-3))

    # Adam's first step moves every weight that has a gradient by the learning rate.
    moved = {name: float((after - before[name]).abs().max()) for name, after in learner.snapshot().items()}
    b_moved = [step for name, step in moved.items() if "lora_B" in name]
    assert max(b_moved) == pytest.approx(1e-3 * ratio, rel=0.01)


def test_the_rates_survive_a_checkpoint(tiny_policy: Any, random_data: Any, tmp_path: Any) -> None:
    learners = [LocalLearner(tiny_policy(), lora_rank=4, lora_plus_lr_ratio=8.0) for _ in range(2)]
    learners[0].forward_backward(random_data(0), "cross_entropy", {})
    learners[0].optim_step(AdamParams(1e-3))
    learners[0].save(tmp_path)
    learners[1].load(tmp_path)

    for learner in learners:
        learner.forward_backward(random_data(1), "cross_entropy", {})
        learner.optim_step(AdamParams(1e-3))

    first, second = (learner.snapshot() for learner in learners)
    assert all(torch.equal(first[name], second[name]) for name in first)
