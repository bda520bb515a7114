"""The page of a run: ``report.html``, one file that needs no network, made from the run folder alone."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from plotly.offline import get_plotlyjs

from practicum.display import visible_within
from practicum.files import program, write_text
from practicum.report.charts import HELD_OUT, Chart, curve_charts, success_chart
from practicum.report.conversation import conversations
from practicum.report.evaluation_sections import comparison_table, disagreement_list, gap_chart, tool_chart
from practicum.report.run_files import RunData, read_run
from practicum.report.sections import (
    caveat,
    chart,
    commands,
    esc,
    evaluation_table,
    form,
    notes,
    provenance,
    section,
    verdict,
)

AnyChart = TypeVar("AnyChart", Chart, Chart | None)

PAIRED = (
    "Paired on the same tasks: intervals count the rollouts of one task together, p is exact over the signs of the "
    "tasks' differences (with one rollout per task, McNemar's). Only this / only that: by first rollouts."
)
DISAGREE = "Paid without success first: what a hacked reward pays for shows here before it shows in any mean."
UNDER_WAY, FINISHED, BROKEN = "under way or interrupted", "finished", "ended with an error"
"""States of a run's training."""
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
"""What the page may load: nothing but itself."""


def write_report(run_folder: Path, next_commands: Sequence[tuple[str, str]] = ()) -> Path:
    """Write ``report.html`` into a run folder, whole or partial, and return its path.

    Args:
        run_folder: One run's folder.
        next_commands: (what it does, exact command) pairs, shown before those the folder itself suggests.
    """
    run = read_run(run_folder)
    target = run_folder / "report.html"
    write_text(target, _page(run, [*next_commands, *_suggested(run_folder)]))
    return target


def _page(run: RunData, next_commands: Sequence[tuple[str, str]]) -> str:
    doubt = f"Not independent: {reason}." if (reason := caveat(run)) else ""
    headline = _doubted(success_chart(run.evaluations), doubt)
    curves = [_doubted(curve, doubt if curve.title == HELD_OUT else "") for curve in curve_charts(run.metrics)]
    held_out = [found for found in (tool_chart(run.evaluations), gap_chart(run.disagreements)) if found]
    charts = [*([headline] if headline else []), *held_out, *curves]
    places = [chart(n, curve, curve.figure["layout"]["height"]) for n, curve in enumerate(charts)]
    first, after = len([curve for curve in (headline,) if curve]), len(charts) - len(curves)
    top = f"<div class='headline'>{''.join(places[:first])}</div>" if headline else ""
    beside = f"<div class='grid'>{''.join(places[first:after])}</div>" if held_out else ""
    grid = f"<div class='grid'>{''.join(places[after:])}</div>" if curves else ""
    sections = (
        _header(run),
        section("Held-out tasks", evaluation_table(run.evaluations) + top, doubt),
        section("Is the difference luck?", comparison_table(run.comparisons), f"{PAIRED} {doubt}".strip()),
        section("What the models did", beside),
        section("Where reward and score disagree", disagreement_list(run.disagreements), DISAGREE),
        section("Course of training", grid),
        section("One task, before and after", conversations(run.examples)),
        section("Where it comes from", provenance(run), "SHA-256 digests of what decided the outcome."),
        section("What next", commands(next_commands)),
        section("What could not be read", notes(run.notes)),
    )
    body = "".join(sections)
    return _document(run.folder.resolve().name, body, charts)


def _doubted(chart: AnyChart, doubt: str) -> AnyChart:
    """The chart, with what there is to say against its numbers."""
    return replace(chart, caption=f"{chart.caption} {doubt}") if chart is not None and doubt else chart


def _header(run: RunData) -> str:
    parts = [_state(run)]
    environment = run.manifest.get("environment")
    if isinstance(environment, dict):
        parts.append(f"{environment.get('id', '?')} {environment.get('version', '')}".strip())
    model = run.manifest.get("model")
    if isinstance(model, dict) and model.get("name"):
        parts.append(str(model["name"]))
    if run.metrics:
        parts.append(f"{form(run.metrics[-1]['step'], 'count')} steps")
    if run.events:
        parts.append(f"begun {run.events[0].time[:16].replace('T', ' ')} UTC")
    subtitle = " · ".join(esc(part) for part in parts if part)
    name = esc(run.folder.resolve().name)
    return f"<header><h1>{name}</h1><p class='subtitle'>{subtitle}</p>{verdict(run.evaluations)}</header>"


def _state(run: RunData) -> str:
    """How far the run has come, as the ledger tells."""
    state = ""
    for event in run.events:
        if event.kind in ("check", "resume", "step"):
            state = UNDER_WAY
        elif event.kind == "stop":
            state = FINISHED
        # What comes after the end, such as an evaluation, begins nothing anew, and ends nothing where it fails.
        elif event.kind == "error" and state != FINISHED:
            state = BROKEN if state == UNDER_WAY else f"not trained yet, {BROKEN}"
        elif state not in (UNDER_WAY, FINISHED, BROKEN):
            state = "not trained yet"
    return state


def _suggested(folder: Path) -> list[tuple[str, str]]:
    commands: list[tuple[str, str]] = []
    if (folder / "mlflow.db").is_file():
        store = shlex.quote(f"sqlite:///{folder / 'mlflow.db'}")
        commands.append(
            ("Every metric, and every rollout as a trace", f"{program('mlflow')} ui --backend-store-uri {store}")
        )
    if any((folder / "trajectories").glob("*.parquet")):
        query = f"select task_id, score, ending from '{folder / 'trajectories'}/*.parquet' order by score"
        code = shlex.quote(f'import duckdb; print(duckdb.sql("{query}"))')
        commands.append(("Every rollout as a table", f"{program('python')} -c {code}"))
    return commands


def _document(title: str, body: str, charts: Sequence[Chart]) -> str:
    here = files("practicum.report")
    css, js = ((here / name).read_text(encoding="utf-8") for name in ("style.css", "draw.js"))
    data = "".join(_figure(n, each.figure) for n, each in enumerate(charts))
    scripts = f"{data}<script>{get_plotlyjs()}</script><script>{js}</script>" if charts else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(title)} · Practicum</title><style>{css}</style></head><body><main>{body}"
        f"<footer>Made by Practicum from the files of the run.</footer></main>{scripts}</body></html>\n"
    )


def _figure(number: int, figure: dict[str, Any]) -> str:
    """A figure as JSON in which no text can end the script element."""
    text = json.dumps(visible_within(figure), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="figure-{number}">{text}</script>'
