import json

from rich.console import Console

from practicum.checks.catalogue import CHECKS
from practicum.checks.findings import Finding, Report, print_report
from practicum.trajectory import EnvironmentRef


def report(*findings: Finding, seconds: float = 1.0) -> Report:
    ref = EnvironmentRef("desk", "1.0.0", "abcdef0123456789")
    return Report("desk.py", ref, tuple(CHECKS), {"train": 8}, 16, 0, findings, seconds)


FAILED = Finding.of("ENV-REPEAT", "the result of call 2 differs", where="desk.py:31", difference="-a [1]\n+b [2]")
WARNED = Finding.of("ENV-UNBOUNDED", "no maximum", severity="warn")


def test_only_failures_make_a_report_not_ok() -> None:
    assert report().ok
    assert report(WARNED).ok
    assert not report(WARNED, FAILED).ok


def test_the_digest_covers_findings_and_not_the_time_taken() -> None:
    assert report(FAILED).digest == report(FAILED, seconds=9.0).digest
    assert report(FAILED).digest != report().digest


def test_json_tells_everything_printed() -> None:
    data = json.loads(json.dumps(report(FAILED).to_dict()))
    assert data["ok"] is False
    assert data["digest"] == report(FAILED).digest
    assert data["environment"]["id"] == "desk"
    assert data["findings"][0]["why"] == CHECKS["ENV-REPEAT"].why


def test_people_see_each_check_and_each_finding_with_place_evidence_reason_and_advice() -> None:
    console = Console(width=100, record=True, file=None, quiet=False)
    with console.capture() as capture:
        print_report(report(FAILED, WARNED), console)
    text = capture.get()
    assert all(code in text for code in CHECKS)
    for piece in (
        "desk.py:31",
        "-a [1]",
        "+b [2]",
        "why",
        "what to do",
        "failed: 16 episodes of 8 train tasks",
    ):
        assert piece in text
