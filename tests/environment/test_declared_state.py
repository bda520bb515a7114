"""Declared state: fresh in every episode, frozen, or carried on by an explicit step."""

import importlib.util
import json
import sys
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import date
from types import SimpleNamespace
from typing import ClassVar

import pytest

from practicum.environment import Environment, persist, publish, read_only, reset, tool
from practicum.environment.declared_state import StateFault, declared, digest_state, published_path
from practicum.errors import EnvironmentFault
from practicum.tasks import Task

TASK = Task("t1", "do it")
loads = []


def load_prices():
    loads.append(1)
    return {"pen": [1, {"sale": 0.5}], "tags": {"a"}}


@dataclass
class Shelf:
    items: list


class Shop(Environment):
    """One variable of each kind."""

    id, version = "shop", "1"
    basket = reset(list)
    notes = reset({"first": []})
    prices = read_only(load_prices)
    visits = persist({"count": 0}, version="1")

    @tool
    def buy(self, item: str) -> dict:
        """all that may change"""
        self.basket.append(item)
        self.notes["first"].append(item)
        self.visits["count"] += 1
        return {"basket": self.basket, "count": self.visits["count"]}

    @tool
    def clear(self) -> str:
        """rebinding is fine too"""
        self.basket = ["nothing"]
        return "ok"


@pytest.fixture
def shop():
    environment = Shop()
    environment.reset(TASK, 0)
    yield environment
    environment.close()


def test_reset_state_is_fresh_in_every_episode_and_instance(shop):
    assert shop.call("buy", {"item": "pen"}).text == '{"basket":["pen"],"count":1}'
    other = Shop()
    other.reset(TASK, 0)
    assert (other.basket, other.notes, other.visits) == ([], {"first": []}, {"count": 0})
    shop.call("clear", {})
    assert shop.basket == ["nothing"]
    shop.reset(TASK, 0)
    assert (shop.basket, shop.notes, shop.visits) == ([], {"first": []}, {"count": 0})


def test_read_only_state_is_loaded_once_and_frozen_at_every_depth(shop):
    prices = shop.prices
    assert Shop().prices is prices
    assert len(loads) == 1
    assert prices == {"pen": (1, {"sale": 0.5}), "tags": frozenset({"a"})}
    for change in (
        lambda: prices.update(pen=2),
        lambda: prices.__setitem__("pen", 2),
        lambda: prices["pen"][1].__setitem__("sale", 1),
        lambda: prices["tags"].add("b"),
    ):
        with pytest.raises((TypeError, AttributeError)):
            change()


def test_a_read_only_table_is_loaded_once_by_threads_that_ask_together():
    gate, asked = threading.Barrier(4), []

    def load():
        asked.append(1)
        time.sleep(0.05)
        return [1]

    class Library(Environment):
        id, version = "library", "1"
        books = read_only(load)

    def ask():
        gate.wait()
        assert Library().books == (1,)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("value", "frozen"),
    [
        ([1, [2]], (1, (2,))),
        (deque([1]), (1,)),
        (bytearray(b"a"), b"a"),
        ((1, [2]), (1, (2,))),
        (Counter("aa"), {"a": 2}),
        (date(2026, 1, 1), date(2026, 1, 1)),
    ],
)
def test_what_read_only_makes_of_containers(value, frozen):
    class Holder(Environment):
        id, version = "holder", "1"
        held = read_only(value)

    assert Holder().held == frozen
    assert not declared(Holder)["held"].mutable(Holder())


def test_read_only_data_within_itself_is_refused():
    value = []
    value.append(value)

    class Holder(Environment):
        id, version = "holder", "1"
        held = read_only(lambda: value)

    with pytest.raises(EnvironmentFault, match="held is declared read_only and contains itself"):
        _ = Holder().held


def test_read_only_state_cannot_be_assigned_anywhere(shop):
    with pytest.raises(StateFault, match=r"Shop\.prices is declared read_only, and was assigned") as caught:
        shop.prices = {}
    assert f"{__file__}:" in caught.value.where


