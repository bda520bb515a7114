"""Tasks: what an agent is asked, and what is known about the right answer. Loading, digests, overlap."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from practicum.digests import canonical_json, digest
from practicum.errors import TaskError

SUFFIXES = (".parquet", ".jsonl", ".json", ".csv")


@dataclass(frozen=True)
class Task:
    """One instance of the work.

    ``prompt`` reaches the agent as it is. ``answer`` (the label) and ``metadata`` never do: they are for
    environments, scores and rewards.
    """

    id: str
    prompt: str
    answer: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data."""
        answer = dict(self.answer) if self.answer is not None else None
        return {"id": self.id, "prompt": self.prompt, "answer": answer, "metadata": dict(self.metadata)}


class TaskSet(Sequence[Task]):
    """An ordered, duplicate-free list of tasks.

    Raises:
        TaskError: no tasks, an id used twice, or a prompt used twice.
    """

    def __init__(self, tasks: Iterable[Task], name: str = "tasks") -> None:
        self.name = name
        self._tasks = tuple(tasks)
        if not self._tasks:
            raise TaskError(f"{name} has no tasks", fix="give at least one row")
        _refuse_duplicates(self._tasks, name)

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, index: Any) -> Any:
        return self._tasks[index]

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks)

    @property
    def digest(self) -> str:
        """SHA-256 over all tasks in order."""
        return digest([task.to_dict() for task in self._tasks])

    def overlap(self, other: "TaskSet") -> list[str]:
        """Prompts that stand in both sets, in this set's order."""
        theirs = {task.prompt for task in other}
        return [task.prompt for task in self if task.prompt in theirs]


def load_tasks(path: Path) -> TaskSet:
    """Read a dataset file: column ``prompt`` (else the first), optional ``id`` and ``answer``; rest is metadata.

    Raises:
        TaskError: naming the file, and the line where one is broken.
    """
    if path.suffix not in SUFFIXES:
        raise TaskError(
            f"cannot read a dataset of type {path.suffix or 'without suffix'!r}",
            where=str(path),
            allowed=", ".join(SUFFIXES),
        )
    if not path.is_file():
        raise TaskError("no such dataset file", where=str(path), fix="check the path in the recipe")
    try:
        rows = _rows(path)
    except UnicodeDecodeError as error:
        raise TaskError(f"the dataset is not UTF-8: {error}", where=str(path), fix="save it as UTF-8") from error
    except OSError as error:
        raise TaskError(f"cannot read the dataset: {error}", where=str(path)) from error
    return TaskSet((_task(row, line, path) for line, row in rows), name=path.name)


def _refuse_duplicates(tasks: Sequence[Task], name: str) -> None:
    ids: set[str] = set()
    prompts: dict[str, str] = {}
    for task in tasks:
        if task.id in ids:
            raise TaskError(f"task id {task.id!r} is used twice", where=name, fix="give every task its own id")
        if task.prompt in prompts:
            raise TaskError(
                f"tasks {prompts[task.prompt]!r} and {task.id!r} have the same prompt {task.prompt[:80]!r}",
                where=name,
                fix="remove one of them: duplicates weigh a prompt twice and leak between splits",
            )
        ids.add(task.id)
        prompts[task.prompt] = task.id


def _rows(path: Path) -> list[tuple[int, Any]]:
    """(line number, row) pairs; rows are checked by the caller."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return list(enumerate(pq.read_table(path).to_pylist(), start=1))
        except pa.ArrowInvalid as error:
            raise TaskError(f"not a Parquet file: {error}", where=str(path)) from error
    if path.suffix == ".csv":
        return _csv_rows(path)
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".jsonl":
        # Not splitlines: it also cuts at U+2028 and the like, which JSON allows within a string.
        lines = text.split("\n")
        return [(n, _json(line, path, n)) for n, line in enumerate(lines, start=1) if line.strip()]
    rows = _json(text, path, 1)
    if not isinstance(rows, list):
        raise TaskError("a .json dataset must be a list of rows", where=str(path), fix="wrap the rows in [ ]")
    return list(enumerate(rows, start=1))


def _csv_rows(path: Path) -> list[tuple[int, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream, strict=True)
        rows = []
        try:
            for row in reader:
                if None in row or None in row.values():
                    problem = "more" if None in row else "fewer"
                    raise TaskError(
                        f"the row has {problem} cells than the header",
                        where=f"{path}, line {reader.line_num}",
                        fix="quote cells that hold commas or line breaks",
                    )
                rows.append((reader.line_num, row))
        except csv.Error as error:
            raise TaskError(f"broken CSV: {error}", where=f"{path}, line {reader.reader.line_num}") from error
    return rows


def _json(text: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{path}, line {line + error.lineno - 1}, column {error.colno}"
        raise TaskError(f"broken JSON: {error.msg}", where=place, fix="mend or remove that line") from error


def _task(row: Any, line: int, path: Path) -> Task:
    where = f"{path}, row {line}"
    if isinstance(row, str):
        row = {"prompt": row}
    if not isinstance(row, dict) or not row:
        raise TaskError(f"a row must be an object with a prompt, not {type(row).__name__}", where=where)
    rest = dict(row)
    prompt = rest.pop("prompt") if "prompt" in rest else rest.pop(next(iter(rest)))
    if not isinstance(prompt, str) or not prompt.strip():
        raise TaskError(f"the prompt must be non-empty text, not {prompt!r}", where=where)
    answer = rest.pop("answer", None)
    if isinstance(answer, str):
        answer = _json(answer, path, line) if answer.lstrip().startswith("{") else {"answer": answer}
    elif answer is not None and not isinstance(answer, dict):
        answer = {"answer": answer}
    identifier = rest.pop("id", None)
    task = Task(str(identifier if identifier is not None else f"{path.stem}-{line}"), prompt, answer, rest)
    try:
        canonical_json(task.to_dict())
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"a column holds what is not JSON: {error}",
            where=where,
            allowed="text, finite numbers, booleans, null, lists and objects of these",
            fix="write dates and the like as text",
        ) from error
    return task
