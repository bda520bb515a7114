"""The built-in agent: the plain tool loop, in this process."""

import asyncio
import contextvars
import inspect
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from practicum.environment import Environment
from practicum.environment.calling import ToolResult
from practicum.environment.fixtures import thawed
from practicum.rollout.session import ChatResult, Session, Tools
from practicum.tasks import Task
from practicum.trajectory import Ending, Message, ToolCall, Transition, text_of

T = TypeVar("T")


@dataclass(frozen=True)
class Episode:
    """What came of one episode beside the session's tokens.

    ``rewards`` and ``metrics`` are filled where the agent itself reports them (over HTTP).
    """

    ending: Ending
    tool_calls: tuple[ToolCall, ...] = ()
    final_state: Mapping[str, Any] = field(default_factory=dict)
    rewards: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()


Keep = Callable[[Episode], None]
"""Told what there is of an episode before it is over."""


def forget(episode: Episode) -> None:
    """A ``Keep`` for callers who have no use for a failed episode."""


class Conversation(Protocol):
    """What the tool loop needs of a session."""

    async def chat(self, messages: Sequence[Message], tools: Tools | None = None) -> ChatResult:
        """The next assistant message."""
        ...


class Agent(Protocol):
    """Plays one episode through a session.

    ``in_process`` agents wait for nothing but the model, so the sampler may advance them in lock step.
    """

    @property
    def in_process(self) -> bool:
        """Whether it waits for nothing but the model."""
        ...

    async def run(self, session: Session, task: Task, seed: int, keep: Keep = forget) -> Episode:
        """Play one episode; ``keep`` what there is of it as it goes, for the case that it fails."""
        ...


@dataclass(frozen=True)
class BuiltinAgent:
    """Lets the model call tools until it answers, is cut off, or ``max_turns`` model calls are spent.

    Args:
        make_environment: Makes a fresh environment; each episode has its own.
        max_turns: None for the environment's own bound.
        aside: Threads for tools that are not ``async def``, so that a slow one keeps no other rollout waiting. None:
            they run where they are called, and the sampler advances all rollouts in lock step.
    """

    make_environment: Callable[[], Environment]
    max_turns: int | None = None
    aside: Executor | None = None

    @property
    def in_process(self) -> bool:
        """See ``Agent``."""
        return self.aside is None

    async def run(self, session: Conversation, task: Task, seed: int, keep: Keep = forget) -> Episode:
        """See ``Agent``. The environment is closed however the episode ends."""
        environment = self.make_environment()
        player = _Player(session, environment, self.aside)
        try:
            await player.called(environment.reset, task, seed)
            ending = await player.play(opening(environment, task), self.max_turns or environment.max_turns)
            state = thawed(dict(environment.final_state()))
            episode = Episode(ending, tuple(player.calls), state, transitions=environment.transitions)
        except BaseException as failure:
            keep(Episode("error", tuple(player.calls), transitions=environment.transitions))
            player.close(failure)
            raise
        keep(replace(episode, ending="error"))
        environment.close()
        return episode


def opening(environment: Environment, task: Task) -> list[Message]:
    """The messages an episode begins with."""
    system = environment.system_prompt(task)
    first: list[Message] = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": task.prompt}]


@dataclass
class _Player:
    """The tool loop of one episode."""

    session: Conversation
    environment: Environment
    aside: Executor | None
    calls: list[ToolCall] = field(default_factory=list)
    running: "asyncio.Future[Any] | None" = None
    """What runs in another thread."""

    async def play(self, messages: list[Message], max_turns: int) -> Ending:
        environment = self.environment
        tools = environment.schemas()
        for turn in range(max_turns):
            result = await self.session.chat(messages, tools)
            messages = [*messages, result.message]
            if result.finish_reason == "length":
                return "length"
            if result.finish_reason == "stop":
                reply = environment.answered(text_of(result.message))
                if reply is None:
                    return "final"
                messages.append({"role": "user", "content": reply})
                tools = environment.schemas()  # a scripted user may bring tools along
                continue
            for asked in result.message["tool_calls"]:
                call = await self._executed(asked, turn)
                self.calls.append(call)
                messages.append({"role": "tool", "tool_call_id": call.id, "name": call.name, "content": call.result})
        return "max_turns"

    async def called(self, function: Callable[..., T], *args: Any) -> T:
        """Call what is not async: here, or where there are threads for it, in one of them."""
        if self.aside is None:
            return function(*args)
        context = contextvars.copy_context()
        self.running = asyncio.get_running_loop().run_in_executor(self.aside, context.run, function, *args)
        result: T = await asyncio.shield(self.running)
        return result

    def close(self, failure: BaseException) -> None:
        """End the episode; where a thread is still in one of its tools, as soon as that comes back."""
        if self.running is None or self.running.done():
            self.environment.close(after=failure)
            return

        def later(ended: "asyncio.Future[Any]") -> None:
            ended.exception()  # nobody waits for it any more
            self.environment.close(after=failure)

        self.running.add_done_callback(later)

    async def _executed(self, asked: Mapping[str, Any], turn: int) -> ToolCall:
        name, text = asked["function"]["name"], asked["function"]["arguments"]
        arguments, began = _object(text), time.perf_counter()
        if arguments is None:
            told = json.dumps({"error": f"the arguments of {name!r} are not a JSON object: {text[:200]}"})
            return ToolCall(asked["id"], name, {}, told, True, turn)
        result = await self._result(name, arguments)
        return ToolCall(asked["id"], name, arguments, result.text, result.is_error, turn, time.perf_counter() - began)

    async def _result(self, name: str, arguments: Any) -> ToolResult:
        tool = self.environment.tool_specs().get(name)
        function = tool and (tool.function or getattr(self.environment, name, None))
        if self.aside is None or tool is None or inspect.iscoroutinefunction(function):
            return await self.environment.acall(name, arguments)
        return await self.called(self.environment.call, name, arguments)


def _object(text: str) -> dict[str, Any] | None:
    """A call's arguments; None where an endpoint's model wrote what is no JSON object."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
