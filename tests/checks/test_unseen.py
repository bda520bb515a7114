"""A check that had nothing to look at is skipped with its reason: in the report, as JSON, on the page; never passed."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from practicum.checks.environment import run_checks
from practicum.checks.findings import Finding, RecordedCalls, Report, counted, print_report
from practicum.checks.processes.client import Nursery
from practicum.environment.target import load_target
from practicum.errors import RunError
from practicum.report.check_page import check_page
from practicum.store import write_trajectories
from practicum.trajectory import EnvironmentRef, Trajectory

BARE = '''
from practicum import Environment, Task


class Bare(Environment):
    """Asks, and has neither tools nor labels."""

    id, version = "bare", "1.0.0"

    def tasks(self, split):
        return [Task("only", "What is asked?")] if split == "train" else []
'''


def printed(report: Report) -> dict[str, str]:
    out = io.StringIO()
    print_report(report, Console(file=out, width=200))
    return {line.split()[1]: line for line in out.getvalue().splitlines() if line.startswith("  ")} | {
        "last": out.getvalue().splitlines()[-1]
    }


@pytest.fixture(scope="module")
def nursery():
    with Nursery() as warm:
        yield warm


@pytest.fixture
def bare(tmp_path: Path):
    (tmp_path / "bare.py").write_text(BARE)
    return load_target(str(tmp_path / "bare.py"))


def test_what_a_bare_environment_gives_nothing_to_see_of_is_skipped(bare, nursery: Nursery) -> None:
    report = run_checks(bare, repetitions=1, nursery=nursery)
    lines = printed(report)

    for code, why in {
        "ENV-LABEL": "no task has a label",
        "ENV-DUPLICATE": "there is only one task",
        "ENV-UNBOUNDED": "the environment has no tools",
        "ENV-ABANDON": "there is no tool to call",
        "ENV-FIDELITY": "there is no schema file",
    }.items():
        assert code not in report.checks
        assert lines[code].split()[0] == "skip"
        assert why in lines[code]
        assert why in report.to_dict()["skipped"][code]
    assert lines["ENV-REPEAT"].split()[0] == "ok"
    assert "5 skipped" in lines["last"]
    assert report.to_dict()["counts"]["skipped"] == 5
    assert "5 checks skipped" in check_page(report)


def test_rollouts_that_never_called_a_tool_are_a_result(bare, nursery: Nursery, tmp_path: Path) -> None:
    ref = EnvironmentRef("bare", "1.0.0", "d" * 64)
    idle = [Trajectory(f"r{n}", "only", "g", n, ref, (), (), "final") for n in range(3)]
    write_trajectories(tmp_path / "run" / "trajectories" / "eval-base-greedy.parquet", idle)

    report = run_checks(bare, repetitions=1, nursery=nursery, recorded=tmp_path / "run")

    assert report.recorded == RecordedCalls(str(tmp_path / "run"), 3, 0, 0)
    assert "none of 3 recorded rollouts calls a tool" in str(report.recorded)
    assert json.loads(json.dumps(report.to_dict()))["recorded"]["calling"] == 0


def test_a_run_of_another_environment_still_is_a_mistake(bare, nursery: Nursery, tmp_path: Path) -> None:
    ref = EnvironmentRef("other", "1.0.0", "d" * 64)
    other = Trajectory("r", "somewhere-else", "g", 0, ref, (), (), "final")
    write_trajectories(tmp_path / "run" / "trajectories" / "eval-base-greedy.parquet", [other])

    with pytest.raises(RunError, match="none of the recorded trajectories is of one of this environment's tasks"):
        run_checks(bare, repetitions=1, nursery=nursery, recorded=tmp_path / "run")


def test_a_report_that_saw_nothing_at_all_has_not_passed() -> None:
    nothing = Report("bare.py", EnvironmentRef("bare", "1", "d" * 64), (), {}, 0, 0, (), 0.1)
    assert not nothing.ok
    assert printed(nothing)["last"].startswith("nothing was checked")


def test_what_was_found_counts_even_where_little_was_seen() -> None:
    ref = EnvironmentRef("bare", "1", "d" * 64)
    found = (Finding.of("ENV-LABEL", "it stands there"), Finding.of("ENV-UNBOUNDED", "no end", severity="warn"))
    report = Report("bare.py", ref, ("ENV-FAULT",), {}, 0, 0, found, 0.1, explained={"ENV-REPEAT": "ENV-LABEL"})
    assert counted(report.states.values()) == "1 ok, 1 warn, 1 fail, 1 explained, 9 skipped"
