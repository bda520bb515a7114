"""A generator that is given a seed is no unseeded one, whatever it does on the way."""

import random
import sys
from types import FrameType

import numpy as np
import pytest
from numpy.random import RandomState as Generator

from practicum.checks.watch.readers import throws_entropy_away


def caller() -> bool:
    """Stands for what is called from within: looks at the call of the frame around it."""
    frame: FrameType | None = sys._getframe(2)
    return throws_entropy_away(frame)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What is said while NumPy draws the entropy of a new generator."""
    found: list[bool] = []
    draw = random._urandom  # type: ignore[attr-defined]

    def urandom(size: int) -> bytes:
        found.append(throws_entropy_away(sys._getframe(2)))  # beyond SystemRandom.getrandbits
        return bytes(draw(size))

    monkeypatch.setattr(random, "_urandom", urandom)
    return found


def test_a_seeded_random_state_is_told_from_an_unseeded_one(asked: list[bool]) -> None:
    seed = 5
    np.random.RandomState(42)
    np.random.RandomState(seed=seed)
    Generator(
        seed + 1,
    )
    np.random.RandomState()
    np.random.RandomState(None)
    np.random.default_rng()

    assert asked == [True, True, True, False, False, False]


def test_without_a_frame_or_its_source_nothing_is_claimed() -> None:
    assert not throws_entropy_away(None)
    assert not eval(compile("look()", "<nowhere>", "eval"), {"look": caller})
