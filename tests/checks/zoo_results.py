"""Environments whose results differ from one time, or from one place, to the next."""

import asyncio
import datetime
import functools
import glob
import itertools
import locale
import os
import platform
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from shelf import Counting, Shelf

from practicum import Task, score_fields, tool

CODES = {
    "ObjectAddress": "ENV-REPEAT",
    "ObjectAsText": "ENV-REPEAT",
    "OrderOfObjects": "ENV-REPEAT",
    "ElapsedTime": "ENV-REPEAT",
    "OrderOfThreads": "ENV-REPEAT",
    "SumInOrderOfThreads": "ENV-REPEAT",
    "GaveUpAfterAWhile": "ENV-REPEAT",
    "ScratchPathTold": "ENV-REPEAT",
    "SetOrder": "ENV-PROCESS",
    "DictionaryOrderByHash": "ENV-PROCESS",
    "SumInHashOrder": "ENV-PROCESS",
    "HashAsId": "ENV-PROCESS",
    "TaskOrder": "ENV-PROCESS",
    "TimeZone": "ENV-PROCESS",
    "MonthOfLocalTime": "ENV-PROCESS",
    "LocaleSort": "ENV-PROCESS",
    "WorkingFolder": "ENV-PROCESS",
    "ProcessNumber": "ENV-REPEAT",
    "FolderOrder": "ENV-PROCESS",
    "GlobOrder": "ENV-PROCESS",
    "HostName": "ENV-PROCESS",
    "Processors": "ENV-PROCESS",
    "DefaultEncoding": "ENV-PROCESS",
    "ClassAddress": "ENV-PROCESS",
    "SchemaInSetOrder": "ENV-PROCESS",
}
score = score_fields(tag="final_output", exact=True)
WORDS = ("alder", "birch", "cedar", "elm", "hazel", "maple", "oak", "pine", "rowan", "willow")


class ObjectAddress(Counting):
    @tool
    def more(self) -> int:
        return id(object()) % 99_991 + id([]) % 99_989  # fault


class Order:
    """Without a text of its own."""


class ObjectAsText(Counting):
    @tool
    def more(self) -> str:
        return f"placed {Order()!r}"  # fault


class OrderOfObjects(Counting):
    @tool
    def more(self) -> list[int]:
        orders = [Order() for _ in range(8)]
        return [orders.index(order) for order in set(orders)]  # fault


class ElapsedTime(Counting):
    @tool
    def more(self) -> str:
        began = time.perf_counter()  # fault
        return f"took {(time.perf_counter() - began) * 1e6:.3f} µs"  # fault


class OrderOfThreads(Counting):
    @tool
    def more(self) -> list[str]:  # fault
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(str.upper, word) for word in WORDS]  # fault
            return [future.result() for future in as_completed(futures)]  # fault


class SumInOrderOfThreads(Counting):
    @tool
    def more(self) -> float:  # fault
        parts: list[float] = []
        threads = [threading.Thread(target=parts.append, args=(0.1 * 3**number,)) for number in range(8)]
        for thread in threads:
            thread.start()  # fault
        for thread in threads:
            thread.join()  # fault
        return sum(parts)  # fault


class GaveUpAfterAWhile(Counting):
    @tool
    async def more(self) -> int:
        done = 0
        until = time.monotonic() + 0.002  # fault
        while time.monotonic() < until:  # fault
            done += 1
            await asyncio.sleep(0)
        return done


class ScratchPathTold(Counting):
    @tool
    def more(self) -> str:
        return str(self.scratch)  # fault


class SetOrder(Counting):
    @tool
    def more(self) -> str:
        return ", ".join(set(WORDS))  # fault


class DictionaryOrderByHash(Counting):
    @tool
    def more(self) -> dict[str, int]:
        return {word: len(word) for word in frozenset(WORDS)}  # fault


class SumInHashOrder(Counting):
    @tool
    def more(self) -> float:
        weights = {word: 10.0 ** (number % 4 * 5) / 3 for number, word in enumerate(WORDS)}
        return functools.reduce(lambda total, word: total + weights[word], set(weights), 0.0)  # fault


class HashAsId(Counting):
    @tool
    def more(self) -> int:
        return hash(self.task.prompt) % 1000  # fault


class TaskOrder(Shelf):
    def tasks(self, split: str) -> list[Task]:
        named = {task.id: task for task in super().tasks(split)}
        return [named[name] for name in set(named)]  # fault


class TimeZone(Counting):
    @tool
    def more(self) -> str:
        return datetime.datetime.fromtimestamp(1_700_000_000).isoformat()  # fault


class MonthOfLocalTime(Counting):
    @tool
    def more(self) -> int:
        return time.localtime(1_701_388_800 - 3_600).tm_mon  # fault


class LocaleSort(Counting):
    @tool
    def more(self) -> list[str]:
        return sorted(["b", "A", "a", "B"], key=locale.strxfrm)  # fault


class WorkingFolder(Counting):
    @tool
    def more(self) -> str:
        return str(Path.cwd())  # fault


class ProcessNumber(Counting):
    @tool
    def more(self) -> int:
        return os.getpid()  # fault


class FolderOrder(Counting):
    @tool
    def more(self) -> list[str]:
        for word in WORDS:
            (self.scratch / word).touch()
        return os.listdir(self.scratch)  # noqa: PTH208  # fault


class GlobOrder(Counting):
    @tool
    def more(self) -> list[str]:
        for word in WORDS:
            (self.scratch / word).touch()
        found = glob.glob(f"{glob.escape(str(self.scratch))}/*")  # noqa: PTH207  # fault
        return [Path(path).name for path in found]


class HostName(Counting):
    @tool
    def more(self) -> str:
        return platform.node()  # fault


class Processors(Counting):
    @tool
    def more(self) -> int:
        return len(list(itertools.islice(itertools.count(), os.cpu_count())))  # fault


class DefaultEncoding(Counting):
    @tool
    def more(self) -> int:
        (self.scratch / "note.txt").write_bytes("für später".encode())
        return len((self.scratch / "note.txt").read_text())  # fault


class ClassAddress(Counting):
    @tool
    def more(self) -> int:
        return id(type(self)) % 9973  # fault


class SchemaInSetOrder(Shelf):
    def system_prompt(self, task: Task) -> str:
        return f"{super().system_prompt(task)} Words: {', '.join(set(WORDS))}."  # fault
