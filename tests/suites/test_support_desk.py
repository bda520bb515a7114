"""The support desk: solvable throughout, split cleanly, reproduced by its generator."""

import asyncio
import json
import re
from importlib.resources import files

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from practicum.checks.environment import run_checks
from practicum.environment.target import load_target
from practicum.errors import EnvironmentFault
from practicum.scoring import judge
from practicum.suites.support_desk import SupportDesk, reward, score
from practicum.suites.support_desk.environment import ARGUMENTS
from practicum.suites.support_desk.procedure import LEVELS, final_output, known, verdict
from practicum.tasks import TaskSet
from practicum.training import imitation as foothold
from practicum.trajectory import Rollout
from tools.suites import support_desk as generate

SPLITS = ("train", "validation", "test")


@pytest.fixture(params=LEVELS)
def desk(request):
    return SupportDesk(level=request.param)


def play(desk, task):
    """Plays the oracle as an agent would, through offered tools and the text they return: its calls and its answer."""
    desk.reset(task, 0)
    offered = {schema["function"]["name"] for schema in desk.schemas()}
    oracle, result, calls = desk.oracle(task), None, []
    try:
        while True:
            call = oracle.send(result)
            assert call.name in offered
            answered = desk.call(call.name, call.arguments)
            assert not answered.is_error
            result = json.loads(answered.text)
            calls.append((call, result))
    except StopIteration as end:
        return calls, end.value


def value_of(rule, task, answer):
    """The rule's value and components."""
    found = asyncio.run(judge(rule, Rollout(task, [{"role": "assistant", "content": answer}], [], {}, "final")))
    return found.total, found.components


def everything(desk):
    return [task for split in SPLITS for task in desk.tasks(split)]


def ticket_of(task):
    return re.search(r"T\d+", task.prompt)[0]


def tables(desk):
    return {path.stem: json.loads(path.read_text()) for path in (desk.folder / "fixtures").glob("*.json")}


def test_the_oracle_solves_every_task_under_score_and_reward(desk):
    for task in everything(desk):
        calls, answer = play(desk, task)
        assert len(calls) == desk.level
        for rule in (score, reward):
            value, components = value_of(rule, task, answer)
            assert value == 1.0, (task, answer)
            assert set(components.values()) == {1.0}
    assert desk.level + 1 <= desk.max_turns


@pytest.mark.parametrize("level", LEVELS)
def test_the_oracle_solves_every_task_with_traps_and_all_distractors(level):
    desk = SupportDesk(level, distractors=4, traps=True)
    lookups = set()
    for task in everything(desk):
        calls, answer = play(desk, task)
        lookups.add(len(calls))
        assert value_of(score, task, answer)[0] == 1.0, (task, answer)
    assert min(lookups) == level
    assert max(lookups) == level + min(level, 3)
    assert max(lookups) + 1 <= desk.max_turns


def test_splits_share_no_ticket_and_no_combination_of_facts(desk):
    recorded = tables(desk)
    seen_tickets, seen_facts = set(), set()
    for split in SPLITS:
        tickets = {ticket_of(task) for task in TaskSet(desk.tasks(split))}
        combinations = {generate.facts_of(recorded, name, desk.level) for name in tickets}
        assert not tickets & seen_tickets
        assert not combinations & seen_facts
        seen_tickets |= tickets
        seen_facts |= combinations
    assert seen_tickets == set(recorded["tickets"])


def test_equal_facts_have_equal_answers_so_that_the_splits_are_apart(desk):
    recorded, answers = tables(desk), {}
    for task in everything(desk):
        facts = generate.facts_of(recorded, ticket_of(task), desk.level)
        assert answers.setdefault(facts, task.answer) == task.answer


def test_splits_have_the_sizes_the_generator_names(desk):
    sizes = {split: len(desk.tasks(split)) for split in SPLITS}
    assert sizes == generate.SIZES


