"""A connection to an MCP server, held open in the background so that synchronous code can use it.

The client of the ``mcp`` package lives in one task of one event loop. All sessions of a process share a loop in the
background; each is a task there. Closing one ends its server process and whatever that started.
"""

import asyncio
import itertools
import os
import select
import signal
import tempfile
import threading
import weakref
from collections.abc import Mapping
from concurrent import futures
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from practicum.environment.modules import require
from practicum.environment.tool import ToolError
from practicum.errors import EnvironmentFault

STOP_S = 5.0
"""Seconds for the loop's thread to end."""


class Background:
    """A running loop. ``lend`` gives the one of this process; whoever took it gives it back.

    Not anyio's ``BlockingPortalProvider``: its lock is not reentrant, so a session that is collected as garbage while
    another opens would wait for itself; and it waits for its thread without a bound.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.users = 0
        self.process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="practicum-background", daemon=True)
        self._thread.start()

    @property
    def is_own_thread(self) -> bool:
        """Whether this is the loop's own thread, which must not wait for it."""
        return threading.current_thread() is self._thread

    def give_back(self) -> None:
        """No longer needed by one of its users; the last one's going ends the loop and its thread."""
        global _shared  # noqa: PLW0603 - one loop for the process is the point
        with _lock:
            self.users -= 1
            if self.users:
                return
            if _shared is self:
                _shared = None
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
        if not self.is_own_thread:
            self._thread.join(STOP_S)

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


# Taken again by a thread that holds it, where garbage is collected meanwhile.
_lock = threading.RLock()
_shared: Background | None = None


def lend() -> Background:
    """The process's loop; after a fork the child gets its own."""
    global _shared  # noqa: PLW0603
    with _lock:
        if _shared is None or _shared.process != os.getpid():
            _shared = Background()
        _shared.users += 1
        return _shared


MARK = "PRACTICUM_MCP_SESSION"
"""Environment variable of a server process, by which its descendants are known."""

CLOSE_S = 15.0
"""Seconds for a server to end; the client asks it politely, then with SIGTERM, then with SIGKILL."""

KILL_S = 2.0
"""Seconds for what is killed to be gone."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class McpServer:
    """Where a server is: a command that speaks MCP on stdin and stdout, or the URL of its streamable HTTP endpoint.

    Attributes:
        variables: Environment variables of the process, over the few that every process gets (PATH, HOME, …).
        folder: Working directory of the process.
        headers: HTTP headers.
        start_s: Seconds for it to start and to list its tools.
        call_s: Seconds for one call.
    """

    command: tuple[str, ...] = ()
    url: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    folder: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    start_s: float = 30.0
    call_s: float = 60.0

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.url):
            raise EnvironmentFault("an MCP server needs a command or a url, and not both", where=str(self))
        for name in ("start_s", "call_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise EnvironmentFault(f"{name} is {getattr(self, name)!r}", allowed="a positive number of seconds")

    def __str__(self) -> str:
        return self.url or " ".join(self.command)


@dataclass(frozen=True)
class McpTool:
    """A tool as the server publishes it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    output: Mapping[str, Any] | None = None


