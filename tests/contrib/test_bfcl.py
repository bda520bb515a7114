"""BFCL multi-turn: its ground truth solves it through our tools, and our verdicts are those of its own checker."""

import asyncio
import decimal
import json
import random
import sys
from dataclasses import replace

import pytest

from practicum.environment import Call
from practicum.errors import EnvironmentFault
from practicum.scoring import judge
from practicum.tasks import TaskSet
from practicum.trajectory import Rollout
from practicum_benchmarks.bfcl import BfclMultiTurn, reward, score, turns_of
from practicum_benchmarks.bfcl_data import CATEGORIES, entries, functions
from practicum_benchmarks.bfcl_play import _digest, backends, valid_turns

SPLITS = ("train", "validation", "test")

CONTRADICTION = "multi_turn_miss_func_49"
"""BFCL's own: its ground truth calls a function in a turn in which it is held back."""


def task_of(environment, number):
    return next(task for task in environment.tasks("test") if task.id.endswith(f"_{number}"))


@pytest.fixture
def base():
    return BfclMultiTurn(published=True)


def total(rule, rollout):
    return asyncio.run(judge(rule, rollout)).total


def test_the_ground_truth_solves_all_two_hundred_base_conversations(base, solved):
    tasks = TaskSet(base.tasks("test"))
    rollouts = [solved(base, task) for task in tasks]
    assert [rollout.task.id for rollout in rollouts if score(rollout)[0] != 1.0] == []
    assert len(rollouts) == 200
    assert all(rollout.final_state["turn"] == len(entries("base")[rollout.task.id].script) for rollout in rollouts)


@pytest.mark.parametrize("category", [name for name in CATEGORIES if name != "base"])
def test_the_ground_truth_solves_the_other_categories_too(category, solved):
    environment = BfclMultiTurn(category, published=True)
    tasks = TaskSet(environment.tasks("test"))
    assert len(tasks) == 200
    for task in tasks[::9]:
        if task.id != CONTRADICTION:
            rollout = solved(environment, task)
            assert total(score, rollout) == total(reward, rollout) == 1.0, task.id


def test_the_one_conversation_whose_truth_contradicts_its_tools_is_known(begun):
    environment = BfclMultiTurn("miss_func", published=True)
    recorder = begun(environment, task_of(environment, 49))
    rollout = recorder.follow(environment.oracle(recorder.task))
    assert score(rollout)[0] == 0.0
    assert "unknown tool 'tail'" in recorder.errors[0]


def changed(entry, rng):
    """The ground truth with one thing different: calls left out, doubled, moved, or with another argument."""
    turns = [list(turn) for turn in entry.truth]
    busy = [number for number, turn in enumerate(turns) if turn]
    turn = turns[rng.choice(busy)]
    place, kind = rng.randrange(len(turn)), rng.randrange(5)
    if kind == 0:
        del turn[place]
    elif kind == 1:
        turn.insert(place, turn[place])
    elif kind == 2:
        rng.shuffle(turn)
    elif kind == 3:
        texts = [name for name, value in turn[place].arguments.items() if isinstance(value, str)]
        if texts:
            turn[place] = Call(turn[place].name, {**turn[place].arguments, rng.choice(texts): "other"})
    else:
        turn.clear()
    return turns


def theirs(entry, raw, turns, run):
    """The verdict of bfcl_eval's own checker, which evaluates calls that are written as Python."""
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker

    def line(call):
        return f"{call.name}({', '.join(f'{name}={value!r}' for name, value in call.arguments.items())})"

    written = [[[line(call)] for call in turn] for turn in turns]
    truth = [[line(call) for call in turn] for turn in entry.truth]
    # It keeps instances in its module's globals, by this name.
    return multi_turn_checker(written, truth, raw, "", f"run{run}")["valid"]


@pytest.mark.parametrize("category", CATEGORIES)
def test_verdicts_are_those_of_the_benchmarks_own_checker(category):
    rng, seen, run = random.Random(category), {True: 0, False: 0}, 0
    for entry in list(entries(category).values())[::5]:
        raw = {"id": entry.id, "initial_config": entry.config, "involved_classes": list(entry.owners)}
        open_entry = replace(entry, held_back={})  # their checker asks nobody whether a function was offered
        for turns in (changed(entry, rng), [list(turn) for turn in entry.truth]):
            ours = not valid_turns(open_entry, turns)[1]
            assert ours == theirs(entry, raw, turns, run), (entry.id, turns)
            seen[ours], run = seen[ours] + 1, run + 1
    assert min(seen.values()) >= 10


def test_doing_nothing_or_only_talking_earns_nothing(base, begun):
    for number in range(0, 200, 20):
        recorder = begun(base, task_of(base, number))
        while recorder.say("Done.") is not None:
            pass
        rollout = recorder.end()
        assert score(rollout)[0] == reward(rollout)[0] == 0.0
        assert score(rollout)[1]["wrong/empty"] == 1.0


