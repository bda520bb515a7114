"""How two outlines of one value differ: what was filled in, what grew, what became another."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from practicum.checks.watch.object_tree import Tree

How = Literal["filled", "grew", "shrank", "changed"]
"""``filled``: nothing, or something empty, became something. ``grew``, ``shrank``: a mapping or set gained or lost
an entry. ``changed``: something became another thing, or a list grew that held something."""


@dataclass(frozen=True)
class Change:
    """One place in which a value changed.

    Attributes:
        path: Names and keys that lead to it.
        library: Whether it lies inside a library's own object.
        was, now: Short texts.
    """

    path: tuple[str, ...]
    how: How
    library: bool
    was: str
    now: str

    @property
    def name(self) -> str:
        """The place as code would say it."""
        return "".join(part if part[:1] in (".", " ") else f"[{part}]" for part in self.path)


def changes(before: Tree, after: Tree, path: tuple[str, ...] = (), library: bool = False) -> Iterator[Change]:
    """Every place in which they differ, outermost first where all of it became another thing."""
    if before == after:
        return
    kinds = before[0], after[0]
    if kinds == ("map", "map"):
        yield from _of_entries(before[1], after[1], path, library)
    elif kinds == ("bag", "bag"):
        for item in sorted(after[1] - before[1]):
            yield Change((*path, item), "grew", library, "nothing", item)
        for item in sorted(before[1] - after[1]):
            yield Change((*path, item), "shrank", library, item, "nothing")
    elif kinds == ("object", "object") and before[1] == after[1]:
        yield from _of_entries(before[3], after[3], path, library or before[2])
    elif kinds == ("list", "list") and len(before[1]) == len(after[1]):
        for number, (was, now) in enumerate(zip(before[1], after[1], strict=True)):
            yield from changes(was, now, (*path, str(number)), library)
    else:
        how: How = "filled" if is_empty(before) else "changed"
        yield Change(path, how, library, short(before), short(after))


def _of_entries(
    before: dict[str, Tree], after: dict[str, Tree], path: tuple[str, ...], library: bool
) -> Iterator[Change]:
    for key in before.keys() | after.keys():
        if key not in before:
            yield Change((*path, key), "grew", library, "nothing", short(after[key]))
        elif key not in after:
            yield Change((*path, key), "shrank", library, short(before[key]), "nothing")
        else:
            yield from changes(before[key], after[key], (*path, key), library)


def is_empty(tree: Tree) -> bool:
    """Whether nothing stands there yet: None, False, zero, an empty text or container, or a bare mark for that."""
    if tree[0] == "leaf":
        return tree[1] in _EMPTY
    if tree[0] == "object":
        return all(name == "its items" and is_empty(inner) for name, inner in tree[3].items())
    return not tree[1]


_EMPTY = frozenset({"None", "False", "0", "0.0", "''", "b''", "Ellipsis", "NotImplemented"})


def short(tree: Tree) -> str:
    """A tree in a few words."""
    if tree[0] == "leaf":
        return str(tree[1])
    if tree[0] == "object":
        return f"{tree[1]} object"
    names = {"map": "a mapping", "list": "a list", "bag": "a set"}
    return f"{names[tree[0]]} of {len(tree[1])}"
