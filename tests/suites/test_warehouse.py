"""The warehouse: solvable throughout, judged on the database alone, split cleanly, reproduced by its generator."""

import asyncio
import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from practicum.checks.environment import run_checks
from practicum.digests import canonical_json
from practicum.environment.target import load_target
from practicum.errors import EnvironmentFault
from practicum.scoring import judge
from practicum.suites.warehouse import Warehouse, reward, score
from practicum.suites.warehouse.requests import Request, content, outcome
from practicum.suites.warehouse.site import prepared
from practicum.tasks import Task, TaskSet
from practicum.trajectory import Rollout
from tools.suites import warehouse as generate

SPLITS = ("train", "validation", "test")
LEVELS = (1, 2, 3, 4, 5)
READS = {"find_order", "find_orders", "get_stock"}


def finished(task, state, answer="Done."):
    return Rollout(task, [{"role": "assistant", "content": answer}], [], state, "final")


def judged(rule, task, state, answer="Done."):
    return asyncio.run(judge(rule, finished(task, state, answer)))


def steps(warehouse, task):
    """Plays the oracle as an agent would: only through offered tools and the text they return."""
    warehouse.reset(task, 0)
    offered = {schema["function"]["name"] for schema in warehouse.schemas()}
    oracle, result = warehouse.oracle(task), None
    while True:
        try:
            call = oracle.send(result)
        except StopIteration:
            return
        assert call.name in offered
        answered = warehouse.call(call.name, call.arguments)
        assert not answered.is_error, (task, call, answered.text)
        result = json.loads(answered.text)
        yield call, result


def everything(warehouse):
    return [task for split in SPLITS for task in warehouse.tasks(split)]


def site_of(task):
    return prepared(Warehouse().folder, task.metadata["site"]).site


def request_of(task):
    return Request.parse(task.metadata["request"])


@pytest.mark.parametrize("level", LEVELS)
def test_the_oracle_solves_every_task_and_no_step_of_it_costs_reward(level):
    warehouse = Warehouse(level, distractors=4)
    held_out = {task.id for split in SPLITS[1:] for task in warehouse.tasks(split)}
    for task in everything(warehouse):
        earlier, writes, calls = 0.0, 0, 0
        for call, _ in steps(warehouse, task):
            calls += 1
            writes += call.name not in READS
            if call.name not in READS and task.id in held_out:
                now = reward(finished(task, warehouse.final_state()))[0]
                assert earlier <= now, (task, call)
                earlier = now
        state = warehouse.final_state()
        for rule in (score, reward):
            value, components = rule(finished(task, state))
            assert value == 1.0, (task, state)
            assert components["exact"] == components["right"] == 1.0
            assert components["collateral"] == 0.0
        assert writes == (level if not task.metadata["obstacles"] else outcome(site_of(task), request_of(task)).steps)
        assert calls + 1 <= warehouse.max_turns


@pytest.mark.parametrize("level", LEVELS)
def test_doing_nothing_earns_nothing_whatever_is_claimed(level):
    warehouse = Warehouse(level)
    for task in warehouse.tasks("validation"):
        warehouse.reset(task, 0)
        claim = f"Done. The final state is {canonical_json(task.answer)}"
        for rule in (score, reward):
            assert judged(rule, task, warehouse.final_state(), claim).total == 0.0


def test_looking_only_earns_nothing_either():
    warehouse = Warehouse(5, distractors=4)
    for task in warehouse.tasks("validation"):
        warehouse.reset(task, 0)
        for order, row in site_of(task).orders.items():
            assert not warehouse.call("find_order", {"order_id": order}).is_error
            assert not warehouse.call("find_orders", {"customer": row.customer}).is_error
            assert not warehouse.call("get_stock", {"item": row.item}).is_error
        assert warehouse.final_state() == {}
        assert judged(reward, task, {}).total == 0.0


def reckless(wish, order):
    """What an agent does that knows the tools and not the rules."""
    if wish.kind in ("reserve", "ship"):
        return [("reserve", {"order_id": wish.order}), ("ship", {"order_id": wish.order})][: 1 + (wish.kind == "ship")]
    if wish.kind in ("cancel", "refund"):
        pay = [("refund", {"order_id": wish.order, "amount": order.paid})] if order.paid else []
        return [("cancel", {"order_id": wish.order})] * (wish.kind == "cancel") + pay
    done = [("open_return", {"order_id": wish.order}), ("restock", {"return_id": "R1"})]
    if wish.kind == "return":
        return [*done, ("refund", {"order_id": wish.order, "amount": order.paid})]
    fields = {"customer": wish.customer, "item": wish.item, "quantity": order.quantity}
    supply = [("reserve", {"order_id": "N1"}), ("ship", {"order_id": "N1"})][: 1 + (wish.kind == "exchange_ship")]
    return [*done, ("create_order", fields), *supply]