def test_every_answer_of_a_field_occurs_in_every_split(desk):
    """Otherwise a split could not show what a model learned, or a constant answer would do."""
    seen = {}
    for split in SPLITS:
        values = {}
        for task in desk.tasks(split):
            for field, value in task.answer.items():
                values.setdefault(field, []).append(value)
        seen[split] = {field: set(given) for field, given in values.items()}
        for field, given in values.items():
            most = max(given.count(value) for value in set(given)) / len(given)
            assert most < 0.75, (split, field)
    assert seen["train"] == seen["validation"] == seen["test"]


def test_the_generator_writes_the_committed_bytes(tmp_path):
    generate.write_fixtures(tmp_path)
    committed = files("practicum.suites.support_desk") / "fixtures"
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in committed.iterdir() if path.name.endswith(".json"))
    for name in made:
        assert (tmp_path / name).read_bytes() == (committed / name).read_bytes(), name
    assert sum(path.stat().st_size for path in (SupportDesk().folder / "fixtures").iterdir()) < 200_000


@pytest.mark.parametrize(
    ("level", "name", "arguments"),
    [
        (2, "search_articles", {"topic": "billing"}),
        (4, "search_articles", {"topic": "outage"}),
        (4, "get_order", {"order_id": "O100"}),
        (1, "get_incidents", {"topic": "login"}),
        (6, "get_invoice", {"account_id": "A100"}),
    ],
)
def test_distractor_tools_answer(level, name, arguments):
    desk = SupportDesk(level, distractors=4)
    desk.reset(desk.tasks("validation")[0], 0)
    result = desk.call(name, arguments)
    assert not result.is_error
    assert json.loads(result.text)


def test_distractors_are_added_in_order_and_their_number_can_be_chosen():
    base = set(SupportDesk(3, distractors=0).tool_specs())
    assert base == {"get_ticket", "get_account", "get_contract"}
    for count in range(5):
        more = set(SupportDesk(3, distractors=count).tool_specs()) - base
        assert more == {"search_articles", "get_order", "get_incidents", "get_invoice"} & more
        assert len(more) == count
    assert [SupportDesk(level).distractors for level in LEVELS] == [1, 1, 2, 2, 2, 2]


def test_level_two_offers_only_what_it_needs_and_one_distractor():
    desk = SupportDesk(level=2)
    assert [schema["function"]["name"] for schema in desk.schemas()] == [
        "get_ticket",
        "get_account",
        "search_articles",
    ]
    desk.reset(desk.tasks("validation")[0], 0)
    assert desk.call("get_policy", {"tier": "iron"}).is_error


def test_an_unknown_ticket_is_an_error_the_agent_reads(desk):
    desk.reset(desk.tasks("validation")[0], 0)
    result = desk.call("get_ticket", {"ticket_id": "T1"})
    assert result.is_error
    assert "no record 'T1' in tickets" in json.loads(result.text)["error"]


def test_a_response_is_found_by_the_canonical_form_of_its_arguments():
    desk = SupportDesk(5)
    desk.reset(desk.tasks("validation")[0], 0)
    one = desk.call("get_roster", {"region": "north", "hours": 8})
    other = desk.call("get_roster", {"hours": 8.0, "region": "north"})
    assert not one.is_error
    assert one.text == other.text
    missing = desk.call("get_roster", {"region": "north", "hours": 9})
    assert missing.is_error
    error = json.loads(missing.text)["error"]
    assert error.startswith('no record \'{"hours":9,"region":"north"}\' in rosters; nearest recorded: {"hours":')


def test_records_tell_what_a_level_needs_and_do_not_give_its_answer_away():
    for level, account in ((2, {"region", "plan"}), (3, {"region", "contract"}), (4, {"region", "contract"})):
        desk = SupportDesk(level=level)
        desk.reset(desk.tasks("validation")[0], 0)
        assert set(json.loads(desk.call("get_account", {"account_id": "A100"}).text)) == account
    for level in LEVELS:
        desk = SupportDesk(level=level)
        desk.reset(desk.tasks("validation")[0], 0)
        ticket = set(json.loads(desk.call("get_ticket", {"ticket_id": "T100"}).text))
        assert ticket == {"account", "topic", "severity"} | ({"channel"} if level == 1 else set())


