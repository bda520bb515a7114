"""A recipe as people read it: every setting with its value, where that came from, what else it could be, and advice."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from practicum.display import say, say_line, visible
from practicum.recipe.explain import Row, explain
from practicum.recipe.model import Recipe


def print_explanation(recipe: Recipe, console: Console, *, as_json: bool = False) -> None:
    """One table per section, settings that are not at their default in bold; or a JSON list of rows."""
    rows = explain(recipe)
    if as_json:
        say_line(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
        return
    # One width for the same column of every section, and the rest for what is said about a setting.
    widths = [max(len(_value(row)) for row in rows), max(len(row.source) for row in rows)]
    keys = max(len(row.key) for row in rows)
    for section, members in groupby(rows, key=lambda row: row.section):
        say(console, Text(section, style="bold cyan"))
        say(console, _table(list(members), [keys, *(min(width, 28) for width in widths)]))
        say(console)
    say(console, Text("Change one thing at a time; observe 25 to 50 steps.", style="dim"))


def _table(rows: Sequence[Row], widths: Sequence[int]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name, width in zip(("key", "value", "from"), widths, strict=True):
        table.add_column(name, width=width, overflow="fold")
    table.add_column("about", overflow="fold")
    for row in rows:
        style = "" if row.source == "default" else "bold"
        table.add_row(Text(row.key, style), Text(_value(row), style), Text(visible(row.source), style), _about(row))
    return table


def _about(row: Row) -> Text:
    about = Text(row.help)
    about.append(f"\nallowed: {row.range}", style="dim")
    if row.aws:
        about.append(f"; in an AWS recipe {row.aws}", style="dim")
    for advice in row.advice:
        about.append(f"\n→ {advice}", style="green")
    return about


def _value(row: Row) -> str:
    """As in YAML."""
    return visible(_scalar(row.value)) if not isinstance(row.value, list | dict) else json.dumps(row.value)


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
