"""BFCL v4 multi-turn as its package holds it: conversations, ground truth, documentation of the functions."""

import ast
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from practicum.environment import Call
from practicum.errors import EnvironmentFault
from practicum.suites.foreign_data import bounded
from practicum_benchmarks.installed import Benchmark

BFCL = Benchmark(
    "bfcl-eval", "bfcl_eval", 'pip install "practicum[bfcl]" && pip install --no-deps bfcl-eval==2026.3.23'
)

CATEGORIES = ("base", "miss_func", "miss_param", "long_context")
CLASSES = (
    "GorillaFileSystem",
    "MathAPI",
    "MessageAPI",
    "TwitterAPI",
    "TicketAPI",
    "TradingBot",
    "TravelAPI",
    "VehicleControlAPI",
)

_DIGITS, _LENGTHS = 1_000, {"precision", "decimal_places", "exponent"}
"""Bound of the arguments that decide how many digits a result gets: without it, one call computes for ever."""

_TYPES = {"dict": "object", "float": "number", "tuple": "array"}


@dataclass(frozen=True)
class BackendFunction:
    """A documented function: the class it is a method of, and its arguments as JSON Schema."""

    name: str
    owner: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Conversation:
    """One conversation.

    Attributes:
        id: BFCL's own, such as ``multi_turn_base_0``.
        script: What the user says, turn by turn.
        truth: The calls that do what the user asks, turn by turn.
        owners: Classes whose functions are offered.
        config: Class → the scenario its instance begins with.
        held_back: Turn → functions that are offered only from that turn on.
    """

    id: str
    script: tuple[str, ...]
    truth: tuple[tuple[Call, ...], ...]
    owners: tuple[str, ...]
    config: Mapping[str, Any]
    held_back: Mapping[int, tuple[str, ...]]
    long_context: bool

    def offered(self, turn: int) -> tuple[str, ...]:
        """Names of the functions the agent may call in a turn."""
        later = {name for release, names in self.held_back.items() if release > turn for name in names}
        return tuple(name for name, one in functions().items() if one.owner in self.owners and name not in later)


@functools.cache
def entries(category: str) -> Mapping[str, Conversation]:
    """The conversations of a category by id, in BFCL's order.

    Raises:
        EnvironmentFault: no such category, or the package is not installed.
    """
    if category not in CATEGORIES:
        raise EnvironmentFault(f"BFCL multi-turn has no category {category!r}", allowed=", ".join(CATEGORIES))
    name = f"BFCL_v4_multi_turn_{category}.json"
    truths = {row["id"]: row["ground_truth"] for row in _rows(BFCL.folder / "data" / "possible_answer" / name)}
    rows = _rows(BFCL.folder / "data" / name)
    return {row["id"]: _entry(row, truths[row["id"]], category) for row in rows}


@functools.cache
def functions() -> Mapping[str, BackendFunction]:
    """Every documented function by name; BFCL gives no name twice."""
    with BFCL.importing():
        from bfcl_eval.constants.executable_backend_config import MULTI_TURN_FUNC_DOC_FILE_MAPPING as files
    documented: dict[str, BackendFunction] = {}
    for owner in CLASSES:
        for row in _rows(BFCL.folder / "data" / "multi_turn_func_doc" / files[owner]):
            parameters = bounded(_schema(row["parameters"]))
            documented[row["name"]] = BackendFunction(row["name"], owner, row["description"], parameters)
    return documented


def data_digest(category: str) -> str:
    """SHA-256 over what a category's episodes and scores rest on: data, documentation, backends, checker."""
    checker = "eval_checker/multi_turn_eval"
    return BFCL.digest(
        f"data/**/BFCL_v4_multi_turn_{category}.json",
        "data/multi_turn_func_doc/*.json",
        f"{checker}/*.py",
        f"{checker}/func_source_code/*.py",
    )


def _entry(row: Mapping[str, Any], truth: list[list[str]], category: str) -> Conversation:
    held_back = {int(turn): tuple(names) for turn, names in row.get("missed_function", {}).items()}
    script = [_lines_of(turn) or _release(held_back[number]) for number, turn in enumerate(row["question"])]
    return Conversation(
        id=row["id"],
        script=tuple(script),
        truth=tuple(tuple(map(_call, turn)) for turn in truth),
        owners=tuple(row["involved_classes"]),
        config=row["initial_config"],
        held_back=held_back,
        long_context=category == "long_context",
    )


def _lines_of(turn: list[Mapping[str, str]]) -> str:
    return "\n".join(message["content"] for message in turn)


def _release(names: tuple[str, ...]) -> str:
    """What BFCL tells a model that reads its tools in the conversation when functions are added."""
    with BFCL.importing():
        from bfcl_eval.constants.default_prompts import (
            DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_PROMPTING as text,
        )
    added = [functions()[name] for name in names]
    described = [{"name": one.name, "description": one.description, "parameters": one.parameters} for one in added]
    return str(text).format(functions=json.dumps(described, ensure_ascii=False))


def _call(text: str) -> Call:
    """The call that a line of ground truth writes as Python."""
    node = ast.parse(text, mode="eval").body
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in functions():
        raise EnvironmentFault(f"the ground truth holds what is no call of a documented function: {text}")
    names = list(functions()[node.func.id].parameters["properties"])
    arguments = {name: ast.literal_eval(value) for name, value in zip(names, node.args, strict=False)}
    arguments |= {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
    return Call(node.func.id, arguments)


def _schema(documented: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """JSON Schema of what BFCL documents in types of its own."""
    schema = {**documented, "type": _TYPES.get(documented["type"], documented["type"])}
    if "properties" in schema:
        schema["properties"] = {key: _schema(value, key) for key, value in schema["properties"].items()}
    if "items" in schema:
        schema["items"] = _schema(schema["items"])
    return schema | ({"minimum": -_DIGITS, "maximum": _DIGITS} if name in _LENGTHS else {})


def _rows(path: Path) -> Iterator[Any]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise EnvironmentFault(f"BFCL's data cannot be read: {error}", where=str(path), fix=BFCL.install) from error
    for number, line in enumerate(lines, start=1):
        try:
            yield from [json.loads(line)] if line.strip() else []
        except json.JSONDecodeError as error:
            where = f"{path}:{number}"
            raise EnvironmentFault(f"BFCL's data is broken: {error.msg}", where=where, fix=BFCL.install) from error
