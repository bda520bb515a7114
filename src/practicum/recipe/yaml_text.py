"""YAML as people mean it: ``1e-5`` is a number, and a key given twice is an error with its line."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from practicum.errors import RecipeError

_FLOAT = "tag:yaml.org,2002:float"
_EXPONENT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+$")


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                problem = f"the key {key.value!r} is already given in line {seen[key.value]}"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen[key.value] = key.start_mark.line + 1
        return node


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # YAML takes these for line breaks, and folds them; written as escapes they stay what they are.
    style = '"' if any(character in text for character in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)

# PyYAML follows YAML 1.1, where an exponent needs a dot and a sign. The dumper must know too, or it would
# leave the text "1e5" unquoted.
_Loader.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+.0123456789"))
_Dumper.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+.0123456789"))


def parse(text: str, where: str) -> tuple[Any, dict[str, int]]:
    """The value of one YAML document, and the line of every key of its two outer levels.

    Args:
        text: The document.
        where: What to call it in an error.

    Returns:
        The value, and line numbers from 1 by key, inner keys as ``outer.inner``.

    Raises:
        RecipeError: it is not one YAML document, or a mapping has a key twice; with line and column.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        return loader.construct_document(node), dict(_lines(node))
    except yaml.MarkedYAMLError as error:
        raise RecipeError(
            f"not usable as YAML: {error.problem}",
            where=_position(where, error.problem_mark),
            fix="mend that line (a missing quote, bracket or space after a colon is the usual cause)",
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"not usable as YAML: {error}", where=where) from error


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
