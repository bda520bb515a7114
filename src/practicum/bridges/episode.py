"""An episode that is played from outside (through Gymnasium, over MCP), and the conversation it amounts to."""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from practicum.environment.base import Environment
from practicum.environment.calling import ToolResult
from practicum.environment.play import opening
from practicum.errors import EnvironmentFault
from practicum.tasks import Task
from practicum.trajectory import Ending, Message, Rollout, ToolCall


class ServedEpisode:
    """One episode of an environment, from its reset to its teardown.

    What the player does is kept in the shape a score reads, so that whoever served the episode can judge it.
    """

    def __init__(self, environment: Environment, task: Task, seed: int) -> None:
        environment.reset(task, seed)
        self.environment, self.task, self.seed = environment, task, seed
        try:
            self.messages: list[Message] = opening(environment, task)
        except BaseException:
            environment.close()
            raise
        self.calls: list[ToolCall] = []
        self.turns = 0

    @property
    def open(self) -> bool:
        """Whether it still goes on."""
        return self.environment.task is not None

    def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """The player calls a tool."""
        return self._noted(name, arguments, self.environment.call(name, arguments))

    async def acall(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """``call``, on the caller's loop."""
        return self._noted(name, arguments, await self.environment.acall(name, arguments))

    def answer(self, text: str) -> str | None:
        """The player gives a final answer: what a scripted user says to it, or None."""
        self.turns += 1
        self.messages.append({"role": "assistant", "content": text})
        reply = self.environment.answered(text)
        if reply is not None:
            self.messages.append({"role": "user", "content": reply})
        return reply

    def end(self, ending: Ending) -> Rollout:
        """Tear the episode down; what it came to."""
        try:
            state = dict(self.environment.final_state())
        finally:
            self.environment.close()
        return Rollout(self.task, self.messages, self.calls, state, ending)

    def _noted(self, name: str, arguments: Mapping[str, Any], result: ToolResult) -> ToolResult:
        call = ToolCall(f"call_{self.turns}_0", name, dict(arguments), result.text, result.is_error, self.turns)
        function = {"name": name, "arguments": json.dumps(call.arguments)}
        asked = {"id": call.id, "type": "function", "function": function}
        self.calls.append(call)
        self.messages.append({"role": "assistant", "content": "", "tool_calls": [asked]})
        self.messages.append({"role": "tool", "tool_call_id": call.id, "name": name, "content": call.result})
        self.turns += 1
        return result


def tasks_of(environment: Environment, split: str) -> list[Task]:
    """The tasks of a split.

    Raises:
        EnvironmentFault: it has none.
    """
    tasks = list(environment.tasks(split))
    if not tasks:
        raise EnvironmentFault(f"{environment.id} has no tasks in split {split!r}", fix="choose another split")
    return tasks


def task_of(tasks: Sequence[Task], id: str, split: str) -> Task:
    """The task called ``id``.

    Raises:
        EnvironmentFault: there is none; names the nearest.
    """
    for task in tasks:
        if task.id == id:
            return task
    near = difflib.get_close_matches(id, [task.id for task in tasks], n=3, cutoff=0.0)
    raise EnvironmentFault(
        f"split {split!r} has no task {id!r}", allowed=f"one of {len(tasks)} ids, such as {', '.join(near)}"
    )
