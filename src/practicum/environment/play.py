"""What an episode begins with, and the one driver of an oracle.

Checks, recordings, demonstrations and benchmarks all play an oracle through here. It yields calls, or an answer where
a scripted user goes on, is sent what came of each, and returns its last answer. ``OracleSteps`` asks it for one step
after the other, whoever carries them out::

    steps = OracleSteps(environment.oracle(task), task)
    for step, result in steps.played_on(environment):
        ...
    steps.answer
"""

from collections.abc import Iterator
from typing import Any

from practicum.chat import Message
from practicum.digests import canonical_json
from practicum.environment.base import Call, Environment, Oracle
from practicum.environment.calling import ToolResult
from practicum.errors import EnvironmentFault
from practicum.tasks import Task
from practicum.text import json_or_text

CALL_LIMIT = 1000
"""Calls and answers of one episode, after which an oracle is held to be lost."""

NO_REPLY = ToolResult("the user said nothing to it", is_error=True)
"""What comes of an answer after which the episode is over."""

_SHOWN = 200
"""Characters of a call's arguments that an error shows."""


def opening(environment: Environment, task: Task) -> list[Message]:
    """The messages an episode begins with: system prompt, where there is one, the task's history, and its prompt.

    Many chat templates take one system message, at the start: what the task's own says stands below the environment's.
    """
    system = environment.system_prompt(task)
    history = [dict(message) for message in task.history]
    if history and history[0]["role"] == "system":
        own = history.pop(0)["content"]
        system = f"{system}\n\n{own}" if system else own
    first: list[Message] = [{"role": "system", "content": system}] if system else []
    return [*first, *history, {"role": "user", "content": task.prompt}]


class OracleFault(EnvironmentFault):
    """An oracle that does not solve its task: a step of it failed, or it does not come to an end."""


class OracleSteps:
    """What an oracle does on one task, step by step.

    Attributes:
        answer: Its last one, once ``next`` has given None.
        made: Steps so far.
    """

    def __init__(self, oracle: Oracle, task: Task) -> None:
        self.answer = ""
        self.made = 0
        self._oracle, self._task = oracle, task
        self._last: Call | str | None = None

    def next(self, result: ToolResult | None) -> Call | str | None:
        """The step after the last one's result (None before the first); None once the oracle has answered.

        Raises:
            OracleFault: the last step failed, or this is one more than ``CALL_LIMIT``.
            Exception: whatever the oracle's own code raises.
        """
        try:
            step = self._oracle.send(self._result_for_oracle(result))
        except StopIteration as done:
            self.answer = str(done.value)
            return None
        if self.made == CALL_LIMIT:
            raise self._fault(
                f"the oracle made more than {CALL_LIMIT} calls and gave no answer",
                allowed=f"an answer after at most {CALL_LIMIT} calls in an episode",
                fix="have it return its answer; does it wait for something that never comes?",
            )
        self.made += 1
        self._last = step
        return step

    def played_on(self, environment: Environment) -> Iterator[tuple[Call | str, ToolResult]]:
        """Carry the steps out on an environment whose episode has begun; each with what came of it.

        Raises:
            OracleFault: as ``next``.
            Exception: whatever the oracle's and the environment's own code raises.
        """
        result: ToolResult | None = None
        while (step := self.next(result)) is not None:
            result = _carried_out(environment, step)
            yield step, result

    def _result_for_oracle(self, result: ToolResult | None) -> Any:
        """What the oracle is sent: a result as data where it is JSON, and what the user said as it is."""
        if result is None:
            return None
        if isinstance(self._last, str):
            if result.is_error:
                raise self._fault(
                    "the oracle yielded an answer, and the user said nothing to it",
                    fix="return the last answer instead of yielding it",
                )
            return result.text
        if result.is_error and self._last is not None:
            call = f"{self._last.name}({canonical_json(dict(self._last.arguments))[:_SHOWN]})"
            raise self._fault(
                f"the oracle's call {call} failed: {result.text}", fix="mend the environment's oracle or its tools"
            )
        return json_or_text(result.text)

    def _fault(self, what: str, *, allowed: str = "", fix: str) -> OracleFault:
        return OracleFault(what, where=f"task {self._task.id}", allowed=allowed, fix=fix)


def _carried_out(environment: Environment, step: Call | str) -> ToolResult:
    if isinstance(step, Call):
        return environment.call(step.name, step.arguments)
    reply = environment.answered(step)
    return NO_REPLY if reply is None else ToolResult(reply)
