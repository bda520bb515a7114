"""``Environment``: the tools an agent calls and the state behind them.

One instance serves one episode at a time: ``reset(task, seed)``, any number of ``call(name, arguments)``,
``close()``. Whatever a tool draws at random comes from ``self.random``, seeded by the episode. A subclass is a
user's whole environment file::

    class SupportDesk(Environment):
        id, version = "support-desk", "1.0.0"

        @tool
        def get_ticket(self, ticket_id: str) -> dict:
            "Severity and account of a ticket."
            return self.fixture("tickets")[ticket_id]

        def tasks(self, split: str) -> list[Task]: ...
"""

import functools
import inspect
import json
import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from practicum.digests import canonical_json, digest, digest_file, digest_folder
from practicum.environment.fixtures import Fixture, thawed
from practicum.environment.tool import ToolError, ToolSpec, collect_tools
from practicum.errors import EnvironmentFault
from practicum.tasks import Task
from practicum.trajectory import EnvironmentRef

RESULT_LIMIT = 20_000
"""Characters of one tool result; a longer one is cut, with a note the agent sees."""


@dataclass(frozen=True)
class Call:
    """An oracle's step: call a tool."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class ToolResult:
    """What a tool call gave: the text the agent sees, and whether it is an error."""

    text: str
    is_error: bool = False


Oracle = Generator[Call, Any, str]
"""Yields calls, is sent each parsed result, returns the final answer's text."""


class Environment:
    """Base of every environment.

    Class attributes:
        id, version: Identity; change the version whenever behaviour changes.
        max_turns: Model calls an episode may take.
    """

    id: ClassVar[str] = ""
    version: ClassVar[str] = ""
    max_turns: int = 8

    _tools: ClassVar[dict[str, ToolSpec]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._tools = collect_tools(cls)

    def __init__(self) -> None:
        if not self.id or not self.version:
            place = inspect.getsourcefile(type(self)) or type(self).__name__
            raise EnvironmentFault(
                f"{type(self).__name__} has no id or no version",
                where=place,
                fix='give the class: id, version = "my-environment", "1.0.0"',
            )
        self.task: Task | None = None
        self.random = random.Random(0)

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

    def oracle(self, task: Task) -> Oracle:
        """A policy that solves ``task`` through the tools: yield ``Call``, receive its result, return the answer."""
        raise EnvironmentFault(
            f"{type(self).__name__} has no oracle", fix="define oracle(self, task) to warm-start from demonstrations"
        )

    def final_state(self) -> Mapping[str, Any]:
        """State a score may judge once the episode is over; JSON-able."""
        return {}

    def stop(self) -> None:
        """Release what ``start`` made. Runs however the episode ended."""

    # What the rest of Practicum calls --------------------------------------------------------------------

    def reset(self, task: Task, seed: int) -> None:
        """Begin an episode; equal arguments give an equal episode."""
        self.close()
        self.random = random.Random(f"{seed}:{task.id}")
        self.task = task
        self.start(task)

    def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Run one tool call. A wrong call or a ``ToolError`` is a result for the agent, never an exception."""
        if self.task is None:
            raise EnvironmentFault("a tool was called outside an episode", fix="call reset(task, seed) first")
        offered = [schema["function"]["name"] for schema in self.schemas()]
        try:
            if name not in offered:
                raise ToolError(f"unknown tool {name!r}; available: {', '.join(offered)}")
            value = getattr(self, name)(**self._tools[name].check(arguments))
        except ToolError as error:
            return ToolResult(canonical_json({"error": str(error)}), is_error=True)
        return ToolResult(_text(value, name))

    def close(self) -> None:
        """End the episode, if one is open. Safe to call twice."""
        if self.task is not None:
            try:
                self.stop()
            finally:
                self.task = None

    def schemas(self) -> list[dict[str, Any]]:
        """OpenAI function schemas of the tools this instance offers."""
        return [spec.schema for spec in self._tools.values()]

    def settings(self) -> dict[str, Any]:
        """Constructor arguments that change behaviour; part of the digest."""
        return {}

    @property
    def ref(self) -> EnvironmentRef:
        """Identity with a digest over code, schemas, fixtures and settings."""
        return EnvironmentRef(self.id, self.version, self.digest)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over the source of the class and its Practicum-defined bases, schemas, fixtures, settings."""
        sources = [_source_digest(cls) for cls in type(self).__mro__ if cls not in (Environment, object)]
        fixtures = self.folder / "fixtures"
        recorded = digest_folder(fixtures) if fixtures.is_dir() else ""
        return digest([self.id, self.version, sources, self.schemas(), recorded, self.settings()])

    @functools.cached_property
    def folder(self) -> Path:
        """Folder of the file that defines the class."""
        return Path(inspect.getfile(type(self))).resolve().parent

    def fixture(self, name: str) -> Fixture:
        """The recorded table ``fixtures/NAME.json`` beside the class's file."""
        return _load_fixture(self.folder / "fixtures" / f"{name}.json")


@functools.cache
def _load_fixture(path: Path) -> Fixture:
    return Fixture.load(path)


def _source_digest(cls: type) -> str:
    return digest_file(Path(inspect.getfile(cls)))


def _text(value: Any, name: str) -> str:
    if isinstance(value, str):
        text = value
    else:
        try:
            text = json.dumps(thawed(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise EnvironmentFault(
                f"tool {name!r} returned something that is not JSON: {error}",
                fix="return text, numbers, lists or dicts",
            ) from error
    if len(text) > RESULT_LIMIT:
        return f"{text[:RESULT_LIMIT]}… [cut: {len(text) - RESULT_LIMIT} more characters]"
    return text
