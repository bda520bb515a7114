"""The second zoo: environments whose results differ from one time, or from one place, to the next."""

import asyncio
import calendar
import collections
import datetime
import functools
import gc
import inspect
import json
import os
import random
import re
import shutil
import socket
import sys
import tempfile
import threading
import time
import traceback
import types
import weakref
from collections.abc import Iterator
from pathlib import Path

from shelf import ROWS, Counting, Shelf

from practicum import Call, Task, ToolError, score_fields, tool

CODES = {
    "PidAsSeed": "ENV-REPEAT",
    "SortedByAddress": "ENV-REPEAT",
    "ErrorWithAnAddress": "ENV-REPEAT",
    "CollectorDependent": "ENV-REPEAT",
    "TimeOfAFile": "ENV-REPEAT",
    "OwnThreadsRace": "ENV-REPEAT",
    "WeakReferenceTold": "ENV-REPEAT",
    "LambdaTold": "ENV-REPEAT",
    "ProcessorTime": "ENV-REPEAT",
    "LoopTime": "ENV-REPEAT",
    "NativeThread": "ENV-REPEAT",
    "TemporaryNameTold": "ENV-REPEAT",
    "TracebackTold": "ENV-PROCESS",
    "UserNumber": "ENV-PROCESS",
    "HostName": "ENV-PROCESS",
    "TasksSortedByHash": "ENV-PROCESS",
    "TasksInDictionaryOfASet": "ENV-PROCESS",
    "FixtureFolderListing": "ENV-PROCESS",
    "JsonOfASet": "ENV-PROCESS",
    "MostCommon": "ENV-PROCESS",
    "ChoiceFromASet": "ENV-PROCESS",
    "FloatsOfASet": "ENV-PROCESS",
    "FirstOfASet": "ENV-PROCESS",
    "TextOfASet": "ENV-PROCESS",
    "DayOfATimestamp": "ENV-PROCESS",
    "NameOfTheZone": "ENV-PROCESS",
    "MakeTime": "ENV-PROCESS",
    "AbsolutePath": "ENV-PROCESS",
    "WrittenWithTheDefaultEncoding": "ENV-PROCESS",
    "WalkedFolder": "ENV-PROCESS",
    "HashOfATuple": "ENV-PROCESS",
    "HashOfAPath": "ENV-PROCESS",
    "ModificationTime": "ENV-PROCESS",
    "ParentProcess": "ENV-PROCESS",
    "Arguments": "ENV-PROCESS",
    "DefaultPool": "ENV-PROCESS",
    "SourceFolderTold": "ENV-PROCESS",
    "FreeSpace": "ENV-PROCESS",
    "DocumentsBySet": "ENV-PROCESS",
}
score = score_fields(tag="final_output", exact=True)
WORDS = ("alder", "birch", "cedar", "elm", "hazel", "maple", "oak", "pine", "rowan", "willow")


class Thing:
    """Without a text of its own."""


class PidAsSeed(Counting):
    @tool
    def more(self) -> int:
        return random.Random(os.getpid()).randint(0, 10**9)  # fault


class SortedByAddress(Counting):
    @tool
    def more(self) -> list[int]:
        things = [Thing() for _ in range(9)]
        return [things.index(each) for each in sorted(things, key=id)]  # fault


class ErrorWithAnAddress(Counting):
    @tool
    def more(self) -> str:
        raise ToolError(f"cannot do {Thing()}")  # fault

    def oracle(self, task: Task) -> Iterator[Call]:
        return (yield from Shelf.oracle(self, task))


class CollectorDependent(Counting):
    @tool
    def more(self) -> int:
        return len(gc.get_objects())  # fault


class TimeOfAFile(Counting):
    @tool
    def more(self) -> float:
        (self.scratch / "a").touch()
        return (self.scratch / "a").stat().st_mtime  # fault


class OwnThreadsRace(Counting):
    @tool
    def more(self) -> int:  # fault
        total = {"n": 0}

        def work() -> None:
            for _ in range(3):
                number = total["n"]
                number += 1
                total["n"] = number

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()  # fault
        for thread in threads:
            thread.join()  # fault
        return total["n"]  # fault


class WeakReferenceTold(Counting):
    @tool
    def more(self) -> str:
        thing = Thing()
        return str(weakref.ref(thing))  # fault


class LambdaTold(Counting):
    @tool
    def more(self) -> dict[str, str]:
        return {"key": repr(functools.partial(lambda: 1))}  # fault


class ProcessorTime(Counting):
    @tool
    def more(self) -> float:
        return time.process_time()  # fault


class LoopTime(Counting):
    @tool
    async def more(self) -> float:
        return asyncio.get_running_loop().time()  # fault


class NativeThread(Counting):
    @tool
    def more(self) -> int:
        return threading.get_native_id()  # fault


