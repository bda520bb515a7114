"""What an agent server means by its answer to ``POST /rollout``: later, done, done with this reward, or failed."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

SHOWN = 500
"""Characters of an answer that an error quotes."""

ACCEPTED = frozenset({"accepted", "in_progress", "pending", "processing", "queued", "running", "started", "submitted"})
"""``status`` of an agent that will finish later."""
FAILED = frozenset({"error", "failed"})
"""``status`` of an agent that did not succeed."""


@dataclass(frozen=True)
class AgentAnswer:
    """One answer, made sense of.

    Attributes:
        status: Its HTTP status.
        failure: What went wrong, in the agent's words; empty where it says nothing of the kind.
        error_type: The ``errorType`` it names, such as ``ValidationError``.
        says_failed: Whether its ``status`` says that the rollout failed.
        accepted: Whether the agent finishes later and reports then; otherwise it has answered for good.
        reward: What stands under ``reward``, None where nothing does.
        excerpt: The body as an error quotes it.
    """

    status: int
    failure: str = ""
    error_type: str = ""
    says_failed: bool = False
    accepted: bool = False
    reward: Any = None
    excerpt: str = ""


def read_answer(answer: httpx.Response) -> AgentAnswer:
    """Make sense of an agent's answer; its content type does not matter."""
    body = _json_or_none(answer)
    fields: Mapping[str, Any] = body if isinstance(body, dict) else {}
    status = fields.get("status")
    error_type = str(fields["errorType"]) if "errorType" in fields else ""
    later = answer.status_code == httpx.codes.ACCEPTED or not answer.content or body == {}
    return AgentAnswer(
        status=answer.status_code,
        failure=_failure(answer, fields, error_type),
        error_type=error_type,
        says_failed=_says(status, FAILED),
        accepted=later or _says(status, ACCEPTED),
        reward=fields.get("reward"),
        excerpt=answer.text[:SHOWN],
    )


def reward_values(reward: Any) -> tuple[float, ...]:
    """The reward of an answer's body: one number, or a list of one per turn.

    Raises:
        ValueError: it is neither, or not finite.
    """
    values = reward if isinstance(reward, list) else [reward]
    if not values or not all(_is_number(value) for value in values):
        raise ValueError(f"{json.dumps(reward)[:SHOWN]} is no finite number and no list of them")
    return tuple(float(value) for value in values)


def _failure(answer: httpx.Response, fields: Mapping[str, Any], error_type: str) -> str:
    if error_type:
        return f"the agent answered {error_type}: {fields.get('errorMessage', '')}"
    if not answer.is_success:
        return f"the agent answered HTTP {answer.status_code}: {answer.text[:SHOWN]}"
    if _says(fields.get("status"), FAILED):
        return f"the agent answered with an error: {fields.get('error', '')}"
    return ""


def _says(status: Any, words: Collection[str]) -> bool:
    return isinstance(status, str) and status.lower() in words


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def _json_or_none(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None
