"""Which attributes may be assigned when; and that no episode finds what another left on the instance."""

import functools

import pytest

from practicum.environment import Environment, reset, tool
from practicum.environment.declared_state import StateFault
from practicum.errors import EnvironmentFault
from practicum.tasks import Task

TASK = Task("t1", "do it")


class Desk(Environment):
    """Assigns in all places."""

    id, version = "desk", "1"
    cart = reset(list)

    def __init__(self):
        super().__init__()
        self.mode, self.made = "plain", 1
        self._label = ""

    def start(self, task):
        self.count = 0
        if task.metadata.get("special"):
            self.mode = "special"

    @property
    def label(self):
        return self._label

    @label.setter
    def label(self, value):
        self.count = len(value)

    @functools.cached_property
    def index(self):
        return {"built in": self.task.id}

    @tool
    def assign(self, name: str) -> str:
        """sets an attribute"""
        setattr(self, name, 5)
        return "ok"

    @tool
    def remove(self, name: str) -> str:
        """deletes one"""
        delattr(self, name)
        return "ok"

    @tool
    def read(self) -> dict:
        """reads all"""
        return {"mode": self.mode, "index": self.index, "names": sorted(n for n in vars(self) if not n.startswith("_"))}


@pytest.fixture
def desk():
    environment = Desk()
    environment.reset(TASK, 0)
    yield environment
    environment.close()


@pytest.mark.parametrize("name", ["made", "mode", "new", "random", "max_turns", "_label", "_digest"])
def test_a_tool_may_not_set_what_start_did_not(desk, name):
    with pytest.raises(StateFault, match=rf"Desk\.{name} changed in an episode") as caught:
        desk.call("assign", {"name": name})
    assert caught.value.where == f"{__file__}:{line_of('setattr(self, name, 5)')}"
    assert f"assign self.{name} in start" in caught.value.fix


def line_of(text):
    with open(__file__) as stream:  # noqa: PTH123
        return next(number for number, line in enumerate(stream, start=1) if text in line)


@pytest.mark.parametrize("name", ["count", "cart"])
def test_a_tool_may_set_what_start_assigned_and_what_is_declared(desk, name):
    assert desk.call("assign", {"name": name}).text == "ok"
    assert getattr(desk, name) == 5


def test_a_tool_may_set_through_a_property(desk):
    class Labelled(Desk):
        id = "labelled"

        @tool
        def name(self) -> str:
            """goes through the setter"""
            self.label = "abc"
            return "ok"

    environment = Labelled()
    environment.reset(TASK, 0)
    environment.call("name", {})
    assert environment.count == 3


@pytest.mark.parametrize(("name", "refused"), [("made", True), ("count", False)])
def test_deleting_is_a_change_like_any_other(desk, name, refused):
    if refused:
        with pytest.raises(StateFault, match=r"Desk\.made changed"):
            desk.call("remove", {"name": name})
    else:
        desk.call("remove", {"name": name})
        assert not hasattr(desk, name)
    desk.reset(TASK, 0)
    assert (desk.made, desk.count) == (1, 0)


@pytest.mark.parametrize("name", ["task", "transitions", "folder", "digest", "parts", "ref", "read"])
def test_names_of_the_core_and_of_tools_are_taken(name):
    class Taking(Desk):
        id = "taking"

        def start(self, task):
            setattr(self, name, "mine")

    with pytest.raises(EnvironmentFault, match=rf"Taking\.{name} was assigned, and is") as caught:
        Taking().reset(TASK, 0)
    assert caught.value.where.startswith(f"{__file__}:")
    assert "another name" in caught.value.fix


def test_the_task_itself_may_be_kept_under_its_name():
    class Keeping(Desk):
        id = "keeping"

        def start(self, task):
            self.task = task

    environment = Keeping()
    environment.reset(TASK, 0)
    assert environment.task is TASK
    environment.close()
    assert environment.task is None


def test_every_episode_begins_with_the_attributes_the_instance_was_made_with(desk):
    first = desk.call("read", {}).text
    desk.reset(Task("t2", "x", metadata={"special": True}), 0)
    assert '"mode":"special"' in desk.call("read", {}).text
    assert '"built in":"t2"' in desk.call("read", {}).text  # not what an earlier episode computed
    desk.reset(TASK, 0)
    assert desk.call("read", {}).text == first


def test_an_instance_made_without_attributes_begins_without_any(desk):
    class Empty(Environment):
        id, version = "empty", "1"

        def start(self, task):
            setattr(self, task.id, 1)

        @functools.cached_property
        def computed(self):
            return self.task.id

        @tool
        def read(self) -> list:
            """what there is"""
            return [self.computed, sorted(name for name in vars(self) if name in ("t1", "t2"))]

    environment = Empty()
    said = []
    for id in ("t1", "t2", "t1"):
        environment.reset(Task(id, "x"), 0)
        said.append(environment.call("read", {}).text)
    assert said == ['["t1",["t1"]]', '["t2",["t2"]]', '["t1",["t1"]]']
    environment.close()


def test_tools_that_are_listed_late_may_be_kept_on_the_instance():
    class Late(Environment):
        id, version = "late", "1"
        made = 0

        def tool_specs(self):
            if not hasattr(self, "listed"):
                self.listed = dict(super().tool_specs())
            return self.listed

        @tool
        def read(self) -> str:
            """reads"""
            return "ok"

    environment = Late()
    environment.reset(TASK, 0)
    assert environment.call("read", {}).text == "ok"
    environment.close()


def test_what_is_set_between_episodes_stays(desk):
    desk.close()
    desk.mode, desk.extra = "given", 1
    desk.reset(TASK, 0)
    assert (desk.mode, desk.extra) == ("given", 1)
    desk.close()
    del desk.extra
    desk.reset(TASK, 0)
    assert not hasattr(desk, "extra")


def test_resources_give_way_to_attributes_of_their_names():
    class Own(Environment):
        id, version = "own", "1"

        def start(self, task):
            self.database, self.clock, self.scratch = {"rows": 1}, "noon", "here"

        @tool
        def read(self) -> list:
            """reads"""
            self.clock = "one"
            return [self.database, self.clock, self.scratch]

    environment = Own()
    environment.reset(TASK, 0)
    assert environment.call("read", {}).text == '[{"rows":1},"one","here"]'
    environment.close()


@pytest.mark.parametrize("name", ["clock", "scratch", "database"])
def test_resources_outside_an_episode_are_a_fault_that_says_when_to_use_them(desk, name):
    desk.close()
    for ask in (lambda: getattr(desk, name), lambda: desk.new_id("T"), lambda: desk.register(print)):
        with pytest.raises(EnvironmentFault, match="outside an episode") as caught:
            ask()
        assert f"{__file__}:" in caught.value.where
