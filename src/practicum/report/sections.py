"""The parts of the page, each from the data of a run to HTML. All text from outside goes through ``esc``."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from practicum.display import visible
from practicum.report.charts import Chart, interval_of, is_number
from practicum.report.run_files import RunData
from practicum.scoring.judgement import CAVEAT

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("completion_rate", "completed", "percent"),
    ("correctness", "right where completed", "percent"),
    ("format_rate", "well-formed", "percent"),
    ("reward_mean", "mean reward", "number"),
    ("tokens_per_rollout", "tokens / rollout", "count"),
    ("max_turns_frac", "out of turns", "percent"),
    ("at_cap_frac", "cut off", "percent"),
    ("seconds_per_rollout", "a rollout's seconds, others beside it", "number"),
    ("seconds", "seconds of them all", "count"),
)
LEAST_CHANCE = 0.001
"""A p-value below this is said to be below it."""
PACKAGES = ("practicum", "torch", "transformers", "peft", "tokenizers", "numpy")


def esc(value: Any) -> str:
    """Text for HTML, safe in content and in quoted attributes; characters that command are shown, as on a terminal."""
    return html.escape(visible(str(value)), quote=True)


def form(value: Any, kind: str = "number") -> str:
    """A number as people read it; – where there is none."""
    if not is_number(value):
        return "–"
    if kind == "chance":
        return f"{value:.2g}" if value >= LEAST_CHANCE else f"< {LEAST_CHANCE}"
    return {"percent": f"{100 * value:.1f}%", "number": f"{value:.3f}", "count": f"{value:,.0f}"}[kind]


def section(title: str, body: str, note: str = "") -> str:
    """A titled part of the page; nothing where there is no body."""
    if not body:
        return ""
    intro = f'<p class="note">{esc(note)}</p>' if note else ""
    return f"<section><h2>{esc(title)}</h2>{intro}{body}</section>"


def verdict(evaluations: Sequence[Mapping[str, Any]]) -> str:
    """What reinforcement added, a sentence for each way of sampling, no more certain than the numbers are.

    Trained stands against the foothold it began from, where there is one: against the base model alone, the
    supervised steps would count as reinforcement's gain.
    """
    lines = []
    for mode in dict.fromkeys(str(e["mode"]) for e in evaluations):
        rated = {e["label"]: e for e in evaluations if e["mode"] == mode and is_number(e.get("success_rate"))}
        before = rated.get("foothold") or rated.get("base")
        if before and "trained" in rated:
            lines.append(f"<p>{_comparison(mode, before, rated['trained'])}</p>")
    return f'<div class="verdict">{"".join(lines)}</div>' if lines else ""


def _comparison(mode: str, base: Mapping[str, Any], trained: Mapping[str, Any]) -> str:
    before, after = base["success_rate"], trained["success_rate"]
    sentence = (
        f"{esc(mode.capitalize())}: <strong>{form(before, 'percent')}</strong> of held-out tasks solved "
        f"by the {'foothold' if base['label'] == 'foothold' else 'base'} model, "
        f"<strong>{form(after, 'percent')}</strong> after reinforcement."
    )
    if _mark(base) or _mark(trained):
        sentence += " <strong>Not independent</strong>: no proof of a gain."
    if any(base.get(key) != trained.get(key) for key in ("split_digest", "environment")):
        return sentence + " Tasks or environment differ between the two: they cannot be compared."
    ends = interval_of(base), interval_of(trained)
    if ends[0] is None or ends[1] is None:
        return sentence
    apart = ends[0][1] < ends[1][0] or ends[1][1] < ends[0][0]
    return sentence + f" The 95% intervals {'do not overlap' if apart else 'overlap'}."


def evaluation_table(evaluations: Sequence[Mapping[str, Any]]) -> str:
    """Success with its interval and the estimates, then a second table of what else was measured anywhere."""
    if not evaluations:
        return ""
    columns = [column for column in COLUMNS if any(is_number(e.get(column[0])) for e in evaluations)]
    estimates = _estimates(evaluations)
    solved, conduct = [], []
    for e in evaluations:
        interval = interval_of(e)
        model = f"<th scope='row'>{esc(e['label'])}{_mark(e)}</th><td>{esc(e['mode'])}</td>"
        cells = [
            model,
            f"<td class='strong'>{form(e.get('success_rate'), 'percent')}</td>",
            f"<td>{' – '.join(form(end, 'percent') for end in interval) if interval else '–'}</td>",
            f"<td>{form(e.get('successes'), 'count')} / {form(e.get('n_rollouts'), 'count')}</td>",
            f"<td>{form(e.get('attempts') or None, 'count')}</td>",
            f"<td>{esc(_failed(e))}</td>",
            *(f"<td>{form(_estimate(e, name), 'percent')}</td>" for name in estimates),
        ]
        solved.append(f"<tr>{''.join(cells)}</tr>")
        conduct.append(f"<tr>{model}{''.join(f'<td>{form(e.get(n), kind)}</td>' for n, _, kind in columns)}</tr>")
    head = ["model", "sampling", "solved", "95% interval", "rollouts", "attempts", "failed", *estimates]
    second = _table(["model", "sampling", *(c[1] for c in columns)], conduct) if columns else ""
    return _table(head, solved) + _failures(evaluations) + second


def _failed(evaluation: Mapping[str, Any]) -> str:
    """Failed rollouts by whose failure it was; of an earlier version's evaluation, their number."""
    by_class = [f"{form(count, 'count')} {whose}" for whose, count in _mapping(evaluation, "failures").items()]
    return ", ".join(by_class) or form(evaluation.get("failed"), "count")


