"""One domain of a SOP-Bench checkout, read from its folder: procedure, tools, cases with labels, licence.

Layout: ``sop.txt``, ``tools.py`` (a class ``…Manager`` with ``process_tool_call(name, arguments)``),
``toolspecs.json`` (Bedrock's ``toolSpec.inputSchema.json``), ``metadata.json`` (``output_columns``,
``input_columns``), ``test_set_with_outputs.csv``, and in some ``LICENSE.md``.
"""

import csv
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from practicum.digests import digest, digest_file
from practicum.errors import EnvironmentFault
from practicum.suites.foreign_data import bounded

CASES = "test_set_with_outputs.csv"
FILES = ("sop.txt", "tools.py", "toolspecs.json", "metadata.json", CASES)
DATA = Path("src", "amazon_sop_bench", "benchmarks", "data")

Kind = Literal["true or false", "whole number", "number", "list or object", "text"]


@dataclass(frozen=True)
class ToolText:
    """A tool as ``toolspecs.json`` describes it."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class LabelledCase:
    """One row: what the agent is given, and the label in the types of its columns."""

    id: str
    inputs: Mapping[str, str]
    label: Mapping[str, Any]


@dataclass(frozen=True)
class SopDomain:
    """A domain.

    Attributes:
        kinds: Output column → the type its label has in every row.
        nullable: Output columns that are empty in some rows; an empty cell is null.
        contradictory: Rows left out because the same inputs have different labels.
        licence: Text of the domain's own LICENSE.md; empty where there is none.
        digest: SHA-256 over the folder's files, but not what running them leaves there.
    """

    name: str
    folder: Path
    procedure: str
    tools: tuple[ToolText, ...]
    kinds: Mapping[str, Kind]
    nullable: frozenset[str]
    cases: tuple[LabelledCase, ...]
    contradictory: int
    licence: str
    digest: str

    @property
    def forbids_training(self) -> bool:
        """Whether the domain's own licence speaks of training."""
        return re.search(r"\btrain", self.licence, re.IGNORECASE) is not None


@functools.cache
def read_domain(path: Path, name: str) -> SopDomain:
    """Read a domain, once per process.

    Args:
        path: The checkout, or the folder that holds the domains.
        name: The domain.

    Raises:
        EnvironmentFault: no such folder, or a file in it that is missing or not in the layout.
    """
    folder = _folder(path, name)
    metadata = _json(folder / "metadata.json")
    outputs, inputs = _columns(metadata, folder, "output_columns"), _columns(metadata, folder, "input_columns")
    rows = _rows(folder / CASES, (*inputs, *outputs))
    kinds = {column: _kind([row[column] for row in rows]) for column in outputs}
    labelled = [({name: row[name] for name in inputs}, {c: _typed(row[c], kinds[c]) for c in outputs}) for row in rows]
    cases, contradictory = _cases(name, labelled)
    licence = folder / "LICENSE.md"
    return SopDomain(
        name=name,
        folder=folder,
        procedure=_text(folder / "sop.txt"),
        tools=_tools(folder / "toolspecs.json"),
        kinds=kinds,
        nullable=frozenset(column for column in outputs if any(not row[column] for row in rows)),
        cases=cases,
        contradictory=contradictory,
        licence=_text(licence) if licence.is_file() else "",
        digest=_digest(folder),
    )


def _digest(folder: Path) -> str:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    return digest([(path.relative_to(folder).as_posix(), digest_file(path)) for path in paths])


def _folder(path: Path, name: str) -> Path:
    candidates = [path / DATA, path] if (path / DATA).is_dir() else [path]
    for candidate in candidates:
        folder = candidate / name
        if name and folder.is_dir():
            missing = [file for file in FILES if not (folder / file).is_file()]
            if missing:
                raise EnvironmentFault(
                    f"the domain has no {', '.join(missing)}", where=str(folder), allowed=", ".join(FILES)
                )
            return folder.resolve()
    domains = sorted(file.parent.name for file in candidates[0].glob("*/sop.txt"))
    raise EnvironmentFault(
        f"there is no SOP-Bench domain {name!r}",
        where=str(path),
        allowed=", ".join(domains) or "a checkout of SOP-Bench, or the folder that holds its domains",
        fix="get SOP-Bench from its owner, and give the path of your checkout",
    )


