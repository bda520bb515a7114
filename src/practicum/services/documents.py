"""JSON and YAML files that a person wrote: read strictly, and faults that name the line."""

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from practicum.errors import EnvironmentFault
from practicum.yaml_reader import require_bounded

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Misshapen(EnvironmentFault):
    """A document that can be read and means nothing. ``keys`` lead to the place, from the document's root."""

    def __init__(self, what: str, keys: Sequence[str | int] = (), *, allowed: str = "", fix: str = "") -> None:
        self.keys = tuple(keys)
        super().__init__(what, where=".".join(map(str, keys)), allowed=allowed, fix=fix)

    def at(self, path: Path) -> EnvironmentFault:
        """The same fault, naming file and line."""
        line = line_of(path, self.keys)
        place = f"{path}:{line}" if line else str(path)
        inner = f" ({self.where})" if self.where else ""
        return EnvironmentFault(self.what, where=f"{place}{inner}", allowed=self.allowed, fix=self.fix)


def load_document(path: Path) -> Any:
    """JSON data from a ``.json``, ``.yaml`` or ``.yml`` file.

    Raises:
        EnvironmentFault: no such file, another suffix, broken text or a key given twice; names file and line.
    """
    if path.suffix not in (".json", ".yaml", ".yml"):
        raise EnvironmentFault(
            f"cannot read {path.suffix or 'a file without suffix'}", where=str(path), allowed=".json, .yaml, .yml"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise EnvironmentFault("no such file", where=str(path), fix="check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFault(f"the file cannot be read: {error}", where=str(path)) from error
    try:
        return _json(text) if path.suffix == ".json" else _yaml(text)
    except json.JSONDecodeError as error:
        raise EnvironmentFault(f"broken JSON: {error.msg}", where=f"{path}:{error.lineno}") from error
    except _Twice as error:
        line = error.line or line_of(path, (), twice=error.key)
        raise EnvironmentFault(
            f"the key {error.key!r} is given twice", where=f"{path}:{line}", fix="remove or rename one of them"
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise EnvironmentFault(
            f"broken YAML: {error.problem}", where=f"{path}:{mark.line + 1}" if mark else str(path)
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise EnvironmentFault(f"broken YAML: {error}", where=str(path)) from error


def line_of(path: Path, keys: Sequence[str | int], *, twice: str | None = None) -> int | None:
    """The line where a value stands (or the second of two equal keys); None where it cannot be told."""
    text = path.read_text(encoding="utf-8-sig")
    try:
        # JSON is YAML, but for tabs between its tokens.
        node = yaml.compose(text.replace("\t", " ") if path.suffix == ".json" else text, Loader=_LOADER)
        if node is None:
            return None
        require_bounded(node)
    except (yaml.YAMLError, RecursionError):
        return None
    if twice is not None:
        return next((mark for key, mark in _repeated(node) if key == twice), None)
    mark = node.start_mark
    for key in keys:
        child = _child(node, key)
        if child is None:
            break
        mark, node = child
    return int(mark.line) + 1


class _Twice(Exception):
    def __init__(self, key: str, line: int | None = None) -> None:
        super().__init__(key)
        self.key, self.line = key, line


def _json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            keys = [key for key, _ in pairs]
            raise _Twice(next(key for key in keys if keys.count(key) > 1))
        return members

    return json.loads(text, object_pairs_hook=unique)


def _yaml(text: str) -> Any:
    node = yaml.compose(text, Loader=_LOADER)
    if node is None:
        return None
    require_bounded(node)
    for key, line in _repeated(node):
        raise _Twice(key, line)
    return _plain(yaml.load(text, Loader=_LOADER))


def _plain(value: Any) -> Any:
    """What YAML knows and JSON does not, as text: dates, keys that are numbers."""
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else json.dumps(key, default=str): _plain(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


def _repeated(node: Any) -> Any:
    """Keys that stand twice in one mapping, each with the line of its second place."""
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, item in node.value:
            if key.value in keys:
                yield key.value, key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                keys.add(key.value)
            yield from _repeated(item)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated(item)


def _child(node: Any, key: str | int) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for name, item in node.value:
            if name.value == str(key):
                return name.start_mark, item
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark, node.value[key]
    return None
