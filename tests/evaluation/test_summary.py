"""The numbers of an evaluation, from rollouts made by hand."""

import io
import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from practicum.commands.summary import print_evaluations
from practicum.digests import digest_file
from practicum.errors import RunError
from practicum.evaluation.comparison import compare, comparisons
from practicum.evaluation.disagreements import disagreements
from practicum.evaluation.evaluator import read_evaluation, write_evaluation
from practicum.evaluation.gates import PromotionGate, promote, require_baseline, require_foothold, unearned_share
from practicum.evaluation.statistics import wilson_interval
from practicum.evaluation.summary import Circumstances, Evaluation, summarize
from practicum.runs.evaluations import (
    FILE,
    TIMINGS,
    conclude,
    recorded_evaluations,
    sentence,
    write_record,
)
from practicum.trajectory import EnvironmentRef, ToolCall, Trajectory, Turn

REF = EnvironmentRef("e", "1", "d")


def rollout(task: str, number: int, score: float | None, reward: float = 0.0, **more: Any) -> Trajectory:
    said = {"role": "assistant", "content": "x"}
    turn = Turn(({"role": "user", "content": task},), said, (1,), (2, 3), (0.0, 0.0), (0, 0), "stop", latency_s=0.5)
    fields: dict[str, Any] = {"turns": (turn,), "tool_calls": (), "ending": "final", "rewards": (reward,), **more}
    return Trajectory(f"{task}/{number}", task, task, 0, REF, score=score, **fields)


def summary(trajectories: list[Trajectory], label: str = "trained", per_task: int = 1, **more: Any) -> Evaluation:
    settings: dict[str, Any] = {
        "label": label,
        "mode": "greedy",
        "split": "test",
        "split_digest": "s",
        "n_tasks": len({t.task_id for t in trajectories}),
        "rollouts_per_task": per_task,
        "success_threshold": 1.0,
        "pass_k": (1, 2),
        "seed": 3,
        "temperature": 0.0,
        "version": 1,
        "environment": asdict(REF),
        "seconds": 1.5,
    }
    return summarize(trajectories, Circumstances(**{**settings, **more}))


def of(*scores: float, label: str = "trained", paid: float | None = None, **more: Any) -> Evaluation:
    """One rollout per task; each is paid its score, or ``paid``."""
    made = [rollout(f"t{n}", 0, score, score if paid is None else paid) for n, score in enumerate(scores)]
    return summary(made, label, **more)


# Numbers


def test_components_of_any_family_are_fields_and_tiers_are_none() -> None:
    parts = {"field/colour": 1.0, "change/orders": 0.5, "exact": 1.0, "tier/success": 1.0, "task/field/x": 0.0}
    found = summary([rollout("t", 0, 1.0, score_metrics=parts), rollout("u", 0, 0.0, score_metrics={})])
    assert found.field_accuracy == {"change/orders": 0.25, "colour": 0.5, "task/field/x": 0.0}


def test_form_is_the_scores_or_the_rewards_component_and_unknown_where_neither_has_one() -> None:
    assert summary([rollout("t", 0, 1.0)]).format_rate is None
    formed = rollout("t", 0, 0.0, score_metrics={"format": 1.0}, metrics={"format": 0.0})
    assert summary([formed, rollout("u", 0, 0.0)]).format_rate == 0.5
    assert summary([rollout("t", 0, 0.0, metrics={"task/format": 1.0})]).format_rate == 1.0


