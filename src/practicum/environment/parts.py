"""What an environment is, exactly: the parts that decide its behaviour, each with a digest.

Code is the file of the class and of the bases that are neither the standard library's, nor an installed package's,
nor Practicum's own core; and the modules these import from their own project, followed all the way. What other
packages hold is in a run's manifest, by version.
"""

import ast
import builtins
import functools
import hashlib
import inspect
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from practicum.digests import digest, digest_file
from practicum.environment.declared_state import declared
from practicum.environment.tool import MARK
from practicum.errors import EnvironmentFault

if TYPE_CHECKING:
    from practicum.environment.base import Environment

TEXT_LIMIT = 200_000
"""Bytes up to which a part's text is kept, so that a difference can be shown line by line."""

INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Folders of what is installed: other people's code."""

CORE = Path(__file__).resolve().parents[1]
"""Practicum's own package."""

CORE_ROOMS = frozenset({"environment", "bridges", "services"})
"""Rooms whose classes a user's environment rests on without their code being its own: they are the manifest's, by
version. Suites are environments like any other."""

PROJECT = (".git", ".hg", "pyproject.toml", "setup.py", "setup.cfg")
"""What lies at the top of a project; modules are looked for up to there."""


@dataclass(frozen=True)
class EnvironmentPart:
    """One thing an environment's behaviour rests on. ``text`` is None where it is too large to keep."""

    digest: str
    text: str | None = None


def parts_of(environment: "Environment") -> dict[str, EnvironmentPart]:
    """Every part by name: ``code/…``, ``fixtures/…``, ``class``, ``schemas``, ``settings``, ``state``, ``transform``.

    Raises:
        EnvironmentFault: the class has no file (typed at a prompt), a file cannot be read, or settings are not JSON.
    """
    kind = type(environment)
    parts = {f"code/{name}": _file(path) for name, path in code_files(kind).items()}
    parts |= {f"fixtures/{name}": _file(path) for name, path in _fixtures(kind).items()}
    transform = environment.transform
    facts = {
        "class": kind.__qualname__,
        "schemas": environment.schemas(),
        "settings": environment.settings(),
        "state": [variable.describe(environment) for variable in declared(kind).values()],
        "transform": [transform.id, transform.version] if transform else None,
    }
    return parts | {name: _fact(name, value, environment) for name, value in facts.items()}


def digest_of(id: str, version: str, parts: Mapping[str, EnvironmentPart]) -> str:
    """The environment's digest."""
    return digest([id, version, sorted((name, part.digest) for name, part in parts.items())])


@functools.lru_cache(maxsize=1024)
def own_classes(kind: type) -> tuple[type, ...]:
    """A class and those of its bases that are the environment's own code, nearest first."""
    return tuple(base for base in kind.__mro__ if not _foreign(base, kind))


def source_of(kind: type) -> Path:
    """The file that defines a class.

    Raises:
        EnvironmentFault: there is none.
    """
    try:
        path = Path(inspect.getfile(kind)).resolve()
    except (TypeError, OSError) as error:
        raise _no_file(kind) from error
    tools = [inspect.unwrap(one) for one in vars(kind).values() if getattr(one, MARK, False)]
    # A class made by exec has the file of the module it pretends to be of.
    if not path.exists() or any(one.__code__.co_filename.startswith("<") for one in tools if hasattr(one, "__code__")):
        raise _no_file(kind)
    return path


def code_files(kind: type) -> Mapping[str, Path]:
    """The files of a class's own code, by a name that does not depend on where they lie.

    Raises:
        EnvironmentFault: a class has no file, or a file cannot be read.
    """
    files: dict[str, Path] = {}
    for base in own_classes(kind):
        source = source_of(base)
        waiting = [source]
        while waiting:
            path = waiting.pop(0)
            if path not in files.values():
                files[_unique(_name(path, source.parent), files)] = path
                waiting += _imported(path)
    return files


def _foreign(base: type, kind: type) -> bool:
    module = base.__module__
    top, _, inner = module.partition(".")
    if module == "builtins":
        return getattr(builtins, base.__name__, None) is base  # else one that exec made without a module's name
    if top == "practicum":
        return inner.partition(".")[0] in CORE_ROOMS
    if base is kind:
        return False
    if top in sys.stdlib_module_names and top != "__main__":
        return True
    file = Path(getattr(sys.modules.get(module), "__file__", None) or "")
    return top != kind.__module__.partition(".")[0] and _package(file) is not None


def _package(path: Path) -> Path | None:
    """The installed package or module that a file belongs to."""
    for number, part in enumerate(path.parts[:-1]):
        if part in INSTALLED:
            return Path(*path.parts[: number + 2])
    return None


