"""The page's parts on evaluations: comparisons, how tools are called, and where reward and score disagree."""

from collections.abc import Mapping, Sequence
from typing import Any

from practicum.evaluation.disagreements import Disagreement
from practicum.report.charts import COLOURS, Chart, is_number
from practicum.report.conversation import conversations
from practicum.report.run_files import Example
from practicum.report.sections import esc, form

SHOWN = 3
"""Disagreements shown turn by turn."""
LISTED = 40
"""Disagreements listed."""


def comparison_table(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """One row per pair of models: difference, interval, exact test."""
    rows = []
    for comparison in comparisons:
        low, high = comparison.get("interval") or (None, None)
        cells = [
            f"<th scope='row'>{esc(comparison.get('second'))} against {esc(comparison.get('first'))}</th>",
            f"<td>{esc(comparison.get('mode'))}</td>",
            f"<td class='strong'>{form(comparison.get('difference'), 'percent')}</td>",
            f"<td>{form(low, 'percent')} – {form(high, 'percent')}</td>",
            f"<td>{form(comparison.get('only_second'), 'count')} / {form(comparison.get('only_first'), 'count')}</td>",
            f"<td>{form(comparison.get('p_value'), 'chance')}</td>",
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    if not rows:
        return ""
    names = ("models", "sampling", "difference", "95% interval", "only this / only that", "exact p")
    head = "".join(f"<th scope='col'>{esc(name)}</th>" for name in names)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def tool_chart(evaluations: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Calls per rollout of each tool, for each model."""
    rated = [e for e in evaluations if e.get("tool_calls") and is_number(e.get("n_rollouts")) and e["n_rollouts"]]
    tools = sorted({name for e in rated for name in e["tool_calls"]})
    if not tools:
        return None
    data = [
        {
            "type": "bar",
            "name": f"{e['label']}, {e['mode']}",
            "x": tools,
            "y": [e["tool_calls"].get(name, 0) / e["n_rollouts"] for name in tools],
            "marker": {"color": COLOURS[n % len(COLOURS)]},
        }
        for n, e in enumerate(rated)
    ]
    return Chart("Tool calls", "Calls of each tool per held-out rollout.", {"data": data, "layout": {"height": 240}})


def gap_chart(disagreements: Sequence[Disagreement]) -> Chart | None:
    """Reward against score, rollout by rollout, where the two differ."""
    if not disagreements:
        return None
    point = {
        "type": "scatter",
        "mode": "markers",
        "name": "rollout",
        "x": [each.score for each in disagreements],
        "y": [each.reward for each in disagreements],
        "text": [each.trajectory.task_id for each in disagreements],
        "marker": {"size": 8, "color": COLOURS[0], "opacity": 0.5},
    }
    layout = {
        "height": 240,
        "hovermode": "closest",
        "xaxis": {"title": {"text": "score"}},
        "yaxis": {"title": {"text": "reward"}},
    }
    return Chart("Reward against score", "Rollouts on which the two differ.", {"data": [point], "layout": layout})


def disagreement_list(disagreements: Sequence[Disagreement]) -> str:
    """The worst turn by turn, then a table."""
    if not disagreements:
        return ""
    worst = conversations([Example(_verdict(e), e.trajectory) for e in disagreements[:SHOWN]])
    rows = "".join(
        f"<tr><th scope='row'>{esc(e.trajectory.task_id)}</th><td>{_sampling(e)}</td>"
        f"<td>{form(e.reward)}</td><td>{form(e.score)}</td><td>{form(e.gap)}</td><td>{esc(e.trajectory.ending)}</td></tr>"
        for e in disagreements[:LISTED]
    )
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("task", "sampling", "reward", "score", "gap", "ending"))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"{worst}<div class='wide'>{table}</div>"


def _verdict(disagreement: Disagreement) -> str:
    return f"{_sampling(disagreement)}: reward {disagreement.reward:.3g}, score {disagreement.score:.3g}"


def _sampling(found: Disagreement) -> str:
    temperature = found.trajectory.temperature
    return f"temperature {temperature:g}" if temperature else "greedy"