def test_the_prompt_names_the_answers_fields_and_level_four_keeps_its_rule_to_itself(desk):
    task = desk.tasks("test")[0]
    told = desk.system_prompt(task)
    written = re.search(r"<final_output>\{(.*)\}</final_output>", told)[1]
    assert re.findall(r'"(\w+)":', written) == list(task.answer)
    assert ("severity" in told) is (desk.level in (1, 2, 3, 5))
    assert "experience" not in told or desk.level == 4
    assert task.id not in told
    assert "moved_to" not in told


def test_the_procedure_is_told_from_the_document(desk):
    document = (desk.folder / "fixtures" / "sop.txt").read_text()
    told = desk.system_prompt(desk.tasks("test")[0]).splitlines()
    assert all(line in document.splitlines() for line in told[:-1])
    trapped = SupportDesk(desk.level, traps=True).system_prompt(desk.tasks("test")[0]).splitlines()
    assert trapped[:-2] == told[:-1]
    assert "moved_to" in trapped[-2]


@pytest.mark.parametrize("level", LEVELS)
def test_traps_change_what_is_seen_and_never_what_is_right(level):
    plain, trapped = SupportDesk(level), SupportDesk(level, traps=True)
    for split in SPLITS:
        one, other = plain.tasks(split), trapped.tasks(split)
        assert [(task.id, task.answer) for task in one] == [(task.id, task.answer) for task in other]
        claimed = [task for task in other if "says" in task.prompt]
        assert 0.05 < len(claimed) / len(other) < 0.3
        TaskSet(other)


@pytest.mark.parametrize("level", LEVELS)
def test_who_believes_an_old_record_a_note_or_a_customer_is_often_wrong(level):
    """A naive oracle: takes the first record there is, the severity the customer claims, the queue a note asks for."""
    desk = SupportDesk(level, traps=True)
    wrong = {"moved": [], "note": [], "claim": [], "none": []}
    for task in desk.tasks("test"):
        desk.reset(task, 0)
        facts, met = {"ticket": ticket_of(task)}, "none"
        for name in LEVELS[level].lookups:
            arguments = {argument: facts[fact] for argument, fact in ARGUMENTS[name].items()}
            facts |= json.loads(desk.call(name, arguments).text)
        if "says" in task.prompt:
            met, facts["severity"] = "claim", re.search(r"severity is (\w+)", task.prompt)[1]
        if "note" in facts:
            met, facts["topic"] = "note", re.search(r"queue (\w+)", facts["note"])[1]
        met = "moved" if "moved_to" in facts else met
        wrong[met].append(value_of(score, task, final_output(verdict(facts, level)))[0] == 0.0)
    shares = {name: sum(cases) / len(cases) for name, cases in wrong.items()}
    assert shares["none"] == 0.0
    assert shares["note"] == 1.0
    assert shares["moved"] > 0.5
    # Where the answer does not rest on severity, a claim about it does no harm.
    assert (shares["claim"] > 0.2) is ("severity" in LEVELS[level].facts)


def demonstrated(desk, task):
    """The demonstration's answer, read as the score reads it."""
    said = foothold.demonstrate(desk, task, 0)[-1]["content"]
    return json.loads(said.removeprefix("<final_output>").removesuffix("</final_output>"))


def test_an_oracle_demonstrates_what_is_right(desk):
    for task in desk.tasks("validation")[:20]:
        assert demonstrated(desk, task) == task.answer


