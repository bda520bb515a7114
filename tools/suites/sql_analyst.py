"""Makes the SQL analyst's tasks: ``python -m tools.suites.sql_analyst``.

A task is a question, the seed of the database it is asked of, and the right rows. A seed is taken only where the
question is a good one: its answer is neither empty nor long, differs from the answers in the hidden databases that
the query is judged on too, occurs in no other split, and every trap the question runs into changes the answer of an
analyst who falls for it.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from practicum.digests import digest
from practicum.files import write_text
from practicum.suites.sql_analyst.data import TRAPS, Draw, hidden_seeds, schema, script
from practicum.suites.sql_analyst.domains import DOMAINS, Domain
from practicum.suites.sql_analyst.questions import Question, questions
from tools.suites import fixtures_of

LEVELS = (1, 2, 3, 4)
SIZES = {"train": 160, "validation": 40, "test": 80}
FIRST_SEED = {"train": 100_000, "validation": 200_000, "test": 300_000}
"""Seeds count up from here; each database of a level is another one."""

_LONGEST = 10
_TRIES = 12

Rows = list[list[Any]]


def tasks(level: int) -> dict[str, list[list[Any]]]:
    """Split → tasks of a level, each ``[domain, template, parameters, seed, rows]``."""
    split_tasks: dict[str, list[list[Any]]] = {split: [] for split in SIZES}
    for split, task in in_order(level):
        split_tasks[split].append(task)
    return split_tasks


def in_order(level: int) -> Iterator[tuple[str, list[Any]]]:
    """A level's tasks with their splits, in the order in which they are drawn."""
    counts = dict.fromkeys(SIZES, 0)
    homes: dict[str, str] = {}
    for question in _in_turn(level):
        split = min(SIZES, key=lambda name: counts[name] / SIZES[name])
        if counts[split] == SIZES[split]:
            return
        first = FIRST_SEED[split] + 10_000 * level + _TRIES * counts[split]
        for seed in range(first, first + _TRIES):
            rows = _answer(question, seed)
            if rows is not None and homes.setdefault(digest(sorted(rows, key=str)), split) == split:
                counts[split] += 1
                parameters = list(question.parameters)
                yield split, [question.domain.name, question.template.name, parameters, seed, rows]
                break
    raise AssertionError(f"level {level} has too few questions")


def _in_turn(level: int) -> Iterator[Question]:
    """All questions of a level in random order, but template by template in turn."""
    draw = Draw("questions", level)
    by_template: dict[str, list[Question]] = defaultdict(list)
    for domain in DOMAINS.values():
        for question in questions(domain, level):
            by_template[question.template.name].append(question)
    piles = [draw.sample(pile, len(pile)) for pile in by_template.values()]
    while any(piles):
        for pile in draw.sample(piles, len(piles)):
            if pile:
                yield pile.pop()


def _answer(question: Question, seed: int) -> Rows | None:
    """The right rows in the database of ``seed``; None where it is no good one for the question."""
    few = dict(zip(question.template.parameters, question.parameters, strict=True)).get("k")
    clean: list[Rows] = []
    for database in (seed, *hidden_seeds(seed)):
        (rows,) = _run(question.domain, database, [question.sql(traps=False)], traps=False)
        if not rows or len(rows) > _LONGEST or few not in (None, len(rows)) or _same_rows(rows, clean):
            return None
        clean.append(rows)
    fallen = [question.sql(traps=True, handled=set(TRAPS) - {trap}) for trap in question.traps]
    queries = [question.sql(traps=True), *fallen]
    trapped = [_run(question.domain, database, queries, traps=True) for database in (seed, *hidden_seeds(seed))]
    if [results[0] for results in trapped] != clean:
        raise AssertionError(f"the traps change the answer to {question.text!r} in {seed}")
    caught = [any(results[n] != results[0] for results in trapped) for n in range(1, len(queries))]
    return clean[0] if all(caught) else None


def _same_rows(rows: Rows, others: Sequence[Rows]) -> bool:
    return any(sorted(rows, key=str) == sorted(other, key=str) for other in others)


def _run(domain: Domain, seed: int, queries: Sequence[str], *, traps: bool) -> list[Rows]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(script(schema(domain, seed, traps=traps, distractors=0)))
        results = [[list(row) for row in connection.execute(query)] for query in queries]
    # Where a query leaves the order open, SQLite's own must not matter to what is written.
    return [
        rows if "ORDER BY" in query else sorted(rows, key=str) for query, rows in zip(queries, results, strict=True)
    ]


def as_text(levels: Mapping[str, Mapping[str, Sequence[Any]]]) -> str:
    """JSON with one task a line."""
    blocks = []
    for level, splits in levels.items():
        parts = []
        for split, listed in splits.items():
            lines = ",\n".join(json.dumps(task, separators=(",", ":")) for task in listed)
            parts.append(f'"{split}": [\n{lines}\n]')
        blocks.append(f'"{level}": {{\n' + ",\n".join(parts) + "\n}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def write_fixtures(folder: Path) -> None:
    """Write the tasks into a folder."""
    levels = {str(level): tasks(level) for level in LEVELS}
    write_text(folder / "tasks.json", as_text(levels))


if __name__ == "__main__":
    write_fixtures(fixtures_of("sql_analyst"))
