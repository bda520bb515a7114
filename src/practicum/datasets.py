"""Rows of a dataset file: .parquet, .jsonl, .json or .csv. What is broken is named by line, row and column."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from practicum.errors import TaskError

SUFFIXES = (".parquet", ".jsonl", ".json", ".csv")

Rows = list[tuple[int, Any]]
"""(line or row number from 1, row); a row is whatever the file holds."""


def read_rows(path: Path) -> Rows:
    """The rows of a dataset file, not looked at yet.

    Raises:
        TaskError: the file is missing, of another type, or broken; naming the file, and the line where one is broken.
    """
    if path.parts[:1] == ("s3:",):
        raise TaskError(
            "a dataset on S3 is not fetched",
            where=f"s3://{'/'.join(path.parts[1:])}",
            allowed="a file on this machine",
            fix="copy it here (aws s3 cp …), and name the copy in the recipe",
        )
    if path.suffix not in SUFFIXES:
        raise TaskError(
            f"cannot read a dataset of type {path.suffix or 'without suffix'!r}",
            where=str(path),
            allowed=", ".join(SUFFIXES),
        )
    if not path.is_file():
        raise TaskError("no such dataset file", where=str(path), fix="check the path in the recipe")
    try:
        return _rows(path)
    except UnicodeDecodeError as error:
        raise TaskError(f"the dataset is not UTF-8: {error}", where=str(path), fix="save it as UTF-8") from error
    except OSError as error:
        raise TaskError(f"cannot read the dataset: {error}", where=str(path)) from error


def _rows(path: Path) -> Rows:
    if path.suffix == ".parquet":
        return _parquet_rows(path)
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


def _parquet_rows(path: Path) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise TaskError(f"not a Parquet file: {error}", where=str(path)) from error
    _refuse_twice(table.column_names, path)
    columns: dict[str, list[Any]] = {}
    for name in table.column_names:
        try:
            columns[name] = table[name].to_pylist()
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise TaskError(
                f"the column {name!r} cannot be read: {error}",
                where=str(path),
                fix="write it as text, or leave it out",
            ) from error
    return [(n, {name: values[n - 1] for name, values in columns.items()}) for n in range(1, table.num_rows + 1)]


def _csv_rows(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, strict=True)
        rows: Rows = []
        header: list[str] = []
        try:
            header = _header(next(reader, []), path)
            for cells in reader:
                if cells:
                    rows.append((reader.line_num, _named(cells, header, f"{path}, line {reader.line_num}")))
        except csv.Error as error:
            _refuse_long_cells(path, header)
            raise TaskError(f"broken CSV: {error}", where=f"{path}, line {reader.line_num}") from error
    return rows


def _header(cells: Sequence[str], path: Path) -> list[str]:
    """Names of the columns; spaces after a comma are no part of them."""
    names = [cell.strip() for cell in cells]
    _refuse_twice(names, path)
    if len(names) == 1 and (mark := next((mark for mark in ";\t|" if mark in names[0]), "")):
        raise TaskError(
            f"the header is one column {names[0]!r}: the cells are separated by {mark!r}",
            where=f"{path}, line 1",
            allowed="commas between cells",
            fix="save the file with commas, or as .jsonl",
        )
    return names


def _refuse_twice(names: Sequence[str], path: Path) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise TaskError(f"two columns are called {twice[0]!r}", where=str(path), fix="rename or remove one of them")


def _named(cells: Sequence[str], header: Sequence[str], where: str) -> dict[str, str]:
    if len(cells) != len(header):
        problem = "more" if len(cells) > len(header) else "fewer"
        raise TaskError(
            f"the row has {problem} cells than the header",
            where=where,
            fix="quote cells that hold commas or line breaks",
        )
    return dict(zip(header, cells, strict=True))


def _refuse_long_cells(path: Path, header: Sequence[str]) -> None:
    """Name the cell that is longer than Python's reader takes, if that is what is wrong with the file."""
    limit = csv.field_size_limit()
    with path.open(newline="", encoding="utf-8-sig") as stream:
        csv.field_size_limit(path.stat().st_size + 1)
        try:
            line, column, length = next(_long_cells(stream, header, limit), (0, "", 0))
        except csv.Error:
            return
        finally:
            csv.field_size_limit(limit)
    if length:
        raise TaskError(
            f"a cell has {length:,} characters",
            where=f"{path}, row {line}, column {column!r}",
            allowed=f"at most {limit:,} in a .csv",
            fix="save the dataset as .jsonl or .parquet, which have no such bound, or shorten the cell",
        )


def _long_cells(stream: IO[str], header: Sequence[str], limit: int) -> Iterator[tuple[int, str, int]]:
    reader = csv.reader(stream, strict=True)
    for cells in reader:
        for name, cell in zip(header, cells, strict=False):
            if len(cell) > limit:
                yield reader.line_num, name, len(cell)


def _json(text: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{path}, line {line + error.lineno - 1}, column {error.colno}"
        raise TaskError(f"broken JSON: {error.msg}", where=place, fix="mend or remove that line") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise TaskError(f"broken JSON: {error}", where=f"{path}, line {line}", fix="write it as text") from error
    except RecursionError as error:
        raise TaskError("JSON that is nested too deeply", where=f"{path}, line {line}", fix="flatten it") from error