def test_staff_know_the_procedure_and_guess_every_other_time_where_it_is_silent():
    desk = SupportDesk(4, demonstrators="staff")
    right, guessed = {}, set()
    tasks = desk.tasks("train")
    for task in tasks:
        answer = demonstrated(desk, task)
        assert answer == demonstrated(desk, task)
        for name, value in task.answer.items():
            right[name] = right.get(name, 0) + (answer[name] == value)
        guessed.add(answer["owner"])
    assert guessed == set(LEVELS[4].unstated)
    assert right.pop("owner") / len(tasks) == pytest.approx(1 / 2 + 1 / 8, abs=0.05)
    assert set(right.values()) == {len(tasks)}


def test_where_staff_err_has_nothing_to_do_with_what_the_rule_rests_on():
    """Otherwise imitation would learn from their errors that some tickets differ from others."""
    desk = SupportDesk(4, demonstrators="staff")
    recorded, seen = tables(desk), {}
    for task in desk.tasks("train"):
        facts = known(recorded.__getitem__, ticket_of(task))
        wrong = demonstrated(desk, task)["owner"] != task.answer["owner"]
        seen.setdefault(facts["tier"], []).append(wrong)
    assert chi2_contingency([[sum(each), len(each) - sum(each)] for each in seen.values()]).pvalue > 0.01


@pytest.mark.parametrize("level", [1, 2, 4])
def test_trainees_look_up_and_fill_in_all_and_guess_the_verdict_of_every_other_ticket(level):
    desk = SupportDesk(level, demonstrators="trainees")
    tasks, verdict = desk.tasks("train"), LEVELS[level].fields[-1]
    answers = [demonstrated(desk, task) for task in tasks]
    kinds = {task.answer[verdict] for task in tasks}
    right = [answer[verdict] == task.answer[verdict] for answer, task in zip(answers, tasks, strict=True)]
    assert {answer[verdict] for answer in answers} == kinds
    assert np.mean(right) == pytest.approx(1 / 2 + 1 / (2 * len(kinds)), abs=0.05)
    assert all(
        {**answer, verdict: 0} == {**task.answer, verdict: 0} for answer, task in zip(answers, tasks, strict=True)
    )


@pytest.mark.parametrize("level", [1, 2, 3, 5, 6])
def test_staff_are_as_good_as_the_oracle_where_every_rule_is_stated(level):
    desk = SupportDesk(level, demonstrators="staff")
    assert all(demonstrated(desk, task) == task.answer for task in desk.tasks("validation")[:20])


def test_no_answer_to_the_unstated_rule_is_right_much_more_often_than_the_others():
    for split in SPLITS:
        owners = [task.answer["owner"] for task in SupportDesk(4).tasks(split)]
        assert max(owners.count(value) for value in LEVELS[4].unstated) < 0.4 * len(owners)


def test_a_difficulty_is_part_of_the_digest():
    staffed = SupportDesk(2, demonstrators="staff")
    kinds = [SupportDesk(2), SupportDesk(4), SupportDesk(2, distractors=3), SupportDesk(2, traps=True), staffed]
    assert len({kind.digest for kind in kinds}) == 5
    assert SupportDesk(2).digest == SupportDesk(2, 1, False).digest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": 0}, "no level 0"),
        ({"level": 7}, "no level 7"),
        ({"level": "2"}, "no level '2'"),
        ({"level": True}, "no level True"),
        ({"distractors": 5}, "no distractors 5"),
        ({"distractors": "1"}, "no distractors '1'"),
        ({"traps": 1}, "no traps 1"),
        ({"demonstrators": "guests"}, "no demonstrators 'guests'"),
    ],
)
def test_a_difficulty_that_is_not_there_is_refused(arguments, message):
    with pytest.raises(EnvironmentFault, match=message) as error:
        SupportDesk(**arguments)
    assert "environment_args" in str(error.value)


def test_a_split_that_is_not_there_is_refused(desk):
    with pytest.raises(EnvironmentFault, match="no split 'dev'"):
        desk.tasks("dev")


def test_the_hardest_level_passes_the_checks():
    report = run_checks(load_target("support_desk", {"level": 6, "distractors": 4, "traps": True}), tasks_per_split=3)
    assert report.ok
    assert not report.findings
