"""An environment that answers from a recording: its tools and their schemas come out of the file.

    class Crm(RecordedEnvironment):
        id, version = "crm", "1.0.0"
        recording = "fixtures/crm.json"          # beside this file

        def tasks(self, split): ...

or, with datasets for the tasks, ``RecordedEnvironment("fixtures/crm.json")``. Given a ``Recorder`` instead of a
file, the same class plays live and is recorded: ``Crm(recorder)``.
"""

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from practicum.environment.base import Environment
from practicum.environment.parts import EnvironmentPart
from practicum.environment.tool import ToolSpec
from practicum.errors import EnvironmentFault
from practicum.services.production import Tools
from practicum.services.recording import Recording


class Answers(Protocol):
    """Where a recorded environment's answers come from: a ``Recording``, or a ``Recorder``."""

    @property
    def tools(self) -> Tools:
        """The tools, with their schemas."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of what decides the answers."""
        ...

    def answer(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """What a call returns; raises ``ToolError``."""
        ...


class RecordedEnvironment(Environment):
    """Tools that answer from a recording; read-only, and without any call to the service.

    A call that was not recorded is a tool error that names the nearest one that was. A subclass may add tools, or
    replace recorded ones by its own of the same name.

    Args:
        recording: The file, or what answers instead; by default the class's ``recording``, a path from the folder
            of the class's file.
        id, version: The environment's, where the class gives none; by default the id is ``recorded-NAME``.

    Raises:
        EnvironmentFault: the recording is missing or broken; names file and line.
    """

    id, version = "recorded", "1.0.0"
    recording: ClassVar[str | Path] = ""
    path_arguments = ("recording",)

    def __init__(
        self, recording: str | Path | Answers | None = None, *, id: str | None = None, version: str | None = None
    ) -> None:
        source = self.folder / self.recording if recording is None else recording
        if recording is None and not self.recording:
            raise EnvironmentFault(
                f"{type(self).__name__} has no recording",
                fix='give the file, or the class: recording = "fixtures/name.json"',
            )
        self.answers: Answers = _loaded(Path(source).resolve()) if isinstance(source, str | Path) else source
        if self.id == RecordedEnvironment.id and isinstance(source, str | Path):
            self.__dict__["id"] = f"recorded-{re.sub(r'[^A-Za-z0-9_.-]', '-', Path(source).stem)}"
        self.__dict__.update({name: value for name, value in (("id", id), ("version", version)) if value})
        super().__init__()
        self._recorded = {
            tool.name: ToolSpec.from_schema(
                tool.name, tool.description, tool.request, functools.partial(self.answers.answer, tool.name)
            )
            for tool in self.answers.tools
        }

    def tool_specs(self) -> Mapping[str, ToolSpec]:
        """The recorded tools, then those of the class."""
        return {**self._recorded, **super().tool_specs()}

    @functools.cached_property
    def parts(self) -> Mapping[str, EnvironmentPart]:
        """What the digest is made of; the recording among it, wherever its file lies."""
        return {**super().parts, "recording": EnvironmentPart(self.answers.digest)}


@functools.lru_cache(maxsize=32)
def _read(path: Path, _changed: tuple[int, int]) -> Recording:
    return Recording.load(path)


def _loaded(path: Path) -> Recording:
    """One object for all instances that answer from the same file."""
    try:
        status = path.stat()
    except OSError:
        return Recording.load(path)
    return _read(path, (status.st_mtime_ns, status.st_size))
