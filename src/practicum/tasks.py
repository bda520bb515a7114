"""Tasks: what an agent is asked, and what is known about the right answer. Loading, digests, overlap."""

import contextlib
import datetime
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from practicum.chat import Message, split_opening
from practicum.datasets import read_rows
from practicum.digests import canonical_json, digest
from practicum.errors import TaskError

SHOWN = 80
"""Characters of a value that an error shows."""
HELD_OUT = 0.1
"""Share of a dataset that is held out where nothing else is there to evaluate on."""


@dataclass(frozen=True)
class Task:
    """One instance of the work.

    ``prompt`` reaches the agent as it is; before it, where there are any, the messages of ``history``: the system's or
    the user's own. ``answer`` (the label) and ``metadata`` never do: they are for environments, scores and rewards.
    """

    id: str
    prompt: str
    answer: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Message, ...] = ()

    @property
    def asked(self) -> str:
        """All that it tells the agent, as text: the prompt, after what its history says."""
        return "\n".join([*(f"{message['role']}: {message['content']}" for message in self.history), self.prompt])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data."""
        answer = dict(self.answer) if self.answer is not None else None
        history = {"history": [dict(message) for message in self.history]} if self.history else {}
        return {"id": self.id, "prompt": self.prompt, "answer": answer, "metadata": dict(self.metadata), **history}


@dataclass(frozen=True)
class Columns:
    """Which columns of a dataset hold prompt, id and label; None: the usual ones, where they are there."""

    prompt: str | None = None
    id: str | None = None
    answer: str | None = None

    def named(self) -> dict[str, str]:
        """Role → column, of those that there are."""
        return {role: name for role, name in vars(self).items() if name is not None}


class TaskSet(Sequence[Task]):
    """An ordered, duplicate-free list of tasks.

    Args:
        tasks: The tasks.
        name: What errors call them.
        games: Whether tasks may have one prompt, as those of a game have that hides something else each time: then
            label or metadata have to differ.
        columns: Of the dataset that they were read from.

    Raises:
        TaskError: no tasks, an id used twice, or a prompt used twice.
    """

    def __init__(
        self, tasks: Iterable[Task], name: str = "tasks", *, games: bool = False, columns: Columns | None = None
    ) -> None:
        self.name, self.games, self.columns = name, games, columns
        self._tasks = tuple(tasks)
        if not self._tasks:
            raise TaskError(f"{name} has no tasks", fix="give at least one row")
        _refuse_duplicates(self._tasks, name, games=games)

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, index: Any) -> Any:
        return self._tasks[index]

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks)

    @property
    def digest(self) -> str:
        """SHA-256 over all tasks in order."""
        try:
            return digest([task.to_dict() for task in self._tasks])
        except (TypeError, ValueError):  # of an environment whose labels or metadata are no JSON
            return digest([repr(task.to_dict()) for task in self._tasks])

    def overlap(self, other: "TaskSet") -> list[str]:
        """Prompts of the tasks that stand in both sets, in this set's order.

        A task is told by its prompt; where both are games of one prompt, by label and metadata too.
        """
        wholly = self.games and other.games and is_game((*self, *other))
        theirs = {_key(task, wholly=wholly) for task in other}
        return [task.asked for task in self if _key(task, wholly=wholly) in theirs]


def load_tasks(path: Path, columns: Columns | None = None) -> TaskSet:
    """Read a dataset file; columns that hold neither prompt nor id nor answer become metadata.

    Args:
        path: A .parquet, .jsonl, .json or .csv file.
        columns: Which columns to take. By default the prompt is in ``prompt``, else in the first column that is not
            ``id``, ``answer`` or without a name; ``columns`` of the result says which it was.

    Raises:
        TaskError: naming the file, and the row and column where one is broken.
    """
    rows = read_rows(path)
    if not rows:
        raise TaskError(f"{path.name} has no tasks", where=str(path), fix="give at least one row")
    roles = _columns(rows[0], path, columns or Columns())
    tasks = [_task(row, line, path, roles) for line, row in rows]
    own_ids = roles.id is not None and all(_identifier(row, roles.id) for _, row in rows)
    return TaskSet(tasks, name=path.name, games=own_ids, columns=roles)


def with_held_out(tasks: TaskSet) -> tuple[TaskSet, TaskSet]:
    """The tasks to train on, and a tenth of them (at least one) to evaluate on.

    A hash of what is asked decides, so that a task stays on its side when rows are added or moved.

    Raises:
        TaskError: there is only one task.
    """
    if len(tasks) == 1:
        raise TaskError(
            f"{tasks.name} has one task, which cannot be both trained on and held out",
            fix="give more rows, or a validation_dataset",
        )
    order = sorted(tasks, key=lambda task: digest(_key(task, wholly=tasks.games)))
    out = {task.id for task in order[: max(1, round(HELD_OUT * len(tasks)))]}
    parts = (
        [task for task in tasks if task.id not in out],
        [task for task in tasks if task.id in out],
    )
    trained, held = (TaskSet(part, tasks.name, games=tasks.games, columns=tasks.columns) for part in parts)
    return trained, held


def _refuse_duplicates(tasks: Sequence[Task], name: str, *, games: bool) -> None:
    ids: set[str] = set()
    contents: dict[str, str] = {}
    for task in tasks:
        if task.id in ids:
            raise TaskError(f"task id {task.id!r} is used twice", where=name, fix="give every task its own id")
        content = _key(task, wholly=games)
        if content in contents:
            raise TaskError(
                f"tasks {contents[content]!r} and {task.id!r} have the same prompt {task.prompt[:SHOWN]!r}"
                + (", label and metadata" if games else ""),
                where=name,
                fix="remove one of them: duplicates weigh a prompt twice and leak between splits"
                + ("" if games else "; a game that has one prompt for all its tasks needs a column of ids"),
            )
        ids.add(task.id)
        contents[content] = task.id


def is_game(tasks: Iterable[Task]) -> bool:
    """Whether several tasks all have one prompt, as those of a game have that hides something else each time."""
    prompts = [task.asked for task in tasks]
    return len(prompts) > 1 and len(set(prompts)) == 1


def content_of(task: Task) -> str:
    """All of a task but its id, as text: what tells the tasks of a game apart."""
    content = {**task.to_dict(), "id": ""}
    try:
        return canonical_json(content)
    except (TypeError, ValueError):  # of an environment whose labels are no JSON
        return repr(content)


def _key(task: Task, *, wholly: bool) -> str:
    return content_of(task) if wholly else task.asked


def _columns(first: tuple[int, Any], path: Path, chosen: Columns) -> Columns:
    """The columns that are taken, from the first row.

    Raises:
        TaskError: one that was chosen is not there, or none is left for the prompt.
    """
    line, row = first
    names = list(_cells(row, f"{path}, row {line}"))
    for role, name in chosen.named().items():
        if name not in names:
            raise TaskError(
                f"there is no column {name!r}", where=str(path), allowed=_listed(names), fix=f"mend {role}_column"
            )
    identifier = chosen.id or ("id" if "id" in names and chosen.prompt != "id" else None)
    answer = chosen.answer or ("answer" if "answer" in names and chosen.prompt != "answer" else None)
    # A column without a name is what pandas writes its row numbers into.
    left = [name for name in names if name and name not in (identifier, answer)]
    prompt = chosen.prompt or ("prompt" if "prompt" in left else next(iter(left), None))
    if prompt is None or len({prompt, identifier, answer}) < 1 + (identifier is not None) + (answer is not None):
        raise TaskError(
            f"no column is left for the prompt beside id {identifier!r} and answer {answer!r}",
            where=str(path),
            allowed=_listed(names),
            fix="add a column prompt, or set prompt_column",
        )
    return Columns(prompt, identifier, answer)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _cells(row: Any, where: str) -> dict[str, Any]:
    if isinstance(row, str):
        row = {"prompt": row}
    if not isinstance(row, dict) or not row:
        raise TaskError(f"a row must be an object with a prompt, not {type(row).__name__}", where=where)
    return row


def _checked(row: Any, where: str, columns: Columns) -> dict[str, Any]:
    """The row as columns, each of which JSON can hold: in those of metadata, NaN is read as null."""
    cells = dict(_cells(row, where))
    named = set(columns.named().values())
    for column, value in cells.items():
        try:
            if column not in named:
                cells[column] = _nan_as_null(value)
            canonical_json({column: cells[column]}).encode()
        except UnicodeEncodeError as error:
            raise TaskError(
                f"the text holds half a character: {error.object[error.start]!r}",
                where=f"{where}, column {column!r}",
                allowed="text that UTF-8 can hold",
                fix="take it out, or write the text anew from its source",
            ) from error
        except (TypeError, ValueError, RecursionError) as error:
            raise TaskError(
                f"a column holds what is not JSON: {error}",
                where=f"{where}, column {column!r}",
                allowed="text, finite numbers, booleans, null, lists and objects of these",
                fix=_mend(value),
            ) from error
    return cells


def _nan_as_null(value: Any) -> Any:
    """The same data with null for NaN, which is what many programs write where a number is missing."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, list):
        return [_nan_as_null(item) for item in value]
    if isinstance(value, dict):
        return {name: _nan_as_null(item) for name, item in value.items()}
    return value