@dataclass
class _Line:
    """What the loop's task and the session's owner share; it does not keep the session alive."""

    server: McpServer
    mark: str
    background: Background
    ready: "futures.Future[list[McpTool]]" = field(default_factory=futures.Future)
    leave: asyncio.Event | None = None
    client: Any = None
    stderr: Any = None
    """Where the server writes to as stderr."""
    words: str = ""
    """What it had written there at its end."""
    holder: "asyncio.Task[None] | None" = None
    leaving: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class McpSession:
    """One session with a server. Opening it returns at once; ``tools`` and ``call`` wait until it is open.

    Raises:
        EnvironmentFault: the ``mcp`` package is not installed.
    """

    __slots__ = ("__weakref__", "_close", "_line")

    def __init__(self, server: McpServer) -> None:
        require("mcp")
        self._line = _Line(server, f"{os.getpid()}-{next(_numbers)}", lend())
        asyncio.run_coroutine_threadsafe(_hold(self._line), self._line.background.loop)
        # Also runs when the session is garbage, and when the interpreter ends.
        self._close = weakref.finalize(self, _shut, self._line)

    def __reduce__(self) -> Any:
        raise TypeError("a session with a server cannot be copied")

    def tools(self) -> list[McpTool]:
        """The server's tools, in its order.

        Raises:
            EnvironmentFault: it did not start, is no MCP server, or took longer than ``start_s``.
        """
        server = self._line.server
        try:
            return self._line.ready.result(server.start_s)
        except futures.TimeoutError:
            raise self._fault(f"the MCP server was not ready within {server.start_s:g} s") from None

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """What a tool returns, as JSON data or text.

        Raises:
            ToolError: the tool failed, or the server refuses the call.
            EnvironmentFault: it did not answer within ``call_s``, or the connection is gone.
        """
        server = self._line.server
        if not self._close.alive:
            raise self._fault("the session with the MCP server is closed")
        pending = asyncio.run_coroutine_threadsafe(_call(self._line, name, arguments), self._line.background.loop)
        try:
            # The client has the same bound; this one holds even where it does not keep it.
            return await asyncio.wait_for(asyncio.wrap_future(pending), server.start_s + server.call_s + 5)
        except TimeoutError:
            raise self._fault(f"the MCP server did not answer {name} within {server.call_s:g} s") from None

    def close(self) -> None:
        """End the session, its server process and the processes that this one started. Safe to call twice."""
        self._close()

    def _fault(self, what: str) -> EnvironmentFault:
        return _fault(self._line, what)


async def _hold(line: _Line) -> None:
    """Keep the client open until told to leave. Reports through ``line.ready``; never raises."""
    line.leave, line.holder = asyncio.Event(), asyncio.current_task()
    # A real file: the server's process inherits its descriptor.
    line.stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
    try:
        async with AsyncExitStack() as stack:
            if not line.leaving:
                line.client = await stack.enter_async_context(await _client(line, stack))
                line.ready.set_result(await _listed(line.client))
                await line.leave.wait()
    except (Exception, BaseExceptionGroup, asyncio.CancelledError) as error:
        if not line.ready.done():
            line.ready.set_exception(_fault(line, f"no MCP session with the server: {_reason(error)}"))
    finally:
        line.client, line.words = None, _written(line.stderr)
        line.stderr.close()
        if not line.ready.done():
            line.ready.set_exception(_fault(line, "the session with the MCP server is closed"))
        line.ended.set()


async def _client(line: _Line, stack: AsyncExitStack) -> Any:
    import httpx2
    from mcp import Client, StdioServerParameters, stdio_client
    from mcp.client.streamable_http import streamable_http_client

    server = line.server
    if server.url:
        timeout = httpx2.Timeout(server.start_s, read=server.call_s + 5)
        http = await stack.enter_async_context(httpx2.AsyncClient(headers=dict(server.headers), timeout=timeout))
        transport: Any = streamable_http_client(server.url, http_client=http)
    else:
        parameters = StdioServerParameters(
            command=server.command[0],
            args=list(server.command[1:]),
            env={**dict(server.variables), MARK: line.mark},
            cwd=server.folder or None,
        )
        transport = stdio_client(parameters, errlog=line.stderr)
    # Not cached: what a server answers must be what it answers now.
    return Client(transport, read_timeout_seconds=server.start_s, cache=None)


async def _listed(client: Any) -> list[McpTool]:
    tools: list[McpTool] = []
    cursor: str | None = None
    cursors: set[str | None] = {None}
    while True:
        page = await client.list_tools(cursor=cursor)
        tools += [
            McpTool(tool.name, tool.description or tool.title or "", tool.input_schema, tool.output_schema)
            for tool in page.tools
        ]
        cursor = page.next_cursor
        if cursor in cursors:
            return tools
        cursors.add(cursor)


