"""``Environment``: the tools an agent calls and the state behind them.

One instance serves one episode at a time: ``reset(task, seed)``, any number of ``call(name, arguments)``,
``close()``. Whatever a tool draws at random comes from ``self.random``, seeded by the episode; time comes from
``self.clock``, ids from ``self.new_id``. A subclass is a user's whole environment file::

    class SupportDesk(Environment):
        id, version = "support-desk", "1.0.0"

        @tool
        def get_ticket(self, ticket_id: str) -> dict:
            "Severity and account of a ticket."
            return self.fixture("tickets")[ticket_id]

        def tasks(self, split: str) -> list[Task]: ...
"""

import functools
import os
import random
import sqlite3
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from practicum.environment.calling import ToolResult, Transform, awaited, exited, result_of, run_to_end
from practicum.environment.declared_state import CORE, Attributes, caller_place, declared, episode_digest
from practicum.environment.fixtures import Fixture
from practicum.environment.mutations import MutationWatch, unwatched
from practicum.environment.parts import EnvironmentPart, digest_of, own_classes, parts_of, source_of
from practicum.environment.resources import Resources, VirtualClock
from practicum.environment.tool import ToolError, ToolSpec, collect_tools
from practicum.errors import EnvironmentFault
from practicum.tasks import Task
from practicum.trajectory import USER, EnvironmentRef, Transition

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """An oracle's step: call a tool."""

    name: str
    arguments: Mapping[str, Any]


Oracle = Generator[Call | str, Any, str]
"""Yields calls and is sent each parsed result; returns the final answer's text.

Where a scripted user goes on after an answer, it yields that answer's text and is sent what the user says.
"""


