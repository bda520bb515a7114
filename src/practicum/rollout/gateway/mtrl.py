"""How a rollout ends, on the wire of Amazon SageMaker AI multi-turn RL: ``/complete-rollout`` and ``/update-reward``.

Beyond AWS's bodies: ``Metrics`` and ``Info`` in ``/update-reward``.
"""

import difflib
from collections.abc import Collection
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, model_validator

from practicum.rollout.gateway.callers import REFUSALS, Bearer, entry_of
from practicum.rollout.gateway.chat_request import FiniteObject
from practicum.rollout.gateway.error_answers import Json
from practicum.rollout.gateway.registry import Entry, Registry, Reward
from practicum.rollout.refusals import CallSubject

Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]


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


def serve_reports(app: FastAPI, registry: Registry, tokens: Collection[str]) -> None:
    """Serve both reports."""
    refusals = {status: text for status, text in REFUSALS.items() if status != 429}

    @app.post("/complete-rollout", responses=refusals)
    async def complete_rollout(body: CompleteRollout, authorization: Bearer = None) -> Json:
        entry = entry_of(registry, body.TrajectoryId, body.JobArn, authorization, tokens)
        await entry.complete(body.Status, body.ClientToken)
        entry.refusals.got_over(CallSubject.SEAL)
        return _state(entry)

    @app.post("/update-reward", responses=refusals)
    async def update_reward(body: UpdateReward, authorization: Bearer = None) -> Json:
        entry = entry_of(registry, body.TrajectoryId, body.JobArn, authorization, tokens)
        reward = Reward(tuple(body.Rewards), body.Metrics or {}, body.Info or {})
        entry.update_reward(reward, body.ClientToken)
        return _state(entry)


def _state(entry: Entry) -> Json:
    return Json({"TrajectoryId": entry.id, "Status": entry.state})
