"""The second zoo: environments that keep what nobody declared, in places the first one does not know."""

import collections
import enum
import functools
import heapq
import logging
import threading
import types
from collections.abc import Callable
from typing import Any, ClassVar

from shelf import Counting

from practicum import Task, score_fields, tool

CODE = "ENV-STATE"
score = score_fields(tag="final_output", exact=True)

TABLE = {"a": {"left": 3}}
DECK = list(range(20))
HEAP = [3, 1, 2]
PLUGINS: dict[str, int] = {}
LOCAL = threading.local()
SPACE = types.SimpleNamespace(last=None)
COUNTS: collections.defaultdict[str, int] = collections.defaultdict(int)
calls_so_far = 0


class InstanceCounter(Counting):
    made: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        InstanceCounter.made += 1  # fault
        self.number = InstanceCounter.made

    @tool
    def more(self) -> int:
        return self.number


class Level(enum.Enum):
    """Of something."""

    LOW = "low"


class EnumCounter(Counting):
    @tool
    def more(self) -> int:
        Level.LOW.count = getattr(Level.LOW, "count", 0) + 1  # type: ignore[attr-defined]  # fault
        return Level.LOW.count


class ShallowCopy(Counting):
    def start(self, task: Task) -> None:
        self.table = dict(TABLE)

    @tool
    def more(self) -> int:
        self.table["a"]["left"] -= 1  # fault
        return self.table["a"]["left"]


class ThreadLocal(Counting):
    @tool
    def more(self) -> int:
        LOCAL.n = getattr(LOCAL, "n", 0) + 1  # fault
        return LOCAL.n


class Slotted:
    """Has no dictionary."""

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


SLOT = Slotted()


class SlotsObject(Counting):
    @tool
    def more(self) -> int:
        SLOT.n += 1  # fault
        return SLOT.n


class NamespaceState(Counting):
    @tool
    def more(self) -> str:
        before, SPACE.last = SPACE.last, self.task.id  # fault
        return str(before)


class FunctionAttributeOfTheTool(Counting):
    @tool
    def more(self) -> int:
        own = vars(FunctionAttributeOfTheTool)["more"]
        own.calls = getattr(own, "calls", 0) + 1  # fault
        return own.calls


@functools.cache
def tags(name: str) -> list[str]:
    return [name]


class CachedListGrows(Counting):
    @tool
    def more(self) -> int:
        found = tags("x")
        found.append("y")  # fault
        return len(found)


class DefaultDictGrows(Counting):
    @tool
    def more(self) -> int:
        COUNTS[self.task.id] += 1  # fault
        return COUNTS[self.task.id]


class ShuffledInPlace(Counting):
    @tool
    def more(self) -> list[int]:
        self.random.shuffle(DECK)  # fault
        return DECK[:3]


class CodeExecuted(Counting):
    @tool
    def more(self) -> int:
        before = len(PLUGINS)
        exec("PLUGINS[str(len(PLUGINS))] = 1", globals())  # fault
        return before


class HiddenInALibrary(Counting):
    @tool
    def more(self) -> int:
        logger: Any = logging.getLogger("shelf")  # fault
        logger.count = getattr(logger, "count", 0) + 1  # fault
        return logger.count  # fault


class Base:
    """Others are made from it."""


class Subclasses(Counting):
    kept: ClassVar[list[type]] = []

    @tool
    def more(self) -> int:
        self.__class__.kept = [*self.kept, type("Kind", (Base,), {})]  # fault
        return len(Base.__subclasses__())


class HeapKept(Counting):
    @tool
    def more(self) -> int:
        heapq.heappush(HEAP, len(HEAP))  # fault
        return heapq.heappop(HEAP)  # fault


class GlobalNumber(Counting):
    @tool
    def more(self) -> int:
        global calls_so_far  # noqa: PLW0603
        calls_so_far += 1  # fault
        return calls_so_far


def _counted(function: Callable[..., Any]) -> Callable[..., Any]:
    seen = {"calls": 0}

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        seen["calls"] += 1  # fault
        return [*function(*args), seen["calls"]]

    return wrapper


@_counted
def _pair() -> list[str]:
    return ["a", "b"]


class DecoratorCounts(Counting):
    @tool
    def more(self) -> list[Any]:
        return _pair()


class Remembering:
    """A descriptor that keeps one value for all."""

    value = ""

    def __get__(self, instance: Any, owner: type) -> str:
        return self.value

    def __set__(self, instance: Any, value: str) -> None:
        self.value = value  # fault


class Descriptor(Counting):
    last = Remembering()

    @tool
    def more(self) -> str:
        before, self.last = self.last, self.task.id  # fault
        return before
