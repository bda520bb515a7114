"""What a tool changes in place and must not: on the class, on the instance."""

from collections import deque
from typing import ClassVar

import pytest

from practicum.environment import Environment, ToolError, tool
from practicum.environment.declared_state import StateFault
from practicum.environment.mutations import WATCHED
from practicum.tasks import Task

TASK = Task("t1", "do it")


class Base(Environment):
    id, version = "base", "1"
    shared: ClassVar[dict] = {"a": [1, {"b": 2}], "c": {3}}


class Desk(Base):
    """Changes in place."""

    id = "desk"
    calls = 0
    names: ClassVar[list] = ["x"]
    large: ClassVar[list] = list(range(WATCHED + 1))
    things: ClassVar[list] = [object()]

    def __init__(self):
        super().__init__()
        self.log, self.seen, self.queue = [], {"k": {}}, deque([1])
        self.history = []

    def start(self, task):
        self.history.append(task.id)
        self.state = []

    @tool
    def look(self) -> str:
        """changes nothing that it must not"""
        self.state.append(1)
        return "ok"

    @tool
    def change(self, what: str) -> str:
        """changes what it must not"""
        {
            "nested": lambda: self.shared["a"][1].update(b=3),
            "set": lambda: self.shared["c"].add(4),
            "list": lambda: self.names.append("y"),
            "number": lambda: setattr(type(self), "calls", self.calls + 1),
            "instance": lambda: self.log.append(1),
            "deep": lambda: self.seen["k"].update(a=1),
            "large": lambda: self.large.append(1),
            "object": lambda: self.things.append(1),
            "refused": lambda: [self.log.append(1), self._refuse()],
        }[what]()
        return "ok"

    @tool
    async def later(self) -> str:
        """changes what it must not, and waits"""
        self.log.append(1)
        return "ok"

    def _refuse(self):
        raise ToolError("no")


@pytest.fixture
def desk():
    environment = Desk()
    environment.reset(TASK, 0)
    yield environment
    environment.close()
    Desk.calls, Desk.names = 0, ["x"]
    Base.shared = {"a": [1, {"b": 2}], "c": {3}}


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("nested", "Base.shared"),
        ("set", "Base.shared"),
        ("list", "Desk.names"),
        ("number", "Desk.calls"),
        ("instance", "Desk.log"),
        ("deep", "Desk.seen"),
        ("refused", "Desk.log"),
    ],
)
def test_a_change_in_place_names_the_attribute_and_the_tools_line(desk, what, name):
    with pytest.raises(StateFault, match=f"{name} was changed by tool 'change', and is no declared state") as caught:
        desk.call("change", {"what": what})
    assert caught.value.where == f"{__file__}:{line_of('def change') - 1}"
    assert f"{name.partition('.')[2]} = reset(…)" in caught.value.fix
    desk.call("look", {})  # told once, by the call that did it


def line_of(text):
    with open(__file__) as stream:  # noqa: PTH123
        return next(number for number, line in enumerate(stream, start=1) if text in line)


def test_an_async_tool_is_watched_too(desk):
    with pytest.raises(StateFault, match=r"Desk\.log was changed by tool 'later'"):
        desk.call("later", {})


@pytest.mark.parametrize("what", ["large", "object"])
def test_what_would_cost_too_much_or_is_no_plain_data_is_left_to_the_checks(desk, what):
    assert desk.call("change", {"what": what}).text == "ok"


def test_start_and_other_instances_may_change_what_is_no_episodes_state(desk):
    other = Desk()
    other.reset(TASK, 0)
    other.reset(TASK, 0)
    Desk.names.append("z")
    assert desk.call("look", {}).text == "ok"
    assert other.history == ["t1", "t1"]
    other.close()


def test_what_start_assigned_is_the_episodes_own(desk):
    for _ in range(3):
        desk.call("look", {})
    assert desk.state == [1, 1, 1]
