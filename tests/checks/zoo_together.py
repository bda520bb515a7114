"""Environments whose episodes get in each other's way: while they run, or after one of them ended badly."""

import asyncio
import contextlib
import io
import os
import sys
import textwrap
import threading
import warnings
from pathlib import Path
from typing import Any, ClassVar

from shelf import Counting

from practicum import Task, score_fields, tool

CODES = {
    "CurrentTask": "ENV-INTERLEAVE",
    "OutputCaptured": "ENV-INTERLEAVE",
    "FolderForAMoment": "ENV-INTERLEAVE",
    "PatchedForAMoment": "ENV-INTERLEAVE",
    "CheckedThenTaken": "ENV-INTERLEAVE",
    "BufferOfAll": "ENV-INTERLEAVE",
    "WaitsWithTheWrongTask": "ENV-INTERLEAVE",
    "LoopWithinALoop": "ENV-INTERLEAVE",
    "TakesTurnsForever": "ENV-INTERLEAVE",
    "LockNotReleased": "ENV-ABANDON",
    "FolderNotRestored": "ENV-ABANDON",
    "HalfLoaded": "ENV-ABANDON",
    "LimitNotRestored": "ENV-ABANDON",
    "SeatTaken": "ENV-INTERLEAVE",
    "CancelledInTheMiddle": "ENV-ABANDON",
    "FiltersNotRestored": "ENV-ABANDON",
}
score = score_fields(tag="final_output", exact=True)


class CurrentTask(Counting):
    current: ClassVar[str] = ""

    def start(self, task: Task) -> None:
        CurrentTask.current = task.id  # fault

    @tool
    def more(self) -> str:  # fault
        return self.current

    def stop(self) -> None:
        CurrentTask.current = ""


class OutputCaptured(Counting):
    @tool
    def more(self) -> str:  # fault
        with contextlib.redirect_stdout(io.StringIO()) as out:  # fault
            for word in self.task.prompt.split():
                print(word)
        return out.getvalue()


class FolderForAMoment(Counting):
    @tool
    def more(self) -> list[str]:  # fault
        (self.scratch / f"{self.task.id}.txt").touch()
        with contextlib.chdir(self.scratch):  # fault
            return sorted(path.name for path in Path().iterdir())  # fault


class PatchedForAMoment(Counting):
    @tool
    def more(self) -> str:  # fault
        kept = textwrap.dedent
        textwrap.dedent = lambda text: f"{self.task.id}: {text}"  # fault
        try:
            said = textwrap.dedent("done")
        finally:
            textwrap.dedent = kept
        return said


class CheckedThenTaken(Counting):
    free: ClassVar[list[str]] = ["pen", "cup", "hat"]

    @tool
    def more(self) -> list[str]:  # fault
        taken = []
        while self.free:
            taken.append(self.free.pop())  # fault
        self.free.extend(reversed(taken))  # fault
        return taken


class BufferOfAll(Counting):
    buffer: ClassVar[list[str]] = []

    @tool
    def more(self) -> str:  # fault
        self.buffer.clear()  # fault
        for word in self.task.prompt.split():
            self.buffer.append(word)  # fault
        text = " ".join(self.buffer)
        self.buffer.clear()  # fault
        return text


class WaitsWithTheWrongTask(Counting):
    asked: ClassVar[dict[str, str]] = {}

    @tool
    async def more(self) -> str:  # fault
        self.asked["id"] = self.task.id  # fault
        await asyncio.sleep(0)
        return self.asked.pop("id", "nobody")


class LoopWithinALoop(Counting):
    @tool
    def more(self) -> str:
        return asyncio.run(asyncio.sleep(0, "done"))  # fault


class TakesTurnsForever(Counting):
    first: ClassVar[Any] = threading.Lock()
    second: ClassVar[Any] = threading.Lock()

    @tool
    def more(self) -> str:
        a, b = (self.first, self.second) if len(self.task.id) % 2 else (self.second, self.first)
        with a:  # fault
            done = "do"
            with b:  # fault
                return done + "ne"


class LockNotReleased(Counting):
    turn: ClassVar[Any] = threading.Lock()

    @tool
    def more(self) -> str:
        self.turn.acquire()  # fault
        text = self.task.prompt.upper()  # fault
        self.turn.release()
        return text


class FolderNotRestored(Counting):
    @tool
    def more(self) -> int:
        before = Path.cwd()
        os.chdir(self.folder)
        found = len(list(self.folder.glob("*.py")))  # fault
        os.chdir(before)  # fault
        return found  # fault


PRICES: dict[str, int] = {}


class HalfLoaded(Counting):
    turn: ClassVar[Any] = threading.Lock()

    @tool
    def more(self) -> int:
        with self.turn:
            if not PRICES:
                PRICES["apple"] = 3  # fault
                PRICES["pear"] = 5  # fault
        return sum(PRICES.values())  # fault


class LimitNotRestored(Counting):
    @tool
    def more(self) -> int:
        kept = sys.getrecursionlimit()
        sys.setrecursionlimit(kept + 1000)
        number = len(self.task.prompt)  # fault
        sys.setrecursionlimit(kept)  # fault
        return number


class SeatTaken(Counting):
    seats: ClassVar[list[str]] = ["window", "aisle"]

    def start(self, task: Task) -> None:  # fault
        self.seat = self.seats.pop()  # fault

    @tool
    def more(self) -> str:  # fault
        return self.seat

    def next_user(self, answer: str) -> str | None:
        return None

    def stop(self) -> None:
        self.seats.append(self.seat)  # fault


class CancelledInTheMiddle(Counting):
    turn: ClassVar[Any] = threading.Lock()

    @tool
    async def more(self) -> str:
        while not self.turn.acquire(blocking=False):  # fault
            await asyncio.sleep(0.001)  # fault
        try:
            await asyncio.sleep(0.001)  # fault
        except Exception:  # a cancellation is none
            self.turn.release()
            raise
        self.turn.release()
        return "done"


class FiltersNotRestored(Counting):
    @tool
    def more(self) -> int:
        kept = warnings.filters[:]
        warnings.simplefilter("ignore")
        number = len(self.task.prompt)  # fault
        warnings.filters[:] = kept  # type: ignore[index]  # fault
        return number
