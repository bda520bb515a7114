"""YAML as people mean it: a key given twice is an error with its line, and numbers are those of YAML 1.2.

An alias repeats what it names, so a file of ten lines may stand for a thousand million values: building them is cheap,
looking at them never ends. What aliases stand for is counted before anything is built.

PyYAML follows YAML 1.1, in which ``1e-5`` is text, ``010`` is 8 and ``1:30`` is 90. Here ``1e-5`` is a number, ``010``
is 10, ``0o10`` is 8, and ``1:30`` and ``1_000`` are text, which no setting takes for a number.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from practicum.errors import RecipeError

MOST_CHARACTERS, MOST_VALUES = 256 * 1024, 100_000
"""Of a document, and of what its aliases stand for; recipes have some thousands and some hundreds."""
MOST_VALUES_OF_DOCUMENTS = 1_000_000
"""Of other documents than recipes, such as a service's description."""
MOST_NESTED = 100
"""Levels of nesting that a document may have; recipes have three or four."""

_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_NUMBERS = {
    _INT: re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"),
    _FLOAT: re.compile(
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?(?:\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN)$"
    ),
}
"""The numbers of YAML 1.2's core schema."""


class _Loader(yaml.SafeLoader):
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MOST_NESTED:
            problem = f"nested more than {MOST_NESTED} levels deep"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        text = self.construct_scalar(node)
        if not _NUMBERS[node.tag].match(text):
            raise yaml.MarkedYAMLError(problem=f"{text!r} is not a number", problem_mark=node.start_mark)
        if node.tag == _FLOAT:
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in lines:
                problem = f"the key {key.value!r} is already given in line {lines[key.value]}"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return node


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # YAML takes these for line breaks, and folds them; written as escapes they stay what they are.
    style = '"' if any(character in text for character in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)

_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NUMBERS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in _NUMBERS.items():
    _Loader.add_constructor(_tag, _Loader.construct_number)
    _Loader.add_implicit_resolver(_tag, _pattern, list("-+.0123456789"))
    # The dumper must know too, or it would leave the texts "1e5" and "0o7" unquoted. It goes on quoting what YAML 1.1
    # takes for a number, for other readers.
    _Dumper.add_implicit_resolver(_tag, _pattern, list("-+.0123456789"))


def parse(text: str, where: str) -> tuple[Any, dict[str, int]]:
    """The value of one YAML document, and the line of every key of its two outer levels.

    Args:
        text: The document.
        where: What to call it in an error.

    Returns:
        The value, and line numbers from 1 by key, inner keys as ``outer.inner``.

    Raises:
        RecipeError: it is not one YAML document, too large, or a mapping has a key twice; with line and column.
    """
    if len(text) > MOST_CHARACTERS:
        raise RecipeError(f"{len(text):,} characters of YAML", where=where, allowed=f"at most {MOST_CHARACTERS:,}")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        require_bounded(node, MOST_VALUES)
        return loader.construct_document(node), dict(_lines(node))
    except yaml.MarkedYAMLError as error:
        raise RecipeError(
            f"not usable as YAML: {error.problem}",
            where=_position(where, error.problem_mark),
            fix=_fix(str(error.problem)),
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"not usable as YAML: {error}", where=where) from error


def _fix(problem: str) -> str:
    if "already given" in problem:
        return "a key stands once: take out one of the two lines"
    if "alias" in problem:
        return "write out what is meant: a recipe needs no aliases of aliases"
    return "mend that line (a missing quote, bracket or space after a colon is the usual cause)"


def reads_as_number(text: str) -> bool:
    """Whether YAML takes the text for a number where it stands without quotes."""
    return any(pattern.match(text) for pattern in _NUMBERS.values())


def dump(value: dict[str, Any]) -> str:
    """A mapping as YAML, in its own order; ``parse`` gives back an equal one."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _position(where: str, mark: yaml.Mark | None) -> str:
    return f"{where}, line {mark.line + 1}, column {mark.column + 1}" if mark else where


def _lines(node: yaml.Node, outer: str = "") -> Iterator[tuple[str, int]]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        yield f"{outer}{key.value}", key.start_mark.line + 1
        if not outer:
            yield from _lines(value, f"{key.value}.")


def require_bounded(node: yaml.Node, most: int = MOST_VALUES_OF_DOCUMENTS) -> None:
    """Refuse a composed document that is within itself or too large; the work is linear in its text.

    Raises:
        yaml.MarkedYAMLError: with the line of the first value that is too much.
        RecursionError: it is nested too deep for Python.
    """
    _values(node, most, {})


def _values(node: yaml.Node, most: int, counts: dict[int, int | None]) -> int:
    """Values of a node; None stands in ``counts`` for one that is being counted."""
    if id(node) in counts:
        count = counts[id(node)]
        if count is None:
            raise _refusal("an alias stands within what it names", node)
        return count
    counts[id(node)] = None
    total = 1 + sum(_values(inner, most, counts) for inner in _inner(node))
    if total > most:
        raise _refusal(f"its aliases stand for more than {most:,} values", node)
    counts[id(node)] = total
    return total


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _refusal(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
