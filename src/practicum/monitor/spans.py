"""One rollout as one MLflow trace: a root span, a span for each turn, a span for each tool call.

A trajectory knows how long its turns and calls took, not when they began, so they are laid end to end, and
the trace ends at the moment it was logged. Spans are built as data, without MLflow's global tracer.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from mlflow.entities import Span, SpanType
from mlflow.tracing.constant import SpanAttributeKey, TokenUsageKey, TraceTagKey
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from practicum.chat import plain
from practicum.digests import digest
from practicum.trajectory import ToolCall, Trajectory, Turn, text_of

_RESOURCE = Resource.get_empty()
"""Shared: OpenTelemetry would otherwise describe the process anew for every span."""


@dataclass(frozen=True)
class _Place:
    """Where a span stands: ``start`` and ``end`` in nanoseconds since 1970; ``ids`` draws the trace's span ids."""

    ids: Random
    trace: int
    parent: int | None
    start: int
    end: int


def trace_of(trajectory: Trajectory, task_prompt: str, run_id: str = "") -> tuple[str, list[Span]]:
    """Id and spans of a rollout's trace, the root first, as MLflow's own entities.

    The ids follow from the rollout and the MLflow run: what is sent twice, because nobody knows whether it arrived,
    is there once.
    """
    ids = Random(_identity(trajectory, run_id))
    trace = ids.getrandbits(128)
    turns, calls = trajectory.turns, trajectory.tool_calls
    length = sum(_ns(turn.latency_s) for turn in turns) + sum(_ns(call.latency_s) for call in calls)
    end = time.time_ns()
    root = _root(trajectory, task_prompt, _Place(ids, trace, None, end - length, end))
    spans = [root, *_children(trajectory, root.context.span_id, _Place(ids, trace, None, end - length, end))]
    return _trace_id(trace), [Span(span) for span in spans]


def _root(trajectory: Trajectory, prompt: str, place: _Place) -> ReadableSpan:
    outputs = {
        "answer": _last_words(trajectory),
        "ending": trajectory.ending,
        "reward": trajectory.reward if trajectory.rewards else None,
        "reward_components": dict(trajectory.metrics),
        "score": trajectory.score,
        "score_components": dict(trajectory.score_metrics),
    }
    about = {
        "task_id": trajectory.task_id,
        "group_id": trajectory.group_id,
        "seed": trajectory.seed,
        "environment": f"{trajectory.environment.id} {trajectory.environment.version}",
        "environment_digest": trajectory.environment.digest,
        "temperature": trajectory.temperature,
        "top_p": trajectory.top_p,
        "retries": trajectory.retries,
        "rewards": list(trajectory.rewards),
        "failure": trajectory.failure or "",
    }
    tags = {f"{SpanAttributeKey.TRACE_TAG_PREFIX}{key}": value for key, value in _tags(trajectory).items()}
    error = (trajectory.error or "failed") if trajectory.broke_off else None
    body = _body(SpanType.AGENT, {"prompt": prompt}, outputs)
    return _span("rollout", place, {**body, **about, **tags}, error)


def _identity(trajectory: Trajectory, run_id: str) -> str:
    turns = [[list(turn.action_ids), sorted(set(turn.versions))] for turn in trajectory.turns]
    return digest([run_id, trajectory.id, trajectory.task_id, trajectory.retries, turns])


def _children(trajectory: Trajectory, root: int, whole: _Place) -> Iterator[ReadableSpan]:
    calls_by_turn: dict[int, list[ToolCall]] = {}
    for call in trajectory.tool_calls:
        calls_by_turn.setdefault(call.turn, []).append(call)
    clock = whole.start
    for number, turn in enumerate(trajectory.turns):
        place = _Place(whole.ids, whole.trace, root, clock, clock + _ns(turn.latency_s))
        yield _turn_span(number, turn, place)
        clock = place.end
        for call in calls_by_turn.pop(number, ()):
            place = _Place(whole.ids, whole.trace, root, clock, clock + _ns(call.latency_s))
            yield _call_span(call, place)
            clock = place.end
    for call in (call for calls in calls_by_turn.values() for call in calls):
        yield _call_span(call, _Place(whole.ids, whole.trace, root, clock, clock + _ns(call.latency_s)))


def _turn_span(number: int, turn: Turn, place: _Place) -> ReadableSpan:
    fed, sampled = len(turn.context_ids), len(turn.action_ids)
    about = {
        **_body(SpanType.CHAT_MODEL, {"messages": list(turn.messages)}, turn.response),
        SpanAttributeKey.CHAT_USAGE: {
            TokenUsageKey.INPUT_TOKENS: fed,
            TokenUsageKey.OUTPUT_TOKENS: sampled,
            TokenUsageKey.TOTAL_TOKENS: fed + sampled,
        },
        "policy_versions": sorted(set(turn.versions)),
        "latency_s": turn.latency_s,
        "finish_reason": turn.finish_reason,
        "extends": turn.extends,
        "break_cause": turn.break_cause,
        "sequence": turn.sequence,
        "malformed_calls": list(turn.malformed_calls),
    }
    return _span(f"turn {number + 1}", place, about)


def _call_span(call: ToolCall, place: _Place) -> ReadableSpan:
    body = _body(SpanType.TOOL, plain(call.arguments), call.result)
    about = {**body, "tool_call_id": call.id, "latency_s": call.latency_s}
    return _span(call.name or "tool", place, about, call.result if call.is_error else None)


def _body(kind: str, inputs: Any, outputs: Any) -> dict[str, Any]:
    return {
        SpanAttributeKey.SPAN_TYPE: kind,
        SpanAttributeKey.INPUTS: inputs,
        SpanAttributeKey.OUTPUTS: outputs,
    }


def _span(name: str, place: _Place, about: Mapping[str, Any], error: str | None = None) -> ReadableSpan:
    attributes = {SpanAttributeKey.REQUEST_ID: _trace_id(place.trace), **about}
    return ReadableSpan(
        name=_text(name),
        context=_context(place.trace, place.ids.getrandbits(64) or 1),
        parent=None if place.parent is None else _context(place.trace, place.parent),
        attributes={key: json.dumps(value, default=str) for key, value in attributes.items()},
        resource=_RESOURCE,
        status=Status(StatusCode.OK if error is None else StatusCode.ERROR, error and _text(error)),
        start_time=place.start,
        end_time=place.end,
    )


def _context(trace: int, span: int) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _trace_id(trace: int) -> str:
    return f"tr-{trace:032x}"


def _tags(trajectory: Trajectory) -> dict[str, str]:
    tags = {
        TraceTagKey.TRACE_NAME: "rollout",
        "trajectory_id": trajectory.id,
        "task_id": trajectory.task_id,
        "group_id": trajectory.group_id,
        "ending": trajectory.ending,
        "policy_version": str(trajectory.oldest_version),
    }
    if trajectory.rewards:
        tags["reward"] = f"{trajectory.reward:g}"
    if trajectory.score is not None:
        tags["score"] = f"{trajectory.score:g}"
    return tags


def _last_words(trajectory: Trajectory) -> str:
    return _text(text_of(trajectory.turns[-1].response)) if trajectory.turns else ""


def _text(value: str) -> str:
    """Half a surrogate pair, which a model can utter, has no place in a database."""
    return value.encode("utf-8", "replace").decode()


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
