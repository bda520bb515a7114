"""What a request must satisfy before it is looked at: a body small enough, of text that can be kept, nested as JSON in
use is. Tested before anything is made of it, in time that is linear in a length bounded first."""

import json
import re
from itertools import accumulate

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from practicum.rollout.gateway.error_answers import REPORTS, Json, error_response

MAX_DEPTH = 100
"""Lists and objects within one another."""
MAX_PARTS = 50_000
"""Lists and objects of a body in all: parsing and checking cost by them."""
MAX_VALUES = 200_000
"""Values and members of a body in all, as its commas say."""
MAX_REPORT_BYTES = 1024 * 1024
"""Largest body of a report; what it says is kept with its trajectory."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_STEPS))
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
        most = min(self.max_bytes, MAX_REPORT_BYTES) if scope["path"] in REPORTS else self.max_bytes
        body = await _read(receive, most)
        refusal = _refusal(body, most)
        if refusal:
            await refusal(scope, receive, send)
            return
        await self.app(scope, _replay(body or b"", receive), send)


async def _read(receive: Receive, most: int) -> bytes | None:
    """The body, or None where it has more bytes; read to its end, so that the client can hear so."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= most:
            parts.append(chunk)
        else:
            parts.clear()
        if not message.get("more_body", False):
            return b"".join(parts) if size <= most else None


def _refusal(body: bytes | None, most: int) -> Json | None:
    if body is None:
        text = f"the body has more than {most} bytes; shorten the history or the tool results"
        return error_response(413, text, "body_too_large")
    problem = _shape_problem(body) or _text_problem(body)
    return error_response(400, problem, "invalid_request") if problem else None


def _shape_problem(body: bytes) -> str | None:
    """Why the body is nested too deep or has too many parts, if so."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH and body.count(b",") <= MAX_VALUES:
        return None
    bare = _STRING.sub(b"", body)
    brackets = bare.translate(None, _NO_BRACKETS)
    for count, most, of in (
        (brackets.count(b"[") + brackets.count(b"{"), MAX_PARTS, "lists and objects"),
        (bare.count(b","), MAX_VALUES, "values"),
    ):
        if count > most:
            return f"the body has {count:,} {of}, of at most {most:,}; shorten the history"
    depth = max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)
    return f"the body nests lists and objects {depth} deep, of at most {MAX_DEPTH}" if depth > MAX_DEPTH else None


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
