"""Agents behind HTTP, checked over real HTTP against the real gateway: what each fault shows, and what is not seen."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from practicum.checks.agent.check_agent import check_agent
from practicum.checks.catalogue import AGENT
from practicum.checks.findings import AgentReport, print_agent
from practicum.environment.target import EnvironmentTarget, target_of
from practicum.errors import RecipeError, RunError
from practicum.recipe import Recipe, load_recipe
from practicum.trajectory import EnvironmentRef, Trajectory, Turn

from . import servers

DESK = Path(__file__).parents[2] / "desk"
REF = EnvironmentRef("test-desk", "1.0.0", "d" * 64)


@pytest.fixture
def recipe(tiny_model: Path) -> Any:
    def of(url: str, **more: Any) -> Recipe:
        overrides = [
            f"model_name={tiny_model}",
            f"environment={DESK}.py:Desk",
            f"agent={url}",
            "sampling_max_tokens=64",
        ]
        return load_recipe(DESK.with_suffix(".yaml"), [*overrides, *(f"{key}={value}" for key, value in more.items())])

    return of


@pytest.fixture
def checked(recipe: Any) -> Any:
    def check(agent: servers.Agent, recorded: Any = (), **more: Any) -> AgentReport:
        with servers.serve(agent) as url:
            found = recipe(url, **more)
            return check_agent(target_of(found), found, recorded)

    return check


def printed(report: AgentReport) -> str:
    out = io.StringIO()
    print_agent(report, Console(file=out, width=200))
    return out.getvalue()


@pytest.mark.parametrize("agent", [servers.Agent, servers.NewIds])
def test_a_sound_agent_passes_and_what_nobody_has_seen_of_it_is_said(checked: Any, agent: servers.AgentOf) -> None:
    report = checked(agent())

    assert report.ok, report.findings
    assert report.findings == ()
    assert report.skipped == {}
    assert set(report.checks) == set(AGENT)
    assert report.rollouts == 12  # two tasks, each with the oracle's answers and drawn ones: alone, again, at once
    text = printed(report)
    assert "passed: 12 rollouts with a scripted model" in text
    assert "not checked  tools and state behind http://127.0.0.1:" in text
    assert "every ENV- check holds for Desk alone" in text
    assert "the agent reports the reward" in text


@pytest.mark.parametrize(
    ("agent", "codes", "shown"),
    [
        (servers.Dated, {"AGENT-REPEAT"}, "It is "),
        (servers.Counting, {"AGENT-REPEAT"}, "seen"),
        (servers.Dicing, {"AGENT-REPEAT"}, "rewards"),
        (servers.Moody, {"AGENT-REPEAT"}, '"failure": "policy"'),
        (servers.Shared, {"AGENT-INTERLEAVE"}, "colour"),
        (servers.Generous, {"AGENT-ABOVE"}, "reward  0.5, score 0"),
        (servers.Blind, {"AGENT-RANGE", "AGENT-FLAT", "AGENT-ABOVE", "AGENT-RANK"}, "reward  3"),
    ],
)
def test_a_faulty_agent_is_found_out(checked: Any, agent: servers.AgentOf, codes: set[str], shown: str) -> None:
    report = checked(agent())
    found = {finding.code for finding in report.findings}

    assert codes <= found
    assert found <= codes | {"AGENT-ABOVE", "AGENT-RANK"}
    assert any(shown in finding.difference for finding in report.findings)
    if agent is not servers.Blind:
        assert not report.ok


def test_an_agent_whose_rollouts_fail_is_a_fault_and_nothing_else_of_it_passes(checked: Any) -> None:
    report = checked(servers.Broken())

    assert [finding.code for finding in report.findings] == ["AGENT-FAULT"]
    assert "KeyError" in report.findings[0].difference
    assert report.checks == ("AGENT-FAULT",)
    assert set(report.skipped) == set(AGENT) - {"AGENT-FAULT"}
    assert "mend that first" in report.skipped["AGENT-REPEAT"]
    assert not report.ok


def test_an_agent_that_raises_over_text_it_cannot_read_passes_where_it_does_so_each_time(checked: Any) -> None:
    report = checked(servers.Strict())

    assert report.findings == ()
    assert set(report.checks) == set(AGENT)
    assert report.rollouts == 12


def test_where_only_drawn_answers_are_played_and_none_can_be_read_nothing_is_said_of_the_agents_ending(
    checked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EnvironmentTarget, "has_oracle", property(lambda target: False))
    report = checked(servers.Strict())

    assert report.findings == ()
    assert "give an oracle, or rollouts on record" in report.skipped["AGENT-FAULT"]
    assert {"AGENT-REPEAT", "AGENT-TOOLS"} <= set(report.checks)


def test_an_agent_with_other_tools_is_warned_of_as_a_placeholders_certificate(checked: Any) -> None:
    report = checked(servers.Elsewhere())

    finding = next(each for each in report.findings if each.code == "AGENT-TOOLS")
    assert finding.severity == "warn"
    assert {"- look", "+ peek"} <= set(finding.difference.splitlines())


def test_an_agent_that_plays_one_rollout_after_the_other_has_not_passed_what_was_not_tried(checked: Any) -> None:
    report = checked(servers.OneAtATime())

    assert report.ok
    assert "AGENT-INTERLEAVE" not in report.checks
    assert "one rollout after the other" in report.skipped["AGENT-INTERLEAVE"]
    assert "7 ok, 1 skipped" in printed(report)


def test_a_dead_agent_is_an_error_that_names_its_address(recipe: Any) -> None:
    with servers.serve(servers.Agent()) as url:
        pass
    found = recipe(url)
    with pytest.raises(RunError, match="the agent does not answer") as refused:
        check_agent(target_of(found), found)
    assert refused.value.where.startswith(url)


def test_without_a_model_nobody_can_answer_it(recipe: Any) -> None:
    found = recipe("http://127.0.0.1:9").model_copy(update={"model_name": None})
    with pytest.raises(RecipeError, match="no model_name"):
        check_agent(target_of(found), found)


def on_record(number: int, reward: float, score: float) -> Trajectory:
    said = {"role": "assistant", "content": f"recorded words {number}"}
    turn = Turn(({"role": "user", "content": "Box 0?"},), said, (1,), (2,), (-0.1,), (0,), "stop")
    made = Trajectory(f"r{number}", f"test-{200 + number}", f"g{number}", number, REF, (turn,), (), "final")
    return replace(made, rewards=(reward,), score=score)


@pytest.mark.parametrize(
    ("pairs", "codes"),
    [
        ([(1.0, 1.0), (0.0, 0.0)], set()),
        ([(0.0, 0.0), (0.0, 0.0)], {"AGENT-FLAT"}),
        ([(1.0, 1.0), (0.4, 0.0)], {"AGENT-ABOVE"}),
        ([(0.7, 1.0), (0.7, 0.0), (0.0, 0.0)], {"AGENT-ABOVE", "AGENT-RANK"}),
        ([(-2.0, 0.0), (1.0, 1.0)], {"AGENT-RANGE"}),
    ],
)
def test_a_baselines_rewards_stand_beside_its_scores(checked: Any, pairs: Any, codes: set[str]) -> None:
    recorded = [on_record(number, reward, score) for number, (reward, score) in enumerate(pairs)]
    report = checked(servers.Agent(), recorded)

    assert {finding.code for finding in report.findings if finding.severity == "fail"} == codes
    assert report.rewards == f"{len(pairs)} recorded"


def test_recorded_answers_are_played_again(recipe: Any) -> None:
    heard = []

    class Listening(servers.Agent):
        def reward(self, prompt: str, answer: str) -> float:
            heard.append(answer)
            return super().reward(prompt, answer)

    with servers.serve(Listening()) as url:
        found = recipe(url)
        check_agent(target_of(found), found, [on_record(1, 0.0, 0.0)])
    assert heard.count("recorded words 1") == 3


def test_a_report_is_plain_data_with_its_counts(checked: Any) -> None:
    data = json.loads(json.dumps(checked(servers.OneAtATime()).to_dict()))
    assert data["counts"] == {"ok": 7, "skipped": 1}
    assert data["ok"] is True
    assert len(data["unchecked"]) == 3


def test_a_reward_that_documents_its_parts_may_pay_for_them(recipe: Any) -> None:
    def reward(rollout: Any) -> float:
        return 0.0

    reward.excuses = {"above-score": "half is for trying"}
    with servers.serve(servers.Generous()) as url:
        found = recipe(url)
        report = check_agent(replace(target_of(found), reward=reward), found)
    assert "AGENT-ABOVE" not in {finding.code for finding in report.findings}
