"""What can be recorded: anything that has tools and answers calls."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from practicum.bridges.mcp_session import McpServer, McpSession
from practicum.environment.calling import waited
from practicum.environment.tool import ToolError, arguments_model, type_hints
from practicum.errors import EnvironmentFault
from practicum.services.openapi import tool_name
from practicum.services.production import ProductionTool, Tools
from practicum.services.redaction import SHORTEST


class Source(Protocol):
    """A live service, while it is recorded."""

    @property
    def name(self) -> str:
        """What it is, for the recording's file; without secrets."""
        ...

    @property
    def tools(self) -> Tools:
        """Its tools, with their schemas."""
        ...

    @property
    def secrets(self) -> Iterable[str]:
        """What lets us in, and must not stand in a recording even where the service repeats it."""
        ...

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """JSON data that a call returns.

        Raises:
            ToolError: the service says that the call failed; that is an answer, and recorded.
            EnvironmentFault: the service did not answer; that is none, and the recording stops.
        """
        ...

    def close(self) -> None:
        """Let go of the service. Safe to call twice."""
        ...


def header_secrets(headers: Mapping[str, str]) -> list[str]:
    """What of headers' values must not stand in a recording: all but the scheme before credentials."""
    secrets = []
    for value in headers.values():
        scheme, space, credentials = value.partition(" ")
        secrets.append(credentials if space and scheme.isalpha() else value)
    return [secret for secret in secrets if len(secret) >= SHORTEST]


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


class CallableSource:
    """Functions, methods or coroutine functions, by name.

    Args:
        functions: Each is a tool of its own name; or names of tools and their functions.
        name: What the recording's file says of them.

    A function's parameters need types; its docstring is the description. What it raises is recorded as the tool's
    error, but for a lost connection and a timeout: these are no answers, and stop the recording.

    Raises:
        EnvironmentFault: a parameter without a type or of a reserved name, one that no schema expresses, or a name
            used twice.
    """

    secrets: Iterable[str] = ()

    def __init__(
        self, functions: Iterable[Callable[..., Any]] | Mapping[str, Callable[..., Any]], *, name: str = "python"
    ) -> None:
        named = functions.items() if isinstance(functions, Mapping) else ((each.__name__, each) for each in functions)
        listed = list(named)
        self.name = name
        self._functions: dict[str, Callable[..., Any]] = {}
        for tool, function in listed:
            if tool in self._functions:
                raise EnvironmentFault(f"two functions are called {tool!r}", where=_place(function), fix="rename one")
            self._functions[tool] = function
        modelled = {
            tool: arguments_model(function, repr(tool), list(inspect.signature(function).parameters.values()))
            for tool, function in listed
        }
        self._models = {tool: model for tool, (model, _) in modelled.items()}
        self.tools: Tools = tuple(_tool(tool, function, modelled[tool][1]) for tool, function in listed)

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """See ``Source``."""
        function = self._functions[tool]
        try:
            checked = self._models[tool].model_validate(dict(arguments))
        except ValidationError as error:
            raise ToolError(f"invalid arguments: {error.errors()[0]['msg']}") from error
        values = {name: getattr(checked, name) for name in type(checked).model_fields}
        try:
            value = waited(function(**values))
        except (ToolError, EnvironmentFault):
            raise
        except (ConnectionError, TimeoutError) as error:
            raise EnvironmentFault(
                f"{tool} got no answer: {type(error).__name__}: {error}", where=_place(function)
            ) from error
        except Exception as error:
            # Addresses of objects differ from run to run, and folders from machine to machine.
            text = _without_folders(re.sub(r" at 0x[0-9a-f]+", "", str(error)), function)
            raise ToolError(f"{type(error).__name__}: {text}" if text else type(error).__name__) from error
        try:
            return to_jsonable_python(value, inf_nan_mode="constants")
        except PydanticSerializationError as error:
            raise EnvironmentFault(
                f"{tool} returned something that is not JSON: {error}", where=_place(function)
            ) from error

    def close(self) -> None:
        """Nothing is held."""


def _without_folders(text: str, function: Callable[..., Any]) -> str:
    """The text with paths below the function's folder, or below the working folder, as they are from there."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    folders = [Path(code.co_filename).absolute().parent] if code is not None else []
    for folder in (*folders, Path.cwd()):
        if folder != Path(folder.anchor):
            text = text.replace(f"{folder}/", "")
    return text


def _tool(name: str, function: Callable[..., Any], request: Mapping[str, Any]) -> ProductionTool:
    returned = type_hints(function, repr(name)).get("return", Any)
    try:
        response = None if returned is Any else TypeAdapter(returned).json_schema(mode="serialization")
    except Exception as error:
        raise EnvironmentFault(
            f"{name!r} returns a type that no JSON schema expresses: {error}", where=_place(function)
        ) from error
    return ProductionTool(name, inspect.cleandoc(function.__doc__ or ""), request, response)


def _place(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)
