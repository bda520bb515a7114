"""A certificate of a recipe with an agent behind HTTP holds what was found of it, and counts for no other."""

from dataclasses import replace

from practicum.checks.catalogue import REPETITIONS, TASKS_PER_SPLIT
from practicum.checks.certificate import Certificate, CheckSubject, objection
from practicum.checks.findings import Report
from practicum.trajectory import EnvironmentRef

REF = EnvironmentRef("desk", "1.0.0", "d" * 64)
ALONE = CheckSubject("s" * 64, "r" * 64)
WITH_AGENT = replace(ALONE, agent="http://127.0.0.1:8070")
JUDGED = {"ok": True, "findings": []}


def made(subject: CheckSubject, agent: object = None) -> Certificate:
    report = Report("desk.py", REF, ("ENV-FAULT",), {"train": 8}, 16, 0, (), 1.0, repetitions=REPETITIONS)
    return Certificate.of(report, subject, asked=TASKS_PER_SPLIT, practicum="0.1.0", judges=JUDGED, agent=agent)


def test_it_counts_for_the_agent_that_was_played() -> None:
    assert objection(made(WITH_AGENT, {"ok": True, "findings": []}), REF.digest, WITH_AGENT) == ""


def test_one_without_a_word_of_the_agent_does_not_count_for_it() -> None:
    assert "says nothing of the agent" in objection(made(WITH_AGENT), REF.digest, WITH_AGENT)
    assert "another agent" in objection(made(ALONE), REF.digest, WITH_AGENT)


def test_one_of_an_agent_that_failed_says_by_what() -> None:
    failed = {"ok": False, "findings": [{"code": "AGENT-REPEAT", "severity": "fail"}]}
    assert objection(made(WITH_AGENT, failed), REF.digest, WITH_AGENT) == "the agent failed: AGENT-REPEAT"


def test_without_an_agent_it_is_written_as_it_was_before() -> None:
    written = made(ALONE).to_dict()
    assert "agent" not in written
    assert "agent" not in written["subject"]
    assert Certificate.from_dict(written).true_digest == written["digest"]
