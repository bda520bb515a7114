"""The built-in agent: the plain tool loop, in this process."""

import asyncio
import contextlib
import functools
import inspect
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from practicum.environment import Environment
from practicum.environment.calling import ToolResult
from practicum.environment.fixtures import thawed
from practicum.environment.mutations import unwatched
from practicum.environment.play import opening
from practicum.errors import ContextFull
from practicum.rollout.calls import argument_object
from practicum.rollout.episode_thread import EpisodeThread
from practicum.rollout.session import ChatResult, Session, Tools
from practicum.tasks import Task
from practicum.trajectory import Ending, Message, ToolCall, Transition, text_of

TEARDOWN_S = 10.0
"""How long a failed episode waits for its teardown, in seconds; a longer one goes on without it."""


@dataclass(frozen=True)
class Episode:
    """What came of one episode beside the session's tokens.

    ``rewards`` and ``metrics`` are filled where the agent itself reports them (over HTTP). ``broke_in`` is what of the
    environment was running when the episode broke off, such as a tool's name; empty for nothing.
    """

    ending: Ending
    tool_calls: tuple[ToolCall, ...] = ()
    final_state: Mapping[str, Any] = field(default_factory=dict)
    rewards: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
    broke_in: str = ""


Keep = Callable[[Episode], None]
"""Told what there is of an episode before it is over."""


def forget(episode: Episode) -> None:
    """A ``Keep`` for callers who have no use for a failed episode."""


class ChatSession(Protocol):
    """What the tool loop needs of a session."""

    async def chat(self, messages: Sequence[Message], tools: Tools | None = None) -> ChatResult:
        """The next assistant message."""
        ...


class Agent(Protocol):
    """Plays one episode through a session.

    ``in_process`` agents wait for nothing but the model and their own tools, so the sampler may advance them in lock
    step.
    """

    @property
    def in_process(self) -> bool:
        """Whether it waits for nothing but the model and its own tools."""
        ...

    async def run(self, session: Session, task: Task, seed: int, keep: Keep = forget) -> Episode:
        """Play one episode; ``keep`` what there is of it as it goes, for the case that it fails."""
        ...


@dataclass(frozen=True)
class BuiltinAgent:
    """Lets the model call tools until it answers, is cut off, or ``max_turns`` model calls are spent.

    Tools that are ``async def`` run on the caller's event loop, all else of the environment in a thread of the
    episode's own (see ``episode_thread``): whatever hangs there, other rollouts go on, and this one can be given up.

    Args:
        make_environment: Makes a fresh environment; each episode has its own.
        max_turns: None for the environment's own bound.
        in_process: Whether the sampler may advance its rollouts in lock step, so that a run repeats bit for bit.
            Without, no rollout waits for the tools of another.
    """

    make_environment: Callable[[], Environment]
    max_turns: int | None = None
    in_process: bool = True

    async def run(self, session: ChatSession, task: Task, seed: int, keep: Keep = forget) -> Episode:
        """See ``Agent``. The environment is closed however the episode ends."""
        thread = EpisodeThread()
        try:
            keep(Episode("error", broke_in="the environment's making"))
            environment = await thread.run(_environment_of, self.make_environment)
            player = _Player(session, environment, thread)
            try:
                first = await thread.run(_begun, environment, task, seed)
                ending = await player.play(first, self.max_turns or environment.max_turns)
                player.running = "the final state"
                state = await thread.run(_final_state, environment)
            except BaseException as failure:
                calls = tuple(player.calls)
                keep(Episode("error", calls, transitions=environment.transitions, broke_in=player.running))
                await _torn_down(environment, thread, failure)
                raise
            episode = Episode(ending, tuple(player.calls), state, transitions=environment.transitions)
            keep(replace(episode, ending="error", broke_in="the teardown"))
            await thread.run(environment.close)
            return episode
        finally:
            thread.end()


def _environment_of(make: Callable[[], Environment]) -> Environment:
    with unwatched():
        return make()


def _final_state(environment: Environment) -> Mapping[str, Any]:
    with unwatched():
        return thawed(dict(environment.final_state()))


def _begun(environment: Environment, task: Task, seed: int) -> list[Message]:
    environment.reset(task, seed)
    return opening(environment, task)


async def _torn_down(environment: Environment, thread: EpisodeThread, failure: BaseException) -> None:
    """Close it; where the thread is still in one of its tools, as soon as that comes back."""
    close = functools.partial(environment.close, after=failure)
    if thread.busy:
        thread.later(close)
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TEARDOWN_S):
            await thread.run(close)


@dataclass
class _Player:
    """The tool loop of one episode."""

    session: ChatSession
    environment: Environment
    thread: EpisodeThread
    calls: list[ToolCall] = field(default_factory=list)
    running: str = "the environment's start"
    """What of the environment runs at the moment; empty while the model is asked."""

    async def play(self, messages: list[Message], max_turns: int) -> Ending:
        environment = self.environment
        tools = environment.schemas()
        for turn in range(max_turns):
            try:
                self.running = ""
                result = await self.session.chat(messages, tools)
            except ContextFull:
                if not turn:
                    raise  # the task itself is too long: no rollout of it can be played
                return "length"
            messages = [*messages, result.message]
            asked_calls = result.message.get("tool_calls") or ()  # complete ones, also where the answer was cut
            if result.finish_reason == "length" and not asked_calls:
                return "length"
            if not asked_calls:
                self.running = "the scripted user"
                reply = await self.thread.run(environment.answered, text_of(result.message))
                if reply is None:
                    return "final"
                messages.append({"role": "user", "content": reply})
                tools = environment.schemas()  # a scripted user may bring tools along
                continue
            for request in asked_calls:
                self.running = f"tool {request['function']['name']!r}"
                call = await self._executed(request, turn)
                self.calls.append(call)
                messages.append({"role": "tool", "tool_call_id": call.id, "name": call.name, "content": call.result})
        return "max_turns"

    async def _executed(self, request: Mapping[str, Any], turn: int) -> ToolCall:
        name, text = request["function"]["name"], request["function"]["arguments"]
        arguments, began = argument_object(text), time.perf_counter()
        if arguments is None:
            told = json.dumps({"error": f"the arguments of {name!r} are not a JSON object: {text[:200]}"})
            return ToolCall(request["id"], name, {}, told, True, turn)
        result = await self._result(name, arguments)
        return ToolCall(request["id"], name, arguments, result.text, result.is_error, turn, time.perf_counter() - began)

    async def _result(self, name: str, arguments: Any) -> ToolResult:
        tool = self.environment.tool_specs().get(name)
        function = tool and (tool.function or getattr(self.environment, name, None))
        if inspect.iscoroutinefunction(function):
            return await self.environment.acall(name, arguments)
        return await self.thread.run(self.environment.call, name, arguments)
