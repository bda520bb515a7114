"""Code of a user's environment that ends the process ends its own rollout, and nothing else."""

import asyncio
import sys

import pytest

from practicum.engine.protocol import SamplingParams
from practicum.environment import Environment, tool
from practicum.errors import EnvironmentFault, RolloutError
from practicum.rollout import dispatcher as dispatcher_module
from practicum.rollout.agents import BuiltinAgent
from practicum.rollout.dispatcher import Dispatcher, Limits, RolloutRequest
from practicum.tasks import Task
from practicum.training.imitation import demonstrate


class Leaving(Environment):
    """Ends the process where its task says."""

    id, version = "leaving", "1"

    def start(self, task):
        self.leave_at("start")

    def leave_at(self, place):
        if self.task.id == place:
            sys.exit(f"no {place}")

    def system_prompt(self, task):
        self.leave_at("prompt")
        return ""

    @tool
    def look(self) -> str:
        """looks"""
        self.leave_at("tool")
        return "seen"

    def next_user(self, answer):
        self.leave_at("user")

    def final_state(self):
        self.leave_at("state")
        return {}

    def oracle(self, task):
        self.leave_at("oracle")
        return "done"


PLACES = ("start", "prompt", "tool", "user", "state")


@pytest.mark.parametrize("in_process", [True, False], ids=["in lock step", "each for itself"])
def test_it_fails_its_rollout_alone(speaker, pythonic, monkeypatch, in_process):
    monkeypatch.setattr(dispatcher_module, "BACKOFF_S", 0.001)
    wanted = [RolloutRequest(place, place, Task(place, "look"), seed=1) for place in (*PLACES, "nowhere")]
    engine = speaker(lambda session, turn, prompt: "Hello." if turn else "[look()]")
    agent = BuiltinAgent(Leaving, in_process=in_process)
    params = SamplingParams(max_tokens=32)
    dispatcher = Dispatcher(engine, pythonic, params, agent, Leaving().ref, lambda rollout: 0.5)
    dispatcher.limits = Limits(retries=0)
    found = asyncio.run(asyncio.wait_for(dispatcher.run(wanted), 30))
    assert [each.ending for each in found] == ["error"] * len(PLACES) + ["final"]
    for place, trajectory in zip(PLACES, found, strict=False):
        assert f"SystemExit: no {place}" in trajectory.error, place
        assert f"{__file__}:" in trajectory.error, place
    assert "tool 'look' raised SystemExit" in found[PLACES.index("tool")].error


def test_a_caller_of_an_environment_gets_an_exception_with_the_line():
    environment = Leaving()
    with pytest.raises(RolloutError, match=r"Leaving\.start raised SystemExit: no start") as failed:
        environment.reset(Task("start", "look"), 1)
    assert failed.value.where.startswith(f"{__file__}:")
    environment.reset(Task("tool", "look"), 1)
    with pytest.raises(RolloutError, match="tool 'look' raised SystemExit: no tool"):
        environment.call("look", {})
    environment.close()


def test_an_oracle_that_ends_the_process_is_a_fault_at_its_line():
    with pytest.raises(EnvironmentFault, match="the oracle raised SystemExit: no oracle") as failed:
        demonstrate(Leaving(), Task("oracle", "look"), 1)
    assert failed.value.where.startswith(f"{__file__}:")
