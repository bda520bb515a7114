"""What a run says before it begins, where an agent's programs are run in it: behind which wall, and what that lacks."""

import sys
from types import FunctionType, ModuleType

from practicum import sandbox
from practicum.checks.target import EnvironmentTarget
from practicum.sandbox import SandboxError, sandbox_notice
from practicum.scoring import executed

_RUNNERS = (sandbox, sandbox.run_python, sandbox.arun_python)


def isolation_line(target: EnvironmentTarget) -> str:
    """The line; empty where nothing of the environment or its judges knows how to run a program."""
    if not any(_runs_programs(module) for module in _modules(target)):
        return ""
    try:
        return sandbox_notice()
    except SandboxError as error:  # the environment may still ask for a weaker kind by name
        return f"sandbox: {error.what}: {error.where}"


def _modules(target: EnvironmentTarget) -> set[ModuleType]:
    """Where the environment's class, those it extends, and its judges stand."""
    owners = [*target.environment.__mro__, *(type(judge) for judge in (target.score, target.reward))]
    functions = [judge for judge in (target.score, target.reward) if judge is not None]
    names = {getattr(owner, "__module__", "") for owner in [*owners, *functions]}
    return {target.module, *(sys.modules[name] for name in names if name in sys.modules)}


def _runs_programs(module: ModuleType) -> bool:
    """Whether a module is, or has imported, what runs programs."""
    if module is executed:
        return True
    names = list(vars(module).values())
    return any(value is runner for value in names for runner in _RUNNERS) or any(
        isinstance(value, FunctionType | type) and value.__module__ == executed.__name__ for value in names
    )
