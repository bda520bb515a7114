"""Episodes as data: a fixed list of calls, and the transcript of all that an agent would see."""

import copy
import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from practicum.digests import canonical_json
from practicum.environment import Call, Environment, ToolResult
from practicum.environment.places import place_of_error
from practicum.environment.play import NO_REPLY, OracleFault, OracleSteps, opening
from practicum.tasks import Task
from practicum.text import shortened
from practicum.trajectory import USER, Message, Rollout, ToolCall

Transcript = dict[str, Any]
"""JSON: ``tools`` (schemas), ``messages`` (opening), ``results`` (name, arguments, text, is_error),
``final_state`` and ``fault`` (stage, type, message, where; None when nothing was raised)."""

Policy = Callable[[Environment, ToolResult | None], Call | None]
"""The next call after the last result (None before the first); None to end the episode."""


Origin = Literal["oracle", "random", "recorded"]


@dataclass(frozen=True)
class Plan:
    """One episode to play, always with the same calls. ``index`` is the task's place in its split."""

    split: str
    index: int
    task: str
    """The task's id."""
    seed: int
    calls: tuple[Call, ...]
    origin: Origin

    @property
    def label(self) -> str:
        """The episode in words."""
        return f"task {self.task!r}, {self.origin} actions, seed {self.seed}"


@dataclass(frozen=True)
class Demonstration:
    """What an environment's oracle did on one task. ``problem`` is empty where it came to an answer."""

    task: Task
    calls: tuple[Call, ...]
    answer: str
    transcript: Transcript
    problem: str
    where: str

    def rollout(self) -> Rollout:
        """The episode as a score sees it."""
        messages: list[Message] = list(self.transcript["messages"])
        calls = []
        for turn, result in enumerate(self.transcript["results"]):
            if result["name"] == USER:
                messages.append({"role": "assistant", "content": result["arguments"]["answer"]})
                messages.append({"role": "user", "content": result["text"]})
                continue
            id = f"call_{turn}_0"
            function = {"name": result["name"], "arguments": json.dumps(result["arguments"])}
            call = {"id": id, "type": "function", "function": function}
            messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": id, "name": result["name"], "content": result["text"]})
            calls.append(ToolCall(id, result["name"], result["arguments"], result["text"], result["is_error"], turn))
        messages.append({"role": "assistant", "content": self.answer})
        return Rollout(self.task, messages, calls, self.transcript["final_state"], "final")


class FromOracle:
    """Plays what the environment's oracle yields and keeps it."""

    def __init__(self, task: Task, home: Path) -> None:
        self.calls: list[Call] = []
        self.answer, self.problem, self.where = "", "it never began", ""
        self._task, self._home = task, home
        self._steps: OracleSteps | None = None

    def __call__(self, environment: Environment, previous: ToolResult | None) -> Call | None:
        """See ``Policy``."""
        self.problem = ""
        try:
            if self._steps is None:
                self._steps = OracleSteps(environment.oracle(self._task), self._task)
            step = self._steps.next(previous)
        except OracleFault as error:
            self.problem = error.what
            return None
        except Exception as error:
            self.problem = f"it raised {type(error).__name__}: {error}"
            self.where = place_of_error(error, self._home)
            return None
        if step is None:
            self.answer = self._steps.answer
            return None
        self.calls.append(_as_model_call(step))
        return self.calls[-1]


def _as_model_call(step: Call | str) -> Call:
    if isinstance(step, str):
        return Call(USER, {"answer": step})
    # Through JSON, as a model's call would come; whatever JSON cannot say, no model can call.
    return Call(step.name, json.loads(canonical_json(dict(step.arguments))))


@dataclass
class Now:
    """Where the episode under way stands, for those who watch. Meaningful only where one is played at a time."""

    label: str = ""
    stage: str = ""
    step: int = 0
    """Stages begun so far."""

    def begin(self, stage: str) -> None:
        """The next stage begins."""
        self.stage = stage
        self.step += 1


NOW = Now()


def demonstrate(environment: Environment, task: Task, seed: int, home: Path) -> Demonstration:
    """Let the oracle play one task."""
    policy = FromOracle(task, home)
    transcript: Transcript = {}
    NOW.label, NOW.step = f"task {task.id!r}, the oracle, seed {seed}", 0
    for _ in _carried(environment, script(environment, task, seed, policy, transcript, home)):
        pass
    return Demonstration(task, tuple(policy.calls), policy.answer, transcript, policy.problem, policy.where)