class TemporaryNameTold(Counting):
    @tool
    def more(self) -> str:
        with tempfile.NamedTemporaryFile() as file:  # fault
            return Path(file.name).name  # fault


class TracebackTold(Counting):
    @tool
    def more(self) -> str:  # fault
        try:
            return str(ROWS["nothing"])
        except KeyError:
            return traceback.format_exc()  # fault


class UserNumber(Counting):
    @tool
    def more(self) -> int:
        return os.getuid()  # fault


class HostName(Counting):
    @tool
    def more(self) -> str:
        return f"from {socket.gethostname()}"  # fault


class TasksSortedByHash(Shelf):
    def tasks(self, split: str) -> list[Task]:
        return sorted(super().tasks(split), key=lambda task: hash(task.id))  # fault


class TasksInDictionaryOfASet(Shelf):
    def tasks(self, split: str) -> list[Task]:
        listed = {task.id: task for task in super().tasks(split)}
        names = dict.fromkeys(set(listed))  # fault
        return [listed[name] for name in names]


class FixtureFolderListing(Counting):
    @tool
    def more(self) -> list[str]:
        return [path.name for path in self.folder.iterdir() if not path.name.startswith("_")]  # fault


class JsonOfASet(Counting):
    @tool
    def more(self) -> str:
        return json.dumps(list({word[0] for word in WORDS}))  # fault


class MostCommon(Counting):
    @tool
    def more(self) -> list[str]:
        counted = collections.Counter(frozenset(WORDS))  # fault
        return [word for word, _ in counted.most_common(3)]  # fault


class ChoiceFromASet(Counting):
    @tool
    def more(self) -> str:
        return self.random.choice(list(set(WORDS)))  # fault


class FloatsOfASet(Counting):
    @tool
    def more(self) -> float:
        weights = {word: 10.0 ** (number % 4 * 5) / 3 for number, word in enumerate(WORDS)}
        total = 0.0
        for word in set(weights):  # fault
            total += weights[word]  # fault
        return total  # fault


class FirstOfASet(Counting):
    @tool
    def more(self) -> str:
        return next(iter(set(WORDS)))  # fault


class TextOfASet(Counting):
    @tool
    def more(self) -> str:
        return f"one of {set(WORDS)}"  # fault


class DayOfATimestamp(Counting):
    @tool
    def more(self) -> str:
        return calendar.day_name[datetime.date.fromtimestamp(1_700_000_000).weekday()]  # fault


class NameOfTheZone(Counting):
    @tool
    def more(self) -> str:
        return time.tzname[0]  # fault


class MakeTime(Counting):
    @tool
    def more(self) -> float:
        return time.mktime((2026, 1, 1, 0, 0, 0, 0, 1, 0))  # fault


class AbsolutePath(Counting):
    @tool
    def more(self) -> str:
        return os.path.abspath("prices.json")  # noqa: PTH100  # fault


class WrittenWithTheDefaultEncoding(Counting):
    @tool
    def more(self) -> int:
        (self.scratch / "note.txt").write_text("für später")  # fault
        return (self.scratch / "note.txt").stat().st_size  # fault


class WalkedFolder(Counting):
    @tool
    def more(self) -> list[str]:
        for word in WORDS:
            (self.scratch / word).touch()
        return [name for _, _, names in os.walk(self.scratch) for name in names]  # fault


class HashOfATuple(Counting):
    @tool
    def more(self) -> int:
        return ("order", self.task.id).__hash__() % 64  # fault


class HashOfAPath(Counting):
    @tool
    def more(self) -> int:
        return {Path("a"): 1, Path("b"): 2}.keys().__len__() + hash(Path("c")) % 97  # fault


class ModificationTime(Counting):
    @tool
    def more(self) -> float:
        return (self.folder / "notes.txt").stat().st_mtime  # fault


class ParentProcess(Counting):
    @tool
    def more(self) -> int:
        return os.getppid()  # fault


class Arguments(Counting):
    @tool
    def more(self) -> str:
        return sys.argv[0]  # fault


class DefaultPool(Counting):
    @tool
    def more(self) -> int:
        return len(os.sched_getaffinity(0))  # fault


class SourceFolderTold(Counting):
    @tool
    def more(self) -> str:  # fault
        return str(Path(inspect.getfile(type(self))).parent)  # fault


class FreeSpace(Counting):
    @tool
    def more(self) -> int:
        return shutil.disk_usage("/").total  # fault


class DocumentsBySet(Shelf):
    def system_prompt(self, task: Task) -> str:
        kinds = {type(value).__name__ for value in (1, "a", 2.0, [], {}, (), types, re)}
        return f"{super().system_prompt(task)} Kinds: {', '.join(kinds)}."  # fault
