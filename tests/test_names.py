"""Names are nouns and verbs of the field: no bare grammar word lives long, no two files or classes share a name."""

import ast
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import practicum

SOURCE = Path(practicum.__file__).parent
ROOMS = sorted(path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists())
WORDS = """
found given told made kept each what here left shown known said own other others seen taken asked wanted meant done held
heard rest one both these those such which how who why when there then now more none
"""
GRAMMAR = frozenset(WORDS.split())
LIFE, SHARE = 3, 0.02
"""Lines that a grammar word may live, and the share of a room's names that may be one that lives longer."""


def bindings(tree):
    """Name and lines of life of every parameter, variable, function and class; attributes and functions live on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.name, LIFE + 1
            for part in node.body:
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    yield part.target.id, LIFE + 1
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield node.name, LIFE + 1
        first, last = {}, {}
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        if not node.name.startswith("__"):
            first |= {
                argument.arg: node.body[0].lineno for argument in arguments if argument.arg not in {"self", "cls"}
            }
        for name in (inner for inner in ast.walk(node) if isinstance(inner, ast.Name)):
            if isinstance(name.ctx, ast.Store):
                first[name.id] = min(first.get(name.id, name.lineno), name.lineno)
            last[name.id] = max(last.get(name.id, 0), name.lineno)
        yield from ((name, last.get(name, line) - line + 1) for name, line in first.items())


def trees(folder):
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text())


@pytest.mark.parametrize("room", ROOMS)
def test_few_names_of_a_room_are_bare_grammar_words(room):
    names, poor = 0, Counter()
    for path, tree in trees(SOURCE / room):
        for name, life in bindings(tree):
            names += 1
            if name.strip("_") in GRAMMAR and life > LIFE:
                poor[path.relative_to(SOURCE).as_posix(), name] += 1
    share = poor.total() / max(names, 1)
    assert share < SHARE, f"{share:.1%} of {names}: {poor.most_common(40)}"


def test_no_two_files_and_no_two_classes_share_a_name():
    files, classes = defaultdict(list), defaultdict(list)
    for path, tree in trees(SOURCE):
        place = path.relative_to(SOURCE).as_posix()
        # Every suite is laid out alike, and a command is called as what it commands.
        if path.stem not in {"__init__", "__main__"} and path.parts[-3] != "suites" and path.parent.name != "commands":
            files[path.stem].append(place)
        for node in tree.body:
            # A suite's files are in the digest of its environment: they keep the names they have.
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not place.startswith("suites/"):
                classes[node.name].append(place)
    twice = {name: places for name, places in {**files, **classes}.items() if len(places) > 1}
    assert not twice, twice
