"""Who calls the rollout server, and for which trajectory: by header, path or body, with or without a token.

The id is the credential: a rollout's is a secret (``registry.secret_id``), which the agent is sent with its order, and
sends back with every call, in the header, in the path, or in a report's body.
"""

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header

from practicum.rollout.gateway.error_answers import GatewayError
from practicum.rollout.gateway.registry import Entry, Registry, unknown_trajectory

TRAJECTORY_HEADER = "X-Amzn-SageMaker-Trajectory-Id"
JOB_HEADER = "X-Amzn-SageMaker-Job-Arn"

RETRY_HEADER = "X-Stainless-Retry-Count"
"""By it OpenAI's clients say how often they have sent the same request before."""

Bearer = Annotated[str | None, Header(alias="Authorization")]

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is wrong; the message says what to mend"},
    403: {"description": "The bearer token, the Host or the Origin is not accepted"},
    404: {"description": "No such trajectory is open"},
    409: {"description": "The trajectory's state does not allow this call"},
    413: {"description": "The body is too large"},
    429: {"description": "Too many model calls at once"},
}
"""What a call may be refused with, for the description of the server."""


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


def entry_of(
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
    authorize(authorization, [*tokens, entry.token] if entry and entry.token else tokens)
    if entry is None:
        raise unknown_trajectory(trajectory)
    if job_arn and entry.job_arn and job_arn != entry.job_arn:
        owner = f"trajectory {entry.id!r} belongs to job {entry.job_arn!r}, not {job_arn!r}"
        raise GatewayError(400, f"{owner}; send the jobArn of the request's metadata", "wrong_job")
    return entry


def authorize(authorization: str | None, tokens: Collection[str]) -> None:
    """Refuse a call that bears none of the tokens, where there are any."""
    if not tokens:
        return
    scheme, _, token_sent = (authorization or "").partition(" ")
    bearer = token_sent.strip().encode() if scheme.lower() == "bearer" else b""
    if not any(hmac.compare_digest(bearer, token.encode()) for token in tokens):
        raise _bad_token()


def _bad_token() -> GatewayError:
    return GatewayError(403, "bad or missing token: send Authorization: Bearer <the token of this run>", "bad_token")
