"""The agent's own report in place of a score, where a recipe has neither an environment nor a score."""

from practicum.errors import RolloutError
from practicum.trajectory import Rollout

CAVEAT = "its score is the reward that the agent itself reported"
"""Why an evaluation by it is not independent."""


def reported_reward(rollout: Rollout) -> float:
    """Stands for the reward that the agent server sent; the dispatcher takes that number instead of calling this.

    Raises:
        RolloutError: always: this rollout was not the agent server's.
    """
    raise RolloutError(
        "without a score only the agent server's own rollouts have a number",
        where=f"task {rollout.task.id}",
        fix="give the recipe a score, such as score: judge.py:score",
    )