def _failures(evaluations: Sequence[Mapping[str, Any]]) -> str:
    """Why rollouts failed, under the model's name; nothing where none did."""
    items = []
    for e in evaluations:
        causes = e.get("causes")
        for cause in [cause for cause in causes if isinstance(cause, dict)] if isinstance(causes, list) else ():
            text = " ".join(str(cause.get(key, "")) for key in ("count", "whose", "text"))
            items.append(f"<li>{esc(e['label'])}, {esc(e['mode'])}: {esc(text)}</li>")
    return f"<p class='note'>Failed rollouts count as missed:</p><ul>{''.join(items)}</ul>" if items else ""


def _mark(evaluation: Mapping[str, Any]) -> str:
    if evaluation.get("independent") is not False:
        return ""
    return ", not independent" if evaluation.get("caveat") else ", judged by itself"


def caveat(run: RunData) -> str:
    """Why the run's held-out figures are not independent; empty where they are."""
    dependent = [e for e in run.evaluations if e.get("independent") is False]
    if dependent:
        return str(dependent[-1].get("caveat") or "the model judges itself")
    recipe = _mapping(run.manifest, "recipe")
    # No environment, and no score of the recipe's own.
    own = recipe.get("environment", "") is None and ":" not in str(recipe.get("score"))
    return CAVEAT if own and not run.evaluations else ""


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    heads = "".join(f"<th scope='col'>{esc(name)}</th>" for name in head)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<div class='wide'>{table}</div>"


def _estimates(evaluations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Column names for pass@k, pass^k and fields, in order of first appearance."""
    names: dict[str, None] = {}
    for e in evaluations:
        for key, mark in (("pass_at", "pass@"), ("pass_power", "pass^"), ("field_accuracy", "field ")):
            if isinstance(e.get(key), dict):
                names |= dict.fromkeys(f"{mark}{name}" for name in e[key])
    return list(names)


def _estimate(evaluation: Mapping[str, Any], column: str) -> Any:
    keys = {"pass@": "pass_at", "pass^": "pass_power", "field ": "field_accuracy"}
    mark = next(mark for mark in keys if column.startswith(mark))
    values = evaluation.get(keys[mark])
    return values.get(column.removeprefix(mark)) if isinstance(values, dict) else None


def chart(number: int, chart: Chart, height: int) -> str:
    """Place for a figure; its data is put at the page's end under the same number."""
    return (
        f"<figure><h3>{esc(chart.title)}</h3>"
        f"<div class='plot' data-figure='figure-{number}' style='height:{height}px'></div>"
        f"<figcaption>{esc(chart.caption)}</figcaption></figure>"
    )


def provenance(run: RunData) -> str:
    """What decided the outcome, by digest."""
    facts = [*_manifest_facts(run.manifest), *_ledger_facts(run)]
    rows = "".join(f"<dt>{esc(name)}</dt><dd>{esc(value)}</dd>" for name, value in facts if value)
    return f"<dl>{rows}</dl>" if rows else ""


def _manifest_facts(manifest: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    environment, model, machine = (_mapping(manifest, key) for key in ("environment", "model", "machine"))
    git, packages = _mapping(machine, "git"), _mapping(machine, "packages")
    yield (
        "environment",
        " ".join(str(environment.get(key, "")) for key in ("id", "version", "digest")).strip(),
    )
    for name, digest in _mapping(manifest, "tools").items():
        yield f"tool {name}", str(digest)
    for split, data in _mapping(manifest, "data").items():
        parts = data if isinstance(data, dict) else {}
        yield (
            f"{split} data",
            f"{parts.get('name', '')}, {parts.get('tasks', '?')} tasks, {parts.get('digest', '')}",
        )
    for key in ("reward", "score", "tokenizer"):
        yield key, str(manifest.get(key, ""))
    yield "recipe", str(manifest.get("recipe_digest", ""))
    yield "model", _joined(model, "name", "digest")
    yield "seeds", ", ".join(f"{name} {seed}" for name, seed in _mapping(manifest, "seeds").items())
    yield "git commit", f"{git.get('commit')}{' with changes' if git.get('changed') else ''}" if git else ""
    platform = [
        machine.get("platform"),
        *(machine.get(name) for name in ("processor", "instructions", "dtype")),
        machine.get("threads") and f"{machine['threads']} threads",
    ]
    yield "machine", ", ".join(str(part) for part in platform if part)
    versions = [f"{name} {packages[name]}" for name in PACKAGES if name in packages]
    yield (
        "software",
        ", ".join([*([f"Python {machine['python']}"] if "python" in machine else []), *versions]),
    )


def _ledger_facts(run: RunData) -> Iterable[tuple[str, str]]:
    if run.events:
        yield "ledger", f"{len(run.events)} events, chain whole, last hash {run.events[-1].hash}"


def _joined(values: Mapping[str, Any], *keys: str) -> str:
    return " ".join(str(values[key]) for key in keys if values.get(key))


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def commands(given: Sequence[tuple[str, str]]) -> str:
    """(what it does, command) pairs to copy."""
    items = (f"<li>{esc(what)}<pre><code>{esc(line)}</code></pre></li>" for what, line in given)
    return f"<ol class='commands'>{''.join(items)}</ol>" if given else ""


def notes(texts: Sequence[str]) -> str:
    """What could not be read."""
    return f"<ul>{''.join(f'<li>{esc(text)}</li>' for text in texts)}</ul>" if texts else ""
