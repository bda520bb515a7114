"""The second zoo: environments that keep what nobody declared, in objects of other kinds than the first knows."""

import array
import asyncio
import collections
import ctypes
import functools
import itertools
import queue
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import helper_beside
import jinja2
import numpy as np
from pydantic import BaseModel
from shelf import Counting, Name

from practicum import Task, score_fields, tool

CODE = "ENV-STATE"
score = score_fields(tag="final_output", exact=True)

PAGES = jinja2.Environment(autoescape=True)
TOTAL = np.zeros(3)
LAYERS = collections.ChainMap({}, {"mode": "slow"})


class TemplateGlobals(Counting):
    @tool
    def more(self) -> str:
        PAGES.globals["turn"] = PAGES.globals.get("turn", 0) + 1  # type: ignore[operator]  # fault
        return PAGES.from_string("{{ turn }}").render()  # fault


class ArrayInPlace(Counting):
    @tool
    def more(self) -> float:
        np.add(TOTAL, 1.5, out=TOTAL)  # fault
        return float(TOTAL.sum())


class BytesKept(Counting):
    buffer: ClassVar[Any] = array.array("i", [1])

    @tool
    def more(self) -> int:
        self.buffer.extend([len(self.buffer)])  # fault
        return len(self.buffer)


class Cycle(Counting):
    turns: ClassVar[Iterator[str]] = itertools.cycle(["left", "right", "straight"])

    @tool
    def more(self) -> str:
        return next(self.turns)  # fault


class Singleton:
    """There is but one."""

    _one: ClassVar["Singleton | None"] = None
    orders: list[str]

    def __new__(cls) -> "Singleton":
        if cls._one is None:
            cls._one = super().__new__(cls)
            cls._one.orders = []
        return cls._one


class OneForAll(Counting):
    @tool
    def more(self) -> int:
        Singleton().orders.append(self.task.id)  # fault
        return len(Singleton().orders)


class StateInAModuleBeside(Counting):
    @tool
    def more(self) -> int:
        helper_beside.SEEN.append(self.task.id)  # fault
        return len(helper_beside.SEEN)


class Account(BaseModel):
    """Of somebody."""

    balance: int = 10


ACCOUNT = Account()


class ModelChanged(Counting):
    @tool
    def more(self) -> int:
        ACCOUNT.balance -= 1  # fault
        return ACCOUNT.balance


@dataclass
class Cart:
    """Whose lines are everyone's."""

    lines: list[str] = field(default_factory=lambda: _LINES)


_LINES: list[str] = []


class DefaultFactoryShares(Counting):
    def start(self, task: Task) -> None:
        self.cart = Cart()

    @tool
    def more(self) -> int:
        self.cart.lines.append("x")  # fault
        return len(self.cart.lines)


@functools.singledispatch
def _told(value: object) -> str:
    return "something"


class DispatchRegistered(Counting):
    @tool
    def more(self) -> str:
        before = _told(1.5)
        _told.register(float, lambda value: "a number")  # fault
        return before


class Chained(Counting):
    @tool
    def more(self) -> str:
        before = LAYERS["mode"]
        LAYERS["mode"] = "fast"  # fault
        return before


class Held:
    """Something to hold on to."""


class WeaklyKept(Counting):
    known: ClassVar[Any] = weakref.WeakValueDictionary()
    held: ClassVar[list[Held]] = []

    @tool
    def more(self) -> int:
        thing = Held()
        self.known[len(self.known)] = thing  # fault
        WeaklyKept.held = [*self.held, thing]  # fault
        return len(self.known)


class RecentlyUsed(Counting):
    recent: ClassVar[collections.OrderedDict[str, int]] = collections.OrderedDict()

    @tool
    def more(self) -> list[str]:
        self.recent[self.task.id] = len(self.recent)  # fault
        self.recent.move_to_end(self.task.id)  # fault
        while len(self.recent) > 2:
            self.recent.popitem(last=False)  # fault
        return list(self.recent)


class Inbox(Counting):
    mail: ClassVar[asyncio.Queue[str]] = asyncio.Queue()

    @tool
    async def more(self) -> int:
        self.mail.put_nowait(self.task.id)  # fault
        return self.mail.qsize()


class Signal(Counting):
    done: ClassVar[threading.Event] = threading.Event()

    @tool
    def more(self) -> bool:
        before = self.done.is_set()
        self.done.set()  # fault
        return before


class OrderedByPriority(Counting):
    waiting: ClassVar[queue.PriorityQueue[str]] = queue.PriorityQueue()

    @tool
    def more(self, name: Name = "m") -> int:
        self.waiting.put(name)  # fault
        return self.waiting.qsize()


class Registry:
    """Of kinds, by name."""

    kinds: ClassVar[dict[str, type]] = {}

    def __init_subclass__(cls) -> None:
        Registry.kinds[f"{cls.__name__}{len(Registry.kinds)}"] = cls  # fault


class ClassesMadeInATool(Counting):
    @tool
    def more(self) -> int:
        type("Kind", (Registry,), {})
        return len(Registry.kinds)


class RandomOfTheCLibrary(Counting):
    @tool
    def more(self) -> int:
        return ctypes.CDLL(None).rand() % 1000  # fault


class LabelLearnt(Counting):
    known: ClassVar[dict[str, Any]] = {}

    @tool
    def more(self) -> str:
        return "known" if self.task.id in self.known else "unknown"

    def start(self, task: Task) -> None:
        self.number = len(task.id)

    def stop(self) -> None:
        LabelLearnt.known[self.task.id] = self.number  # fault
