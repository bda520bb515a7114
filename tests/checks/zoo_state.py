"""Environments that keep what nobody declared."""

import collections
import contextlib
import contextvars
import functools
import itertools
import json
import queue
import random
import sqlite3
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from shelf import ROWS, Counting, Name, Shelf

from practicum import Call, Task, read_only, reset, score_fields, tool

CODE = "ENV-STATE"
score = score_fields(tag="final_output", exact=True)


class StateNotReset(Counting):
    seen = 0

    @tool
    def more(self) -> int:
        self.seen += 1  # fault
        return self.seen


class CallsCountedOnTheClass(Counting):
    calls: ClassVar[int] = 0

    @tool
    def more(self) -> int:
        type(self).calls += 1  # fault
        return self.calls


class CountedAndNeverTold(Counting):
    calls: ClassVar[int] = 0

    @tool
    def more(self) -> str:
        CountedAndNeverTold.calls += 1  # fault
        return "done"


class SharedDefault(Shelf):
    basket: ClassVar[list[str]] = []

    @tool
    def put(self, name: Name) -> list[str]:
        self.basket.append(name)  # fault
        return self.basket

    def oracle(self, task: Task) -> Iterator[Call]:
        yield Call("put", {"name": "x"})
        return (yield from super().oracle(task))


class ClassStateResetEachEpisode(SharedDefault):
    def start(self, task: Task) -> None:
        type(self).basket = []  # fault

    @tool
    def put(self, name: Name) -> list[str]:
        self.basket.append(name)  # fault
        return self.basket


class MadeInTheConstructor(Counting):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []

    @tool
    def more(self) -> int:
        self.log.append("asked")  # fault
        return len(self.log)


ORDERS: dict[str, dict[str, Any]] = {}


class ModuleGlobal(Counting):
    @tool
    def more(self) -> list[str]:
        ORDERS[self.task.id] = {"open": True}  # fault
        return list(ORDERS)


STOCK = {"apple": {"left": 9}}


class FixtureMutatedInPlace(Counting):
    @tool
    def more(self) -> int:
        STOCK["apple"]["left"] -= 1  # fault
        return STOCK["apple"]["left"]


class FixtureGainsAField(Counting):
    @tool
    def more(self) -> dict[str, Any]:
        row = STOCK["apple"]
        before = dict(row)
        row["seen"] = True  # fault
        return before


def _collected(item: str, into: list[str] = []) -> list[str]:  # noqa: B006
    into.append(item)  # fault
    return into


class MutableDefaultArgument(Counting):
    @tool
    def more(self) -> int:
        return len(_collected("x"))


class Closure(Counting):
    @staticmethod
    def _counter() -> Callable[[], int]:
        count = 0

        def step() -> int:
            nonlocal count
            count += 1  # fault
            return count

        return step

    step = staticmethod(_counter())

    @tool
    def more(self) -> int:
        return self.step()


class FunctionAttribute(Counting):
    @tool
    def more(self) -> int:
        helper = FunctionAttribute.more
        helper.calls = getattr(helper, "calls", 0) + 1  # fault
        return helper.calls


@functools.cache
def _prices(kind: str) -> dict[str, int]:
    return {"apple": 3, "kind": len(kind)}


class CachedValueChanged(Counting):
    @tool
    def more(self) -> int:
        prices = _prices("fruit")
        prices["apple"] += 1  # fault
        return prices["apple"]


class CacheAcrossEpisodes(Counting):
    @tool
    def more(self) -> str:
        return self._owner("x")  # fault

    @functools.lru_cache(maxsize=8)  # noqa: B019
    def _owner(self, name: str) -> str:  # fault
        return f"{name} of {self.task.id}"  # fault


class AutoincrementIds(Counting):
    ids = itertools.count(1)

    @tool
    def more(self) -> str:
        return f"order-{next(self.ids)}"  # fault


class SharedGenerator(Counting):
    dice = random.Random(7)

    @tool
    def more(self) -> int:
        return self.dice.randint(1, 6)  # fault


