"""An environment's tools over MCP: for agents and clients that speak nothing else.

One session is one episode. Over stdio that is one process::

    serve_stdio(SupportDesk, task="T123", seed=7)

Over streamable HTTP it is one MCP session; the address of its first request says which task it plays::

    serve_http(SupportDesk, port=8000)          # http://127.0.0.1:8000/mcp?task=T123&seed=7&split=test

What the task asks stands in the server's instructions and in the prompt ``task``. The episode is torn down when the
client ends the session, when its process ends, and when nothing was asked of it for ``idle_s``; ``on_end`` is then
given the finished ``Rollout``, to be scored. MCP's revision of 2026-07-28 has no sessions over HTTP: clients that
prefer it are told which revisions do, and fall back. Needs the extra ``mcp``.
"""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from practicum.bridges.episode import ServedEpisode, task_of, tasks_of
from practicum.environment.base import Environment
from practicum.environment.modules import require
from practicum.errors import EnvironmentFault, PracticumError
from practicum.tasks import Task
from practicum.text import json_object
from practicum.trajectory import Rollout

OnEnd = Callable[[Rollout], object]

PROMPT = "task"
"""Name of the MCP prompt that holds instructions and task."""


class Served:
    """The episode of one MCP session.

    Args:
        environment: A fresh one; closed at the end.
        task: Id of a task; by default one is drawn by the seed.
    """

    def __init__(self, environment: Environment, split: str, task: str | None, seed: int, on_end: OnEnd | None) -> None:
        tasks = tasks_of(environment, split)
        chosen = task_of(tasks, task, split) if task is not None else drawn(tasks, seed)
        self.episode = ServedEpisode(environment, chosen, seed)
        self._on_end = on_end
        # Clients may ask for several things at once; an environment does one at a time.
        self._turn = asyncio.Lock()

    @property
    def text(self) -> str:
        """Instructions and task."""
        return "\n\n".join(str(message["content"]) for message in self.episode.messages[:2] if message["content"])

    def schemas(self) -> list[dict[str, Any]]:
        """OpenAI function schemas of the tools."""
        return self.episode.environment.schemas()

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Run a tool call; a ``ToolResult``."""
        async with self._turn:
            return await self.episode.acall(name, arguments)

    def end(self) -> None:
        """Tear down, and tell ``on_end``. Safe to call twice."""
        if self.episode.open:
            rollout = self.episode.end("final")
            if self._on_end is not None:
                self._on_end(rollout)


def serve_stdio(
    make: Callable[[], Environment],
    *,
    split: str = "train",
    task: str | None = None,
    seed: int = 0,
    on_end: OnEnd | None = None,
) -> None:
    """Serve one episode on stdin and stdout until the client leaves.

    Args:
        make: Makes the environment.
        task: Id of the task; by default one is drawn by the seed.
        on_end: Is given the finished rollout.

    Raises:
        EnvironmentFault: the ``mcp`` package is missing, or there is no such split or task.
    """
    require("mcp")
    asyncio.run(_stdio(make, split, task, seed, on_end))


def mcp_app(
    make: Callable[[], Environment],
    *,
    split: str = "train",
    on_end: OnEnd | None = None,
    host: str = "127.0.0.1",
    idle_s: float = 1800.0,
    max_sessions: int = 1024,
) -> Any:
    """An ASGI application (Starlette) that serves MCP at ``/mcp``, one episode per session.

    Args:
        make: Makes a fresh environment for every session.
        split: Split of tasks, where a session's address names none.
        on_end: Is given each finished rollout.
        host: Address it will be served at; at a local one, requests that name another host are refused.
        idle_s: Seconds without a request after which a session is ended.
        max_sessions: Open sessions; a further one is refused with status 503.

    Raises:
        EnvironmentFault: the ``mcp`` package is missing, or the split has no tasks.
    """
    require("mcp")
    probe = make()
    tasks_of(probe, split)
    server = _server(probe, _of_session, "")
    server.middleware.append(_opening(make, split, on_end))
    # An episode needs a session, and the newest revision has none over HTTP: say so instead of failing later.
    from mcp_types import RequestParams

    server.add_request_handler("server/discover", RequestParams, _discover)
    return server.streamable_http_app(host=host, session_idle_timeout=idle_s, max_sessions=max_sessions)


def serve_http(make: Callable[[], Environment], *, host: str = "127.0.0.1", port: int = 8000, **settings: Any) -> None:
    """Serve ``mcp_app(make, **settings)`` until interrupted."""
    import uvicorn

    uvicorn.run(mcp_app(make, host=host, **settings), host=host, port=port, log_level="warning")


def drawn(tasks: list[Task], seed: int) -> Task:
    """The task that a seed stands for."""
    return tasks[random.Random(f"task:{seed}").randrange(len(tasks))]


async def _stdio(
    make: Callable[[], Environment], split: str, task: str | None, seed: int, on_end: OnEnd | None
) -> None:
    from mcp.server.stdio import stdio_server

    served = Served(make(), split, task, seed, on_end)

    def terminated(*_: Any) -> None:
        # Reading stdin cannot be interrupted, so nothing below would run before the client closes it.
        served.end()
        os._exit(128 + signal.SIGTERM)

    with suppress(ValueError):  # signals are the main thread's
        signal.signal(signal.SIGTERM, terminated)
    try:
        server = _server(served.episode.environment, lambda context: served, served.text)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
    finally:
        served.end()


def _server(environment: Environment, served_of: Callable[[Any], Served], instructions: str) -> Any:
    """A low-level MCP server; ``served_of`` finds the episode a request belongs to."""
    import mcp_types as types
    from mcp import MCPError
    from mcp.server import Server

    async def list_tools(context: Any, _params: Any) -> Any:
        functions = [schema["function"] for schema in served_of(context).schemas()]
        tools = [
            types.Tool(name=each["name"], description=each["description"], input_schema=dict(each["parameters"]))
            for each in functions
        ]
        return types.ListToolsResult(tools=tools)

    async def call_tool(context: Any, params: Any) -> Any:
        try:
            result = await served_of(context).call(params.name, params.arguments or {})
        except PracticumError as error:
            raise MCPError(types.INTERNAL_ERROR, f"the environment failed: {error.what}") from error
        content: list[types.ContentBlock] = [types.TextContent(text=result.text)]
        # What the protocol's older revisions allow as structured content is an object.
        structured = None if result.is_error else json_object(result.text)
        return types.CallToolResult(content=content, structured_content=structured, is_error=result.is_error)

    async def list_prompts(_context: Any, _params: Any) -> Any:
        return types.ListPromptsResult(prompts=[types.Prompt(name=PROMPT, description="instructions and task")])

    async def get_prompt(context: Any, params: Any) -> Any:
        if params.name != PROMPT:
            raise MCPError(types.INVALID_PARAMS, f"there is no prompt {params.name!r}; there is {PROMPT!r}")
        text = types.TextContent(text=served_of(context).text)
        return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=text)])

    return Server(
        environment.id,
        version=environment.version,
        instructions=instructions or None,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )


def _opening(make: Callable[[], Environment], split: str, on_end: OnEnd | None) -> Any:
    """Middleware that begins the episode with the session."""
    import mcp_types as types
    from mcp import MCPError

    async def open_episode(context: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        if context.method != "initialize":
            return await call_next(context)
        connection = _connection(context)
        if "episode" in connection.state:
            raise MCPError(types.INVALID_REQUEST, "this session plays an episode already: begin another session")
        asked = context.request.query_params
        try:
            served = Served(make(), asked.get("split", split), asked.get("task"), _seed(asked.get("seed")), on_end)
        except PracticumError as error:
            raise MCPError(types.INVALID_PARAMS, str(error)) from error
        connection.state["episode"] = served
        connection.exit_stack.callback(served.end)
        return {**await call_next(context), "instructions": served.text}

    return open_episode


async def _discover(_context: Any, _params: Any) -> Any:
    import mcp_types as types
    from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

    capabilities = types.ServerCapabilities(tools=types.ToolsCapability())
    return types.DiscoverResult(supported_versions=list(HANDSHAKE_PROTOCOL_VERSIONS), capabilities=capabilities)


def _of_session(context: Any) -> Served:
    import mcp_types as types
    from mcp import MCPError

    served = _connection(context).state.get("episode")
    if served is None:
        what = "an episode needs a session: begin one with an initialize request"
        raise MCPError(types.INVALID_REQUEST, what)
    found: Served = served
    return found


def _connection(context: Any) -> Any:
    """The session's connection; its ``state`` and ``exit_stack`` last as long as the session.

    The package documents both for use in handlers and middleware, and gives these no other way to them yet.
    """
    return context.session._connection


def _seed(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError as error:
        raise EnvironmentFault(f"seed {text!r} is no number", allowed="an integer") from error
