"""Environments without a fault that keep things for good reasons: caches, tables, compiled texts, declared state."""

import abc
import collections
import copy
import dataclasses
import enum
import functools
import itertools
import json
import logging
import re
import string
import threading
import types
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, Protocol

import jinja2
from pydantic import BaseModel, Field
from shelf import ROWS, Count, Counting, Name, Shelf

from practicum import Call, Environment, Task, persist, read_only, reset, score_fields, tool

CODE = "none"
score = score_fields(tag="final_output", exact=True)

logger = logging.getLogger("shelf.sound")
LETTERS = re.compile(r"[a-z]+")
PAGES = jinja2.Environment(autoescape=True)
CATALOGUE = {f"P{number}": {"price": number % 97, "tags": ["a", "b", str(number % 7)]} for number in range(5_000)}
SQUARES: dict[int, int] = {0: 0, 1: 1}
WORDS: dict[str, int] = {}
_by_tag: dict[str, list[str]] | None = None
_ready = False


def by_tag() -> dict[str, list[str]]:
    """The catalogue by tag: made when it is first asked for."""
    global _by_tag, _ready
    if _by_tag is None:
        found = collections.defaultdict(list)
        for name, row in CATALOGUE.items():
            for tag in row["tags"]:
                found[tag].append(name)
        _by_tag, _ready = dict(found), True
    return _by_tag


@functools.lru_cache(maxsize=16)
def price(name: str) -> int:
    """The price of a thing, remembered."""
    return CATALOGUE.get(name, {"price": -1})["price"]


class Few:
    """Remembers a few answers and forgets the oldest."""

    def __init__(self, make: Callable[[int], int], most: int) -> None:
        self._make, self._most = make, most
        self._known: collections.OrderedDict[int, int] = collections.OrderedDict()

    def __call__(self, number: int) -> int:
        found = self._known.get(number)
        if found is None:
            found = self._known[number] = self._make(number)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return found  # by now another thread may have let it be forgotten


CUBES = Few(lambda number: number**3, 4)


class Memories(Counting):
    """Caches of every kind, all of pure functions."""

    id = "memories"

    @functools.cached_property
    def table(self) -> dict[str, int]:
        return {name: row["size"] for name, row in ROWS.items()}

    @tool
    def more(self, number: Annotated[int, Field(ge=0, le=40)] = 3) -> list[Any]:
        for each in range(number + 1):
            SQUARES.setdefault(each, each * each)
        for word in self.task.prompt.split():
            WORDS.setdefault(word, len(word))
        found = [SQUARES[number], CUBES(number), price(f"P{number}"), len(by_tag()["a"]), self.table["K1"]]
        return [*found, LETTERS.findall(self.task.prompt), WORDS["What"]]


class Templates(Counting):
    """A library that keeps caches of its own, and a log."""

    id = "templates"

    @tool
    def more(self, name: Name = "you") -> str:
        logger.info("asked by %s", name)
        page = PAGES.from_string("Hello {{ name }}, {{ things | length }} things.")
        return page.render(name=name[:20], things=ROWS) + string.Template("$a").substitute(a=1)


class Colour(enum.Enum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    """A line of an order."""

    thing: Name
    colour: Colour = Colour.RED
    amount: Count = 1


@dataclasses.dataclass
class Basket:
    """What was put in."""

    lines: list[Line] = dataclasses.field(default_factory=list)
    notes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


class Declared(Counting):
    """Declared state of all three kinds; arguments and state are models, enums and dataclasses."""

    id = "declared"
    basket = reset(Basket)
    prices = read_only(lambda: {"apple": [3, 4], "pear": [5]})
    visits = persist(0, version="1")
    counts = reset(collections.Counter)

    @tool
    def put(self, line: Line, how: Literal["fast", "slow"] = "slow") -> dict[str, Any]:
        self.basket.lines.append(line)
        self.basket.notes[how] += line.amount
        self.counts.update([line.thing])
        self.visits += 1
        return {"lines": len(self.basket.lines), "notes": dict(self.basket.notes), "visits": self.visits}

    @tool
    def more(self) -> list[Any]:
        return [self.prices["apple"][0], sum(self.counts.values()), Colour("blue").value]


class Machine(Environment, abc.ABC):
    """A base that others are made from."""

    version = "1.0.0"
    registry: ClassVar[dict[str, type["Machine"]]] = {}

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        Machine.registry[cls.__name__] = cls

    @abc.abstractmethod
    def press(self) -> str: ...


class Counted:
    """Beside the base."""

    def counted(self) -> int:
        return sum(1 for _ in Machine.registry)


class Inherited(Counted, Shelf, Machine):
    """Of three bases, with a scripted user."""

    id = "inherited"

    def press(self) -> str:
        return "pressed"

    @tool
    def button(self) -> list[Any]:
        return [self.press(), self.counted()]

    def start(self, task: Task) -> None:
        self.said = 0

    def next_user(self, answer: str) -> str | None:
        self.said += 1
        return f"Say it again, {self.said}." if self.said < 2 else None

    def oracle(self, task: Task) -> Iterator[Call | str]:
        yield Call("button", {})
        yield "wait"
        return (yield from super().oracle(task))


class Lazy(Counting):
    """Generators and iterators of the episode's own, left wherever it ends."""

    id = "lazy"

    def start(self, task: Task) -> None:
        self.pages = self._pages()
        self.numbers = itertools.count(1)
        self.recent: collections.deque[int] = collections.deque(maxlen=2)

    def _pages(self) -> Iterator[list[str]]:
        names = sorted(ROWS)
        while True:
            for first in range(0, len(names), 5):
                yield names[first : first + 5]

    @tool
    def more(self) -> dict[str, Any]:
        number = next(self.numbers)
        self.recent.append(number)
        return {"page": next(self.pages), "recent": list(self.recent), "half": str(Fraction(number, 2))}


class Client:
    """Of a service that answers from memory."""

    def __init__(self, rows: dict[str, Any]) -> None:
        self._rows = types.MappingProxyType(copy.deepcopy(rows))
        self._turn = threading.RLock()

    def ask(self, name: str) -> dict[str, Any]:
        with self._turn:
            return dict(self._rows[name])


class Asked(Protocol):
    """Whatever can be asked."""

    rows: ClassVar[int] = len(ROWS)

    def ask(self, name: str) -> dict[str, Any]: ...


_client: Asked | None = None
_making = threading.Lock()


def client() -> Asked:
    """The one client: made when it is first asked for."""
    global _client  # noqa: PLW0603
    with _making:
        if _client is None:
            _client = Client(ROWS)
    return _client


class OneClient(Counting):
    """A client made once, when first asked for, and the same for all."""

    id = "one-client"

    @tool
    def more(self) -> str:
        import statistics  # loaded when it is needed

        row = client().ask("K2")
        row["colour"] = "painted"
        return json.dumps([row, statistics.mean([1, 2, 6])], sort_keys=True)