class PaginationCursor(Counting):
    pages: Iterator[str] = iter(sorted(ROWS) * 50)

    @tool
    def more(self) -> str:
        return next(PaginationCursor.pages)  # fault


def _numbered() -> Iterator[int]:
    yield from range(10_000)


class GeneratorKept(Counting):
    numbers = _numbered()

    @tool
    def more(self) -> int:
        return next(self.numbers)  # fault


class SharedConnection(Counting):
    shared = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    shared.execute("create table orders (id integer primary key autoincrement, what text)")

    @tool
    def more(self) -> int:
        return self.shared.execute("insert into orders (what) values ('x')").lastrowid or 0  # fault


@dataclass
class Client:
    """Of a service, with a session of its own."""

    session: dict[str, str] = field(default_factory=dict)
    calls: int = 0

    def ask(self, what: str) -> str:
        self.calls += 1  # fault
        return f"answer {self.calls} to {what}"


CLIENTS: dict[str, Client] = {}


class CachedClient(Counting):
    @tool
    def more(self) -> str:
        return CLIENTS.setdefault("desk", Client()).ask("x")


class LateBoundClosure(Counting):
    whose: ClassVar[str] = ""
    says: ClassVar[dict[str, Callable[[], str]]] = {"now": lambda: LateBoundClosure.whose}

    def start(self, task: Task) -> None:
        LateBoundClosure.whose = task.id  # fault

    @tool
    def more(self) -> str:
        return self.says["now"]()


class ReadOnlyChanged(Counting):
    shelf = read_only(lambda: [types.SimpleNamespace(left=3)])

    @tool
    def more(self) -> int:
        self.shelf[0].left -= 1  # fault
        return self.shelf[0].left


class ResetToTheSame(Counting):
    _basket: ClassVar[list[str]] = []
    basket = reset(lambda: ResetToTheSame._basket)

    @tool
    def more(self) -> int:
        self.basket.append("x")  # fault
        return len(self.basket)


class MailboxOfAll(Counting):
    mail: ClassVar[queue.Queue[str]] = queue.Queue()

    @tool
    def more(self) -> int:
        self.mail.put("hello")  # fault
        return self.mail.qsize()


class RecentOnes(Counting):
    recent: ClassVar[collections.deque[str]] = collections.deque(maxlen=3)

    @tool
    def more(self) -> list[str]:
        self.recent.append(self.task.id)  # fault
        return list(self.recent)


class ContextVariable(Counting):
    who: ClassVar[contextvars.ContextVar[str]] = contextvars.ContextVar("who", default="nobody")

    @tool
    def more(self) -> str:
        before = self.who.get()
        self.who.set(self.task.id)  # fault
        return before


class LockLeftHeld(Counting):
    turns: ClassVar[Any] = __import__("threading").Lock()

    @tool
    def more(self) -> bool:
        return self.turns.acquire(blocking=False)  # fault


class SeenBefore(Counting):
    seen: ClassVar[set[str]] = set()

    @tool
    def more(self) -> str:
        known = "again" if self.task.prompt in self.seen else "new"
        self.seen.add(self.task.prompt)  # fault
        return known


class ParsedOnceWrongly(Counting):
    text: ClassVar[str] = json.dumps({"greeting": "hello"})
    parsed: ClassVar[dict[str, Any] | None] = None

    @tool
    def more(self) -> dict[str, Any]:
        if ParsedOnceWrongly.parsed is None:
            ParsedOnceWrongly.parsed = {**json.loads(self.text), "for": self.task.id}  # fault
        return ParsedOnceWrongly.parsed


class Suppressed(Counting):
    failures: ClassVar[int] = 0

    @tool
    def more(self) -> str:
        with contextlib.suppress(ValueError):
            Suppressed.failures += 1  # fault
            if Suppressed.failures % 3:
                raise ValueError
            return "it worked"
        return "it failed"