def play(environment: Environment, task: Task, plan: Plan, home: Path) -> Transcript:
    """Play a plan to its end and close the environment."""
    transcript: Transcript = {}
    NOW.label, NOW.step = plan.label, 0
    for _ in playing(environment, task, plan, transcript, home):
        pass
    return transcript


def playing(environment: Environment, task: Task, plan: Plan, transcript: Transcript, home: Path) -> Iterator[None]:
    """Play a plan step by step, filling ``transcript``; between steps other episodes may run."""
    return _carried(environment, script(environment, task, plan.seed, following(plan), transcript, home))


def following(plan: Plan) -> Policy:
    """The policy that makes a plan's calls, whatever comes of them."""
    calls = iter(plan.calls)
    return lambda *_: next(calls, None)


Script = Generator[Call | None, ToolResult | None, None]
"""Yields each call to carry out and is sent what came of it; yields None where only others may run."""


def script(
    environment: Environment, task: Task, seed: int, policy: Policy, transcript: Transcript, home: Path
) -> Script:
    """One episode, whoever carries its calls out: in a loop, in a thread, or awaiting each."""
    transcript.update(unplayed(None))
    NOW.begin("reset")
    stage, process = "reset", os.getpid()
    try:
        environment.reset(task, seed)
        yield None
        NOW.begin(stage := "system_prompt")
        transcript["messages"] = opening(environment, task)
        NOW.begin(stage := "schemas")
        transcript["tools"] = json.loads(json.dumps(environment.schemas()))
        result = None
        NOW.begin(stage := "oracle")
        while (call := policy(environment, result)) is not None:
            NOW.begin(stage := call.name)
            result = yield call
            entry = {"name": call.name, "arguments": dict(call.arguments)}
            transcript["results"].append({**entry, "text": result.text, "is_error": result.is_error})  # type: ignore[union-attr]
            NOW.begin("oracle")
        NOW.begin(stage := "final_state")
        transcript["final_state"] = json.loads(canonical_json(dict(environment.final_state())))
        NOW.begin(stage := "stop")
        environment.close()
    except (Exception, SystemExit) as error:
        if os.getpid() != process:
            os._exit(1)  # a fork that the user's code made, and that came back to us
        transcript["fault"] = fault(error, stage, home)
        _close_quietly(environment)


def unplayed(problem: Mapping[str, str] | None) -> Transcript:
    """The transcript of an episode that has not begun."""
    return {"tools": [], "messages": [], "results": [], "final_state": {}, "fault": problem}


def carry_out(environment: Environment, call: Call) -> ToolResult:
    """Make one call of a script."""
    if call.name != USER:
        return environment.call(call.name, copy.deepcopy(dict(call.arguments)))
    return _answered(environment, call)


async def acarry_out(environment: Environment, call: Call) -> ToolResult:
    """Make one call of a script, giving way to others where the tool does."""
    if call.name != USER:
        return await environment.acall(call.name, copy.deepcopy(dict(call.arguments)))
    return _answered(environment, call)


def _carried(environment: Environment, steps: Script) -> Iterator[None]:
    result: ToolResult | None = None
    try:
        call = next(steps)
        while True:
            try:
                result = None if call is None else carry_out(environment, call)
            except (Exception, SystemExit) as error:
                call = steps.throw(error)
                continue
            yield
            call = steps.send(result)
    except StopIteration:
        return


def _answered(environment: Environment, call: Call) -> ToolResult:
    reply = environment.answered(call.arguments["answer"])
    return NO_REPLY if reply is None else ToolResult(reply)


def fault(error: BaseException, stage: str, home: Path) -> dict[str, str]:
    """An exception as JSON."""
    return {
        "stage": stage,
        "type": type(error).__name__,
        "message": str(error),
        "where": place_of_error(error, home),
    }


def call_text(call: Call) -> str:
    """A call as people write it, cut to a line."""
    return shortened(f"{call.name}({', '.join(f'{key}={value!r}' for key, value in call.arguments.items())})", 120)


def parting_place(first: Sequence[Any], second: Sequence[Any]) -> int:
    """The first place in which two sequences differ; the shorter one's length, where it is the other's beginning."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (ours, theirs) in pairs if ours != theirs), min(len(first), len(second)))


def listed(lines: Sequence[str], most: int = 5) -> list[str]:
    """The first few lines, and how many more there are."""
    return [*lines[:most], *([f"… and {len(lines) - most} more"] if len(lines) > most else [])]


def _close_quietly(environment: Environment) -> None:
    # The first exception is the one to report.
    try:
        environment.close()
    except (Exception, SystemExit):
        return