def _no_file(kind: type) -> EnvironmentFault:
    return EnvironmentFault(
        f"the code of {kind.__qualname__} lies in no file, so nobody could later tell what it was",
        where=f"module {kind.__module__}",
        allowed="a class defined in a .py file",
        fix="put it into a file, or register its module in sys.modules if you load it yourself",
    )


def _fixtures(kind: type) -> Mapping[str, Path]:
    """Everything in ``fixtures/`` beside each class's file, but hidden files and what Python and editors leave."""
    files: dict[str, Path] = {}
    for folder in dict.fromkeys(source_of(base).parent / "fixtures" for base in own_classes(kind)):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            inner = path.relative_to(folder)
            if not any(part.startswith(".") or part == "__pycache__" or part.endswith("~") for part in inner.parts):
                files[_unique(inner.as_posix(), files)] = path
    return files


def _name(path: Path, folder: Path) -> str:
    """How a file is called, wherever the project lies and wherever Practicum is installed."""
    return path.relative_to(CORE.parent).as_posix() if CORE in path.parents else os.path.relpath(path, folder)


def _unique(name: str, found: Mapping[str, Path]) -> str:
    number = sum(known.rpartition("#")[0] == name or known == name for known in found)
    return f"{name}#{number + 1}" if number else name


def _imported(path: Path) -> list[Path]:
    """The files that a Python file imports from its own project; compiled code imports what nobody can see."""
    if path.suffix != ".py":
        return []
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise EnvironmentFault(f"the code cannot be read: {error}", where=str(path)) from error
    roots, files = _roots(path.parent), dict[Path, None]()
    for level, names in _imports(tree):
        file, *inner = (_resolve(name, level, path, roots) for name in names)
        # A module's name where there is such a module; else something that the package itself defines.
        taken = [each or file for each in inner or [file]]
        files |= dict.fromkeys(each for each in taken if each is not None)
    return [file for file in files if file != path]


def _imports(tree: ast.AST) -> Iterator[tuple[int, list[str]]]:
    """For each import: the dots before its name, and its name, then the full names of what is taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, [alias.name]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            inner = [f"{base}.{alias.name}" if base else alias.name for alias in node.names]
            yield node.level, [base, *inner]


def _resolve(name: str, level: int, path: Path, roots: list[Path]) -> Path | None:
    """The file of an imported module, if it belongs to the importing file's project. ``level``: dots before it."""
    if level:
        folders = [path.parents[min(level, len(path.parents)) - 1]]
    elif name.partition(".")[0] == "practicum":
        # Its suites are environments like any other; the rest of it is the core.
        folders = [CORE.parent] if name.startswith("practicum.suites.") else []
    else:
        # A namespace package has no file that says so; its name is that of a folder above.
        top = name.partition(".")[0]
        folders = [*roots, *(above.parent for above in path.parents if above.name == top)]
    parts = [part for part in name.split(".") if part]
    for folder in folders:
        candidate = folder.joinpath(*parts)
        files = (candidate / "__init__.py", candidate.with_name(f"{candidate.name}.py"))
        for file in files if parts else files[:1]:
            if file.is_file() and _package(file) == _package(path):
                return file.resolve()
    return None


def _roots(folder: Path) -> list[Path]:
    """Where a file's absolute imports may be found in its own project: its folder, and those above up to the top."""
    above = [folder, *folder.parents]
    tops = [
        number for number, folder_above in enumerate(above) if any((folder_above / mark).exists() for mark in PROJECT)
    ]
    packages = [number for number, folder_above in enumerate(above) if not (folder_above / "__init__.py").is_file()]
    # Without a project to be seen, the folder that holds the outermost package.
    last = min(tops or packages)
    return [place for folder_above in above[: last + 1] for place in (folder_above, folder_above / "src")]


def _file(path: Path) -> EnvironmentPart:
    try:
        if path.stat().st_size > TEXT_LIMIT:
            return EnvironmentPart(digest_file(path))
        content = path.read_bytes()
    except OSError as error:
        raise EnvironmentFault(f"a file of the environment cannot be read: {error}", where=str(path)) from error
    try:
        return EnvironmentPart(hashlib.sha256(content).hexdigest(), content.decode())
    except UnicodeDecodeError:
        return EnvironmentPart(hashlib.sha256(content).hexdigest())


def _fact(name: str, value: object, environment: "Environment") -> EnvironmentPart:
    try:
        text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise EnvironmentFault(
            f"{name} of {type(environment).__name__} is not JSON: {error}",
            allowed="text, numbers, lists, dicts",
            fix="give plain data",
        ) from error
    return EnvironmentPart(digest(value), text)
