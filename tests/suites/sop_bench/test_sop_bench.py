"""SOP-Bench from a path: episodes on a domain of our own in its layout, and their strict score."""

import asyncio
import json

import pytest

from practicum.checks.environment import run_checks
from practicum.environment import Call
from practicum.environment.target import load_target
from practicum.scoring import judge
from practicum.suites.sop_bench import reward, score
from practicum.tasks import TaskSet

SPLITS = ("train", "validation", "test")


def total(rule, rollout):
    return asyncio.run(judge(rule, rollout)).total


def answered(recorder, label):
    recorder.say(f"<final_output>{json.dumps(label)}</final_output>")
    return recorder.end()


def test_the_labels_solve_every_case_after_a_walk_through_the_tools(made, solved):
    desk = made()
    for split in SPLITS:
        for task in TaskSet(desk.tasks(split)):
            rollout = solved(desk, task)
            assert total(score, rollout) == total(reward, rollout) == 1.0
            assert [m["name"] for m in rollout.messages if m["role"] == "tool"] == [
                "find_parcel",
                "quote",
                "desk_state",
            ]


def test_the_agent_is_given_the_inputs_the_procedure_and_the_form_of_the_answer(made):
    desk = made()
    task = next(task for split in SPLITS for task in desk.tasks(split) if "P013" in task.prompt)
    assert task.prompt == "parcel_id: P013\nweight: 4"
    told = desk.system_prompt(task)
    assert told.startswith("Refunds for late parcels\n1. Look the parcel up.")
    assert (
        '<final_output>{"decision": text, "amount": whole number, "share": number, "urgent": true or false, '
        '"notes": list or object, "reason": text or null}</final_output>'
    ) in told


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("decision", "refund "),
        ("decision", "REFUND"),
        ("decision", "refund or keep"),
        ("amount", "16"),
        ("share", True),
        ("urgent", "true"),
        ("notes", "late"),
        ("reason", None),
        ("reason", "unknown"),
        ("reason", ""),
    ],
)
def test_the_score_is_strict_where_the_benchmarks_own_is_not(made, begun, field, value):
    desk = made()
    task = next(task for split in SPLITS for task in desk.tasks(split) if "P006" in task.prompt)
    assert score(answered(begun(desk, task), dict(task.answer)))[0] == 1.0
    assert score(answered(begun(desk, task), {**task.answer, field: value}))[0] == 0.0


def test_one_constant_answer_does_not_score_in_every_case(made, begun):
    desk = made()
    tasks = desk.tasks("test")
    for constant in (dict(tasks[0].answer), dict.fromkeys(tasks[0].answer), dict.fromkeys(tasks[0].answer, "")):
        scores = [score(answered(begun(desk, task), constant))[0] for task in tasks]
        assert sum(scores) < len(scores) / 4


def test_what_tools_return_is_json_whatever_they_return(made, begun):
    desk = made()
    recorder = begun(desk, desk.tasks("test")[0])
    found = json.loads(recorder.call(Call("find_parcel", {"parcel_id": "P006"})))
    assert found == {"zone": "A", "days_late": 6, "insured": True}
    quoted = json.loads(recorder.call(Call("quote", {"zone": "A", "days_late": 6})))
    assert quoted == {"allowed": 1.0, "rest": None, "drafts": 1}


def test_what_tools_refuse_is_an_error_the_agent_reads(made, begun):
    desk = made()
    recorder = begun(desk, desk.tasks("test")[0])
    recorder.call(Call("find_parcel", {"parcel_id": "P999"}))
    recorder.call(Call("quote", {"zone": "C", "days_late": 1}))
    recorder.call(Call("quote", {"zone": "A", "days_late": 1, "colour": "red"}))
    recorder.call(Call("find_parcel", {"parcel_id": "P" * 11}))
    told = ["ValueError: no parcel P999", "'C' is not one of", "'colour' was unexpected", "is too long"]
    assert all(part in error for part, error in zip(told, recorder.errors, strict=True))


def test_nothing_a_tool_module_keeps_is_shared_between_episodes(made, begun):
    one, other = made(), made()
    task = one.tasks("test")[0]
    first, second = begun(one, task), begun(other, task)
    first.call(Call("find_parcel", {"parcel_id": "P001"}))
    first.call(Call("quote", {"zone": "A", "days_late": 1}))
    assert json.loads(first.call(Call("desk_state", {})))["seen"] == 1
    seen = json.loads(second.call(Call("desk_state", {})))
    assert (seen["seen"], seen["calls"]) == (0, 0)
    assert json.loads(second.call(Call("quote", {"zone": "A", "days_late": 1})))["drafts"] == 1
    again = json.loads(begun(one, task).call(Call("desk_state", {})))
    assert (again["seen"], again["calls"]) == (0, 0)


def test_clock_and_chance_in_the_tools_are_the_episodes(made, begun):
    import random

    import numpy as np

    random.seed(5)
    np.random.seed(5)
    desk, (task, other) = made(), made().tasks("test")[:2]
    first = [begun(desk, task).call(Call("desk_state", {})) for _ in range(2)]
    assert first[0] == first[1]
    state = json.loads(first[0])
    assert state["now"] == "2026-01-01T00:00:00"
    assert state["seconds"] == 1767225600.0
    different = json.loads(begun(desk, other).call(Call("desk_state", {})))
    assert all(state[name] != different[name] for name in ("draw", "array_draw", "reference"))
    expected = random.Random(5).random()
    assert random.random() == expected  # the process's own generators did not move
    after = np.random.rand()
    np.random.seed(5)
    assert after == np.random.rand()


def test_two_draws_in_one_episode_differ(made, begun):
    desk = made()
    recorder = begun(desk, desk.tasks("test")[0])
    first, second = (json.loads(recorder.call(Call("desk_state", {}))) for _ in range(2))
    assert all(first[name] != second[name] for name in ("draw", "array_draw", "reference"))


def test_what_a_manager_keeps_is_in_the_transition_log(made, begun):
    desk = made()
    recorder = begun(desk, desk.tasks("test")[0])
    recorder.call(Call("find_parcel", {"parcel_id": "P001"}))
    recorder.call(Call("quote", {"zone": "A", "days_late": 1}))
    looked, quoted = desk.transitions
    assert quoted.state == looked.next_state
    assert quoted.next_state != quoted.state


@pytest.mark.timeout(600)
def test_every_check_passes_on_tools_that_are_hard_to_repeat(checkout):
    args = {"path": str(checkout), "domain": "parcel_refunds"}
    report = run_checks(load_target("practicum.suites.sop_bench:SopBench", args), tasks_per_split=1)
    assert [(finding.code, finding.where, finding.difference) for finding in report.findings] == []
    assert not report.explained