def _mend(value: Any) -> str:
    if isinstance(value, bytes):
        return "leave the column out, or write bytes as text (base64)"
    if isinstance(value, float):
        return "write null, or leave the column out"
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        return f"write dates and the like as text, such as {str(value)!r}"
    return "write dates, decimals and the like as text, and null for what is no number"


def _identifier(row: Any, column: str) -> str:
    value = row.get(column) if isinstance(row, dict) else None
    return "" if value is None else str(value)


def _task(row: Any, line: int, path: Path, columns: Columns) -> Task:
    where = f"{path}, row {line}"
    fields = _checked(row, where, columns)
    if columns.prompt not in fields:
        raise TaskError(
            f"the row has no column {columns.prompt!r}, from which the prompts are taken",
            where=where,
            fix="give every row the same columns, or choose another with prompt_column",
        )
    history, prompt = _opening(fields.pop(columns.prompt), f"{where}, column {columns.prompt!r}")
    identifier = _identifier(fields, columns.id) if columns.id else ""
    answer = _answer(fields.get(columns.answer)) if columns.answer else None
    metadata = {name: value for name, value in fields.items() if name not in (columns.id, columns.answer)}
    return Task(identifier or f"{path.stem}-{line}", prompt, answer, metadata, history)


def _opening(value: Any, where: str) -> tuple[tuple[Message, ...], str]:
    """The prompt, and what is said before it where the cell holds a chat.

    Raises:
        TaskError: it is no text, empty, or no chat that an episode can begin with.
    """
    if isinstance(value, list) and value and all(isinstance(item, dict) and "role" in item for item in value):
        try:
            return split_opening(value)
        except ValueError as problem:
            raise TaskError(
                f"no episode can begin with this chat of {len(value)} messages: {problem}",
                where=where,
                allowed="text, or messages of the user after at most one of the system, all of them text",
                fix="write what the user asks into the column; what follows an answer is said by the environment's "
                "next_user",
            ) from problem
    if not isinstance(value, str) or not value.strip():
        raise TaskError(
            f"the prompt must be non-empty text, not {_quoted(value)}", where=where, fix="set prompt_column"
        )
    return (), value


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({type(value).__name__})"


def _answer(value: Any) -> Mapping[str, Any] | None:
    """A label as named fields: an object, also one written as JSON, is its own; anything else is the field answer."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        # Text may only begin like an object: a set, LaTeX, code. Half a character or an infinite number is no JSON.
        with contextlib.suppress(ValueError, RecursionError):
            fields = json.loads(value)
            canonical_json(fields).encode()
            value = fields
    if value is None or isinstance(value, dict):
        return value
    return {"answer": value}
