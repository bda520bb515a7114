"""Playing an episode as an agent does: through the offered tools, the text they return and the user's turns."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from practicum.environment import Call, Environment
from practicum.tasks import Task
from practicum.trajectory import Rollout


class PlayedEpisode:
    """An episode under way, and its messages."""

    def __init__(self, environment: Environment, task: Task) -> None:
        environment.reset(task, 0)
        self.environment, self.task, self.model_calls = environment, task, 0
        self.messages: list[dict[str, Any]] = [{"role": "user", "content": task.prompt}]
        self.errors: list[str] = []

    def call(self, call: Call) -> str:
        self.model_calls += 1
        result = self.environment.call(call.name, call.arguments)
        asked = {"name": call.name, "arguments": json.dumps(dict(call.arguments))}
        self.messages.append({"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": asked}]})
        self.messages.append({"role": "tool", "tool_call_id": "c", "name": call.name, "content": result.text})
        self.errors += [f"{call}: {result.text}"] if result.is_error else []
        return result.text

    def say(self, answer: str) -> str | None:
        self.model_calls += 1
        reply = self.environment.answered(answer)
        self.messages.append({"role": "assistant", "content": answer})
        if reply is not None:
            self.messages.append({"role": "user", "content": reply})
        return reply

    def end(self, ending: Any = "final") -> Rollout:
        final = json.loads(json.dumps(self.environment.final_state()))
        self.environment.close()
        return Rollout(self.task, self.messages, [], final, ending)

    def follow(self, oracle: Any) -> Rollout:
        reply = None
        while True:
            try:
                step = oracle.send(reply)
            except StopIteration as done:
                assert self.say(done.value) is None
                return self.end()
            reply = self.say(step) if isinstance(step, str) else _parsed(self.call(step))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.fixture
def begun() -> type[PlayedEpisode]:
    """Begins an episode."""
    return PlayedEpisode


@pytest.fixture
def solved() -> Callable[[Environment, Task], Rollout]:
    """Plays the oracle to the end; no call may fail, and the turns must suffice."""

    def play(environment: Environment, task: Task) -> Rollout:
        episode = PlayedEpisode(environment, task)
        rollout = episode.follow(environment.oracle(task))
        assert not episode.errors
        assert episode.model_calls <= environment.max_turns
        return rollout

    return play
