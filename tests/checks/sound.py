"""Environments without a fault, of several kinds; the faulty ones are made from ``Shelf``."""

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from practicum import Call, Environment, Task, ToolError, score_fields, tool

Name = Annotated[str, Field(max_length=400)]
Count = Annotated[int, Field(ge=0, le=1000)]

ROWS = {
    f"K{number}": {"colour": colour, "size": number * 7}
    for number, colour in enumerate(("red", "blue", "green", "gold") * 3)
}
SPLITS = {"train": range(6), "validation": range(6, 9), "test": range(9, 12)}

score = score_fields(tag="final_output", exact=True)
reward = score_fields(tag="final_output", partial=True)


class Shelf(Environment):
    """Read-only lookups."""

    id, version = "shelf", "1.0.0"

    @tool
    def look(self, name: Name) -> dict[str, Any]:
        """a thing's colour and size"""
        if name not in ROWS:
            raise ToolError(f"there is no {name!r}")
        return ROWS[name]

    def system_prompt(self, task: Task) -> str:
        del task
        return 'Look the thing up. Answer <final_output>{"colour":…,"size":…}</final_output>'

    def tasks(self, split: str) -> list[Task]:
        return [Task(f"{split}-{n}", f"What is K{n} like?", ROWS[f"K{n}"]) for n in SPLITS[split]]

    def oracle(self, task: Task) -> Iterator[Call]:
        found = yield Call("look", {"name": task.prompt.split()[2]})
        return f"<final_output>{json.dumps(found)}</final_output>"


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
