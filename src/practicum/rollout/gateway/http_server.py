"""Runs the rollout server inside the event loop of whoever dispatches rollouts.

async with GatewayServer(create_gateway(registry), port=0) as server:
    ...  # agents reach it at server.url
"""

import asyncio
import errno
import socket
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from practicum.errors import RunError
from practicum.rollout.gateway.model_calls import LINE, ClientConnection

_STARTUP_S = 10.0
_KEEP_ALIVE_S = 120  # longer than an agent thinks between two calls: a reused connection is not found closed


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Ctrl-C belongs to the training loop, which stops this server itself."""
        yield


class _Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # whichever parser is installed
    def connection_lost(self, error: Exception | None) -> None:
        """A connection that its client closed over unread bytes is reset: its last answer was not received."""
        line = self.cycle.scope.get(LINE) if self.cycle is not None else None
        if isinstance(error, ConnectionResetError) and isinstance(line, ClientConnection):
            line.reset = True
        super().connection_lost(error)


class GatewayServer:
    """An ASGI application on a port, for the time of an ``async with`` block.

    Args:
        app: What to serve.
        host: Address to listen on; ``0.0.0.0`` for agents on other machines or in containers.
        port: Port to listen on; 0 takes a free one.
        public_url: How agents reach the server, where that is not ``http://host:port``.
        grace_s: Seconds that requests under way get at the end.

    Raises:
        RunError: (on entering) the port is in use or may not be used, the host is unknown.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str | None = None,
        grace_s: int = 5,
    ) -> None:
        self.host, self.port, self._public_url = host, port, public_url
        config = uvicorn.Config(
            app,
            http=_Connection,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=grace_s,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The ``endpoint`` agents are given, without a slash at its end."""
        if self._public_url:
            return self._public_url.rstrip("/")
        host = "127.0.0.1" if self.host in ("", "0.0.0.0") else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        listener = _listen(self.host, self.port)
        self.port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(_STARTUP_S):
                while not self._server.started:
                    if self._task.done():
                        self._task.result()
                        break
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise RunError(f"the rollout server did not start within {_STARTUP_S:g} s", where=self.url) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task


def require_free(host: str, port: int) -> None:
    """Refuse a place that cannot be listened on, before anything is loaded for it.

    Raises:
        RunError: the port is in use or may not be used, the host is unknown.
    """
    _listen(host, port).close()


def _listen(host: str, port: int) -> socket.socket:
    place = f"{host}:{port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends small answers at once (TCP_NODELAY); without, each costs 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OverflowError as error:
        listener.close()
        raise RunError(f"{port} is not a port", allowed="0 to 65535", where=place) from error
    except OSError as error:
        listener.close()
        raise _cannot_listen(error, port, place) from error
    return listener


def _cannot_listen(error: OSError, port: int, place: str) -> RunError:
    if error.errno == errno.EADDRINUSE:
        return RunError(
            f"port {port} is already in use",
            where=place,
            allowed="a free port, or 0 to take any free one",
            fix="stop the program that listens there, or choose another port for the gateway",
        )
    return RunError(
        f"the rollout server cannot listen on {place}: {error.strerror or error}",
        where=place,
        fix="use 127.0.0.1 or an address of this machine, and a port above 1023 (0 takes a free one)",
    )