@pytest.mark.parametrize("category", ["miss_func", "miss_param"])
def test_doing_nothing_earns_nothing_where_the_first_turn_asks_for_nothing(category, begun):
    environment = BfclMultiTurn(category, published=True)
    for task in environment.tasks("test")[::40]:
        recorder = begun(environment, task)
        while recorder.say("Done.") is not None:
            pass
        assert reward(recorder.end())[0] == 0.0


def test_part_of_a_conversation_earns_part_of_the_reward_and_no_score(base, begun):
    recorder = begun(base, task_of(base, 0))
    truth = entries("base")["multi_turn_base_0"].truth
    for calls in truth[:2]:
        for call in calls:
            recorder.call(call)
        recorder.say("Done.")
    unfinished = recorder.end("max_turns")
    assert score(unfinished) == (0.0, pytest.approx(score(unfinished)[1]))
    assert score(unfinished)[1]["wrong/unfinished"] == 1.0
    assert reward(unfinished)[0] == pytest.approx(0.5 * 2 / len(truth))


def test_a_turn_that_was_not_finished_is_not_judged(base, begun):
    recorder = begun(base, task_of(base, 1))
    for call in entries("base")["multi_turn_base_1"].truth[0]:
        recorder.call(call)
    assert reward(recorder.end("length"))[0] == 0.0


def test_the_user_speaks_by_the_script_whatever_the_agent_says(base, begun):
    entry = entries("base")["multi_turn_base_0"]
    recorder = begun(base, task_of(base, 0))
    assert recorder.task.prompt == entry.script[0]
    assert [recorder.say(text) for text in ("ok", "", "What?", "bye")] == [*entry.script[1:], None]


def test_functions_held_back_come_with_the_user_who_brings_them(begun):
    environment = BfclMultiTurn("miss_func", published=True)
    entry = entries("miss_func")["multi_turn_miss_func_0"]
    assert entry.held_back == {3: ("sort",)}
    recorder = begun(environment, task_of(environment, 0))
    for _ in range(3):
        assert "sort" not in {schema["function"]["name"] for schema in environment.schemas()}
        assert "unknown tool 'sort'" in recorder.call(Call("sort", {"file_name": "final_report.pdf"}))
        told = recorder.say("I cannot.")
    assert "updated some more functions" in told
    assert '"name": "sort"' in told
    assert "unknown tool" not in recorder.call(Call("sort", {"file_name": "final_report.pdf"}))


def test_only_the_conversations_own_functions_are_offered(base, begun):
    begun(base, task_of(base, 0))
    offered = {schema["function"]["name"] for schema in base.schemas()}
    assert {functions()[name].owner for name in offered} == {"TwitterAPI", "GorillaFileSystem"}
    base.close()
    assert len(base.schemas()) == len(functions()) == 128


def test_splits_share_no_conversation_and_the_categories_are_split_alike():
    numbers = {}
    for category in CATEGORIES:
        environment = BfclMultiTurn(category)
        for split in SPLITS:
            tasks = TaskSet(environment.tasks(split))
            found = {task.id.rpartition("_")[2] for task in tasks}
            assert numbers.setdefault(split, found) == found
    assert sorted(map(len, numbers.values())) == [19, 42, 138]
    assert len(set.union(*numbers.values())) == 199  # one of two that begin with the same words is left out


def test_turns_are_read_from_the_scripts_words_only(base, begun):
    recorder = begun(base, task_of(base, 0))
    entry = entries("base")["multi_turn_base_0"]
    recorder.call(entry.truth[0][0])
    recorder.messages.append({"role": "user", "content": "Please go on."})
    recorder.call(entry.truth[0][1])
    recorder.say("Done.")
    recorder.messages[-1]["content"] = [{"type": "text", "text": recorder.messages[-1]["content"]}]
    recorder.call(entry.truth[1][0])
    assert turns_of(recorder.end(), entry) == [list(entry.truth[0][:2]), [entry.truth[1][0]]]


def test_arguments_that_are_no_json_object_are_a_call_that_failed(base):
    task = task_of(base, 1)
    entry = entries("base")[task.id]
    broken = [{"id": "c", "function": {"name": "ls", "arguments": text}} for text in ('{"a": tr', "[1]")]
    messages = [{"role": "user", "content": task.prompt}, {"role": "assistant", "tool_calls": broken}]
    assert valid_turns(entry, turns_of(Rollout(task, messages, [], {}, "final"), entry)) == (0, "response")