class _resource(Generic[T]):
    """A property that gives way to an attribute of the same name: ``self.database = …`` in a user's start is fine."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __get__(self, instance: "Environment | None", owner: type) -> T:
        if instance is None:
            return self  # type: ignore[return-value]
        return self._make(instance)


class Environment(Attributes):
    """Base of every environment.

    Class attributes:
        id, version: Identity; change the version whenever behaviour changes.
        max_turns: Model calls an episode may take.
        transform: Normalizes results before the agent sees them; None for none.
        path_arguments: Names of constructor arguments that are files or folders. Where a recipe or a check gives a
            relative one, it starts at the working folder, and stays what it is when that changes.
    """

    id: ClassVar[str] = ""
    version: ClassVar[str] = ""
    max_turns: int = 8
    transform: ClassVar[Transform | None] = None
    path_arguments: ClassVar[tuple[str, ...]] = ()

    _tools: ClassVar[dict[str, ToolSpec]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._tools = collect_tools(cls)

    def __init__(self) -> None:
        self._require_identity()

    # What a subclass writes ------------------------------------------------------------------------------

    def tasks(self, split: str) -> list[Task]:
        """Tasks of ``train``, ``validation`` or ``test``."""
        raise EnvironmentFault(
            f"{type(self).__name__} defines no tasks for split {split!r}",
            fix="define tasks(self, split), or give training_dataset and validation_dataset in the recipe",
        )

    def system_prompt(self, task: Task) -> str:
        """Instructions that stand before the task's prompt; empty for none."""
        del task
        return ""

    def start(self, task: Task) -> None:
        """Build the episode's state from ``task`` and ``self.random``."""

    def next_user(self, answer: str) -> str | None:
        """What a scripted user says to the agent's answer; None ends the episode."""
        del answer
        return None

    def oracle(self, task: Task) -> Oracle:
        """A policy that solves ``task`` through the tools: yield ``Call``, receive its result, return the answer."""
        raise EnvironmentFault(
            f"{type(self).__name__} has no oracle",
            fix="define oracle(self, task), or name another warmstart_source, or set warmstart_demonstrations=0",
        )

    def demonstration(self, task: Task) -> Oracle:
        """What a foothold imitates: the oracle, unless those who demonstrate know less than it."""
        return self.oracle(task)

    def final_state(self) -> Mapping[str, Any]:
        """State a score may judge once the episode is over; JSON-able."""
        return {}

    def stop(self) -> None:
        """Release what ``start`` made beside the episode's own resources. Runs however the episode ended."""

    def tool_specs(self) -> Mapping[str, ToolSpec]:
        """The tools this instance offers, by name. Override it where they are known at run time only."""
        return self._tools

    def settings(self) -> dict[str, Any]:
        """Constructor arguments that change behaviour; part of the digest."""
        return {}

    # An episode's resources ------------------------------------------------------------------------------

    task: Task | None = None
    """The task being played; None between episodes."""
    transitions: tuple[Transition, ...] = ()
    """What the environment did in this episode, or in the last one."""

    @functools.cached_property
    def random(self) -> random.Random:
        """The episode's random generator."""
        return random.Random(0)

    @_resource
    def clock(self) -> VirtualClock:
        """Virtual time: begins at 2026-01-01T00:00:00Z, passes by ``advance(seconds)``."""
        return self._owned.clock

    @_resource
    def scratch(self) -> Path:
        """A temporary folder of this episode's own."""
        return self._owned.scratch

    @_resource
    def database(self) -> sqlite3.Connection:
        """An in-memory SQLite database of this episode's own, in autocommit mode."""
        return self._owned.database

    def new_id(self, prefix: str) -> str:
        """An id that is the same in every repetition: ``prefix`` and a number counted from 1."""
        return self._owned.new_id(prefix)

    def register(self, function: Callable[..., object], *args: Any) -> None:
        """Run ``function(*args)`` when the episode ends, however it ends; the last registered runs first."""
        self._owned.register(function, *args)

    def enter(self, manager: AbstractContextManager[T]) -> T:
        """Enter a context manager that is left when the episode ends; its value."""
        return self._owned.enter(manager)

    # What the rest of Practicum calls --------------------------------------------------------------------

    def reset(self, task: Task, seed: int) -> None:
        """Begin an episode; equal arguments give an equal episode."""
        self._require_identity()
        self.close()
        attributes = self.__dict__
        # Whatever an earlier episode put on the instance goes with it.
        lasting = (
            attributes["_kept"]
            if "_kept" in attributes
            else {name: value for name, value in attributes.items() if name not in CORE}
        )
        for name in [name for name in attributes if name not in CORE]:
            del attributes[name]
        attributes.update(
            lasting, _kept=lasting, _resources=Resources(), _declared={}, _started=set(), transitions=(), task=task
        )
        attributes["random"] = random.Random(f"{seed}:{task.id}")
        attributes["_in_start"] = True
        try:
            with unwatched():
                self.start(task)
            attributes["_in_start"] = False
            attributes["_watch"] = MutationWatch(self, set(lasting) - attributes["_started"])
            attributes["_digest"] = self._state()
        except BaseException as error:
            attributes["_in_start"] = False
            self.close(after=error)
            if isinstance(error, SystemExit):
                raise exited(error, f"{type(self).__name__}.start") from error
            raise

    def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Run one tool call. A wrong call or a ``ToolError`` is a result for the agent, never an exception."""
        return run_to_end(self._call(name, arguments, self._waiting))

    async def acall(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """``call``, for callers that wait: tools that are ``async def`` run on the caller's loop."""
        return await self._call(name, arguments, awaited)

    def answered(self, answer: str) -> str | None:
        """The agent gave a final answer: what the scripted user says to it, or None if the episode is over."""
        self._require_turn("an answer was given")
        self.__dict__["_in_tool"] = True
        try:
            with unwatched():
                reply = self.next_user(answer)
        except SystemExit as error:
            raise exited(error, f"{type(self).__name__}.next_user") from error
        finally:
            self.__dict__["_in_tool"] = False
        if reply is not None:
            self._log(USER, {"answer": answer}, ToolResult(reply))
        return reply

    def close(self, after: BaseException | None = None) -> None:
        """End the episode, if one is open, and tear down all it made. Safe to call twice.

        Args:
            after: The exception that ended the episode, if one did: a teardown that fails too is noted on it and
                does not stand in its place.
        """
        if self.task is None:
            return
        owned = self._owned
        try:
            try:
                with unwatched():
                    self.stop()
            finally:
                self.__dict__["task"] = None
                owned.close()
        except Exception as error:
            if after is None:
                raise
            after.add_note(f"and the teardown of {type(self).__name__} failed: {type(error).__name__}: {error}")

    def __del__(self) -> None:
        # An episode that nobody closed. In a forked child it is the parent's to close.
        if self.__dict__.get("task") is not None and self._owned.process == os.getpid():
            self.close()

    def __practicum_state__(self) -> list[str]:
        """What of an environment is part of another's state, or of its own where it refers to itself."""
        return [self.id, self.version]

    def schemas(self) -> list[dict[str, Any]]:
        """OpenAI function schemas of the tools this instance offers."""
        return [spec.schema for spec in self.tool_specs().values()]

    @property
    def ref(self) -> EnvironmentRef:
        """Identity with a digest over code, schemas, fixtures, settings, declared state and transform."""
        return EnvironmentRef(self.id, self.version, self.digest)

    @functools.cached_property
    def parts(self) -> Mapping[str, EnvironmentPart]:
        """What the digest is made of, by name; see ``practicum.environment.parts``."""
        return parts_of(self)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over ``parts``, id and version."""
        return digest_of(self.id, self.version, self.parts)

    @functools.cached_property
    def folder(self) -> Path:
        """Folder of the file that defines the class."""
        return source_of(type(self)).parent

    def fixture(self, name: str) -> Fixture:
        """The recorded table ``fixtures/NAME.json`` beside the class's file, or beside that of one of its bases."""
        kind: type = type(self)
        return _fixture(kind, name)

    def _require_identity(self) -> None:
        if not self.id or not self.version:
            raise EnvironmentFault(
                f"{type(self).__name__} has no id or no version",
                where=str(source_of(type(self))),
                fix='give the class: id, version = "my-environment", "1.0.0"',
            )

    @property
    def _owned(self) -> Resources:
        if self.task is None:
            raise EnvironmentFault(
                "an episode's resources were asked for outside an episode",
                where=caller_place(),
                fix="use clock, scratch, database, new_id, register and enter from start until stop",
            )
        resources: Resources = self.__dict__["_resources"]
        return resources

    async def _waiting(self, value: Any) -> Any:
        return await self._owned.loop.wait(value)

    async def _call(self, name: str, arguments: Mapping[str, Any], wait: Callable[[Any], Awaitable[Any]]) -> ToolResult:
        self._require_turn("a tool was called")
        watch: MutationWatch = self.__dict__["_watch"]
        marks, specs = watch.marks(self), self.tool_specs()
        offered = [schema["function"]["name"] for schema in self.schemas()]
        self.__dict__["_in_tool"] = True
        try:
            if name not in offered:
                raise ToolError(f"unknown tool {name!r}; available: {', '.join(offered)}")
            spec = specs.get(name)
            if spec is None:
                raise EnvironmentFault(
                    f"tool {name!r} is offered and is no tool of {type(self).__name__}",
                    fix="let schemas() and tool_specs() agree",
                )
            given = spec.check(arguments)
            value = getattr(self, name)(**given) if spec.function is None else spec.function(given)
            result = result_of(name, await wait(value), self.transform)
        except ToolError as error:
            result = result_of(name, {"error": str(error)}, self.transform, is_error=True)
        except SystemExit as error:
            raise exited(error, f"tool {name!r}") from error
        finally:
            self.__dict__["_in_tool"] = False
        watch.check(self, name, marks)
        self._log(name, arguments, result)
        return result

    def _require_turn(self, event: str) -> None:
        if self.task is None:
            raise EnvironmentFault(f"{event} outside an episode", fix="call reset(task, seed) first")
        if self._in_tool or self._in_start:
            # Both would stand in the log of transitions, and a replay would execute one of them twice.
            raise EnvironmentFault(
                f"{event} while {'start' if self._in_start else 'another'} was running",
                where=caller_place(),
                fix="within the environment call the method itself: self.name(…); from outside, one call at a time",
            )

    def _state(self) -> str:
        own = self.__dict__
        variables = {name: getattr(self, name) for name, one in declared(type(self)).items() if one.kind != "read_only"}
        started = {name: own[name] for name in own["_started"] if name in own}
        return episode_digest({**variables, **started}, self._owned)

    def _log(self, tool: str, arguments: Mapping[str, Any], result: ToolResult) -> None:
        before, after = self.__dict__["_digest"], self._state()
        now = self._owned.clock.time()
        index, asked = len(self.transitions), dict(arguments) if isinstance(arguments, Mapping) else {}
        entry = Transition(index, before, tool, asked, result.text, result.is_error, after, now)
        self.__dict__.update(_digest=after, transitions=(*self.transitions, entry))


@functools.cache
def _fixture(kind: type, name: str) -> Fixture:
    folders = dict.fromkeys(source_of(one).parent for one in own_classes(kind) or (kind,))
    paths = [folder / "fixtures" / f"{name}.json" for folder in folders]
    return _load_fixture(next((path for path in paths if path.exists()), paths[0]))


@functools.cache
def _load_fixture(path: Path) -> Fixture:
    return Fixture.load(path)
