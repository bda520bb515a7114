"""An MCP server as a source."""

from collections.abc import Iterable, Mapping
from typing import Any

from practicum.bridges.mcp_session import McpServer, McpSession
from practicum.environment.calling import waited
from practicum.services.openapi import tool_name
from practicum.services.production import ProductionTool, Tools
from practicum.services.redaction import SHORTEST
from practicum.services.source import header_secrets


class McpSource:
    """The tools of an MCP server, in one session that lasts as long as the recording.

    Raises:
        EnvironmentFault: it does not start, or does not list its tools in time.
    """

    def __init__(self, server: McpServer) -> None:
        # A command or an address may hold a key; the recording says only what kind of server it was.
        self.name = "mcp"
        given = [value for _, value in server.variables if len(value) >= SHORTEST]
        self.secrets: Iterable[str] = [*header_secrets(dict(server.headers)), *given]
        self._session = McpSession(server)
        try:
            listed = self._session.tools()
        except BaseException:
            self._session.close()
            raise
        self._names = {tool_name(tool.name): tool.name for tool in listed}
        self.tools: Tools = tuple(
            ProductionTool(tool_name(tool.name), tool.description, tool.parameters, tool.output) for tool in listed
        )

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """See ``Source``."""
        return waited(self._session.call(self._names[tool], arguments))

    def close(self) -> None:
        """End the session and its process."""
        self._session.close()
