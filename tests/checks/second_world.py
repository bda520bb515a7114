"""The second zoo: environments that touch what is not theirs, in ways the first does not know."""

import ctypes
import datetime
import email.utils
import getpass
import locale
import logging
import multiprocessing
import os
import platform
import pwd
import random
import secrets
import socket
import sqlite3
import time
import urllib.request
import uuid
from pathlib import Path

import numpy as np
from shelf import ROWS, Counting, Shelf

from practicum import Task, score_fields, tool

CODES = {
    "TimeSeed": "ENV-HERMETIC",
    "UtcNow": "ENV-HERMETIC",
    "NanosecondsOfTheClock": "ENV-HERMETIC",
    "TimeBasedUuid": "ENV-HERMETIC",
    "UserByEnvironment": "ENV-HERMETIC",
    "LogFile": "ENV-HERMETIC",
    "LocaleAtImport": "ENV-HERMETIC",
    "VariableSetDefault": "ENV-HERMETIC",
    "LocalNow": "ENV-HERMETIC",
    "DatabaseBesideTheEnvironment": "ENV-HERMETIC",
    "SampleImportedByName": "ENV-HERMETIC",
    "LooksForAFile": "ENV-HERMETIC",
    "OpensAUrl": "ENV-HERMETIC",
    "PoolOfProcesses": "ENV-HERMETIC",
    "LegacyNumpyState": "ENV-HERMETIC",
    "NumpySeededThenDrawn": "ENV-HERMETIC",
    "RandomBlob": "ENV-HERMETIC",
    "DeviceOfEntropy": "ENV-HERMETIC",
    "PipeToAProgram": "ENV-HERMETIC",
    "DefaultArgumentOfTheClock": "ENV-HERMETIC",
    "ClockInALambda": "ENV-HERMETIC",
    "HttpDate": "ENV-HERMETIC",
    "ClockOfADateObject": "ENV-HERMETIC",
    "ShuffledByAKey": "ENV-HERMETIC",
    "SecretChoice": "ENV-HERMETIC",
    "ProcFile": "ENV-HERMETIC",
    "FullyQualifiedName": "ENV-HERMETIC",
    "ClockOfTheCLibraryAgain": "ENV-HERMETIC",
    "EnvironmentCopied": "ENV-HERMETIC",
    "HomeOfTheUser": "ENV-HERMETIC",
    "ServerSocket": "ENV-HERMETIC",
    "UserByNumber": "ENV-HERMETIC",
    "PlatformText": "ENV-HERMETIC",
    "PreferredEncoding": "ENV-HERMETIC",
    "HashSeedByName": "ENV-HERMETIC",
}
score = score_fields(tag="final_output", exact=True)
WORDS = ("alder", "birch", "cedar", "elm", "hazel", "maple", "oak", "pine", "rowan", "willow")


class TimeSeed(Counting):
    def start(self, task: Task) -> None:
        self.dice = random.Random(time.time())  # fault

    @tool
    def more(self) -> int:
        return self.dice.randint(0, 10**9)


class UtcNow(Counting):
    @tool
    def more(self) -> str:
        return datetime.datetime.utcnow().isoformat()  # fault


class NanosecondsOfTheClock(Counting):
    @tool
    def more(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_REALTIME) % 2  # fault


class TimeBasedUuid(Counting):
    @tool
    def more(self) -> str:
        return str(uuid.uuid1())  # fault


class UserByEnvironment(Counting):
    @tool
    def more(self) -> str:
        return getpass.getuser()  # fault


class LogFile(Counting):
    @tool
    def more(self) -> str:
        handler = logging.FileHandler(self.folder / "tool.log")  # fault
        handler.close()
        return "logged"


class LocaleAtImport(Counting):
    locale.setlocale(locale.LC_ALL, "")  # fault

    @tool
    def more(self) -> list[str]:
        return sorted(["b", "A", "a"], key=locale.strxfrm)


class VariableSetDefault(Counting):
    @tool
    def more(self) -> str:
        os.environ.setdefault("SHELF_MODE", "fast")  # fault
        return "ok"


class LocalNow(Counting):
    @tool
    def more(self) -> int:
        return datetime.datetime.now().astimezone().year  # fault


