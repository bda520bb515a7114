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
base URL, and ``Metrics`` and ``Info`` in ``/update-reward``. Whatever is refused is remembered for its trajectory
(``gateway_refusals``): it explains a report that never came.

The id is the credential: a rollout's is a secret (``gateway_registry.secret_id``), which the agent is sent with its
order, and sends back with every call, in the header, in the path, or in a report's body.
"""

import difflib
import hmac
import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from practicum.rollout.gateway.call_log import RefusalRecorder
from practicum.rollout.gateway.error_answers import GatewayError, Json, install_handlers
from practicum.rollout.gateway.hosts import HostCheck
from practicum.rollout.gateway.model_calls import LINE, Line, ModelCalls
from practicum.rollout.gateway.openai_types import ChatRequest, FiniteObject, chunks, completion, model_list
from practicum.rollout.gateway.registry import Entry, Registry, Reward, secret_id, unknown_trajectory
from practicum.rollout.gateway.request_limits import BodyLimits
from practicum.rollout.refusals import Subject
from practicum.rollout.session import Session

TRAJECTORY_HEADER = "X-Amzn-SageMaker-Trajectory-Id"
JOB_HEADER = "X-Amzn-SageMaker-Job-Arn"

RETRY_HEADER = "X-Stainless-Retry-Count"
"""By it OpenAI's clients say how often they have sent the same request before."""

Bearer = Annotated[str | None, Header(alias="Authorization")]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]

_NO_CACHE = {"Cache-Control": "no-cache"}

_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is wrong; the message says what to mend"},
    403: {"description": "The bearer token, the Host or the Origin is not accepted"},
    404: {"description": "No such trajectory is open"},
    409: {"description": "The trajectory's state does not allow this call"},
    413: {"description": "The body is too large"},
    429: {"description": "Too many model calls at once"},
}


@dataclass(frozen=True)
class _Caller:
    """Who calls, and for which trajectory, as the headers say."""

    trajectory: Annotated[str | None, Header(alias=TRAJECTORY_HEADER)] = None
    job_arn: Annotated[str | None, Header(alias=JOB_HEADER)] = None
    authorization: Bearer = None
    retry_count: Annotated[str | None, Header(alias=RETRY_HEADER)] = None

    @property
    def retries(self) -> bool:
        """Whether the request is one that was sent before."""
        return (self.retry_count or "0").strip() not in ("", "0")


Caller = Annotated[_Caller, Depends()]


class _Report(BaseModel):
    model_config = ConfigDict(extra="forbid")
    TrajectoryId: str = Field(min_length=1)
    JobArn: str | None = None
    ClientToken: str | None = Field(default=None, max_length=256)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, body: Any) -> Any:
        for key in body if isinstance(body, dict) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(key, cls.model_fields, 1)
                guess = f" (did you mean {near[0]!r}?)" if near else ""
                raise ValueError(f"unknown key {key!r:.80}{guess}; keys of this call: {', '.join(cls.model_fields)}")
        return body


class CompleteRollout(_Report):
    """Body of ``/complete-rollout``."""

    Status: Literal["ready", "failed"]


