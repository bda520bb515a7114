"""The support desk: solvable throughout, split cleanly, reproduced by its generator."""

import asyncio
import json
import re
from importlib.resources import files

import pytest

from practicum.errors import EnvironmentFault
from practicum.scoring import judge
from practicum.suites.support_desk import SupportDesk, generate, reward, score
from practicum.tasks import TaskSet
from practicum.trajectory import Rollout

SPLITS = ("train", "validation", "test")
LEVELS = (2, 4)


@pytest.fixture(params=LEVELS)
def desk(request):
    return SupportDesk(level=request.param)


def solved(desk, task):
    """Plays the oracle as an agent would: only through offered tools and the text they return."""
    desk.reset(task, 0)
    offered = {schema["function"]["name"] for schema in desk.schemas()}
    oracle, result, calls = desk.oracle(task), None, 0
    try:
        while True:
            call = oracle.send(result)
            assert call.name in offered
            answered = desk.call(call.name, call.arguments)
            assert not answered.is_error
            result, calls = json.loads(answered.text), calls + 1
    except StopIteration as end:
        message = {"role": "assistant", "content": end.value}
    assert calls == desk.level
    assert calls + 1 <= desk.max_turns
    return Rollout(task, [message], [], desk.final_state(), "final")


@pytest.mark.parametrize("split", SPLITS)
def test_the_oracle_solves_every_task_under_score_and_reward(desk, split):
    for task in desk.tasks(split):
        rollout = solved(desk, task)
        for rule in (score, reward):
            judgement = asyncio.run(judge(rule, rollout))
            assert judgement.total == 1.0, (task, rollout.answer)
            assert set(judgement.components.values()) == {1.0}


TABLES = ("tickets", "accounts", "contracts")


def test_splits_share_no_ticket_and_no_combination_of_facts(desk):
    tables = {name: json.loads((desk.folder / "fixtures" / f"{name}.json").read_text()) for name in TABLES}
    seen_tickets, seen_facts = set(), set()
    for split in SPLITS:
        tickets, combinations = set(), set()
        for task in TaskSet(desk.tasks(split)):
            name = re.search(r"T\d+", task.prompt)[0]
            ticket = tables["tickets"][name]
            account = tables["accounts"][ticket["account"]]
            contract = tables["contracts"][account["contract"]]
            deep = (account["plan"],) if desk.level == 2 else (contract["tier"], contract["term"])
            tickets.add(name)
            combinations.add((ticket["topic"], ticket["severity"], account["region"], *deep))
        assert not tickets & seen_tickets
        assert not combinations & seen_facts
        seen_tickets |= tickets
        seen_facts |= combinations
    assert seen_tickets == set(tables["tickets"])


def test_splits_have_the_sizes_the_generator_names(desk):
    sizes = {split: len(desk.tasks(split)) for split in SPLITS}
    assert sizes == generate.SIZES


def test_every_answer_of_a_field_occurs_in_every_split(desk):
    """Otherwise a split could not show what a model learned, or a constant answer would do."""
    everything = {}
    for split in SPLITS:
        values = {}
        for task in desk.tasks(split):
            for field, value in task.answer.items():
                values.setdefault(field, []).append(value)
        everything[split] = {field: set(given) for field, given in values.items()}
        for field, given in values.items():
            most = max(given.count(value) for value in set(given)) / len(given)
            assert most < 0.75, (split, field)
    assert everything["train"] == everything["validation"] == everything["test"]


def test_the_generator_writes_the_committed_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "__file__", str(tmp_path / "generate.py"))
    generate.main()
    committed = files("practicum.suites.support_desk") / "fixtures"
    made = sorted(path.name for path in (tmp_path / "fixtures").iterdir())
    assert made == sorted(path.name for path in committed.iterdir())
    for name in made:
        assert (tmp_path / "fixtures" / name).read_bytes() == (committed / name).read_bytes(), name


@pytest.mark.parametrize(
    ("level", "name", "arguments"),
    [
        (2, "search_articles", {"topic": "billing"}),
        (4, "search_articles", {"topic": "outage"}),
        (4, "get_order", {"order_id": "O100"}),
    ],
)
def test_distractor_tools_answer(level, name, arguments):
    desk = SupportDesk(level=level)
    desk.reset(desk.tasks("train")[0], 0)
    result = desk.call(name, arguments)
    assert not result.is_error
    assert json.loads(result.text)


def test_level_two_offers_only_what_it_needs_and_one_distractor():
    desk = SupportDesk(level=2)
    assert [schema["function"]["name"] for schema in desk.schemas()] == [
        "get_ticket",
        "get_account",
        "search_articles",
    ]
    desk.reset(desk.tasks("train")[0], 0)
    assert desk.call("get_policy", {"tier": "iron"}).is_error


def test_an_unknown_ticket_is_an_error_the_agent_reads(desk):
    desk.reset(desk.tasks("train")[0], 0)
    result = desk.call("get_ticket", {"ticket_id": "T1"})
    assert result.is_error
    assert "no record 'T1' in tickets" in json.loads(result.text)["error"]


def test_an_account_does_not_give_the_lower_levels_answer_away():
    for level, shown in ((2, {"region", "plan"}), (4, {"region", "contract"})):
        desk = SupportDesk(level=level)
        desk.reset(desk.tasks("train")[0], 0)
        assert set(json.loads(desk.call("get_account", {"account_id": "A100"}).text)) == shown


def test_the_prompt_names_the_answers_fields_and_level_four_keeps_its_rule_to_itself(desk):
    task = desk.tasks("test")[0]
    told = desk.system_prompt(task)
    written = re.search(r"<final_output>\{(.*)\}</final_output>", told)[1]
    assert re.findall(r'"(\w+)":', written) == list(task.answer)
    assert ("severity" in told) is (desk.level == 2)
    assert task.id not in told


def test_a_level_is_part_of_the_digest_and_others_are_refused():
    assert SupportDesk(2).digest != SupportDesk(4).digest
    assert SupportDesk(2).digest == SupportDesk(2).digest
    with pytest.raises(EnvironmentFault, match="no level 3"):
        SupportDesk(3)
    with pytest.raises(EnvironmentFault, match="no split 'dev'"):
        SupportDesk(2).tasks("dev")
