"""An MCP server that somebody else wrote, as an environment: its tools become ours, with their schemas.

    class Files(McpEnvironment):
        id, version = "files", "1.0.0"
        command = ("python", "server.py", "--seed", "{seed}")

        def tasks(self, split): ...

or without code, with datasets for the tasks::

    environment: practicum.bridges.mcp_client:McpEnvironment
    environment_args: {command: [python, server.py], id: files, version: 1.0.0}

Every episode has a session of its own; over stdio that is a fresh process, killed at the end with everything it
started. ``{task}`` and ``{seed}`` in the command, the variables and the URL are replaced by the task's id and by a
number drawn from the episode's seed. Needs the extra ``mcp``.
"""

import functools
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from practicum.bridges.mcp_session import McpServer, McpSession, McpTool
from practicum.digests import canonical_json
from practicum.environment.base import Environment
from practicum.environment.tool import ToolSpec
from practicum.errors import EnvironmentFault
from practicum.tasks import Task


class McpEnvironment(Environment):
    """The tools of an MCP server.

    Args (each may be a class attribute instead):
        command: Program and arguments; as one text it is split like a shell would.
        url: Streamable HTTP endpoint, instead of a command.
        variables: Environment variables for the process. It inherits only PATH, HOME and the like.
        inherit: Names of variables it gets from this process (keys for the service behind it).
        headers: HTTP headers for ``url``. A value ``$NAME`` is read from that environment variable.
        folder: Working directory of the process; by default the folder of the class's file, for ``McpEnvironment``
            itself this process's.
        start_s, call_s: Seconds to start, and for one call.
        id, version: The environment's, where the class gives none.

    A result that the server marks as an error is one the agent sees. A server that does not start, does not answer
    in time or dies is an ``EnvironmentFault``: that is no observation to learn from.
    """

    id, version = "mcp", "1.0.0"
    command: ClassVar[str | Sequence[str]] = ()
    url: ClassVar[str] = ""
    variables: ClassVar[Mapping[str, str]] = {}
    inherit: ClassVar[Sequence[str]] = ()
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        command: str | Sequence[str] | None = None,
        *,
        url: str | None = None,
        variables: Mapping[str, str] | None = None,
        inherit: Sequence[str] | None = None,
        headers: Mapping[str, str] | None = None,
        folder: str = "",
        start_s: float = 30.0,
        call_s: float = 60.0,
        id: str | None = None,
        version: str | None = None,
    ) -> None:
        self.__dict__.update({name: value for name, value in (("id", id), ("version", version)) if value})
        super().__init__()
        asked = self.command if command is None else command
        self._given: dict[str, Any] = {
            "command": shlex.split(asked) if isinstance(asked, str) else [str(part) for part in asked],
            "url": self.url if url is None else url,
            "variables": dict(self.variables if variables is None else variables),
            "inherit": sorted(self.inherit if inherit is None else inherit),
            "headers": dict(self.headers if headers is None else headers),
            "folder": folder,
        }
        self._server = McpServer(
            tuple(self._given["command"]),
            self._given["url"],
            tuple(sorted({**_present(self._given["inherit"]), **self._given["variables"]}.items())),
            folder or ("" if type(self) is McpEnvironment else str(self.folder)),
            tuple(sorted((name, _secret(value)) for name, value in self._given["headers"].items())),
            start_s,
            call_s,
        )

    def settings(self) -> dict[str, Any]:
        """Where the server is, and what it is given; of headers only the names."""
        return {**self._given, "headers": sorted(self._given["headers"])}

    def tool_specs(self) -> Mapping[str, ToolSpec]:
        """The server's tools, and whatever tools a subclass adds or replaces.

        Raises:
            EnvironmentFault: the server does not start, or its tools cannot be offered.
        """
        return {**self._offered, **super().tool_specs()}

    def start(self, task: Task) -> None:
        """Open the episode's session; the server starts while the agent thinks."""
        # Asked for before the episode, so that every episode offers the same tools.
        _ = self._offered
        self.session = McpSession(_filled(self._server, task.id, self.random.getrandbits(31)))
        self.register(self.session.close)
        self.checked = False

    @functools.cached_property
    def _offered(self) -> dict[str, ToolSpec]:
        tools = list(_tools_of(_filled(self._server, "", 0)))
        names = {_name(tool.name): tool for tool in tools}
        if len(names) < len(tools):
            raise EnvironmentFault(
                f"two tools of the server have the same name: {', '.join(tool.name for tool in tools)}",
                where=str(self._server),
            )
        return {
            name: ToolSpec.from_schema(name, tool.description, tool.parameters, functools.partial(self._ask, tool.name))
            for name, tool in names.items()
        }

    async def _ask(self, name: str, arguments: dict[str, Any]) -> Any:
        value = await self.session.call(name, arguments)
        if not self.checked:
            now, first = self.session.tools(), list(_tools_of(_filled(self._server, "", 0)))
            if _published(now) != _published(first):
                raise EnvironmentFault(
                    "the MCP server offers other tools than before",
                    where=str(self._server),
                    fix="offer the same tools in every session; start this process again after changing the server",
                )
            self.checked = True
        return value


@functools.lru_cache(maxsize=64)
def _tools_of(server: McpServer) -> tuple[McpTool, ...]:
    """A server's tools, asked for once per process, in a session without an episode."""
    session = McpSession(server)
    try:
        return tuple(session.tools())
    finally:
        session.close()


def _filled(server: McpServer, task: str, seed: int) -> McpServer:
    def put(text: str, task: str = task) -> str:
        return text.replace("{task}", task).replace("{seed}", str(seed))

    return replace(
        server,
        command=tuple(put(part) for part in server.command),
        url=put(server.url, quote(task, safe="")),
        variables=tuple((name, put(value)) for name, value in server.variables),
    )


def _name(name: str) -> str:
    """A name that OpenAI's function schemas allow."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]


def _published(tools: Sequence[McpTool]) -> list[str]:
    return sorted(canonical_json([tool.name, tool.description, dict(tool.parameters)]) for tool in tools)


def _present(names: Sequence[str]) -> dict[str, str]:
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise EnvironmentFault(
            f"the environment variable {missing[0]} is to be handed to the MCP server, and is not set",
            fix=f"export {missing[0]}, or take it out of inherit",
        )
    return {name: os.environ[name] for name in names}


def _secret(value: str) -> str:
    return _present([value[1:]])[value[1:]] if re.fullmatch(r"\$\w+", value) else value