class DatabaseBesideTheEnvironment(Counting):
    def start(self, task: Task) -> None:
        self.rows = sqlite3.connect(self.folder / "orders.db", timeout=0.01)  # fault
        self.rows.execute("create table if not exists orders (id integer primary key)")

    @tool
    def more(self) -> int:
        return self.rows.execute("select count(*) from orders").fetchone()[0]

    def stop(self) -> None:
        self.rows.close()


class SampleImportedByName(Counting):
    @tool
    def more(self) -> list[str]:
        from random import sample

        return sample(sorted(ROWS), 3)  # fault


class LooksForAFile(Counting):
    @tool
    def more(self) -> bool:
        return Path("/etc/passwd").is_file()  # fault


class OpensAUrl(Counting):
    @tool
    def more(self) -> str:
        try:
            return str(urllib.request.urlopen("http://127.0.0.1:9/", timeout=0.2).status)  # fault
        except OSError:
            return "down"


def _square(number: int) -> int:
    return number * number


class PoolOfProcesses(Counting):
    @tool
    def more(self) -> list[int]:
        with multiprocessing.get_context("fork").Pool(1) as pool:  # fault
            return pool.map(_square, [1, 2])


class LegacyNumpyState(Counting):
    def start(self, task: Task) -> None:
        self.dice = np.random.RandomState()  # fault

    @tool
    def more(self) -> float:
        return float(self.dice.rand())


class NumpySeededThenDrawn(Counting):
    def start(self, task: Task) -> None:
        np.random.seed(3)

    @tool
    def more(self) -> float:
        return float(np.random.rand())  # fault


class RandomBlob(Counting):
    @tool
    def more(self) -> str:
        return self.database.execute("select hex(randomblob(4))").fetchone()[0]  # fault


class DeviceOfEntropy(Counting):
    @tool
    def more(self) -> int:
        return Path("/dev/urandom").open("rb").read(1)[0]  # fault


class PipeToAProgram(Counting):
    @tool
    def more(self) -> str:
        return os.popen("echo hello").read()  # fault


class DefaultArgumentOfTheClock(Counting):
    @tool
    def more(self) -> float:
        return self._since()

    def _since(self, began: float = time.time()) -> float:  # fault
        return began


class ClockInALambda(Counting):
    @tool
    def more(self) -> list[bool]:
        return sorted([3, 1, 2], key=lambda number: number * time.time())[0:1] == [1] and [True]  # fault


class HttpDate(Counting):
    @tool
    def more(self) -> str:
        return email.utils.format_datetime(datetime.datetime.now(datetime.UTC))  # fault


class ClockOfADateObject(Counting):
    @tool
    def more(self) -> int:
        return datetime.date.today().toordinal() * 0  # fault


class ShuffledByAKey(Shelf):
    def tasks(self, split: str) -> list[Task]:
        listed = super().tasks(split)
        random.shuffle(listed)  # fault
        return listed


class SecretChoice(Counting):
    @tool
    def more(self) -> str:
        return secrets.choice(WORDS)  # fault


class ProcFile(Counting):
    @tool
    def more(self) -> int:
        with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123  # fault
            return len(file.readline())


class FullyQualifiedName(Counting):
    @tool
    def more(self) -> str:
        return socket.getfqdn()  # fault


class _Moment(ctypes.Structure):
    _fields_ = (("s", ctypes.c_long), ("ns", ctypes.c_long))


class ClockOfTheCLibraryAgain(Counting):
    @tool
    def more(self) -> int:
        moment = _Moment()
        ctypes.CDLL(None).clock_gettime(0, ctypes.byref(moment))  # fault
        return moment.s // 10**8


class EnvironmentCopied(Counting):
    @tool
    def more(self) -> int:
        return len(dict(os.environ)) * 0  # fault


class HomeOfTheUser(Counting):
    @tool
    def more(self) -> str:
        return Path.home().name  # fault


class ServerSocket(Counting):
    @tool
    def more(self) -> bool:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))  # fault
            return server.getsockname()[1] > 0


class UserByNumber(Counting):
    @tool
    def more(self) -> bool:
        return pwd.getpwall()[0].pw_uid == os.geteuid()  # fault


class PlatformText(Counting):
    @tool
    def more(self) -> str:
        return platform.platform()  # fault


class PreferredEncoding(Counting):
    @tool
    def more(self) -> str:
        return locale.getpreferredencoding()  # fault


class HashSeedByName(Counting):
    @tool
    def more(self) -> str:
        return os.environ.get("PYTHONHASHSEED", "random")  # fault
