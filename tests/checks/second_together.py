"""The second zoo: environments whose episodes get in each other's way, or spoil the next one when they end badly."""

import asyncio
import contextvars
import locale
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from shelf import ROWS, Counting, Name

from practicum import Task, score_fields, tool

CODES = {
    "AsyncLockOfAll": "ENV-INTERLEAVE",
    "SignalForAMoment": "ENV-INTERLEAVE",
    "NameOfTheThread": "ENV-INTERLEAVE",
    "LocaleForAMoment": "ENV-INTERLEAVE",
    "NoteForAMoment": "ENV-INTERLEAVE",
    "SharedCursor": "ENV-INTERLEAVE",
    "SelectedRow": "ENV-INTERLEAVE",
    "TemporaryRowInPlace": "ENV-INTERLEAVE",
    "BarrierOfAll": "ENV-INTERLEAVE",
    "CounterUpAndDown": "ENV-INTERLEAVE",
    "FutureOfAnotherLoop": "ENV-INTERLEAVE",
    "BusyFlag": "ENV-ABANDON",
    "TransactionLeftOpen": "ENV-ABANDON",
    "ConnectionsRunOut": "ENV-ABANDON",
    "DelegationNotEnded": "ENV-ABANDON",
    "ManagerWithoutFinally": "ENV-ABANDON",
    "VariableNotRestored": "ENV-ABANDON",
    "SemaphoreLost": "ENV-ABANDON",
}
score = score_fields(tag="final_output", exact=True)


class AsyncLockOfAll(Counting):
    lock: ClassVar[Any] = asyncio.Lock()

    @tool
    async def more(self) -> str:
        async with self.lock:  # fault
            await asyncio.sleep(0.001)  # fault
            return "done"


class SignalForAMoment(Counting):
    @tool
    def more(self) -> str:
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)  # fault
        signal.signal(signal.SIGALRM, before)
        return "in time"


class NameOfTheThread(Counting):
    @tool
    def more(self) -> str:  # fault
        return threading.current_thread().name


class LocaleForAMoment(Counting):
    @tool
    def more(self) -> str:  # fault
        before = locale.setlocale(locale.LC_NUMERIC)
        locale.setlocale(locale.LC_NUMERIC, "C.UTF-8" if len(self.task.id) % 2 else "POSIX")  # fault
        told = locale.setlocale(locale.LC_NUMERIC)
        locale.setlocale(locale.LC_NUMERIC, before)
        return told


class NoteForAMoment(Counting):
    @tool
    def more(self) -> str:  # fault
        NOTE["task"] = self.task.id  # fault
        said = f"done for {NOTE['task']}"
        NOTE["task"] = ""
        return said


NOTE = {"task": ""}
DATABASE = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
DATABASE.execute("create table rows (name text)")
DATABASE.executemany("insert into rows values (?)", [(name,) for name in ROWS])
CURSOR = DATABASE.cursor()


class SharedCursor(Counting):
    @tool
    def more(self) -> list[str]:  # fault
        CURSOR.execute("select name from rows where name <= ? order by name", (f"K{len(self.task.id)}",))  # fault
        first = CURSOR.fetchone()  # fault
        rest = CURSOR.fetchall()  # fault
        return [row[0] for row in (first, *rest) if row]  # fault

    @tool
    def other(self) -> int:  # fault
        return len(CURSOR.execute("select name from rows").fetchall())  # fault


SELECTED: dict[str, str] = {}


class SelectedRow(Counting):
    @tool
    def select(self, name: Name) -> str:
        SELECTED["now"] = name  # fault
        return "selected"

    @tool
    def more(self) -> str:  # fault
        return SELECTED.get("now", "nothing")

    def start(self, task: Task) -> None:
        SELECTED["now"] = task.id  # fault

    def stop(self) -> None:
        SELECTED.clear()  # fault


STOCK = {"apple": 9}


class TemporaryRowInPlace(Counting):
    @tool
    def more(self) -> int:  # fault
        STOCK["apple"] -= len(self.task.id)  # fault
        left = STOCK["apple"]
        STOCK["apple"] += len(self.task.id)
        return left


class BarrierOfAll(Counting):
    @tool
    async def more(self) -> int:  # fault
        NAMES.append(self.task.id)  # fault
        await asyncio.sleep(0)
        count = len(NAMES)
        NAMES.remove(self.task.id)
        return count


NAMES: list[str] = []
OPEN = {"episodes": 0}


class CounterUpAndDown(Counting):
    def start(self, task: Task) -> None:
        OPEN["episodes"] += 1  # fault

    @tool
    def more(self) -> int:  # fault
        return OPEN["episodes"]

    def stop(self) -> None:
        OPEN["episodes"] -= 1  # fault


class FutureOfAnotherLoop(Counting):
    @tool
    async def more(self) -> str:  # fault
        future = FUTURES.setdefault("one", asyncio.get_running_loop().create_future())  # fault
        asyncio.get_running_loop().call_soon(lambda: future.done() or future.set_result(self.task.id))
        told = await future  # fault
        FUTURES.clear()
        return told


FUTURES: dict[str, Any] = {}
BUSY = {"now": False}


class BusyFlag(Counting):
    @tool
    def more(self) -> str:
        with TURN:
            if BUSY["now"]:
                return "busy"
            BUSY["now"] = True
            text = self.task.prompt.upper()  # fault
            BUSY["now"] = False  # fault
        return text  # fault


TURN = threading.Lock()
SHARED = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
SHARED.execute("create table rows (name text)")


class TransactionLeftOpen(Counting):
    @tool
    def more(self) -> int:
        with TURN:
            SHARED.execute("begin")
            found = SHARED.execute("select count(*) from rows").fetchone()[0]  # fault
            SHARED.execute("commit")  # fault
        return found


FREE = [object(), object()]


class ConnectionsRunOut(Counting):
    @tool
    def more(self) -> str:
        with TURN:
            connection = FREE.pop()
            text = f"{self.task.prompt} is answered"  # fault
            FREE.append(connection)  # fault
        return text  # fault


DEPTH = [0]


@contextmanager
def _deeper() -> Iterator[int]:
    DEPTH[0] += 1
    yield DEPTH[0]
    DEPTH[0] -= 1


class DelegationNotEnded(Counting):
    @tool
    def more(self) -> int:
        with TURN, _deeper() as depth:
            words = self.task.prompt.split()  # fault
            return depth + len(words)  # fault


MODE = contextvars.ContextVar("MODE", default="plain")


class ManagerWithoutFinally(Counting):
    @tool
    def more(self) -> str:
        before = MODE.get()
        token = MODE.set("fancy")
        said = f"{before} {len(self.task.prompt)}"  # fault
        MODE.reset(token)  # fault
        return said


class VariableNotRestored(Counting):
    @tool
    def more(self) -> int:
        with TURN:
            os.environ["SHELF_STEP"] = "1"
            number = len(self.task.prompt)  # fault
            del os.environ["SHELF_STEP"]  # fault
        return number


class SemaphoreLost(Counting):
    seats: ClassVar[Any] = threading.Semaphore(1)

    @tool
    def more(self) -> str:
        self.seats.acquire()  # fault
        text = self.task.prompt.lower()  # fault
        self.seats.release()
        return text
