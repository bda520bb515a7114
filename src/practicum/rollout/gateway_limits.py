"""What a request must satisfy before it is looked at: a body small enough, of text that can be kept."""

import json
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from practicum.rollout.gateway_errors import Json, error_response

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89abAB]|\\u[dD][c-fC-F]")


class BodyLimits:
    """ASGI middleware: refuses a body over ``max_bytes`` (413) or not proper UTF-8 (400)."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = await self._read(receive)
        refusal = self._refusal(body)
        if refusal:
            await refusal(scope, receive, send)
            return
        await self.app(scope, _replay(body or b"", receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The body, or None where it is too large; read to its end, so that the client can hear so."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= self.max_bytes:
                parts.append(chunk)
            else:
                parts.clear()
            if not message.get("more_body", False):
                return b"".join(parts) if size <= self.max_bytes else None

    def _refusal(self, body: bytes | None) -> Json | None:
        if body is None:
            text = f"the body has more than {self.max_bytes} bytes; shorten the history or the tool results"
            return error_response(413, text, "body_too_large")
        problem = _text_problem(body)
        return error_response(400, problem, "invalid_request") if problem else None


def _text_problem(body: bytes) -> str | None:
    """Why the body's text could not be tokenized or stored, if so."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"the body is not UTF-8 at byte {error.start}; send JSON encoded as UTF-8"
    if b"\0" in body:
        return "the body holds a zero byte; send JSON encoded as UTF-8"
    if _SURROGATE_ESCAPE.search(body):
        try:
            json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            return "a string holds half a surrogate pair (\\ud800 to \\udfff), which is not text; remove it"
        except (ValueError, RecursionError):
            return None  # not JSON at all: the parser behind says where
    return None


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