async def _call(line: _Line, name: str, arguments: Mapping[str, Any]) -> Any:
    from mcp import MCPError
    from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT

    try:
        # Shielded: who stops waiting must not cancel what others wait for.
        await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(line.ready)), line.server.start_s)
    except TimeoutError:
        raise _fault(line, f"the MCP server was not ready within {line.server.start_s:g} s") from None
    if line.client is None:
        raise _fault(line, "the MCP server went away")
    try:
        result = await line.client.call_tool(name, dict(arguments), read_timeout_seconds=line.server.call_s)
    except MCPError as error:
        if error.code == REQUEST_TIMEOUT:
            raise _fault(line, f"the MCP server did not answer {name} within {line.server.call_s:g} s") from error
        if error.code == CONNECTION_CLOSED:
            raise _fault(line, f"the MCP server went away while it answered {name}") from error
        raise ToolError(error.message) from error
    except Exception as error:
        raise _fault(line, f"{name} got no answer from the MCP server: {_reason(error)}") from error
    return value_of(result)


def _shut(line: _Line) -> None:
    if line.background.process != os.getpid():
        return  # a fork's copy: the session is its parent's
    if line.background.is_own_thread:
        # The collector may find garbage in any thread; this one runs what is waited for below.
        threading.Thread(target=_shut, args=(line,), name="practicum-close", daemon=True).start()
        return
    loop = line.background.loop
    loop.call_soon_threadsafe(_leave, line)
    if not line.ended.wait(CLOSE_S) and line.holder is not None:
        loop.call_soon_threadsafe(line.holder.cancel)
        line.ended.wait(KILL_S)
    _end_marked(line.mark)
    line.background.give_back()


def _leave(line: _Line) -> None:
    line.leaving = True
    if line.leave is not None and line.ready.done():
        line.leave.set()
    elif line.holder is not None:
        # It is still opening: there is nothing to wait for any more.
        line.holder.cancel()


def _end_marked(mark: str) -> None:
    """Kill what a server left behind: every process that inherited its mark (where there is a /proc to see them)."""
    marked = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            handle = os.pidfd_open(int(folder.name))
            try:
                # Read after the handle is held, so that the number cannot have passed to another process.
                if marked in (folder / "environ").read_bytes().split(b"\0"):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    select.select([handle], [], [], KILL_S)
            finally:
                os.close(handle)


def _fault(line: _Line, what: str) -> EnvironmentFault:
    return EnvironmentFault(what, where=str(line.server), fix=_last_words(line))


def _last_words(line: _Line) -> str:
    words = line.words if line.stderr is None or line.stderr.closed else _written(line.stderr)
    if words:
        return "read what it wrote to stderr last:\n    " + "\n    ".join(words.splitlines()[-8:])
    if line.server.url:
        return "check that the server runs there, and that it speaks MCP"
    return "start the command by hand: it must speak MCP on stdin and stdout, and write nothing else to stdout"


def _written(file: Any) -> str:
    """The end of a file that another process writes to."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), 2000, max(0, size - 2000)).decode(errors="replace").strip()


def _reason(error: BaseException) -> str:
    """The innermost of grouped errors, in a line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def value_of(result: Any) -> Any:
    """JSON data or text from a ``CallToolResult``.

    Structured content is taken where the server sends it; its text then only repeats it. Else the text of the
    content blocks; of what is no text (pictures, sound) only kind and size are said.

    Raises:
        ToolError: the result is marked as an error.
    """
    text = "\n".join(_block_text(block) for block in result.content)
    if result.is_error:
        raise ToolError(text or "the tool failed and did not say why")
    return text if result.structured_content is None else result.structured_content


def _block_text(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            return f"[{block.type}, {block.mime_type}, {_blob_bytes(block.data)} bytes]"
        case "resource_link":
            return f"[resource {block.uri}]"
        case "resource":
            inner = block.resource
            blob = getattr(inner, "blob", None)
            return str(inner.text) if blob is None else f"[resource {inner.uri}, {_blob_bytes(blob)} bytes]"
        case other:
            return f"[{other}]"


def _blob_bytes(base64: str) -> int:
    return len(base64.rstrip("=")) * 3 // 4
