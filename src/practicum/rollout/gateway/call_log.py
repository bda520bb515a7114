"""Writes down, for the trajectory that was meant, every call that the rollout server does not serve.

It sees the answers of all layers: too large a body, an unknown path, a wrong key, an engine's fault.
"""

import json
from collections.abc import Collection, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from practicum.rollout.gateway.error_answers import REPORTS
from practicum.rollout.gateway.registry import Registry
from practicum.rollout.refusals import CallSubject, Refusal
from practicum.text import json_object

_BODY_BYTES = 64 * 1024
"""Of a report's body, so much is searched for the trajectory it means."""


class RefusalRecorder:
    """ASGI middleware: what is answered with a status from 400 on is a ``Refusal`` of the trajectory it names.

    Args:
        app: What serves.
        registry: The trajectories. A call that names none of them is the registry's ``stray``.
        header: Lower-case name of the header that carries a trajectory's id.
    """

    def __init__(self, app: ASGIApp, registry: Registry, header: str) -> None:
        self.app, self.registry, self.header = app, registry, header.lower().encode("latin-1")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        call = _Call(scope)

        async def recorded(message: Message) -> None:
            # Before the caller can learn of the refusal: what it does next may be to end the rollout.
            if call.answered_by(message):
                if call.status >= 400:
                    self._record(call)
                for part in call.held:
                    await send(part)
                call.held.clear()

        try:
            await self.app(scope, call.received_by(receive), recorded)
        except Exception as error:
            call.status, call.answer = 500, json.dumps({"message": f"{type(error).__name__}: {error}"}).encode()
            self._record(call)
            raise

    def _record(self, call: "_Call") -> None:
        texts = call.texts(self.header)
        meant = _named(self.registry.open_ids, texts)
        if meant is not None:
            self.registry.get(meant).refuse(call.refusal())
        elif _named(self.registry.ended_ids, texts) is None:  # else a call that came too late: nobody waits for it
            self.registry.refuse_stray(call.refusal())


class _Call:
    """One request and its answer, as they pass."""

    def __init__(self, scope: Scope) -> None:
        self.path: str = scope["path"]
        self.headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
        self.subject = CallSubject.of(self.path)
        self.body: list[bytes] = []
        self.answer = b""
        self.held: list[Message] = []
        self.status = 0
        self._room = 0 if self.subject is CallSubject.MODEL else _BODY_BYTES

    def texts(self, header: bytes) -> tuple[str, ...]:
        """Where a trajectory may be named, the surest first; in a report's body it may stand under any key."""
        headers = (value.decode("latin-1") for name, value in self.headers if name == header)
        return (*headers, self.path, b"".join(self.body).decode("utf-8", "replace"))

    def received_by(self, receive: Receive) -> Receive:
        async def received() -> Message:
            message = await receive()
            part = message.get("body", b"")[: self._room]
            self._room -= len(part)
            if part:
                self.body.append(part)
            return message

        return received

    def answered_by(self, message: Message) -> bool:
        """Hold a part of the answer; whether what is held may go: a refusal goes as a whole."""
        self.held.append(message)
        self.status = message.get("status", self.status)
        if self.status < 400:
            return True
        self.answer += message.get("body", b"")
        return message["type"] == "http.response.body" and not message.get("more_body", False)

    def refusal(self) -> Refusal:
        body = json_object(self.answer) or {}
        error = body.get("error")
        code, param = (str(error.get(key) or "") for key in ("code", "param")) if isinstance(error, dict) else ("", "")
        chat = self.path.endswith("/chat/completions")
        call = "the last model call" if chat else self.path if self.path in REPORTS else f"POST {self.path}"
        return Refusal(self.subject, call, str(body.get("message", "")), self.status, code, param)


def _named(ids: Collection[str], texts: Iterable[str]) -> str | None:
    """The id that the first of the texts with any names; of several the longest, since one may begin like another."""
    named = (max((id for id in ids if id in text), key=len, default=None) for text in texts)
    return next((id for id in named if id), None)
