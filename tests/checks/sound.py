"""Environments without a fault, of several kinds: their own folders and databases, awaiting, threads, NumPy."""

import asyncio
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from shelf import ROWS, Count, Counting, Name, Shelf

from practicum import Call, Environment, Task, ToolError, score_fields, tool

CODE = "none"
SCORES = {"Ledger": "booked", "Orders": "booked"}
score = score_fields(tag="final_output", exact=True)
reward = score_fields(tag="final_output", partial=True)


class Dice(Shelf):
    """Draws, all of them seeded by the episode, from a tool with structured arguments."""

    id = "dice"

    @tool
    def roll(self, sides: Annotated[list[Count], Field(max_length=3)], name: Name | None = None) -> list[int]:
        """dice rolled"""
        del name
        return [self.random.randint(0, side) for side in sides]

    def oracle(self, task: Task) -> Iterator[Call]:
        yield Call("roll", {"sides": [6, 6]})
        return (yield from super().oracle(task))


class Ledger(Environment):
    """A database and a folder for each episode, judged by the state they end in."""

    id, version = "accounts", "1.0.0"

    def start(self, task: Task) -> None:
        del task
        self.files = Path(tempfile.mkdtemp())
        self.database = sqlite3.connect(self.files / "accounts.db")
        self.database.execute("pragma synchronous = off")
        self.database.execute("create table entries (id integer primary key, amount integer)")

    @tool
    def add(self, amount: Count) -> dict[str, Any]:
        """enter an amount"""
        row = self.database.execute("insert into entries (amount) values (?)", (amount,)).lastrowid
        (self.files / "receipt.txt").write_text(f"{row}: {amount}", encoding="utf-8")
        return {"id": row, "receipt": (self.files / "receipt.txt").read_text(encoding="utf-8")}

    def final_state(self) -> Mapping[str, Any]:
        return {"total": self.database.execute("select coalesce(sum(amount), 0) from entries").fetchone()[0]}

    def stop(self) -> None:
        self.database.close()
        shutil.rmtree(self.files)

    def tasks(self, split: str) -> list[Task]:
        amounts = {"train": (3, 5, 8), "validation": (13, 21), "test": (34, 55)}[split]
        return [Task(f"{split}-{n}", f"Enter {n} twice, then say done.", {"total": 2 * n}) for n in amounts]

    def oracle(self, task: Task) -> Iterator[Call]:
        for _ in range(2):
            yield Call("add", {"amount": task.answer["total"] // 2})
        return "done"


def booked(rollout: Any) -> float:
    return float(rollout.final_state["total"] == rollout.task.answer["total"])


class Awaiting(Counting):
    """Tools that wait, several at once, and in a thread of the loop's."""

    id = "awaiting"

    @tool
    async def more(self) -> list[str]:
        async def one(word: str) -> str:
            await asyncio.sleep(0.0005 * len(word))
            return word.upper()

        found = await asyncio.gather(*(one(word) for word in self.task.prompt.split()))
        return [*found, await asyncio.to_thread(str.lower, found[0])]

    @tool
    async def wait(self, for_at_most: Count) -> str:
        async with asyncio.timeout(5 + for_at_most):
            await asyncio.sleep(0)
        return "waited"


class Threads(Counting):
    """Threads that are all joined, and whose results keep their order."""

    id = "threads"
    turn: ClassVar[Any] = threading.Lock()

    @tool
    def more(self) -> list[Any]:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(self._size, ROWS))
        total: list[int] = []
        workers = [threading.Thread(target=self._add, args=(total, size)) for size in found]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return [found, sum(total)]

    def _size(self, name: str) -> int:
        return ROWS[name]["size"]

    def _add(self, total: list[int], size: int) -> None:
        with self.turn:
            total.append(size)


class Arrays(Counting):
    """NumPy, seeded by the episode."""

    id = "arrays"

    def start(self, task: Task) -> None:
        self.dice = np.random.default_rng(self.random.getrandbits(64))
        self.older = np.random.RandomState(self.random.getrandbits(32))
        self.grid = np.zeros((4, 4))

    @tool
    def more(self) -> list[float]:
        self.grid += self.dice.normal(size=(4, 4)) + self.older.rand(4, 4)
        self.grid[0] = np.sort(self.grid[0])
        return self.grid.sum(axis=0).round(6).tolist()


class Orders(Environment):
    """The episode's own database, clock, ids and folder, judged by the state it ends in."""

    id, version = "orders", "1.0.0"

    def start(self, task: Task) -> None:
        self.database.executescript("create table orders (id text primary key, at text, amount integer);")
        self.register(self._count_down)
        self.left = 3

    def _count_down(self) -> None:
        self.left = 0

    @tool
    def order(self, amount: Count) -> dict[str, Any]:
        """place an order"""
        if amount % 1000 == 999:
            raise ToolError("too many")
        self.clock.advance(60)
        row = (self.new_id("order-"), self.clock.now().isoformat(), amount)
        self.database.execute("insert into orders values (?, ?, ?)", row)
        (self.scratch / f"{row[0]}.txt").write_text(f"{amount}", encoding="utf-8")
        return {"id": row[0], "at": row[1], "receipts": sorted(path.name for path in self.scratch.iterdir())}

    def final_state(self) -> Mapping[str, Any]:
        return {"total": self.database.execute("select coalesce(sum(amount), 0) from orders").fetchone()[0]}

    def tasks(self, split: str) -> list[Task]:
        amounts = {"train": (3, 5, 8), "validation": (13, 21), "test": (34, 55)}[split]
        return [Task(f"{split}-{n}", f"Order {n} twice, then say done.", {"total": 2 * n}) for n in amounts]

    def oracle(self, task: Task) -> Iterator[Call]:
        for _ in range(2):
            yield Call("order", {"amount": task.answer["total"] // 2})
        return "done"


class TemporaryFiles(Counting):
    """Temporary files and folders of several makes, all gone at the end."""

    id = "temporary-files"

    def start(self, task: Task) -> None:
        self.folder_of_mine = Path(self.enter(tempfile.TemporaryDirectory()))

    @tool
    def more(self, name: Name = "a") -> list[int]:
        with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as file, tempfile.TemporaryFile() as nameless:
            file.write(name)
            nameless.write(name.encode())
            file.flush()
            size = Path(file.name).stat().st_size
        (self.folder_of_mine / "kept.txt").write_text(name, encoding="utf-8")
        return [size, len(list(self.folder_of_mine.glob("*.txt")))]