@pytest.mark.parametrize("level", LEVELS)
def test_who_ignores_the_rules_fails_every_trap_and_solves_what_is_no_trap(level):
    warehouse = Warehouse(level)
    seen = set()
    for task in warehouse.tasks("test"):
        request, site = request_of(task), site_of(task)
        warehouse.reset(task, 0)
        for wish in request.wishes:
            for name, arguments in reckless(wish, site.orders[wish.order]):
                warehouse.call(name, arguments)
        total = judged(score, task, warehouse.final_state()).total
        damaged = any(site.orders[wish.order].parcel == "damaged" for wish in request.wishes)
        if task.metadata["obstacles"]:
            assert total == 0.0, task
            seen |= set(task.metadata["obstacles"])
        elif not damaged:
            assert total == 1.0, task
    early = {"short", "shipped", "not_theirs"}
    assert seen == {1: early | {"refunded"}, 2: early, 3: {"short", "shipped", "late"}}.get(
        level, {"short", "late"} | ({"shipped"} if level == 4 else set())
    )


@pytest.mark.parametrize("level", (1, 2))
def test_no_single_action_solves_many_tasks(level):
    warehouse = Warehouse(level)
    tasks = warehouse.tasks("test")
    actions = [("reserve", {}), ("cancel", {}), ("backorder", {})]
    actions += [("refuse", {"reason": reason}) for reason in ("not_theirs", "shipped", "late", "refunded")]
    for name, more in actions:
        solved = 0.0
        for task in tasks:
            warehouse.reset(task, 0)
            warehouse.call(name, {"order_id": re.search(r"O\d+", task.prompt)[0], **more})
            solved += score(finished(task, warehouse.final_state()))[0]
        assert solved / len(tasks) < 0.25, name


@pytest.mark.parametrize("distractor", [("set_quantity", {"quantity": 1}), ("adjust_stock", {"on_hand": 99})])
def test_a_change_nobody_asked_for_fails_the_score_and_costs_reward(distractor):
    warehouse = Warehouse(2, distractors=4, traps=False)
    name, more = distractor
    for task in warehouse.tasks("validation"):
        site = site_of(task)
        bystander = next(
            o for o in site.orders.values() if o.status == "new" and o.quantity > 1 and o.id not in task.id
        )
        target = {"item": bystander.item} if name == "adjust_stock" else {"order_id": bystander.id}
        for call, _ in steps(warehouse, task):
            del call
        assert not warehouse.call(name, {**target, **more}).is_error
        judgement = judged(reward, task, warehouse.final_state())
        assert judgement.total < 0.5
        assert judged(score, task, warehouse.final_state()).total == 0.0


def test_a_level_is_the_number_of_changes_and_traps_come_on_top():
    for level in LEVELS:
        for split, (plain, traps) in generate.SIZES.items():
            tasks = Warehouse(level).tasks(split)
            assert len(tasks) == plain + traps
            assert tasks[:plain] == Warehouse(level, traps=False).tasks(split)
            for task in tasks:
                right = outcome(site_of(task), request_of(task))
                assert right.changes == task.answer
                assert list(right.obstacles) == task.metadata["obstacles"]
                assert bool(right.obstacles) == (task in tasks[plain:])
                assert right.obstacles or right.steps == level


@pytest.mark.parametrize("level", LEVELS)
def test_splits_share_no_site_order_customer_and_no_facts(level):
    warehouse = Warehouse(level)
    seen = {"site": set(), "order": set(), "customer": set(), "facts": set(), "prompt": set()}
    for split in SPLITS:
        found = {name: set() for name in seen}
        for task in TaskSet(warehouse.tasks(split)):
            site, request = site_of(task), request_of(task)
            found["site"].add(task.metadata["site"])
            found["order"] |= set(site.orders)
            found["customer"] |= set(site.cities)
            found["facts"].add(content(site, request))
            found["prompt"].add(task.prompt)
        for name, values in found.items():
            assert not values & seen[name], (split, name)
            seen[name] |= values


def test_the_generator_writes_the_committed_bytes(tmp_path):
    generate.write_fixtures(tmp_path)
    committed = files("practicum.suites.warehouse") / "fixtures"
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in committed.iterdir() if path.name.endswith(".json"))
    for name in made:
        assert (tmp_path / name).read_bytes() == (committed / name).read_bytes(), name
    assert sum(path.stat().st_size for path in (Warehouse().folder / "fixtures").iterdir()) < 200_000


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_the_agent_is_told_holds_the_label_or_what_decides_it(level):
    warehouse = Warehouse(level, distractors=4)
    for task in warehouse.tasks("validation"):
        told = [warehouse.system_prompt(task), task.prompt]
        for call, result in steps(warehouse, task):
            text = canonical_json(result)
            assert "condition" not in text or call.name == "open_return"
            told.append(text)
        everything_told = "\n".join(told)
        assert canonical_json(task.answer) not in everything_told
        assert "obstacles" not in everything_told
        assert "parcel" not in everything_told