def test_a_tool_that_changes_a_read_only_object_is_found_out():
    class Library(Environment):
        id, version = "library", "1"
        shelves = read_only(lambda: [Shelf([1]), SimpleNamespace(a=1)])
        fixed = read_only(lambda: [date(2026, 1, 1)])

        @tool
        def look(self) -> list:
            """reads"""
            return self.shelves[0].items

        @tool
        def take(self) -> str:
            """changes what it must not"""
            self.shelves[0].items.append(2)
            return "ok"

    library = Library()
    library.reset(TASK, 0)
    assert library.call("look", {}).text == "[1]"
    with pytest.raises(StateFault, match=r"Library\.shelves was changed by tool 'take'") as caught:
        library.call("take", {})
    assert caught.value.where.startswith(f"{__file__}:")
    library.close()


def test_declared_state_assigned_outside_an_episode_is_a_fault_not_a_loss():
    class Eager(Shop):
        id = "eager"

        def __init__(self):
            super().__init__()
            self.basket = ["gift"]

    with pytest.raises(StateFault, match=r"Eager\.basket .* assigned outside an episode") as caught:
        Eager()
    assert "basket = reset(" in caught.value.fix


def test_start_may_give_declared_state_its_value():
    class Stocked(Shop):
        id = "stocked"

        def start(self, task):
            self.basket = [task.id]
            self.notes["first"].append(1)

    environment = Stocked()
    for _ in range(2):
        environment.reset(TASK, 0)
        assert (environment.basket, environment.notes) == (["t1"], {"first": [1]})
    environment.close()


def test_a_subclass_may_declare_anew_or_take_back():
    class Other(Shop):
        id = "other"
        basket = reset(dict)
        notes = "a plain attribute"

    assert list(declared(Shop)) == ["basket", "notes", "prices", "visits"]
    assert list(declared(Other)) == ["basket", "prices", "visits"]
    environment = Other()
    environment.reset(TASK, 0)
    assert environment.basket == {}
    environment.close()


# Dataclasses -------------------------------------------------------------------------------------------------


@dataclass
class Till(Environment):
    """An environment that is a dataclass."""

    id, version = "till", "1"
    level: int = 2
    coins: list = reset(list)  # noqa: RUF009
    limits: dict = read_only({"max": [9]})  # noqa: RUF009

    def start(self, task):
        self.total = self.level

    @tool
    def pay(self, coin: int) -> dict:
        """counts"""
        self.coins.append(coin)
        self.total += coin
        return {"coins": self.coins, "total": self.total, "max": self.limits["max"]}

    @tool
    def cheat(self) -> str:
        """changes a field"""
        self.level += 1
        return "ok"


def test_a_dataclass_can_be_an_environment():
    till = Till(level=5)
    for _ in range(2):
        till.reset(TASK, 0)
        assert till.call("pay", {"coin": 2}).text == '{"coins":[2],"total":7,"max":[9]}'
    with pytest.raises(StateFault, match=r"Till\.level changed"):
        till.call("cheat", {})
    till.close()


def test_a_dataclass_without_identity_is_refused_when_an_episode_begins():
    @dataclass
    class Nameless(Environment):
        level: int = 1

    with pytest.raises(EnvironmentFault, match="Nameless has no id or no version") as caught:
        Nameless().reset(TASK, 0)
    assert __file__ in caught.value.where


# Publishing --------------------------------------------------------------------------------------------------

SOURCE = """
from practicum.environment import Environment, persist, reset

class Counter(Environment):
    id, version = "counter", "1.0.0"
    seen = persist(lambda: {"count": 0}, version="VERSION")
    basket = reset(list)
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Makes an instance of the class, as a fresh process would."""

    def make(version, folder=tmp_path):
        path = folder / "counter.py"
        path.write_text(SOURCE.replace("VERSION", version))
        name = f"counter_{len(sys.modules)}"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        environment = module.Counter()
        environment.reset(TASK, 0)
        return environment

    return make


