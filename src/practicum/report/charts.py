"""Charts as plain Plotly figures. Their colours are CSS variables, resolved in the browser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from practicum.monitor.names import describe

Figure = dict[str, Any]
COLOURS = ("var(--one)", "var(--two)", "var(--three)", "var(--four)", "var(--five)")


@dataclass(frozen=True)
class Chart:
    """A titled figure; ``caption`` says what its numbers are."""

    title: str
    caption: str
    figure: Figure


SUPERVISED = "Supervised phase"
HELD_OUT = "Held-out"
CURVES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Reward", ("rollout/reward/mean", "rollout/reward/valid_mean")),
    (HELD_OUT, ("val/score/mean", "val/reward/mean")),
    ("How rollouts end", ("rollout/tokens/completion_rate", "rollout/tokens/max_turns_frac")),
    ("Sampler against learner", ("training/logprob_diff", "training/sampler_kl")),
    ("Distance from the reference policy", ("training/kl",)),
    ("Gradient norm", ("training/grad_norm",)),
    ("Entropy", ("rollout/action_entropy", "training/entropy")),
    ("Staleness, in training steps", ("training/staleness_mean", "training/staleness_max")),
    ("Tokens per response", ("rollout/tokens/response_mean", "rollout/tokens/response_max")),
    (SUPERVISED, ("training/nll", "val/nll")),
)
BEGUN, TRAINED = "rollout/reward/begun_mean", "rollout/reward/mean"
SILENT_GROUPS = ("analysis/zero_adv_zero_reward", "analysis/zero_adv_nonzero_reward")
TIMES = tuple(f"timing_s/{name}" for name in ("rollout", "training", "policy_update", "eval", "save_checkpoint"))


def success_chart(evaluations: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Success rate of each model with its 95% interval, one colour per way of sampling."""
    rated = [e for e in evaluations if is_number(e.get("success_rate"))]
    if not rated:
        return None
    labels = list(dict.fromkeys(str(e["label"]) for e in rated))
    modes = list(dict.fromkeys(str(e["mode"]) for e in rated))
    data = [_dots(mode, n, [e for e in rated if e["mode"] == mode], labels) for n, mode in enumerate(modes)]
    layout = {
        "height": 90 + 60 * len(labels),
        "xaxis": {"range": [-0.02, 1.02], "tickformat": ".0%"},
        "yaxis": {
            "tickvals": list(range(len(labels))),
            "ticktext": labels,
            "range": [len(labels) - 0.5, -0.5],
            "showgrid": False,
            "zeroline": False,
        },
        "hovermode": "closest",
    }
    caption = "Share of held-out rollouts solved; bars are 95% intervals, clustered by task."
    return Chart("Success on the held-out tasks", caption, {"data": data, "layout": layout})


def _dots(mode: str, n: int, evaluations: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> Figure:
    rates = [e["success_rate"] for e in evaluations]
    spans = [interval_of(e) or (e["success_rate"], e["success_rate"]) for e in evaluations]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": mode,
        "x": rates,
        "y": [labels.index(str(e["label"])) + 0.16 * n - 0.08 for e in evaluations],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - rate for rate, (_, high) in zip(rates, spans, strict=True)],
            "arrayminus": [rate - low for rate, (low, _) in zip(rates, spans, strict=True)],
            "thickness": 1.5,
            "width": 5,
            "color": COLOURS[n % len(COLOURS)],
        },
        "marker": {"size": 11, "color": COLOURS[n % len(COLOURS)]},
        "hovertemplate": "%{x:.1%}",
    }


def curve_charts(rows: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """The run's curves, as far as there are numbers for them."""
    drawn = [_chart(title, (*names, *_beside(names, rows)), rows, _line) for title, names in CURVES]
    drawn.insert(2, _chart("Groups without signal", SILENT_GROUPS, rows, _bar))
    drawn.append(_chart("Seconds per step", TIMES, rows, _bar))
    return [chart for chart in drawn if chart is not None]


def _beside(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The reward of all that was begun, beside that of what was trained on, where the two differ in any step."""
    both = ((row["metrics"].get(BEGUN), row["metrics"].get(TRAINED)) for row in rows)
    differ = any(is_number(begun) and begun != trained for begun, trained in both)
    return (BEGUN,) if TRAINED in names and differ else ()


def _chart(title: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]], draw: Any) -> Chart | None:
    traces: list[Figure] = []
    captions = []
    for name in names:
        by_phase = _points(name, rows)
        for phase, points in by_phase.items():
            twice = sum(short(other) == short(name) for other in names) > 1
            label = (name if twice else short(name)) + (f" ({phase})" if len(by_phase) > 1 else "")
            traces.append(draw(label, points, COLOURS[len(traces) % len(COLOURS)]))
        if by_phase:
            captions.append(f"{name if twice else short(name)}: {describe(name)}")
    if not traces:
        return None
    steps = "pass over the demonstrations" if title == SUPERVISED else "step"
    layout = {"height": 240, "xaxis": {"title": {"text": steps}}, "barmode": "stack"}
    return Chart(title, "; ".join(captions) + ".", {"data": traces, "layout": layout})


def _points(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Phase → (step, value), where the value is a number."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        value = row["metrics"].get(name)
        if is_number(value):
            points.setdefault(str(row.get("phase", "")), []).append((row["step"], value))
    return points


def _line(label: str, points: Sequence[tuple[float, float]], colour: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": label,
        "x": [step for step, _ in points],
        "y": [value for _, value in points],
        "line": {"width": 2, "color": colour},
        "marker": {"size": 4 if len(points) > 12 else 7, "color": colour},
    }


def _bar(label: str, points: Sequence[tuple[float, float]], colour: str) -> Figure:
    return {
        "type": "bar",
        "name": label,
        "x": [step for step, _ in points],
        "y": [value for _, value in points],
        "marker": {"color": colour},
    }


def short(name: str) -> str:
    """A metric's name without its family: ``rollout/reward/mean`` → ``reward mean``."""
    return " ".join(name.split("/")[1:]).replace("_", " ")


def is_number(value: Any) -> bool:
    """Whether it can be drawn: a finite int or float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def interval_of(evaluation: Mapping[str, Any]) -> tuple[float, float] | None:
    """The 95% interval of an evaluation's success rate, where it has one."""
    interval = evaluation.get("interval")
    if isinstance(interval, list) and len(interval) == 2 and all(is_number(end) for end in interval):
        return interval[0], interval[1]
    return None