@pytest.mark.parametrize(
    ("parts", "exact"),
    [
        ([(1.0, {"exact": 1.0}), (0.0, {"exact": 0.0})], True),
        ([(1.0, {"exact": 0.0}), (0.0, {"exact": 0.0})], False),  # a score above its exact component
        ([(1.0, {"exact": 1.0}), (0.0, {})], False),
        ([(1.0, {"tests/passed": 1.0})], False),
    ],
)
def test_every_field_exactly_right_is_said_only_of_scores_that_are_exact(
    parts: list[tuple[float, dict[str, float]]], exact: bool
) -> None:
    found = summary([rollout(f"t{n}", 0, score, score_metrics=each) for n, (score, each) in enumerate(parts)])
    console = Console(file=io.StringIO(), width=200)
    print_evaluations([found], console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert found.exact is exact
    assert ("every field exactly right" in said) is exact
    assert ("score of 1 or more" in said) is not exact


def test_attempts_and_failures_stand_beside_the_success_rate_and_every_failure_is_missed() -> None:
    lost = {"ending": "error", "rewards": ()}
    found = summary(
        [
            rollout("t", 0, 1.0, retries=2),
            rollout("u", 0, 0.0, error="ValueError: no JSON in 'a'", failure="policy", ending="error"),
            rollout("v", 0, None, error="right raised KeyError: 'x'\n  where: task v", failure="judge", **lost),
            rollout("w", 0, None, error="right raised KeyError: 'x'\n  where: task w", failure="judge", **lost),
            rollout("x", 0, None, error="gone", failure="infrastructure", retries=3, **lost),
        ],
        success_threshold=-1.0,
    )
    assert (found.success_rate, found.failed, found.n_rollouts) == (0.2, 4, 5)
    assert (found.attempts, found.retried) == (10, 5)
    assert found.failures == {"policy": 1, "judge": 2, "infrastructure": 1}
    assert found.causes[0] == {"whose": "judge", "text": "right raised KeyError: 'x'", "count": 2}
    assert found.commonest_error == "right raised KeyError: 'x'"
    assert found.pass_at == {"1": 0.2}
    assert not found.says_nothing


def test_an_evaluation_says_nothing_only_where_others_than_the_policy_failed_every_rollout() -> None:
    broken = {"error": "x", "ending": "error"}
    assert summary([rollout("t", 0, None, failure="judge", **broken)]).says_nothing
    assert not summary([rollout("t", 0, 0.0, failure="policy", **broken)]).says_nothing


def test_calls_turns_tokens_and_seconds_are_per_rollout() -> None:
    calls = (ToolCall("a", "look", {}, "", True, 0, 0.25), ToolCall("b", "look", {}, "", False, 0, 0.25))
    found = summary([rollout("t", 0, 1.0, tool_calls=calls), rollout("u", 0, 0.0)])
    assert found.tool_calls == {"look": 2}
    assert found.calls_by_count == {"0": 1, "2": 1}
    assert found.tool_error_frac == 0.5
    assert found.turns_per_rollout == 1.0
    assert found.tokens_per_rollout == 2.0
    assert found.seconds_per_rollout == pytest.approx(0.75)


def test_tokens_that_stand_nowhere_else_are_given_by_rollout() -> None:
    assert summary([rollout("t", 0, 1.0)], tokens={"t/0": 40}).tokens_per_rollout == 40.0


def test_an_evaluation_without_rollouts_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one rollout"):
        summary([])


def test_the_interval_is_of_tasks_not_of_rollouts() -> None:
    alike = [rollout(f"t{n}", number, float(n % 2)) for n in range(10) for number in range(20)]
    found = summary(alike, per_task=20)
    assert found.interval == pytest.approx(wilson_interval(5, 10))
    assert found.bootstrap[1] - found.bootstrap[0] > 0.4


def test_an_older_evaluation_is_read_too(tmp_path: Path) -> None:
    values = asdict(of(1.0))
    for key in ("scores", "rewards", "bootstrap", "correctness", "format_rate", "model"):
        del values[key]
    (tmp_path / "old.json").write_text(json.dumps({**values, "dropped_long_ago": 1}))
    assert read_evaluation(tmp_path / "old.json").scores == {}


# Comparisons


def test_a_comparison_counts_the_tasks_only_one_got_right() -> None:
    base, trained = of(*[0.0] * 12, 1.0, label="base"), of(*[1.0] * 12, 0.0)
    found = compare(base, trained)
    assert (found.only_first, found.only_second, found.n_tasks) == (1, 12, 13)
    assert found.p_value == pytest.approx(2 * 14 / 2**13)
    assert found.difference == pytest.approx(11 / 13)
    assert found.interval[0] > 0
    assert found.is_clear
    assert "84.6% more often than base" in sentence(found)


def test_the_same_seed_gives_the_same_comparison() -> None:
    base, trained = of(0.0, 1.0, 0.0, 1.0, label="base"), of(1.0, 1.0, 0.0, 1.0)
    assert compare(base, trained) == compare(base, trained)
    assert not compare(base, trained).is_clear


@pytest.mark.parametrize("change", [{"split_digest": "x"}, {"environment": {"id": "f"}}, {"mode": "sampled"}])
def test_other_tasks_environment_or_sampling_cannot_be_compared(change: dict[str, Any]) -> None:
    other = replace(of(1.0), **change)
    with pytest.raises(RunError, match="cannot be compared"):
        compare(of(1.0, label="base"), other)
    assert comparisons([of(1.0, label="base"), other]) == []


def test_an_older_evaluation_without_scores_cannot_be_compared() -> None:
    old = replace(of(1.0), scores={})
    with pytest.raises(RunError, match="no scores per task"):
        compare(old, old)


# Record


def test_the_same_rollouts_give_the_same_file_whatever_the_clock_says(tmp_path: Path) -> None:
    slow = replace(of(1.0, 0.0), seconds=99.0, seconds_per_rollout=9.0)
    quick = replace(slow, seconds=1.0, seconds_per_rollout=1.0)
    first = write_record(tmp_path / "a", [of(0.0, 0.0, label="base"), slow])
    second = write_record(tmp_path / "b", [of(0.0, 0.0, label="base"), quick])
    assert first[FILE] == second[FILE]
    assert first[TIMINGS] != second[TIMINGS]
    content = json.loads((tmp_path / "a" / FILE).read_text())
    assert set(content["evaluations"]) == {"base-greedy", "trained-greedy"}
    assert len(content["comparisons"]) == 1
    assert "seconds" not in content["evaluations"]["trained-greedy"]


def test_disagreements_are_listed_paid_without_success_first(tmp_path: Path) -> None:
    made = [
        rollout("agree", 0, 0.0, 0.0),
        rollout("little", 0, 0.0, 0.2),
        rollout("underpaid", 0, 1.0, 0.1),
        rollout("hacked", 0, 0.0, 1.0),
        rollout("failed", 0, 0.0, 1.0, ending="error"),
        rollout("unscored", 0, None, 1.0),
    ]
    found = disagreements(made)
    assert [each.trajectory.task_id for each in found] == ["hacked", "little", "underpaid"]
    assert [each.gap for each in found] == pytest.approx([1.0, 0.2, -0.9])
    write_record(tmp_path, [of(1.0)], found)
    listed = json.loads((tmp_path / FILE).read_text())["disagreements"]
    assert listed[0] == {"rollout": "hacked/0", "task": "hacked", "reward": 1.0, "score": 0.0, "ending": "final"}


def test_a_runs_evaluations_are_concluded_with_record_comparison_and_disagreements(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=300)
    with pytest.raises(RunError, match="no evaluation is on record"):
        conclude(tmp_path, console)
    for label, scores in (("trained", (1.0, 1.0, 0.0)), ("base", (0.0, 0.0, 0.0))):
        made = [rollout(f"t{n}", 0, score, 0.5) for n, score in enumerate(scores)]
        write_evaluation(tmp_path, summary(made, label), made)
    digests = conclude(tmp_path, console)
    assert digests == {name: digest_file(tmp_path / name) for name in (FILE, TIMINGS)}
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "trained succeeds 66.7% more often than base" in text
    assert "3 rollouts; 1 are paid without success" in text
    assert [each.label for each in recorded_evaluations(tmp_path)] == ["base", "trained"]
    (tmp_path / "evaluations" / "other.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        conclude(tmp_path, console)


# Gates


def test_a_base_that_never_succeeds_stops_with_how_to_get_a_foothold() -> None:
    with pytest.raises(RunError, match=r"practicum warmstart desk\.yaml") as stopped:
        require_foothold([of(0.0, 0.5, label="base", paid=0.25)], run="runs/a", recipe="desk.yaml")
    assert "none of 2 held-out rollouts" in str(stopped.value)
    assert "0.25" in str(stopped.value)
    assert "easier tasks" in str(stopped.value)
    require_foothold([of(0.0, 0.0, label="base"), of(0.0, 1.0, label="base")], run="", recipe="")
    require_foothold([], run="", recipe="")


def test_training_needs_a_baseline_on_record() -> None:
    with pytest.raises(RunError, match="no baseline"):
        require_baseline([of(1.0)], Path("runs/a"))
    require_baseline([of(0.0, 1.0, label="base")], Path("runs/a"))


@pytest.mark.parametrize(("labels", "named"), [(("base",), "base model"), (("base", "foothold"), "foothold")])
def test_a_baseline_of_zero_opens_no_gate_and_names_three_ways_on(labels: tuple[str, ...], named: str) -> None:
    zero = [of(0.0, 0.0, label=label) for label in labels]
    with pytest.raises(RunError, match=f"the {named} succeeds in none of {2 * len(zero)}") as stopped:
        require_baseline(zero, Path("runs/a"))
    for way in (
        "practicum warmstart RECIPE --run runs/a",
        "easier tasks",
        "another model (model_name)",
        "--without-gate",
    ):
        assert way in str(stopped.value)
    require_baseline(zero, Path("runs/a"), foothold=True)
    require_baseline([*zero, of(0.0, 1.0, label="foothold")], Path("runs/a"))


GOOD = [1.0] * 30 + [0.0] * 2


def test_a_model_that_meets_the_gate_is_promoted_with_its_numbers() -> None:
    found = promote("model", "d" * 64, [of(*[0.0] * 32, label="base"), of(*GOOD)], PromotionGate(min_success=0.75))
    assert found.success_rate == pytest.approx(30 / 32)
    assert found.to_dict()["gate"]["better_than"] == "base"
    assert found.interval == of(*GOOD).interval
    assert "+93.8% against base, exact McNemar p = 1.9e-09" in found.notes


@pytest.mark.parametrize(
    ("before", "after", "gate", "why"),
    [
        ([0.0], [1.0], PromotionGate(), "exact McNemar p = 1, where less than 0.05 is asked for .* about 6 test tasks"),
        ([0.0], [1.0], PromotionGate(0.0, ""), "one test task, which says nothing of any other"),
        ([0.0] * 3, [1.0] * 3, PromotionGate(0.9, ""), "100.0% takes about 35 test tasks to show; it was played on 3"),
        ([0.0] * 20, [1.0] * 4 + [0.0] * 16, PromotionGate(), "p = 0.12, .* takes about 28 test tasks"),
        ([1.0] * 4 + [0.0] * 16, [0.0] * 20, PromotionGate(), "p = 0.12, where less than 0.05 is asked for$"),
    ],
)
def test_too_few_tasks_promote_nothing_and_it_is_said_how_many_would(
    before: list[float], after: list[float], gate: PromotionGate, why: str
) -> None:
    with pytest.raises(RunError) as refused:
        promote("model", "d" * 64, [of(*before, label="base"), of(*after)], gate)
    assert re.search(why, refused.value.what)


def test_all_rollouts_of_a_task_count_in_a_comparison_and_go_together() -> None:
    def played(label: str, rate: float) -> Evaluation:
        made = [rollout(f"t{n}", m, float((7 * n + 3 * m) % 10 < 10 * rate)) for n in range(12) for m in range(8)]
        return summary(made, label, per_task=8)

    found = compare(played("base", 0.2), played("trained", 0.6))
    assert found.is_clear
    assert found.chance == f"exact paired p = {found.p_value:.2g}"
    assert found.chance in sentence(found)


@pytest.mark.parametrize(
    ("evaluations", "gate", "why"),
    [
        ([of(*GOOD, label="base")], PromotionGate(), "no evaluation of trained"),
        ([of(*GOOD)], PromotionGate(), "no evaluation of base"),
        ([of(*GOOD, label="base"), of(*GOOD)], PromotionGate(), "not clearly better than base"),
        ([of(*GOOD)], PromotionGate(0.95, ""), "as low as"),
        ([of(*GOOD, paid=1.0)], PromotionGate(0.0, ""), "paid like a success"),
    ],
)
def test_a_model_that_misses_the_gate_is_refused_with_each_number(
    evaluations: list[Evaluation], gate: PromotionGate, why: str
) -> None:
    with pytest.raises(RunError, match=why):
        promote("model", "d" * 64, evaluations, gate)


def test_what_is_paid_like_a_success_is_measured_by_the_least_paid_success() -> None:
    made = [rollout("a", 0, 1.0, 0.8), rollout("b", 0, 0.0, 0.8), rollout("c", 0, 0.0, 0.7), rollout("d", 0, 0.0, 1.0)]
    assert unearned_share(summary(made)) == 0.5
    assert unearned_share(of(0.0, 0.0, paid=0.9)) == 0.0
    assert unearned_share(of(0.0, 0.0, paid=1.0)) == 1.0
    assert unearned_share(replace(of(1.0), rewards={})) == 0.0


NEARLY = 0.7 + 0.2 + 0.1


def test_a_score_that_is_the_threshold_but_for_rounding_is_a_success_everywhere() -> None:
    assert NEARLY < 1.0
    evaluation = of(NEARLY, 1.0, 0.999)
    assert evaluation.successes == 2
    assert evaluation.pass_at["1"] == pytest.approx(2 / 3)
    assert [evaluation.succeeded(task) for task in ("t0", "t1", "t2")] == [[True], [True], [False]]
    assert unearned_share(of(NEARLY, paid=1.0)) == 0.0


def test_a_rollout_that_failed_is_no_success_even_where_nothing_is_asked() -> None:
    failed = rollout("a", 0, None, ending="error", error="gone")
    evaluation = summary([failed, rollout("b", 0, 0.0)], success_threshold=0.0)
    assert evaluation.successes == 1
    assert evaluation.pass_at["1"] == 0.5
