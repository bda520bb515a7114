"""Agents that fail as a test wants, in this process and behind HTTP."""

from collections import Counter

from starlette.responses import JSONResponse

from practicum.engine.protocol import SamplingParams
from practicum.rollout.agents import Episode
from practicum.rollout.dispatcher import RolloutRequest
from practicum.tasks import Task
from practicum.trajectory import EnvironmentRef

REF = EnvironmentRef("e", "1", "d")
PARAMS = SamplingParams(max_tokens=24)
HELLO = [{"role": "user", "content": "prompt"}]


def requests(count):
    return [RolloutRequest(f"step-1/t{i}/0", f"g{i // 4}", Task(f"t{i}", f"prompt {i}"), seed=i) for i in range(count)]


class Playing:
    """An agent that asks once, then does what a test wants with the answer."""

    def __init__(self, then, in_process=True):
        self.then, self.in_process, self.played = then, in_process, Counter()

    async def run(self, session, task, seed, keep=None):
        self.played[task.id] += 1
        result = await session.chat([{"role": "user", "content": task.prompt}])
        self.then(result, task)
        return Episode("final")


async def finish(post, reward=1.0):
    await post("/complete-rollout", Status="ready")
    await post("/update-reward", Rewards=[reward])
    return JSONResponse({"status": "done"})
