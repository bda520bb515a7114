"""The rollout server: an OpenAI-compatible face on the policy, and where agents report how a rollout ended.

    registry = Registry()
    app = create_gateway(registry)
    registry.open("rollout-1", session)
    #   agent: POST /v1/chat/completions   (X-Amzn-SageMaker-Trajectory-Id: rollout-1)
    #      or: POST /rollouts/rollout-1/v1/chat/completions
    #   agent: POST /complete-rollout, POST /update-reward
    outcome = await registry.wait_reward("rollout-1", timeout=600)
    await registry.close("rollout-1")

Paths, headers and bodies are those of Amazon SageMaker AI multi-turn RL, whose agents and client run against
this server unchanged. Beyond them: the path with the trajectory in it, for agents that can set nothing but a
base URL. Whatever is refused is remembered for its trajectory (``rollout.refusals``): it explains a report that never
came. A wire format is a file: ``chat_request`` and ``chat_answer``, ``mtrl``; who may call is in ``callers``.
"""

import itertools
from collections.abc import Callable, Collection

from fastapi import FastAPI, Request
from starlette.responses import Response

from practicum.rollout.gateway.call_log import RefusalRecorder
from practicum.rollout.gateway.callers import (
    REFUSALS,
    TRAJECTORY_HEADER,
    Bearer,
    Caller,
    authorize,
    entry_of,
)
from practicum.rollout.gateway.chat_answer import chunks, completion, model_list
from practicum.rollout.gateway.chat_request import ChatRequest
from practicum.rollout.gateway.error_answers import GatewayError, Json, install_handlers
from practicum.rollout.gateway.hosts import HostCheck
from practicum.rollout.gateway.model_calls import LINE, ClientConnection, ModelCalls
from practicum.rollout.gateway.mtrl import serve_reports
from practicum.rollout.gateway.registry import Entry, Registry, secret_id
from practicum.rollout.gateway.request_limits import BodyLimits
from practicum.rollout.session import Session

_NO_CACHE = {"Cache-Control": "no-cache"}


def create_gateway(
    registry: Registry,
    *,
    tokens: Collection[str] = (),
    max_concurrency: int = 96,
    max_body_bytes: int = 8 * 1024 * 1024,
    open_session: Callable[[str], Session] | None = None,
    host_names: Collection[str] = (),
) -> FastAPI:
    """The rollout server as an ASGI application over ``registry``.

    Args:
        registry: The trajectories to serve.
        tokens: Bearer tokens accepted for every trajectory. With none here and none given to
            ``registry.open``, the trajectory's id alone is asked for (AWS's client makes its own token).
        max_concurrency: Model calls at one time; more are answered 429.
        max_body_bytes: Largest request body; more is answered 413.
        open_session: Makes a session for a model call that names no trajectory, for that call alone (a plain
            model server). Without it such calls are refused: a training rollout needs its trajectory.
        host_names: Names under which callers reach this server, beside addresses and local names
            (``hosts``).
    """
    app = FastAPI(title="Practicum rollout server", docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimits, max_bytes=max_body_bytes)
    app.add_middleware(HostCheck, names=frozenset(host_names))
    app.add_middleware(RefusalRecorder, registry=registry, header=TRAJECTORY_HEADER)  # outermost: it sees all answers
    install_handlers(app)
    calls = ModelCalls(max_concurrency)
    _serve_status(app, registry, tokens)
    _serve_chat(app, registry, calls, tokens, open_session)
    serve_reports(app, registry, tokens)
    return app


def _serve_status(app: FastAPI, registry: Registry, tokens: Collection[str]) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.get("/v1/models", responses={403: REFUSALS[403]})
    async def models(authorization: Bearer = None) -> Json:
        authorize(authorization, tokens)
        return Json(model_list())

    @app.get("/rollouts/{trajectory_id:path}/v1/models", responses=REFUSALS)
    async def models_of_trajectory(trajectory_id: str, caller: Caller) -> Json:
        entry_of(registry, trajectory_id, caller.job_arn, caller.authorization, tokens)
        return Json(model_list())


def _serve_chat(
    app: FastAPI,
    registry: Registry,
    calls: ModelCalls,
    tokens: Collection[str],
    open_session: Callable[[str], Session] | None,
) -> None:
    numbers = itertools.count(1)

    async def answer_once(request: Request, body: ChatRequest, make: Callable[[str], Session]) -> Response:
        name = f"call-{next(numbers)}"
        id = secret_id(name)
        registry.open(id, make(name), name=name)
        entry = registry.get(id)
        try:
            return await answer(request, body, entry, retried=False)
        finally:
            await registry.close(id)
            entry.session.release()

    async def answer(request: Request, body: ChatRequest, entry: Entry, *, retried: bool) -> Response:
        line = ClientConnection(request.is_disconnected)
        request.scope[LINE] = line
        answered = await calls.answer(entry, body, line, retried=retried)
        id = f"chatcmpl-{entry.name}-{answered.number}"
        if not body.streamed:
            return Json(completion(id, answered.result, body))
        events = chunks(id, answered.result, body)
        return Response("".join(events), media_type="text/event-stream", headers=_NO_CACHE)

    @app.post("/v1/chat/completions", responses=REFUSALS, response_model=None)
    async def chat_by_header(request: Request, body: ChatRequest, caller: Caller) -> Response:
        if not caller.trajectory and open_session is not None:
            authorize(caller.authorization, tokens)
            return await answer_once(request, body, open_session)
        if not caller.trajectory:
            raise GatewayError(
                400,
                f"Which trajectory? Send the header {TRAJECTORY_HEADER} with the rolloutId of the request's "
                "metadata, or use the base URL {endpoint}/rollouts/{rolloutId}/v1",
                "missing_trajectory",
            )
        entry = entry_of(registry, caller.trajectory, caller.job_arn, caller.authorization, tokens)
        return await answer(request, body, entry, retried=caller.retries)

    @app.post("/rollouts/{trajectory_id:path}/v1/chat/completions", responses=REFUSALS, response_model=None)
    async def chat_by_path(request: Request, trajectory_id: str, body: ChatRequest, caller: Caller) -> Response:
        if caller.trajectory and caller.trajectory != trajectory_id:
            named = f"the path names trajectory {trajectory_id!r} and the header {caller.trajectory!r}"
            raise GatewayError(400, f"{named}; send one of them", "invalid_request")
        entry = entry_of(registry, trajectory_id, caller.job_arn, caller.authorization, tokens)
        return await answer(request, body, entry, retried=caller.retries)
