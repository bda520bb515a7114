"""What stands for an environment that only the agent has: an agent server with its own tools and its own reward."""

from typing import NoReturn

from practicum.environment.base import Environment
from practicum.errors import EnvironmentFault

UNCHECKED = "there is no environment here to check: tools and reward are the agent server's own"
"""Why a run in one has no certificate."""


class AgentsOwn(Environment):
    """No tools and no tasks: the agent server brings the former, datasets the latter.

    Its digest says nothing of the agent's code, which nobody here can see.
    """

    id, version = "agents-own", "1"

    def tasks(self, split: str) -> NoReturn:
        """There are none.

        Raises:
            EnvironmentFault: always.
        """
        raise EnvironmentFault(
            f"the recipe has no environment, so split {split!r} needs a dataset",
            fix="set training_dataset, and validation_dataset or test_dataset, in the recipe",
        )
