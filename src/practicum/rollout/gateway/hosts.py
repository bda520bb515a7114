"""Who may call at all: programs that mean this server, not pages that a browser was lured to.

A page can point a name of its own at 127.0.0.1 (DNS rebinding), or post across origins. Its requests bear that name as
``Host``, or the page as ``Origin``. Agents send addresses, local names, or the name that the run was told.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from practicum.rollout.gateway.error_answers import error_response

_PRIVATE_ENDINGS = (".localhost", ".internal")
"""Endings that nobody can register: this machine (RFC 6761), and containers' names of their host."""


class HostCheck:
    """ASGI middleware: refuses (403) a ``Host`` that is not this server's, and any page of another origin.

    Args:
        app: What serves.
        names: Names of this server beside addresses, names without a dot, and those of ``_PRIVATE_ENDINGS``.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self.app, self.names = app, frozenset(name.lower().rstrip(".") for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and (text := self._refusal(Headers(scope=scope))):
            await error_response(403, text, "bad_host")(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, headers: Headers) -> str:
        """Why the caller is not served; empty where it is."""
        host = headers.get("host", "")
        if not self._is_own(_name_in(host)):
            return (
                f"this server is not reached as {host!r}: call it by an IP address, or have the run know the name "
                "(gateway_url in the recipe)"
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return f"pages of another origin ({origin!r}) are not served: call from a program, without an Origin header"
        return ""

    def _is_own(self, name: str | None) -> bool:
        if name is None:
            return False
        return "." not in name or name in self.names or name.endswith(_PRIVATE_ENDINGS) or _is_address(name)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _name_in(host: str) -> str | None:
    """The name in a ``Host`` header, in lower case; None where it cannot be read."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