class UpdateReward(_Report):
    """Body of ``/update-reward``: one number for the trajectory, or one per turn."""

    Rewards: Annotated[list[Finite], Field(fail_fast=True)] = Field(min_length=1)
    Metrics: dict[str, Finite] | None = None
    Info: FiniteObject | None = None


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
            (``gateway_hosts``).
    """
    app = FastAPI(title="Practicum rollout server", docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimits, max_bytes=max_body_bytes)
    app.add_middleware(HostCheck, names=frozenset(host_names))
    app.add_middleware(RefusalRecorder, registry=registry, header=TRAJECTORY_HEADER)  # outermost: it sees all answers
    install_handlers(app)
    calls = ModelCalls(max_concurrency)
    _serve_status(app, registry, tokens)
    _serve_chat(app, registry, calls, tokens, open_session)
    _serve_reports(app, registry, tokens)
    return app


def _serve_status(app: FastAPI, registry: Registry, tokens: Collection[str]) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.get("/v1/models", responses={403: _REFUSALS[403]})
    async def models(authorization: Bearer = None) -> Json:
        _authorize(authorization, tokens)
        return Json(model_list())

    @app.get("/rollouts/{trajectory_id:path}/v1/models", responses=_REFUSALS)
    async def models_of_trajectory(trajectory_id: str, caller: Caller) -> Json:
        _entry(registry, trajectory_id, caller.job_arn, caller.authorization, tokens)
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
        line = Line(request.is_disconnected)
        request.scope[LINE] = line
        answered = await calls.answer(entry, body, line, retried=retried)
        id = f"chatcmpl-{entry.name}-{answered.number}"
        if not body.streamed:
            return Json(completion(id, answered.result, body))
        events = chunks(id, answered.result, body)
        return Response("".join(events), media_type="text/event-stream", headers=_NO_CACHE)

    @app.post("/v1/chat/completions", responses=_REFUSALS, response_model=None)
    async def chat_by_header(request: Request, body: ChatRequest, caller: Caller) -> Response:
        if not caller.trajectory and open_session is not None:
            _authorize(caller.authorization, tokens)
            return await answer_once(request, body, open_session)
        if not caller.trajectory:
            raise GatewayError(
                400,
                f"Which trajectory? Send the header {TRAJECTORY_HEADER} with the rolloutId of the request's "
                "metadata, or use the base URL {endpoint}/rollouts/{rolloutId}/v1",
                "missing_trajectory",
            )
        entry = _entry(registry, caller.trajectory, caller.job_arn, caller.authorization, tokens)
        return await answer(request, body, entry, retried=caller.retries)

    @app.post("/rollouts/{trajectory_id:path}/v1/chat/completions", responses=_REFUSALS, response_model=None)
    async def chat_by_path(request: Request, trajectory_id: str, body: ChatRequest, caller: Caller) -> Response:
        if caller.trajectory and caller.trajectory != trajectory_id:
            named = f"the path names trajectory {trajectory_id!r} and the header {caller.trajectory!r}"
            raise GatewayError(400, f"{named}; send one of them", "invalid_request")
        entry = _entry(registry, trajectory_id, caller.job_arn, caller.authorization, tokens)
        return await answer(request, body, entry, retried=caller.retries)


def _serve_reports(app: FastAPI, registry: Registry, tokens: Collection[str]) -> None:
    refusals = {status: text for status, text in _REFUSALS.items() if status != 429}

    @app.post("/complete-rollout", responses=refusals)
    async def complete_rollout(body: CompleteRollout, authorization: Bearer = None) -> Json:
        entry = _entry(registry, body.TrajectoryId, body.JobArn, authorization, tokens)
        await entry.complete(body.Status, body.ClientToken)
        entry.refusals.got_over(Subject.SEAL)
        return _state(entry)

    @app.post("/update-reward", responses=refusals)
    async def update_reward(body: UpdateReward, authorization: Bearer = None) -> Json:
        entry = _entry(registry, body.TrajectoryId, body.JobArn, authorization, tokens)
        reward = Reward(tuple(body.Rewards), body.Metrics or {}, body.Info or {})
        entry.update_reward(reward, body.ClientToken)
        return _state(entry)


def _entry(
    registry: Registry,
    trajectory: str,
    job_arn: str | None,
    authorization: str | None,
    tokens: Collection[str],
) -> Entry:
    """The open trajectory the caller means and may use. Whoever may not is not told whether there is one."""
    entry = registry.find(trajectory)
    if entry is None and not tokens and registry.is_guarded:
        raise _bad_token()
    _authorize(authorization, [*tokens, entry.token] if entry and entry.token else tokens)
    if entry is None:
        raise unknown_trajectory(trajectory)
    if job_arn and entry.job_arn and job_arn != entry.job_arn:
        owner = f"trajectory {entry.id!r} belongs to job {entry.job_arn!r}, not {job_arn!r}"
        raise GatewayError(400, f"{owner}; send the jobArn of the request's metadata", "wrong_job")
    return entry


def _authorize(authorization: str | None, tokens: Collection[str]) -> None:
    if not tokens:
        return
    scheme, _, given = (authorization or "").partition(" ")
    bearer = given.strip().encode() if scheme.lower() == "bearer" else b""
    if not any(hmac.compare_digest(bearer, token.encode()) for token in tokens):
        raise _bad_token()


def _bad_token() -> GatewayError:
    return GatewayError(403, "bad or missing token: send Authorization: Bearer <the token of this run>", "bad_token")


def _state(entry: Entry) -> Json:
    return Json({"TrajectoryId": entry.id, "Status": entry.state})
