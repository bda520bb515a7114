"""What a run says of its sandbox before it begins, and where it says nothing."""

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from practicum import sandbox
from practicum.checks.target import EnvironmentTarget, resolve_target
from practicum.sandbox import SandboxError
from practicum.scoring import score_tests
from practicum.training import isolation
from practicum.training.isolation import isolation_line


@pytest.fixture(autouse=True)
def notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "sandbox_notice", lambda: "the wall of this machine")


def target_with(**names: Any) -> EnvironmentTarget:
    """A target whose module knows these names and whose class is an empty one."""
    module = ModuleType("elsewhere")
    vars(module).update(names)
    return SimpleNamespace(environment=object, module=module, score=None, reward=None)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "names", [{"run": sandbox.run_python}, {"arun": sandbox.arun_python}, {"box": sandbox}, {"score": score_tests}]
)
def test_an_environment_that_can_run_programs_says_behind_which_wall(names: dict[str, Any]) -> None:
    assert isolation_line(target_with(**names)) == "the wall of this machine"


def test_a_suite_that_tests_code_says_so_and_one_that_runs_none_says_nothing() -> None:
    assert isolation_line(resolve_target("code_repair")) == "the wall of this machine"
    assert isolation_line(resolve_target("support_desk")) == ""


def test_an_environment_that_queries_a_database_runs_no_program() -> None:
    assert isolation_line(target_with(sql=sandbox.sql)) == ""


def test_a_machine_without_a_sandbox_is_told_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise SandboxError("there is none", where="rlimits: no Landlock")

    monkeypatch.setattr(isolation, "sandbox_notice", refuse)
    assert isolation_line(target_with(box=sandbox)) == "sandbox: there is none: rlimits: no Landlock"
