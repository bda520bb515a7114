"""What an agent asks the model, as it came over the wire: one record of requests per rollout."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from practicum.checks.episodes import parting_place
from practicum.rollout.gateway.callers import TRAJECTORY_HEADER
from practicum.rollout.gateway.error_answers import REPORTS
from practicum.text import json_object

"""Posts that are no model calls."""

_NOT_FOR_THE_MODEL = frozenset({"metadata", "user", "store", "stream", "stream_options", "safety_identifier"})
"""Fields of a request that decide nothing about what the model reads or how it answers."""

_HEADER = TRAJECTORY_HEADER.lower().encode()


class RequestLog:
    """ASGI middleware before a gateway that keeps the body of every model call, by the rollout it names."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._bodies: dict[str, list[bytes]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"].endswith(REPORTS):
            await self._app(scope, receive, send)
            return
        bodies = self._bodies.setdefault(rollout_of(scope), [])
        bodies.append(b"")
        number = len(bodies) - 1

        async def overheard() -> Message:
            message = await receive()
            bodies[number] += message.get("body", b"")
            return message

        await self._app(scope, overheard, send)

    def bodies(self, session: str) -> list[bytes]:
        """The bodies of a session's model calls, whatever the gateway has added to its id."""
        return [body for rollout, some in self._bodies.items() if _is_of(rollout, session) for body in some]

    def requests(self, session: str) -> tuple[str, ...]:
        """Canonical JSON of a session's model calls: what the model reads, without ids that are drawn anew.

        The rollout's own id, and the ids of tool calls, are replaced by their place: clients may rename them.
        """
        rollouts = [rollout for rollout in self._bodies if _is_of(rollout, session)]
        return tuple(canonical_request(body, rollouts) for body in self.bodies(session))

    def forget(self, session: str) -> None:
        """Begin anew for a session."""
        for rollout in [rollout for rollout in self._bodies if _is_of(rollout, session)]:
            del self._bodies[rollout]

    def tools(self, session: str) -> list[Mapping[str, Any]]:
        """The tools that the session's last model call offered, as OpenAI function schemas."""
        bodies = self.bodies(session)
        return tools_in(bodies[-1]) if bodies else []


def rollout_of(scope: Scope) -> str:
    """The rollout that a request names, in its path or its header; empty for none."""
    parts = str(scope["path"]).split("/")
    if len(parts) > 2 and parts[1] == "rollouts":
        return parts[2]
    return next((value.decode("latin-1") for name, value in scope["headers"] if name.lower() == _HEADER), "")


def canonical_request(body: bytes, rollouts: Sequence[str]) -> str:
    """One request's body as comparable text; as it is where it is no JSON object."""
    text = body.decode("utf-8", "replace")
    for rollout in rollouts:
        text = text.replace(rollout, "ROLLOUT")
    request = json_object(text)
    if request is None:
        return text
    shown = {key: value for key, value in request.items() if key not in _NOT_FOR_THE_MODEL}
    text = json.dumps(shown, sort_keys=True, ensure_ascii=False, indent=1)
    for number, id in enumerate(_call_ids(request)):
        text = text.replace(json.dumps(id, ensure_ascii=False), f'"call {number + 1}"')
    return text


def tools_in(body: bytes) -> list[Mapping[str, Any]]:
    """The tools of one request, whichever of OpenAI's two forms they are in."""
    request = json_object(body.decode("utf-8", "replace")) or {}
    tools: list[Mapping[str, Any]] = []
    for tool in request.get("tools") or []:
        function = tool.get("function", tool) if isinstance(tool, dict) else {}
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            parameters = function.get("parameters") or {"type": "object", "properties": {}}
            tools.append({"type": "function", "function": {**function, "parameters": parameters}})
    return tools


def first_difference(first: Sequence[str], second: Sequence[str]) -> int | None:
    """The place of the first request that differs; None where all are equal."""
    return None if tuple(first) == tuple(second) else parting_place(first, second)


def _call_ids(request: Mapping[str, Any]) -> list[str]:
    """Ids of tool calls, in the order in which they come up."""
    ids: Counter[str] = Counter()
    for message in request.get("messages") or []:
        calls = message.get("tool_calls") or [] if isinstance(message, dict) else []
        for call in calls:
            if isinstance(call, dict) and isinstance(call.get("id"), str):
                ids[call["id"]] += 1
    return list(ids)


def _is_of(rollout: str, session: str) -> bool:
    return rollout == session or rollout.startswith(f"{session}-")
