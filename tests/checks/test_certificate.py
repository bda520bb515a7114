"""A certificate counts for exactly what was checked, as it was checked; and says why where it does not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from practicum.checks import catalogue
from practicum.checks.catalogue import REPETITIONS, TASKS_PER_SPLIT
from practicum.checks.certificate import Certificate, CheckSubject, objection, subject_of
from practicum.checks.findings import Finding, Note, Report
from practicum.digests import canonical_json
from practicum.environment.target import load_target
from practicum.errors import LedgerError
from practicum.trajectory import EnvironmentRef

REF = EnvironmentRef("desk", "1.0.0", "d" * 64)
SUBJECT = CheckSubject("s" * 64, "r" * 64, "l" * 64, {"train": "a" * 64}, "p" * 64)
JUDGED = {"ok": True, "findings": []}


def made(
    subject: CheckSubject = SUBJECT, asked: int = TASKS_PER_SPLIT, judges: object = JUDGED, **changes: object
) -> Certificate:
    report = Report(
        target="desk.py",
        environment=REF,
        checks=("ENV-FAULT", "ENV-REPEAT"),
        tasks={"train": 8},
        episodes=16,
        seed=0,
        findings=(),
        seconds=1.0,
        repetitions=REPETITIONS,
        allowed=(Note("clock", "shown to people only", ("desk.py:3  time.time()",)),),
    )
    return Certificate.of(replace(report, **changes), subject, asked=asked, practicum="0.1.0", judges=judges)


def test_a_passed_check_counts_for_what_was_checked() -> None:
    assert objection(made(), REF.digest, SUBJECT) == ""


def test_it_survives_being_written_and_read() -> None:
    certificate = made()
    read = Certificate.from_dict(json.loads(canonical_json(certificate.to_dict())))
    assert read.to_dict() == json.loads(json.dumps(certificate.to_dict()))
    assert objection(read, REF.digest, SUBJECT) == ""
    assert read.report["allowed"][0]["reason"] == "shown to people only"


def test_one_of_another_environment_does_not_count() -> None:
    assert "of another environment, dddddddddddd" in objection(made(), "e" * 64, SUBJECT)


def test_a_failed_check_does_not_count_and_its_codes_are_said() -> None:
    certificate = made(findings=(Finding.of("ENV-REPEAT", "differs"), Finding.of("ENV-LABEL", "x", severity="warn")))
    assert objection(certificate, REF.digest, SUBJECT) == "the check failed: ENV-REPEAT"


def test_a_check_that_did_not_look_at_score_and_reward_does_not_count() -> None:
    assert "says nothing of score, reward" in objection(made(judges=None), REF.digest, SUBJECT)


def test_a_reward_that_failed_does_not_count_and_its_codes_are_said() -> None:
    findings = [{"code": "REWARD-ABOVE", "severity": "fail"}, {"code": "DATA-NEAR", "severity": "warn"}]
    certificate = made(judges={"ok": False, "findings": findings})
    assert objection(certificate, REF.digest, SUBJECT) == "score, reward, budget or data failed: REWARD-ABOVE"


def test_warnings_do_not_stand_in_the_way() -> None:
    assert objection(made(findings=(Finding.of("ENV-LABEL", "x", severity="warn"),)), REF.digest, SUBJECT) == ""


@pytest.mark.parametrize(
    "edit",
    [
        lambda values: values["report"].update(ok=True, findings=[]),
        lambda values: values["report"]["allowed"][0].update(reason="no reason"),
        lambda values: values.update(date="2020-01-01T00:00:00+00:00"),
        lambda values: values.update(asked=100),
    ],
)
def test_an_edited_one_does_not_count_and_says_so(edit) -> None:
    values = json.loads(canonical_json(made(findings=(Finding.of("ENV-REPEAT", "differs"),)).to_dict()))
    edit(values)
    assert objection(Certificate.from_dict(values), REF.digest, SUBJECT).startswith("it was edited")


def test_one_of_another_catalogue_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = made()
    monkeypatch.setattr(catalogue, "VERSION", "2-other")
    assert "made by other checks" in objection(certificate, REF.digest, SUBJECT)


@pytest.mark.parametrize(("asked", "repetitions"), [(TASKS_PER_SPLIT - 1, REPETITIONS), (100, REPETITIONS - 1)])
def test_a_check_that_looked_less_closely_does_not_count(asked: int, repetitions: int) -> None:
    assert "less closely" in objection(made(asked=asked, repetitions=repetitions), REF.digest, SUBJECT)


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        (replace(SUBJECT, score="x"), "another score"),
        (replace(SUBJECT, reward="x"), "another reward"),
        (replace(SUBJECT, limits="x"), "another success_threshold, batch, turns or token limit"),
        (replace(SUBJECT, datasets={}), "another dataset"),
        (replace(SUBJECT, production="x"), "schema file beside the environment has changed"),
        (replace(SUBJECT, production=""), "schema file beside the environment has changed"),
    ],
)
def test_one_of_another_score_dataset_or_schema_file_does_not_count(subject: CheckSubject, said: str) -> None:
    assert said in objection(made(), REF.digest, subject)


def test_a_schema_file_that_was_named_need_not_lie_beside_the_environment() -> None:
    certificate = made(replace(SUBJECT, production="named", named=True))
    assert objection(certificate, REF.digest, replace(SUBJECT, production="")) == ""


def test_what_it_rests_on_is_read_from_the_target(tmp_path: Path) -> None:
    desk = tmp_path / "desk.py"
    desk.write_text("from practicum import Environment\nclass Desk(Environment):\n    id, version = 'desk', '1'\n")
    target = load_target(str(desk))
    bare = subject_of(target, "s")
    assert (bare.production, bare.named, bare.datasets) == ("", False, {})
    (tmp_path / "production.json").write_text("{}")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a"}')
    with_both = subject_of(replace(target, datasets={"train": rows}), "s")
    assert with_both.production
    assert not with_both.named
    assert with_both.key != bare.key
    assert subject_of(target, "s", production=rows).named
    assert subject_of(target, "s", "r").key != bare.key
    assert subject_of(target, "s").reward == "s"


def test_something_else_is_no_certificate() -> None:
    with pytest.raises(LedgerError, match="not a certificate"):
        Certificate.from_dict({"ok": True})