def test_a_published_version_is_what_later_episodes_begin_with(load, tmp_path):
    first = load("1")
    first.seen["count"] = 7
    path = publish(first, "seen", "2")
    assert path == tmp_path / "state" / "seen@2.json" == published_path(tmp_path, "seen", "2")
    assert json.loads(path.read_text()) == {"count": 7}
    assert load("1").seen == {"count": 0}
    second = load("2")
    second.seen["count"] += 1
    assert second.seen == {"count": 8}
    second.reset(TASK, 0)
    assert second.seen == {"count": 7}
    assert len({load("1").digest, load("2").digest, load("3").digest}) == 3


def test_a_subclass_elsewhere_has_its_own_published_state(load, tmp_path):
    (tmp_path / "inner").mkdir()
    base = load("2")
    first = load("1", tmp_path / "inner")
    first.seen["count"] = 3
    publish(first, "seen", "2")
    assert (load("2", tmp_path / "inner").seen, base.seen) == ({"count": 3}, {"count": 0})


@pytest.mark.parametrize(
    ("name", "version", "problem"),
    [
        ("basket", "2", "no persistent state 'basket'"),
        ("nothing", "2", "no persistent state 'nothing'"),
        ("seen", "1", "version 1 of seen is what episodes begin with now"),
        ("seen", "5", "version 5 of seen is published already"),
    ],
)
def test_what_cannot_be_published_is_told(load, name, version, problem):
    environment = load("1")
    publish(environment, "seen", "5")
    with pytest.raises(EnvironmentFault, match=problem):
        publish(environment, name, version)


@pytest.mark.parametrize("value", [object(), {1: 2}, (1, 2), float("nan"), {"a": {1}}, [(1,)]])
def test_state_that_json_would_not_give_back_is_not_published(load, tmp_path, value):
    environment = load("1")
    environment.seen = value
    with pytest.raises(EnvironmentFault, match="seen is not JSON and cannot be published"):
        publish(environment, "seen", "2")
    assert not (tmp_path / "state").exists()


def test_a_version_is_a_name_and_no_path(load, tmp_path):
    assert publish(load("1"), "seen", "../../2026/01").parent == tmp_path / "state"
    with pytest.raises(EnvironmentFault, match="the version of persistent state is 1"):
        persist(0, version=1)


@pytest.mark.parametrize(("text", "line"), [("{\n\n}}", ":3"), ("", ":1"), ("\xff", "")])
def test_published_state_that_cannot_be_read_names_file_and_line(load, tmp_path, text, line):
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "seen@2.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(EnvironmentFault, match="published state cannot be read") as caught:
        load("2")
    assert caught.value.where == f"{path}{line}"


def test_the_digest_of_state_is_that_of_its_data():
    assert digest_state({"a": {1, 2}}) == digest_state({"a": {2, 1}}) != digest_state({"a": {1, 3}})


def test_what_another_episodes_start_keeps_on_the_class_is_not_blamed_on_a_tool():
    begun, may_end = threading.Event(), threading.Event()

    class Library(Environment):
        id, version = "library", "1"
        tables: ClassVar[dict] = {}

        def tasks(self, split):
            return []

        def start(self, task):
            if task.prompt == "second":
                begun.set()
                may_end.wait()
                self.tables["books"] = 1

        @tool
        def find(self) -> str:
            """finds"""
            if self.task.prompt == "first":
                second.start()
                begun.wait()
                may_end.set()
                second.join()
            else:
                self.tables["lent"] = 1
            return "found"

    other = Library()
    second = threading.Thread(target=other.reset, args=(Task("b", "second"), 0))
    environment = Library()
    environment.reset(Task("a", "first"), 0)

    assert environment.call("find", {}).text == "found"
    with pytest.raises(StateFault, match=r"Library\.tables was changed by tool 'find'"):
        other.call("find", {})
