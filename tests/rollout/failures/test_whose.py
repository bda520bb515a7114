"""Whose failure it is that a rollout broke off: one rule for every kind."""

import httpx
import pytest

from practicum.errors import AgentFailed, ContextFull, RenderError, RewardRefused, RolloutError, RolloutTimeout
from practicum.rollout.failures import BrokenOff, whose
from practicum.rollout.refusals import AgentEvidence, CallSubject, Refusal


@pytest.mark.parametrize(
    ("error", "sampled", "more", "expected"),
    [
        (ValueError("unreadable"), True, {}, "policy"),
        (ValueError("unreadable"), False, {}, "infrastructure"),
        (SystemExit(1), True, {}, "policy"),
        (ConnectionError("gone"), True, {}, "infrastructure"),
        (TimeoutError("the search service"), True, {}, "infrastructure"),
        (httpx.ReadError("cut"), True, {}, "infrastructure"),
        (MemoryError("no memory left"), True, {"engine": True}, "infrastructure"),
        (RolloutError("the tool server is down"), True, {}, "infrastructure"),
        (RenderError("no template"), True, {}, "policy"),
        (RenderError("no template"), False, {}, "infrastructure"),
        (AgentFailed("said so"), True, {}, "policy"),
        (AgentFailed("said so"), False, {}, "infrastructure"),
        (AgentFailed("raised", status=500), True, {}, "policy"),
        (AgentFailed("raised", status=500), False, {}, "infrastructure"),
        (AgentFailed("ValidationError", status=200), True, {}, "policy"),
        (AgentFailed("busy", status=429), True, {}, "infrastructure"),
        (AgentFailed("no gateway", status=502), True, {}, "infrastructure"),
        (AgentFailed("overloaded", status=503), True, {}, "infrastructure"),
        (ContextFull("full"), True, {}, "policy"),
        (ContextFull("full"), False, {}, "environment"),
        (AgentFailed("context_length_exceeded", status=500), False, {"full": True}, "environment"),
        (KeyError("bug"), True, {"full": True, "environment": "the final state"}, "environment"),
        (RolloutTimeout("late"), False, {}, "infrastructure"),
        (RolloutTimeout("late"), True, {}, "unknown"),
        (TimeoutError(), False, {"expired": True, "environment": "the start"}, "infrastructure"),
        (TimeoutError(), True, {"expired": True}, "unknown"),
        (TimeoutError(), True, {"expired": True, "environment": "tool 'look'"}, "environment"),
        (KeyError("bug"), True, {"environment": "tool 'look'"}, "environment"),
        (KeyError("bug"), False, {"environment": "the start"}, "environment"),
        (RolloutError("gave nan"), True, {"judging": True}, "judge"),
        (TimeoutError(), True, {"judging": True, "expired": True}, "judge"),
        (RewardRefused("two numbers for one turn"), True, {}, "judge"),
    ],
    ids=str,
)
def test_each_failure_is_somebodys(error, sampled, more, expected):
    assert whose(BrokenOff(error, sampled, **more)) == expected


def refused(status=400, code="invalid_request", param="", subject=CallSubject.MODEL):
    return AgentEvidence(refusal=Refusal(subject, "the last model call", "no", status, code, param))


def crashed(error_type):
    return AgentEvidence(error_type=error_type)


@pytest.mark.parametrize(
    ("error", "evidence", "more", "expected"),
    [
        (AgentFailed("raised", status=500), crashed("InternalServerError"), {}, "infrastructure"),
        (AgentFailed("raised", status=200), crashed("AccessDeniedException"), {}, "infrastructure"),
        (AgentFailed("raised", status=200), crashed("InternalServerError"), {"last": True}, "policy"),
        (AgentFailed("raised", status=500), crashed("ValidationError"), {}, "policy"),
        (AgentFailed("raised", status=500), crashed(""), {}, "policy"),
        (AgentFailed("raised", status=500), refused(429, "rate_limit_exceeded"), {}, "infrastructure"),
        (RewardRefused("no report came"), refused(429, "rate_limit_exceeded"), {}, "infrastructure"),
        (AgentFailed("raised", status=500), refused(code="rollout_error"), {}, "infrastructure"),
        (AgentFailed("raised", status=500), refused(404, "http_error"), {"last": True}, "infrastructure"),
        (RewardRefused("no report came"), refused(), {}, "infrastructure"),
        (RolloutTimeout("no report came"), refused(), {}, "infrastructure"),
        (RolloutTimeout("no report came"), refused(429, "rate_limit_exceeded"), {}, "unknown"),
        (AgentFailed("raised", status=500), refused(param="messages"), {}, "policy"),
        (AgentFailed("raised", status=500), refused(param="messages.1.assistant.content"), {}, "policy"),
        (AgentFailed("raised", status=500), refused(param="messages.2.tool.content"), {}, "infrastructure"),
        (RewardRefused("no report came"), refused(code="context_length_exceeded"), {"full": True}, "policy"),
        (RewardRefused("two numbers"), refused(subject=CallSubject.REWARD), {}, "judge"),
    ],
)
def test_what_is_known_of_an_agent_server_says_whose_its_failure_is(error, evidence, more, expected):
    error.evidence = evidence
    assert whose(BrokenOff(error, sampled=True, **more)) == expected
