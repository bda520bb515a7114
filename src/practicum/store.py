"""Trajectories as Parquet: written and read back exactly, and open to DuckDB, pandas or any other reader.

One row is one trajectory. Numbers and tokens have their own typed columns, nested as the nouns are; whatever
has no fixed shape (messages, tool arguments, tool schemas, final state) is JSON text inside the structs.

    duckdb.sql("select task_id, list_sum(rewards), len(turns) from 'trajectories/step-000012.parquet'")

Text that is not Unicode at all (half a surrogate pair, which a model can utter in an escape) is kept inside
JSON, and stored as U+FFFD in the plain text columns, because Parquet text is UTF-8.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from practicum.errors import RunError
from practicum.files import atomic_path
from practicum.trajectory import EnvironmentRef, ToolCall, Trajectory, Transition, Turn

SCHEMA_VERSION = 2
_VERSION_KEY = b"practicum.trajectories"
_NUMBERS = pa.map_(pa.string(), pa.float64())

_TURN = pa.struct(
    [
        ("messages", pa.string()),
        ("response", pa.string()),
        ("context_ids", pa.list_(pa.int32())),
        ("action_ids", pa.list_(pa.int32())),
        ("logprobs", pa.list_(pa.float64())),
        ("versions", pa.list_(pa.int32())),
        ("finish_reason", pa.string()),
        ("extends", pa.bool_()),
        ("break_cause", pa.string()),
        ("latency_s", pa.float64()),
        ("sequence", pa.int32()),
        ("malformed_calls", pa.list_(pa.string())),
    ]
)
_TOOL_CALL = pa.struct(
    [
        ("id", pa.string()),
        ("name", pa.string()),
        ("arguments", pa.string()),
        ("result", pa.string()),
        ("is_error", pa.bool_()),
        ("turn", pa.int32()),
        ("latency_s", pa.float64()),
    ]
)
_TRANSITION = pa.struct(
    [
        ("index", pa.int32()),
        ("state", pa.string()),
        ("tool", pa.string()),
        ("arguments", pa.string()),
        ("result", pa.string()),
        ("is_error", pa.bool_()),
        ("next_state", pa.string()),
        ("time", pa.float64()),
    ]
)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("task_id", pa.string()),
        ("group_id", pa.string()),
        ("seed", pa.int64()),
        ("environment", pa.struct([("id", pa.string()), ("version", pa.string()), ("digest", pa.string())])),
        ("turns", pa.list_(_TURN)),
        ("tool_calls", pa.list_(_TOOL_CALL)),
        ("ending", pa.string()),
        ("tools", pa.string()),
        ("rewards", pa.list_(pa.float64())),
        ("metrics", _NUMBERS),
        ("score", pa.float64()),
        ("score_metrics", _NUMBERS),
        ("final_state", pa.string()),
        ("transitions", pa.list_(_TRANSITION)),
        ("temperature", pa.float64()),
        ("top_p", pa.float64()),
        ("retries", pa.int32()),
        ("error", pa.string()),
        ("failure", pa.string()),
    ],
    metadata={_VERSION_KEY: str(SCHEMA_VERSION)},
)
"""Columns of a trajectory file; latencies in seconds, log-probabilities in nats."""
ADDED = frozenset({"failure", "turns.sequence", "turns.malformed_calls"})
"""Columns that older files of this version lack; their values are then the nouns' defaults."""


def write_trajectories(path: Path, trajectories: Sequence[Trajectory]) -> None:
    """Write trajectories to a Parquet file, atomically; an existing file is replaced.

    Raises:
        RunError: a value cannot be stored exactly (state that is not JSON, a seed beyond 64 bits).
    """
    rows = [_row(trajectory, path) for trajectory in trajectories]
    try:
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
    except (pa.ArrowException, OverflowError) as error:
        raise RunError(
            f"a trajectory has a value that its column cannot hold: {error}",
            where=str(path),
            allowed="token ids and versions of 32 bits, seeds of 64 bits, numbers where numbers are due",
            fix="correct what the environment, the reward or the seed gives",
        ) from error
    with atomic_path(path) as beside:
        pq.write_table(table, beside, compression="zstd", write_page_checksum=True)


def read_trajectories(path: Path) -> list[Trajectory]:
    """Read what ``write_trajectories`` wrote, in the same order and equal to it.

    Raises:
        RunError: the file is missing, not Parquet, cut short, altered, of something else or another version.
    """
    if not path.is_file():
        raise RunError("no such trajectory file", where=str(path), fix="check the name of the run and the step")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _refuse_foreign(file.schema_arrow, path)
            rows = file.read().to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise RunError(
            f"not a whole Parquet file: {error}",
            where=str(path),
            fix="the file was cut short or altered: restore it from a copy, or run the step again",
        ) from error
    return [_trajectory(row) for row in rows]


def _refuse_foreign(schema: pa.Schema, path: Path) -> None:
    version = (schema.metadata or {}).get(_VERSION_KEY)
    if version is None:
        raise RunError(
            "a Parquet file, but not one of trajectories",
            where=str(path),
            allowed="files written by practicum.store.write_trajectories",
            fix="datasets are read with practicum.tasks.load_tasks",
        )
    if version != str(SCHEMA_VERSION).encode() or not _readable(_columns(schema)):
        raise RunError(
            f"trajectories of schema version {version.decode()} cannot be read here",
            where=str(path),
            allowed=f"version {SCHEMA_VERSION} with its columns unchanged",
            fix="read the file with the version of Practicum that wrote it",
        )


