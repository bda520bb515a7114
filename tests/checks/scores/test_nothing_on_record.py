"""A check with nothing to look at did not run, and is not said to have passed."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from practicum.checks.findings import print_judges
from practicum.checks.scores.check_judges import check_judges
from practicum.checks.scores.evidence import Recorded
from practicum.environment.target import load_target

LAB = f"{Path(__file__).parent / 'lab.py'}:Lab"
OF_RECORDS = {"EVAL-ZERO", "EVAL-REFERENCE", "BUDGET-TOKENS", "BUDGET-EXHAUSTED"}


def test_checks_of_records_do_not_run_without_records() -> None:
    report = check_judges(load_target(LAB), tasks=1)
    out = io.StringIO()
    print_judges(report, Console(file=out, width=200))
    lines = {line.split()[1]: line for line in out.getvalue().splitlines() if line.startswith("  ")}

    assert report.ok
    assert not OF_RECORDS & set(report.checks)
    assert not OF_RECORDS & set(report.to_dict()["checks"])
    assert {"EVAL-MISSING", "EVAL-UNSOLVED", "BUDGET-TURNS", "DATA-OVERLAP"} <= set(report.checks)
    for code in OF_RECORDS:
        assert lines[code].split()[0] == "skip"
        assert "on record" in lines[code]
    assert lines["EVAL-MISSING"].split()[0] == "ok"
    assert lines["BUDGET-CONTEXT"].split()[0] == "skip", "no recipe says how long a rollout may be"


@pytest.mark.parametrize(
    ("labels", "ran"),
    [(["base"], {"EVAL-ZERO", "EVAL-REFERENCE"}), (["trained"], {"EVAL-REFERENCE"}), ([], set())],
)
def test_they_run_of_what_is_on_record(labels: list[str], ran: set[str]) -> None:
    evaluations = tuple({"label": label, "success_rate": 0.5, "n_rollouts": 4} for label in labels)

    report = check_judges(load_target(LAB), None, Recorded((), evaluations), tasks=1)

    assert OF_RECORDS & set(report.checks) == ran
