"""Planted faults of scores, rewards, data and budgets are found under their code; what is sound passes."""

import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from practicum.checks.findings import print_judges
from practicum.checks.scores.check_judges import check_judges
from practicum.environment import Environment
from practicum.environment.modules import load_file
from practicum.environment.target import EnvironmentTarget, load_target, suites
from practicum.scoring import called, hierarchical, tiers, with_format

HERE = Path(__file__).parent
LAB = str(HERE / "lab.py")
PLANTED = load_file(HERE / "planted_scores.py").PLANTED
QUICK: dict[str, Any] = {"tasks": 6, "slow_s": 0.015, "patience_s": 2.0}


@pytest.fixture(scope="module")
def lab() -> EnvironmentTarget:
    return load_target(f"{LAB}:Lab")


def checked(target: EnvironmentTarget, **more: Any) -> Any:
    return check_judges(target, **{**QUICK, "slow_s": 60.0, "patience_s": 60.0, **more})


@pytest.mark.parametrize(("code", "name", "judge"), PLANTED, ids=[name for _, name, _ in PLANTED])
def test_a_planted_judge_is_found_under_its_code(
    code: str, name: str, judge: Any, lab: EnvironmentTarget, judged: Counter[tuple[str, str]]
) -> None:
    target = replace(lab, score=judge) if code.startswith("EVAL") else replace(lab, reward=judge)
    report = checked(target, **(QUICK if code.endswith("SLOW") else {}))
    judged.update((f"{code:<18} {name}", found) for found in report.codes or {"none"})
    own = [finding for finding in report.findings if finding.code == code]
    assert own, report.codes
    assert "planted_scores.py:" in own[0].where
    assert own[0].why
    assert own[0].fix
    # A faulty score makes the reward look wrong beside it; a faulty reward says nothing of the score.
    if code.startswith("REWARD"):
        assert all(each.startswith("REWARD") for each in report.codes), report.codes


def test_there_are_at_least_25_of_them_and_they_meet_every_code_of_judges() -> None:
    assert len(PLANTED) >= 40
    met = {code.partition("-")[2] for code, _, _ in PLANTED}
    kinds = {"RAISES", "RANGE", "REPEAT", "SLOW", "CONSTANT", "FORM", "NEAR", "IDLE", "EFFORT", "TOLD"}
    assert met == kinds | {"UNSOLVED", "FLAT", "ABOVE", "RANK", "COMPONENTS"}


def test_a_sound_score_and_reward_pass_and_more_than_20_families_tried(lab: EnvironmentTarget) -> None:
    report = checked(lab, tasks=8)
    assert report.findings == ()
    assert len(report.families) >= 30
    assert report.ok


@pytest.mark.parametrize(
    "reward",
    [
        lambda score: with_format(score, "final_output"),
        tiers,
        hierarchical,
        lambda score: hierarchical(score, {"found": (0.1, called("find_box")), "weighed": (0.1, called("weigh"))}),
    ],
    ids=["form", "tiers", "hierarchical", "milestones"],
)
def test_ready_made_rewards_pass(lab: EnvironmentTarget, reward: Any) -> None:
    report = checked(replace(lab, reward=reward(lab.score)))
    assert report.findings == ()


PLAYED = {"support_desk": 5, "warehouse": 5, "sql_analyst": 5, "code_repair": 2}
"""Tasks of each suite; every rollout of a code repair is run in the sandbox."""


def test_every_suite_is_among_those_whose_judges_are_checked() -> None:
    assert set(PLAYED) == set(suites())


@pytest.mark.parametrize("name", PLAYED)
def test_a_suites_own_score_and_reward_pass(name: str, judged: Counter[tuple[str, str]]) -> None:
    report = checked(load_target(name), tasks=PLAYED[name])
    judged.update((f"{'none':<18} {name}", code) for code in report.codes or {"none"})
    assert report.ok, report.findings
    assert {finding.code for finding in report.findings} <= {"DATA-NEAR"}  # sql_analyst's questions have a template


def test_a_label_that_stands_in_the_prompt_is_found(judged: Counter[tuple[str, str]]) -> None:
    report = checked(load_target(f"{LAB}:Leaking"))
    judged.update((f"{'DATA-LEAK':<18} Leaking", code) for code in report.codes)
    assert report.codes == {"DATA-LEAK"}


def test_without_an_oracle_the_labels_are_enough(lab: EnvironmentTarget) -> None:
    class Silent(lab.environment):  # type: ignore[misc, name-defined]
        id = "silent"
        oracle = Environment.oracle

    report = checked(replace(lab, environment=Silent))
    assert report.findings == ()
    assert {"constant", "null-like", "padded", "injection"} <= set(report.families)
    [judge] = [judge for _, name, judge in PLANTED if name == "as_a_published_benchmark_does"]
    assert "EVAL-CONSTANT" in checked(replace(lab, environment=Silent, score=judge)).codes
    [flat] = [judge for _, name, judge in PLANTED if name == "the_same_for_all"]
    found = {
        finding.code: finding.severity for finding in checked(replace(lab, environment=Silent, reward=flat)).findings
    }
    assert found["REWARD-FLAT"] == "warn"


def test_an_environment_without_a_score_is_told_so(lab: EnvironmentTarget) -> None:
    report = checked(replace(lab, score=None))
    assert report.codes == {"EVAL-MISSING"}
    assert not report.ok


def test_an_excuse_covers_parts_but_never_full_marks(lab: EnvironmentTarget) -> None:
    def reward(rollout: Any) -> Any:
        return (1.0 if rollout.tool_calls else 0.0), {"calls": 1.0}

    reward.excuses = dict.fromkeys(("work-only", "every-tool", "one-tool", "above-score"), "because")  # type: ignore[attr-defined]
    report = checked(replace(lab, reward=reward))
    assert {"REWARD-EFFORT", "REWARD-RANK"} <= report.codes


def test_what_is_excused_is_noted_with_its_reason(lab: EnvironmentTarget) -> None:
    score = lab.score

    def reward(rollout: Any) -> Any:
        calls = 0.05 * min(2, len(rollout.tool_calls))
        return 0.9 * score(rollout)[0] + calls, {"calls": calls}  # type: ignore[index, misc]

    families = ("work-only", "every-tool", "one-tool", "above-score")
    reward.excuses = dict.fromkeys(families, "the first two calls pay a little")  # type: ignore[attr-defined]
    report = checked(replace(lab, reward=reward))
    assert report.findings == ()
    assert {note.kind for note in report.allowed} >= {"reward: work-only", "reward: every-tool"}
    assert all(note.reason == "the first two calls pay a little" for note in report.allowed)


def test_a_report_is_printed_with_its_evidence_and_is_plain_data(lab: EnvironmentTarget) -> None:
    [judge] = [judge for _, name, judge in PLANTED if name == "as_a_published_benchmark_does"]
    report = checked(replace(lab, score=judge))
    console = Console(file=io.StringIO(), width=200)
    print_judges(report, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "fail  EVAL-CONSTANT" in text
    assert "ok    EVAL-RAISES" in text
    assert "null-like" in text
    assert "what to do" in text
    assert "failed: " in text
    told = json.loads(json.dumps(report.to_dict()))
    assert told["ok"] is False
    assert {finding["code"] for finding in told["findings"]} == set(report.codes)