@pytest.mark.parametrize("level", LEVELS)
def test_the_rules_name_only_tools_the_level_offers(level):
    warehouse = Warehouse(level, distractors=0)
    rules = warehouse.system_prompt(warehouse.tasks("test")[0])
    offered = {schema["function"]["name"] for schema in warehouse.schemas()}
    named = set(re.findall(r"[a-z]+(?:_[a-z]+)*", rules)) & set(Warehouse(5, distractors=4).tool_specs())
    assert named <= offered
    assert named >= offered - {"find_order", "find_orders", "get_stock"}
    assert len(rules) < 1000


def test_distractors_are_added_in_order_and_needed_by_no_task():
    base = list(Warehouse(3, distractors=0).tool_specs())
    for count, name in enumerate(("get_supplier", "set_quantity", "get_customer", "adjust_stock"), start=1):
        offered = list(Warehouse(3, distractors=count).tool_specs())
        assert set(offered) - set(base) >= {name}
        assert len(offered) == len(base) + count
    warehouse = Warehouse(3, distractors=0)
    for task in warehouse.tasks("test"):
        assert list(steps(warehouse, task))


def test_the_seed_of_an_episode_changes_nothing():
    warehouse = Warehouse(4)
    task = warehouse.tasks("test")[0]
    logs = []
    for seed in (0, 1):
        warehouse.reset(task, seed)
        warehouse.call("find_orders", {"customer": task.prompt.split()[1]})
        logs.append(warehouse.transitions)
    assert logs[0] == logs[1]


def test_episodes_of_one_site_do_not_see_each_other_and_leave_the_site_as_it_was():
    task = Warehouse(2).tasks("train")[0]
    order = {"order_id": next(order.id for order in site_of(task).orders.values() if order.status == "new")}
    first, second = Warehouse(2), Warehouse(2)
    first.reset(task, 0)
    second.reset(task, 0)
    before = second.call("find_order", order).text
    assert json.loads(first.call("backorder", order).text) == {"status": "backordered"}
    assert second.call("find_order", order).text == before
    assert second.final_state() == {}
    assert first.final_state() == {"orders": {order["order_id"]: {"backordered_on": "2026-01-01"}}}
    first.close()
    first.reset(task, 0)
    assert first.call("find_order", order).text == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": 0}, "no level 0"),
        ({"level": 6}, "no level 6"),
        ({"level": "2"}, "no level '2'"),
        ({"level": True}, "no level True"),
        ({"distractors": 5}, "no distractors 5"),
        ({"distractors": -1}, "no distractors -1"),
        ({"distractors": None}, "no distractors None"),
        ({"traps": 1}, "no traps 1"),
        ({"traps": "no"}, "no traps 'no'"),
    ],
)
def test_a_difficulty_that_is_not_there_is_refused(arguments, message):
    with pytest.raises(EnvironmentFault, match=message) as error:
        Warehouse(**arguments)
    assert "environment_args" in str(error.value)


def test_splits_and_tasks_that_are_not_the_suites_own_are_refused():
    with pytest.raises(EnvironmentFault, match="no split 'dev'"):
        Warehouse().tasks("dev")
    for metadata in ({}, {"site": "S0"}, {"site": 3}):
        with pytest.raises(EnvironmentFault, match="task 'mine' names no site"):
            Warehouse().reset(Task("mine", "Reserve order O100.", {}, metadata), 0)
    with pytest.raises(EnvironmentFault, match="outside an episode"):
        Warehouse().final_state()


def test_difficulty_is_part_of_the_digest():
    kinds = [Warehouse(), Warehouse(3), Warehouse(distractors=3), Warehouse(traps=False)]
    assert len({kind.digest for kind in kinds}) == 4
    assert Warehouse().digest == Warehouse(2, 2, True).digest


def test_many_open_episodes_fit_into_memory():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    tasks = Warehouse(4).tasks("train")
    before, open_episodes = resident(), []
    for number in range(256):
        warehouse = Warehouse(4)
        for _ in steps(warehouse, tasks[number % len(tasks)]):
            pass
        open_episodes.append(warehouse)
    used = resident() - before
    for warehouse in open_episodes:
        warehouse.close()
    assert used < 2**30 / 4


def test_the_hardest_level_passes_the_checks():
    report = run_checks(load_target("warehouse", {"level": 5, "distractors": 4}), tasks_per_split=3)
    assert report.ok
    assert not report.findings