def _columns(metadata: Any, folder: Path, key: str) -> list[str]:
    names = metadata.get(key) if isinstance(metadata, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise EnvironmentFault(
            f"{key} is {names!r}",
            where=str(folder / "metadata.json"),
            allowed="a list of column names",
            fix="without it nobody knows which columns are the agent's: leave this domain out, or add the key",
        )
    return names


def _rows(path: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in needed if name not in (reader.fieldnames or ())]
        if missing:
            raise EnvironmentFault(
                f"no column {', '.join(missing)}", where=str(path), allowed=", ".join(reader.fieldnames or ())
            )
        rows = [{name: (row[name] or "").strip() for name in needed} for row in reader]
    if not rows:
        raise EnvironmentFault("no cases", where=str(path))
    return rows


def _kind(cells: list[str]) -> Kind:
    """The narrowest type that all cells of a column have; empty cells say nothing."""
    filled = [cell for cell in cells if cell]
    patterns: dict[Kind, str] = {
        "true or false": r"true|false",
        "whole number": r"-?(0|[1-9]\d*)",
        "number": r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?",
    }
    for kind, pattern in patterns.items():
        if filled and all(re.fullmatch(pattern, cell, re.IGNORECASE) for cell in filled):
            return kind
    return "list or object" if filled and all(map(_is_structure, filled)) else "text"


def _is_structure(cell: str) -> bool:
    try:
        return cell[0] in "[{" and isinstance(json.loads(cell), list | dict)
    except ValueError:
        return False


def _typed(cell: str, kind: Kind) -> Any:
    if not cell:
        return None
    return cell if kind == "text" else json.loads(cell.lower() if kind == "true or false" else cell)


def _cases(domain: str, labelled: list[tuple[dict[str, str], dict[str, Any]]]) -> tuple[tuple[LabelledCase, ...], int]:
    """Cases with different inputs, and the number of rows left out because no answer to them could be right."""
    groups: dict[str, list[tuple[dict[str, str], dict[str, Any]]]] = {}
    for inputs, label in labelled:
        groups.setdefault(digest(inputs)[:12], []).append((inputs, label))
    cases, contradictory = [], 0
    for key, rows in groups.items():
        if all(label == rows[0][1] for _, label in rows):
            cases.append(LabelledCase(f"{domain}-{key}", *rows[0]))
        else:
            contradictory += len(rows)
    return tuple(cases), contradictory


def _tools(path: Path) -> tuple[ToolText, ...]:
    listed = _json(path)
    if not isinstance(listed, list) or not listed:
        raise EnvironmentFault("no list of tools", where=str(path), allowed='[{"toolSpec": {"name": …}}, …]')
    tools = []
    for number, entry in enumerate(listed):
        try:
            one = entry.get("toolSpec", entry)
            schema = bounded(one["inputSchema"]["json"])
            tools.append(ToolText(one["name"], one.get("description", ""), schema))
        except (AttributeError, KeyError, TypeError) as error:
            raise EnvironmentFault(
                f"tool {number + 1} is not in Bedrock's form: {type(error).__name__} {error}",
                where=str(path),
                allowed='{"toolSpec": {"name": …, "description": …, "inputSchema": {"json": …}}}',
            ) from error
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        raise EnvironmentFault(f"a tool's name is used twice: {', '.join(names)}", where=str(path))
    return tuple(tools)


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise EnvironmentFault(f"broken JSON: {error.msg}", where=f"{path}:{error.lineno}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFault(f"cannot be read as UTF-8 text: {error}", where=str(path)) from error
