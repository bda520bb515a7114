"""Playing a public benchmark as an agent does."""

from collections.abc import Callable

import pytest

from played_episode import PlayedEpisode, solved_by_oracle
from practicum.environment import Environment
from practicum.tasks import Task
from practicum.trajectory import Rollout


@pytest.fixture
def begun() -> type[PlayedEpisode]:
    """Begins an episode."""
    return PlayedEpisode


@pytest.fixture
def solved() -> Callable[[Environment, Task], Rollout]:
    """Plays the oracle to the end."""
    return solved_by_oracle
