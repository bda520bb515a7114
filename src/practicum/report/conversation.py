"""A rollout, turn by turn, as HTML: messages, tool calls with results, what it earned."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from practicum.chat import plain
from practicum.report.run_files import Example
from practicum.report.sections import esc, form
from practicum.trajectory import Message, ToolCall, Trajectory, Turn, text_of

LONG = 600
"""Characters from which a message is folded."""


def conversations(examples: Sequence[Example]) -> str:
    """Rollouts side by side (one below the other on a narrow screen)."""
    if not examples:
        return ""
    return f"<div class='pair'>{''.join(_conversation(example) for example in examples)}</div>"


def _conversation(example: Example) -> str:
    trajectory = example.trajectory
    calls: dict[int, list[ToolCall]] = {}
    for call in trajectory.tool_calls:
        calls.setdefault(call.turn, []).append(call)
    parts = zip(trajectory.turns, trajectory.told, _continued(trajectory.sequences), strict=True)
    turns = [_turn(n, turn, told, calls.pop(n, []), goes_on) for n, (turn, told, goes_on) in enumerate(parts)]
    rest = "".join(_call(call) for left in calls.values() for call in left)
    return f"<article><h3>{esc(example.source)}</h3>{_facts(trajectory)}{''.join(turns)}{rest}</article>"


def _facts(trajectory: Trajectory) -> str:
    facts = [
        ("task", trajectory.task_id),
        ("score", form(trajectory.score)),
        ("reward", form(trajectory.reward) if trajectory.rewards else "–"),
        *((name, form(value)) for name, value in trajectory.metrics.items()),
        ("ending", trajectory.ending),
        *([("failure", trajectory.failure)] if trajectory.failure else []),
        ("policy version", trajectory.oldest_version),
        ("sampled tokens", trajectory.n_action_tokens),
    ]
    items = "".join(f"<span>{esc(name)} <b>{esc(value)}</b></span>" for name, value in facts)
    error = f"<p class='error'>{esc(trajectory.error)}</p>" if trajectory.error else ""
    return f"<p class='facts'>{items}</p>{error}"


def _continued(sequences: Sequence[Sequence[int]]) -> list[str]:
    """For each turn, which one it goes on from, where that is not the one shown above it."""
    before = {turn: last for members in sequences for last, turn in pairwise(members)}
    count = sum(map(len, sequences))
    return [f" · goes on from turn {before[n] + 1}" if before.get(n, n - 1) != n - 1 else "" for n in range(count)]


def _turn(number: int, turn: Turn, told: Sequence[Message], calls: Sequence[ToolCall], goes_on: str) -> str:
    fed = [message for message in told if number == 0 or message.get("role") != "tool"]
    words = text_of(turn.response)
    tokens = f"{len(turn.context_ids)} tokens in, {len(turn.action_ids)} out"
    head = f"assistant · turn {number + 1} · {tokens}" + (" · cut off" if turn.finish_reason == "length" else "")
    broken = goes_on if turn.extends else f" · new sequence ({esc(turn.break_cause or 'other')})"
    parts = [_message(str(message.get("role", "message")), text_of(message)) for message in fed]
    parts.append(f"<div class='message assistant'><h4>{esc(head)}{broken}</h4>{_text(words)}</div>")
    made = [_call(call) for call in calls] or [_wish(wish) for wish in turn.response.get("tool_calls") or []]
    return "".join(parts + made)


def _message(role: str, text: str) -> str:
    return f"<div class='message {esc(role)}'><h4>{esc(role)}</h4>{_text(text)}</div>"


def _text(text: str) -> str:
    if not text:
        return ""
    if len(text) <= LONG:
        return f"<pre>{esc(text)}</pre>"
    summary = f"{text[: LONG // 3].rstrip()} … ({len(text):,} characters)"
    return f"<details><summary>{esc(summary)}</summary><pre>{esc(text)}</pre></details>"


def _call(call: ToolCall) -> str:
    kind = "tool error" if call.is_error else "tool"
    state = f"{'failed, ' if call.is_error else ''}{1000 * call.latency_s:.0f} ms"
    arguments = json.dumps(plain(call.arguments), ensure_ascii=False)
    return (
        f"<div class='message {kind}'><h4>{esc(call.name)} · {state}</h4>"
        f"<pre class='arguments'>{esc(arguments)}</pre>{_text(call.result)}</div>"
    )


def _wish(wish: Message) -> str:
    """A call the model asked for that nobody executed."""
    function: Mapping[str, Any] = wish.get("function") or {}
    return (
        f"<div class='message tool'><h4>{esc(function.get('name', '?'))} · not executed</h4>"
        f"<pre class='arguments'>{esc(function.get('arguments', ''))}</pre></div>"
    )
