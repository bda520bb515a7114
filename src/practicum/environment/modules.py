"""Loading Python by name: the user's file or module, with errors that name the user's line; a package of an extra."""

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from practicum.environment.places import place_of_error, shown
from practicum.errors import EnvironmentFault, PracticumError


def load_file(path: Path) -> ModuleType:
    """The module of a Python file: executed once per process, whatever the path is spelled like.

    While it executes, its folder is importable, as if it had been started as a script.

    Raises:
        EnvironmentFault: no such file, or it fails to import (with the line).
    """
    path = path.resolve()
    if not path.is_file():
        raise EnvironmentFault("no such environment file", where=str(path), fix="check the path")
    loaded = _already_loaded(path)
    if loaded is not None:
        return loaded
    name = f"practicum_file_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise EnvironmentFault("not a Python file", where=str(path), allowed="path/to/file.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _noticed(), _importable(path.parent), _explained(str(path), path.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def load_module(name: str, folder: Path) -> ModuleType:
    """A module by its dotted name; modules in ``folder`` are found too.

    Raises:
        EnvironmentFault: no such module, or it fails to import (with the line).
    """
    with _noticed(), _importable(folder), _explained(name, folder):
        return importlib.import_module(name)


def _already_loaded(path: Path) -> ModuleType | None:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__dict__", {}).get("__file__")
        if name != "__main__" and isinstance(file, str) and file.endswith(path.name) and Path(file).resolve() == path:
            return module
    return None


def imported_later(path: Path) -> Iterator[str]:
    """Modules that a file's functions import when they run, by name."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in (inner for function in functions for inner in ast.walk(function)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


_before: dict[str, str | None] = {}
"""What environment variables were before an import of ours changed them."""


def variables_before_imports() -> dict[str, str]:
    """This process's environment variables as they would be had no user's module been imported."""
    now: dict[str, str | None] = {**os.environ, **_before}
    return {name: value for name, value in now.items() if value is not None}


@contextmanager
def _noticed() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in before.keys() | os.environ.keys():
            if before.get(name) != os.environ.get(name):
                _before.setdefault(name, before.get(name))


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    before = sys.path[:]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def _explained(subject: str, home: Path) -> Iterator[None]:
    try:
        yield
    except PracticumError:
        raise
    except SyntaxError as error:
        where = shown(error.filename or subject, error.lineno or 1)
        raise EnvironmentFault(f"{subject} is not valid Python: {error.msg}", where=where) from error
    except ModuleNotFoundError as error:
        if error.name is not None and (subject == error.name or subject.startswith(f"{error.name}.")):
            fix = f"install it, start in the folder that holds it ({home}), or name the file: path/to/file.py"
            raise EnvironmentFault(f"no module named {subject!r}", allowed="package.module:Class", fix=fix) from error
        fix = f"install {error.name!r} where Practicum is installed, or put it beside the environment's file"
        raise EnvironmentFault(
            f"{subject} imports {error.name!r}, which is not there", where=place_of_error(error, home), fix=fix
        ) from error
    except ImportError as error:
        fix = "for a file that imports from its own package, name it package.module:Class"
        raise EnvironmentFault(
            f"{subject} cannot be imported: {error}", where=place_of_error(error, home), fix=fix
        ) from error
    except (Exception, SystemExit) as error:
        raise EnvironmentFault(
            f"{subject} cannot be imported: {type(error).__name__}: {error}",
            where=place_of_error(error, home),
            fix="mend that line",
        ) from error


def require(name: str) -> ModuleType:
    """Import a package that only some users need: the extra of its name brings it.

    Raises:
        EnvironmentFault: it is not installed; says which extra of Practicum brings it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name.partition(".")[0]:
            raise
        raise EnvironmentFault(f"{name} is not installed", fix=f'pip install "practicum[{name}]"') from error