@pytest.mark.parametrize(
    ("name", "arguments", "wrong"),
    [
        ("square_root", {"number": 2, "precision": 10**9}, "greater than the maximum"),
        ("power", {"base": 10, "exponent": 10**9}, "greater than the maximum"),
        ("multiply", {"a": "x" * 1000, "b": 10**6}, "not of type"),
        ("mean", {"numbers": [1] * 101}, "too long"),
        ("add", {"a": 1}, "'b' is a required property"),
        ("add", {"a": 1, "b": 2, "c": 3}, "unexpected"),
    ],
)
def test_arguments_are_held_to_types_and_bounds(base, begun, name, arguments, wrong):
    task = next(task for task in base.tasks("test") if "MathAPI" in entries("base")[task.id].owners)
    assert wrong in begun(base, task).call(Call(name, arguments))


def test_text_is_taken_as_an_id_as_the_ground_truth_has_it(base, begun):
    text = begun(base, task_of(base, 173)).call(Call("close_ticket", {"ticket_id": "ticket_001"}))
    assert "invalid arguments" not in text
    assert functions()["close_ticket"].parameters["properties"]["ticket_id"]["type"] == "integer"


def test_an_episode_leaves_the_process_precision_as_it_was(base, begun):
    import mpmath

    before = decimal.getcontext().prec, mpmath.mp.dps
    task = next(task for task in base.tasks("test") if "MathAPI" in entries("base")[task.id].owners)
    recorder = begun(base, task)
    assert "1.414213562373095048801688724209698078569671875376948073176" in recorder.call(
        Call("square_root", {"number": 2, "precision": 60})
    )
    recorder.call(Call("logarithm", {"value": 8, "base": 2, "precision": 40}))
    assert (decimal.getcontext().prec, mpmath.mp.dps) == before


def test_a_card_charged_in_one_long_context_is_not_charged_in_the_next(begun):
    """The benchmark shares these cards between all episodes of a process."""
    environment = BfclMultiTurn("long_context", published=True)
    task = next(task for task in environment.tasks("test") if "TravelAPI" in entries("long_context")[task.id].owners)
    begun(environment, task)
    world = vars(environment)["world"].instances["TravelAPI"]
    shared = sys.modules[backends()["TravelAPI"].__module__].CREDIT_CARD_EXTENSION
    card = next(card for card in shared if card in world.credit_card_list)
    balance = shared[card]["balance"]
    world.credit_card_list[card]["balance"] -= 1
    begun(environment, task)
    assert vars(environment)["world"].instances["TravelAPI"].credit_card_list[card]["balance"] == balance


@pytest.mark.parametrize(("born", "of_age"), [("2008-01-01", True), ("2008-01-02", False)])
def test_a_travellers_age_does_not_follow_the_calendar_on_the_wall(base, begun, born, of_age):
    task = next(task for task in base.tasks("test") if "TravelAPI" in entries("base")[task.id].owners)
    config = entries("base")[task.id].config["TravelAPI"]
    arguments = {
        "first_name": config["user_first_name"],
        "last_name": config["user_last_name"],
        "date_of_birth": born,
        "passport_number": "US1234567",
    }
    result = begun(base, task).call(Call("verify_traveler_information", arguments))
    assert json.loads(result)["verification_status"] is of_age


def test_unknown_categories_splits_and_tasks_are_told():
    with pytest.raises(EnvironmentFault, match="no category 'hard'") as told:
        BfclMultiTurn("hard")
    assert "miss_param" in str(told.value)
    with pytest.raises(EnvironmentFault, match="no split 'dev'"):
        BfclMultiTurn().tasks("dev")
    with pytest.raises(EnvironmentFault, match="no split 'train'"):
        BfclMultiTurn(published=True).tasks("train")
    environment = BfclMultiTurn()
    task = replace(environment.tasks("test")[0], id="mine")
    with pytest.raises(EnvironmentFault, match="no BFCL conversation"):
        environment.reset(task, 0)


def test_a_missing_package_is_a_one_line_hint(monkeypatch):
    entries.cache_clear()
    monkeypatch.setitem(sys.modules, "bfcl_eval", None)
    with pytest.raises(EnvironmentFault, match="bfcl-eval is not installed") as told:
        BfclMultiTurn()
    assert str(told.value).splitlines()[-1].startswith('  what to do: pip install "practicum[bfcl]" && pip install')
    entries.cache_clear()


def test_equal_states_have_equal_digests_whatever_order_a_set_has():
    one, other = {0, 8}, {8, 0}
    assert repr(one) != repr(other)
    assert _digest({"ids": one, "_random": random.Random(1)}) == _digest({"ids": other, "_random": random.Random(1)})
    assert _digest({"ids": one}) != _digest({"ids": {0, 9}})
    assert _digest({"_random": random.Random(1)}) != _digest({"_random": random.Random(2)})


def test_category_and_package_are_part_of_the_identity():
    assert BfclMultiTurn().digest == BfclMultiTurn().digest
    assert BfclMultiTurn().digest != BfclMultiTurn("miss_param").digest
    assert BfclMultiTurn.version.startswith("2026.")