def _readable(columns: Mapping[str, pa.DataType]) -> bool:
    ours = _columns(SCHEMA)
    unchanged = all(ours.get(name) == kind for name, kind in columns.items())
    return unchanged and ours.keys() - columns.keys() <= ADDED


def _columns(fields: Iterable[pa.Field], within: str = "") -> dict[str, pa.DataType]:
    """Types by name, those of nested columns under a dotted one."""
    columns: dict[str, pa.DataType] = {}
    for field in fields:
        kind = field.type.value_type if pa.types.is_list(field.type) else field.type
        if pa.types.is_struct(kind):
            columns |= _columns(kind, f"{within}{field.name}.")
        else:
            columns[f"{within}{field.name}"] = field.type
    return columns


def _row(trajectory: Trajectory, path: Path) -> dict[str, Any]:
    place = f"{path}, trajectory {trajectory.id!r}"
    ref = trajectory.environment
    return {
        "id": _text(trajectory.id),
        "task_id": _text(trajectory.task_id),
        "group_id": _text(trajectory.group_id),
        "seed": trajectory.seed,
        "environment": {"id": ref.id, "version": ref.version, "digest": ref.digest},
        "turns": [_turn_row(turn, place) for turn in trajectory.turns],
        "tool_calls": [_call_row(call, place) for call in trajectory.tool_calls],
        "ending": trajectory.ending,
        "tools": _json(trajectory.tools, "tools", place),
        "rewards": list(trajectory.rewards),
        "metrics": _pairs(trajectory.metrics),
        "score": trajectory.score,
        "score_metrics": _pairs(trajectory.score_metrics),
        "final_state": _json(trajectory.final_state, "final_state", place),
        "transitions": [_transition_row(step, place) for step in trajectory.transitions],
        "temperature": trajectory.temperature,
        "top_p": trajectory.top_p,
        "retries": trajectory.retries,
        "error": None if trajectory.error is None else _text(trajectory.error),
        "failure": trajectory.failure,
    }


def _turn_row(turn: Turn, place: str) -> dict[str, Any]:
    return {
        "messages": _json(turn.messages, "messages", place),
        "response": _json(turn.response, "response", place),
        "context_ids": turn.context_ids,
        "action_ids": turn.action_ids,
        "logprobs": turn.logprobs,
        "versions": turn.versions,
        "finish_reason": turn.finish_reason,
        "extends": turn.extends,
        "break_cause": turn.break_cause,
        "latency_s": turn.latency_s,
        "sequence": turn.sequence,
        "malformed_calls": [_text(raw) for raw in turn.malformed_calls],
    }


def _call_row(call: ToolCall, place: str) -> dict[str, Any]:
    return {
        "id": _text(call.id),
        "name": _text(call.name),
        "arguments": _json(call.arguments, "tool arguments", place),
        "result": _text(call.result),
        "is_error": call.is_error,
        "turn": call.turn,
        "latency_s": call.latency_s,
    }


def _transition_row(step: Transition, place: str) -> dict[str, Any]:
    return {
        "index": step.index,
        "state": step.state,
        "tool": _text(step.tool),
        "arguments": _json(step.arguments, "tool arguments", place),
        "result": _text(step.result),
        "is_error": step.is_error,
        "next_state": step.next_state,
        "time": step.time,
    }


def _json(value: Any, name: str, place: str) -> str:
    """JSON in which NaN is allowed: a model may well write it, and that must not stop a run."""
    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise RunError(
            f"{name} cannot be stored: {error}",
            where=place,
            allowed="JSON data: objects with text keys, lists, text, numbers, true, false, null",
            fix="give plain data (for dates, their ISO text)",
        ) from error


def _plain(value: Any) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _text(value: str) -> str:
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _pairs(numbers: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(_text(name), number) for name, number in numbers.items()]


def _trajectory(row: dict[str, Any]) -> Trajectory:
    return Trajectory(
        **{
            **row,
            "environment": EnvironmentRef(**row["environment"]),
            "turns": tuple(_turn(turn) for turn in row["turns"]),
            "tool_calls": tuple(
                ToolCall(**{**call, "arguments": json.loads(call["arguments"])}) for call in row["tool_calls"]
            ),
            "tools": tuple(json.loads(row["tools"])),
            "rewards": tuple(row["rewards"]),
            "metrics": dict(row["metrics"]),
            "score_metrics": dict(row["score_metrics"]),
            "final_state": json.loads(row["final_state"]),
            "transitions": tuple(
                Transition(**{**step, "arguments": json.loads(step["arguments"])}) for step in row["transitions"]
            ),
            # Whose failure it was, older files do not say.
            "failure": row.get("failure", None if row["error"] is None else "unknown"),
        }
    )


def _turn(row: dict[str, Any]) -> Turn:
    names = ("context_ids", "action_ids", "logprobs", "versions", "malformed_calls")
    lists = {name: tuple(row[name]) for name in names if name in row}
    messages = tuple(json.loads(row["messages"]))
    return Turn(**{**row, **lists, "messages": messages, "response": json.loads(row["response"])})
