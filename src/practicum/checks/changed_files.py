"""Which environments a set of changed files belongs to: for hooks that check what is about to be committed."""

import ast
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from practicum.checks.fidelity import FILES
from practicum.environment import Environment
from practicum.environment.modules import load_file
from practicum.environment.parts import code_files
from practicum.environment.target import EnvironmentTarget, load_target, target_of

_FIXTURES = "fixtures"
_RECIPE = frozenset({"environment", "model_name"})


def environments_of(files: Iterable[Path]) -> list[EnvironmentTarget]:
    """The environments that files define, are imported by, are fixtures of, or are recipes for; each once.

    Only Python files that look as if they defined an environment are imported. A file that is gone belongs to none.

    Raises:
        EnvironmentFault: such a file cannot be imported.
        RecipeError: a recipe is not valid.
    """
    targets: dict[str, EnvironmentTarget] = {}
    for file in files:
        path = file.resolve()
        if path.is_file():
            for target in _of(path, file):
                targets.setdefault(
                    f"{target.source} {dict(target.args)} {dict(target.datasets)} {target.reading}", target
                )
    return list(targets.values())


def _of(path: Path, name: Path) -> Iterator[EnvironmentTarget]:
    if path.suffix in (".yaml", ".yml") and _is_recipe(path):
        from practicum.recipe import load_recipe

        yield target_of(load_recipe(path), name=str(name))
    elif path.suffix == ".py" and looks_like_one(path):
        yield from _defined(path, name)
    elif path.suffix == ".py":
        yield from (target for target in _beside(path.parent, name) if path in code_files(target.environment).values())
    elif path.name in FILES:
        yield from _beside(path.parent, name)
    else:
        above = next((folder for folder in path.parents if folder.name == _FIXTURES), None)
        if above is not None:
            yield from _beside(above.parent, name)


def looks_like_one(path: Path) -> bool:
    """Whether a file has a class with a base that could be an environment: nothing is imported to tell."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return False  # which other hooks tell
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    ours = any("practicum" in ast.unparse(node) for node in imports)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.bases]
    return any(ours or {"id", "version"} <= _assigned(node) for node in classes)


def _assigned(node: ast.ClassDef) -> set[str]:
    targets = [
        target
        for each in node.body
        if isinstance(each, ast.Assign | ast.AnnAssign)
        for target in (each.targets if isinstance(each, ast.Assign) else [each.target])
    ]
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def _beside(folder: Path, name: Path) -> Iterator[EnvironmentTarget]:
    for path in sorted(folder.glob("*.py")):
        if looks_like_one(path):
            yield from _defined(path, name.parent / path.name if name.parent.resolve() == folder else path)


def _defined(path: Path, name: Path) -> Iterator[EnvironmentTarget]:
    """Environments with an identity whose class stands in this very file."""
    module = load_file(path)
    for attribute, value in list(vars(module).items()):
        is_one = isinstance(value, type) and issubclass(value, Environment) and value.__name__ == attribute and value.id
        if is_one and Path(inspect.getfile(value)).resolve() == path:
            yield load_target(f"{name}:{attribute}")


def _is_recipe(path: Path) -> bool:
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return False
    if not isinstance(node, yaml.MappingNode):
        return False
    # Keys are enough: what a stranger's file stands for in full is not built.
    return {key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)} >= _RECIPE
