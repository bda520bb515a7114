"""YAML whose aliases stand for more than anybody writes: refused before it is built.

An alias repeats what it names, so a file of ten lines may stand for a thousand million values: building them is cheap,
looking at them never ends.
"""

import yaml

MOST_VALUES = 1_000_000
"""Values that a document may hold, what its aliases repeat counted each time."""


def require_bounded(node: yaml.Node, most: int = MOST_VALUES) -> None:
    """Refuse a composed document that is within itself or too large; the work is linear in its text.

    Raises:
        yaml.MarkedYAMLError: with the line of the first value that is too much.
        RecursionError: it is nested too deep for Python.
    """
    _values(node, most, {})


def _values(node: yaml.Node, most: int, known: dict[int, int | None]) -> int:
    """Values of a node; None stands in ``known`` for one that is being counted."""
    if id(node) in known:
        count = known[id(node)]
        if count is None:
            raise _refusal("an alias stands within what it names", node)
        return count
    known[id(node)] = None
    total = 1 + sum(_values(inner, most, known) for inner in _inner(node))
    if total > most:
        raise _refusal(f"its aliases stand for more than {most:,} values", node)
    known[id(node)] = total
    return total


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _refusal(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
