"""For a user's own tests: ``assert_reproducible`` is ``practicum check`` as an assertion.

>>> from practicum.testing import assert_reproducible
>>> def test_the_desk_can_be_trained_in():
...     assert_reproducible("desk.py:Desk", tasks=3)
"""

import importlib.util
import inspect
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from practicum.checks.catalogue import REPETITIONS, TASKS_PER_SPLIT
from practicum.checks.environment import run_checks
from practicum.checks.findings import Report, print_report
from practicum.environment import Environment
from practicum.environment.target import load_target, resolve_target
from practicum.errors import EnvironmentFault

__all__ = ["assert_reproducible"]

_WIDTH = 110


def assert_reproducible(
    environment: str | type[Environment] | Environment,
    *,
    args: Mapping[str, Any] | None = None,
    allow: Mapping[str, str] | None = None,
    tasks: int = TASKS_PER_SPLIT,
    repetitions: int = REPETITIONS,
    seed: int = 0,
    recorded: Path | str | None = None,
    production: Path | str | None = None,
    score: str = "score",
) -> Report:
    """Check an environment as ``practicum check`` does.

    Args:
        environment: A class, an instance, or what ``practicum check`` takes: a file, ``file.py:Class``,
            ``package.module:Class``, a suite or a recipe.
        args: Arguments of the class. An instance's are taken from its ``settings()``, where they make an equal one.
        allow: Reasons by kind of what may be touched.
        tasks: Tasks played of each split.
        repetitions: How often episodes run in threads.
        seed: Of the draw of tasks and of the random policy.
        recorded: A run whose recorded calls are played too.
        production: Schema file of the tools in production.
        score: Name of the score beside the class.

    Returns:
        The report, warnings included.

    Raises:
        AssertionError: a check failed; its message is the whole report.
        EnvironmentFault: there is nothing to check: no such class, or one that other processes cannot find.
    """
    __tracebackhide__ = True
    if isinstance(environment, Environment):
        args = _arguments(environment) if args is None else args
        environment = type(environment)
    spec = environment if isinstance(environment, str) else _name(environment)
    is_recipe = spec.endswith((".yaml", ".yml"))
    target = resolve_target(spec) if is_recipe else load_target(spec, args, score=score)
    report = run_checks(
        target,
        tasks_per_split=tasks,
        seed=seed,
        allow=allow,
        recorded=None if recorded is None else Path(recorded),
        repetitions=repetitions,
        production=None if production is None else Path(production),
    )
    if not report.ok:
        raise AssertionError(_readable(report))
    return report


def _arguments(environment: Environment) -> dict[str, Any]:
    """The arguments that make an equal instance.

    Raises:
        EnvironmentFault: its settings do not.
    """
    kind = type(environment)
    taken, settings = inspect.signature(kind).parameters, environment.settings()
    arguments = {name: value for name, value in settings.items() if name in taken}
    try:
        again = kind(**arguments)
    except Exception as error:
        raise _unlike(kind, arguments, f"{type(error).__name__}: {error}") from error
    if again.digest != environment.digest:
        raise _unlike(kind, arguments, "its digest is another one")
    return arguments


def _unlike(kind: type, given: Mapping[str, Any], why: str) -> EnvironmentFault:
    shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
    return EnvironmentFault(
        f"{kind.__name__}({shown}), from the instance's settings(), makes no equal instance: {why}",
        allowed="a class and args={…}, or an instance whose settings() are its arguments",
        fix=f"assert_reproducible({kind.__name__}, args={{…}})",
    )


def _name(kind: type[Environment]) -> str:
    """How another process finds a class: by its module where that can be imported, else by its file."""
    if "<locals>" in kind.__qualname__ or "." in kind.__qualname__:
        raise EnvironmentFault(
            f"{kind.__qualname__} is defined inside of something, where no other process finds it",
            allowed="a class at the top of a module",
            fix="move it there",
        )
    file = Path(inspect.getfile(kind)).resolve()
    return f"{kind.__module__}:{kind.__name__}" if _origin(kind.__module__) == file else f"{file}:{kind.__name__}"


def _origin(module: str) -> Path | None:
    """The file that a new process would find under a module's name."""
    loaded = sys.modules.pop(module, None)  # else what is loaded here would answer
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    finally:
        if loaded is not None:
            sys.modules[module] = loaded
    return Path(spec.origin).resolve() if spec is not None and spec.origin else None


def _readable(report: Report) -> str:
    from rich.console import Console

    text = io.StringIO()
    print_report(report, Console(file=text, width=_WIDTH, color_system=None))
    return f"{report.environment.id} cannot be trained in\n{text.getvalue()}"
