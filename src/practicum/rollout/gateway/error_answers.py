"""Errors of the rollout server on the wire: a status, a code and a sentence that says what to mend.

The body has the shape OpenAI clients read (``error.message``) and, beside it, the plain ``message`` that
AWS clients print.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from practicum.errors import ContextFull, PracticumError, RenderError
from practicum.rollout.refusals import CONTEXT_FULL
from practicum.text import shortened

log = logging.getLogger(__name__)

MAX_MESSAGE = 2_000
"""Characters of an error's message: it may quote what the caller sent, and is remembered with the trajectory."""

_MENDS: Mapping[str, str] = {
    "Rewards": "send finite numbers in a list, one for the trajectory or one per turn, such as [0.5]",
    "Metrics": "send finite numbers by name",
    "TrajectoryId": "send the rolloutId of the request's metadata",
}
"""What to do about a key of a report that is wrong."""

SERVED = (
    "POST /v1/chat/completions and GET /v1/models (each also under /rollouts/{rolloutId}), "
    "POST /complete-rollout, POST /update-reward, GET /health"
)

_CHAT = "this server speaks OpenAI's Chat Completions"
_OTHER_APIS: Mapping[str, str] = {
    "responses": f"{_CHAT}, not its Responses API: use client.chat.completions; in the OpenAI Agents SDK "
    'set_default_openai_api("chat_completions"), in LangChain use_responses_api=False',
    "messages": f"{_CHAT}, not Anthropic's Messages: give the agent an OpenAI-compatible client with the base URL "
    "{endpoint}/rollouts/{rolloutId}/v1",
    "completions": f"{_CHAT}: send messages to /v1/chat/completions instead of a prompt",
    "embeddings": f"{_CHAT} of the policy alone: ask another server for embeddings",
    "generateContent": f"{_CHAT}, not Gemini's API: give the agent an OpenAI-compatible client",
}
"""By the last part of a path: another API of a client that can speak this one too."""

REPORTS = ("/complete-rollout", "/update-reward")
"""Where an agent says that it has ended, and what its rollout is worth."""
_REPORTS = tuple(path.removeprefix("/") for path in REPORTS)


class GatewayError(Exception):
    """A refusal with its HTTP status.

    Args:
        status: HTTP status code.
        message: What is wrong and what to do.
        code: Short machine-readable name.
        headers: Response headers besides the body's.
    """

    def __init__(self, status: int, message: str, code: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers


class Json(Response):
    """JSON in plain ASCII, so that whatever a model uttered can be sent."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body's bytes."""
        return json.dumps(content, allow_nan=False).encode("ascii")


def error_response(
    status: int, message: str, code: str, headers: Mapping[str, str] | None = None, param: str | None = None
) -> Json:
    """The body every refusal has."""
    message = shortened(message, MAX_MESSAGE)
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Json({"error": error, "message": message}, status, dict(headers or {}))


def install_handlers(app: FastAPI) -> None:
    """Answer every exception of ``app`` with ``error_response``."""

    @app.exception_handler(GatewayError)
    async def refused(_: Request, error: GatewayError) -> Json:
        return error_response(error.status, error.message, error.code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Json:
        problems = error.errors()
        text = _describe(problems)
        kind = request.headers.get("content-type", "")
        if request.headers.get("content-length") != "0" and not _is_json(kind):
            came = f"came as {kind}" if kind else "came without one"
            text = f"send the header Content-Type: application/json: the body {came}, so it was not read as JSON"
        return error_response(400, text, "invalid_request", param=_place(problems[0]) or None)

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Json:
        message = str(error.detail)
        if error.status_code in (404, 405):
            mend = mend_of(request.method, request.url.path)
            address = f"{request.method} {request.url.path} is not served"
            message = f"{message}: {address}{f'; {mend}' if mend else ''}. Served: {SERVED}"
        return error_response(error.status_code, message, "http_error", error.headers)

    @app.exception_handler(PracticumError)
    async def rollout_refused(_: Request, error: PracticumError) -> Json:
        code = CONTEXT_FULL if isinstance(error, ContextFull) else "rollout_error"
        param = "messages" if isinstance(error, RenderError) else None
        return error_response(400, str(error), code, param=param)

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Json:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return error_response(500, f"{type(error).__name__}: {error}", "internal_error")


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _describe(problems: Sequence[Mapping[str, Any]]) -> str:
    """The first few problems, each with its place in the body."""
    sentences = list(dict.fromkeys(_sentence(problem) for problem in problems))
    more = f" (and {len(sentences) - 3} more problems)" if len(sentences) > 3 else ""
    mends = (_MENDS.get(_place(problem).partition(".")[0], "") for problem in problems[:1])
    return "; ".join([*sentences[:3], *filter(None, mends)]) + more


def _sentence(problem: Mapping[str, Any]) -> str:
    text = str(problem["msg"]).removeprefix("Value error, ")
    place = _place(problem)
    if problem["type"] == "json_invalid":
        reason = problem.get("ctx", {}).get("error", "")
        return f"the body is not valid JSON: {reason} at character {problem['loc'][-1]}"
    if not place:
        return text if problem["type"] == "value_error" else f"the body must be a JSON object: {text}"
    return f"{place}: {text}"


def _place(problem: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in problem["loc"] if part != "body")


def mend_of(method: str, path: str) -> str:
    """What whoever called an address that is not served should change; empty where nothing can be guessed."""
    parts = [part for part in path.split("/") if part]
    last = parts[-1].lower() if parts else ""
    if last in _REPORTS and len(parts) == 1:
        return f"send it with POST, not {method}"
    if last in _REPORTS:
        return f"reports go to {{endpoint}}/{last}, with the rolloutId as TrajectoryId in the body"
    if parts.count("v1") > 1:
        return "/v1 stands there twice: the base URL ends in one /v1"
    if parts[-2:] == ["chat", "completions"]:
        return "the base URL must end in /v1" if "v1" not in parts else f"send it with POST, not {method}"
    for name, mend in _OTHER_APIS.items():
        if last == name.lower() or last.endswith(f":{name.lower()}"):
            return mend
    return next((f"did you mean /{name}?" for name in _REPORTS if _alike(name, last)), "")


def _alike(name: str, written: str) -> bool:
    letters = "".join(filter(str.isalpha, written))
    plain = name.replace("-", "")
    return bool(letters) and (letters.startswith(plain) or plain.startswith(letters))
