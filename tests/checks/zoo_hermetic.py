"""Environments that touch what is not theirs: one planted fault each, on the line that ends in ``# fault``."""

import ctypes
import datetime
import functools
import json
import os
import random
import secrets
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime as moment
from email.utils import formatdate
from pathlib import Path
from time import time as now
from typing import Any

from shelf import Counting, Shelf

from practicum import Call, Task, score_fields, tool

CODE = "ENV-HERMETIC"
score = score_fields(tag="final_output", exact=True)


class UnseededRandom(Counting):
    @tool
    def more(self) -> float:
        return random.random()  # fault


class GlobalSeed(Counting):
    def start(self, task: Task) -> None:
        random.seed(task.id)

    @tool
    def more(self) -> float:
        return random.random()  # fault


class GeneratorWithoutSeed(Counting):
    def start(self, task: Task) -> None:
        self.dice = random.Random()  # fault

    @tool
    def more(self) -> int:
        return self.dice.randint(1, 6)


class Uuid(Counting):
    @tool
    def more(self) -> str:
        return f"order {uuid.uuid4()}"  # fault


class SecretToken(Counting):
    @tool
    def more(self) -> dict[str, Any]:
        return {"ok": bool(secrets.token_hex(4))}  # fault


class OperatingSystemsEntropy(Counting):
    draw: Callable[[int], bytes] = staticmethod(os.urandom)

    @tool
    def more(self) -> int:
        return sum(map(len, map(self.draw, [3])))  # fault


class SqliteRandom(Counting):
    @tool
    def more(self) -> int:
        rows = self.database.execute("select value from json_each('[1,2,3]') order by random()")  # fault
        return rows.fetchone()[0]


class WallClock(Counting):
    @tool
    def more(self) -> str:
        return f"as of {now()}"  # fault


class Today(Counting):
    @tool
    def more(self) -> str:
        return moment.today().date().isoformat()  # fault


class ClockInDefaults(Counting):
    @tool
    def more(self) -> int:
        @dataclass
        class Stamped:
            at: float = field(default_factory=time.time)

        return int(Stamped().at) % 2  # fault


class ClockOfTheCLibrary(Counting):
    @tool
    def more(self) -> int:
        return ctypes.CDLL(None).time(None) // 86_400  # fault


class ClockOfSqlite(Counting):
    def start(self, task: Task) -> None:
        self.database.execute("create table log (at text default current_timestamp, what text)")

    @tool
    def more(self) -> str:
        self.database.execute("insert into log (what) values ('asked')")  # fault
        return self.database.execute("select substr(at, 1, 4) from log").fetchone()[0]


class ClockBehindAPartial(Counting):
    @tool
    def more(self) -> list[str]:
        year = functools.partial(time.strftime, "%Y")
        return [year()]  # fault


class ClockInAnEmail(Counting):
    @tool
    def more(self) -> str:
        return formatdate()  # fault


class ClockInAThread(Counting):
    @tool
    def more(self) -> float:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(time.time).result() // 86_400  # fault


class ClockInTheOracle(Shelf):
    def oracle(self, task: Task) -> Iterator[Call]:
        if datetime.datetime.now().year > 1:  # fault
            return (yield from super().oracle(task))
        return ""


class ClockAtImport(Counting):
    begun = time.time_ns()  # fault

    @tool
    def more(self) -> int:
        return self.begun % 1000


class IdsMadeAtImport(Counting):
    session = uuid.uuid4().hex  # fault

    @tool
    def more(self) -> str:
        return self.session


class ShuffledTasks(Shelf):
    def tasks(self, split: str) -> list[Task]:
        listed = super().tasks(split)
        return sorted(listed, key=lambda task: random.random())  # fault


class EnvironmentVariable(Counting):
    @tool
    def more(self) -> str:
        return os.environ.get("USER", "nobody")  # fault


class EnvironmentVariableReadOnce(Counting):
    region = os.getenv("SHELF_REGION", "north")  # fault

    @tool
    def more(self) -> str:
        return self.region


class HomeFolder(Counting):
    @tool
    def more(self) -> bool:
        return Path("~").expanduser().is_absolute()  # fault


class ReadsElsewhere(Counting):
    @tool
    def more(self) -> int:
        return len(Path("/etc/hostname").read_text(encoding="utf-8"))  # fault


class LooksElsewhere(Counting):
    @tool
    def more(self) -> bool:
        return os.path.exists("/opt/prices.json")  # noqa: PTH110  # fault


class ReadsElsewhereAtImport(Counting):
    lines = Path("/etc/passwd").read_text(encoding="utf-8").count("root")  # fault

    @tool
    def more(self) -> bool:
        return self.lines > 0


class FileInTheSharedFolder(Shelf):
    def start(self, task: Task) -> None:
        self.notes = Path(tempfile.gettempdir()) / "notes.txt"
        self.notes.write_text("x", encoding="utf-8")  # fault

    def stop(self) -> None:
        self.notes.unlink(missing_ok=True)  # fault


class FileBesideTheEnvironment(Shelf):
    log = Path(__file__).with_name("scratch.log")

    def start(self, task: Task) -> None:
        with self.log.open("a", encoding="utf-8") as stream:  # fault
            stream.write(task.id)


class Network(Counting):
    @tool
    def more(self) -> str:
        try:
            socket.create_connection(("127.0.0.1", 9), timeout=0.2).close()  # fault
        except OSError:
            return "offline"
        return "online"


class NameLookup(Counting):
    @tool
    def more(self) -> bool:
        return bool(socket.gethostbyname("localhost"))  # fault


class RetryThatHidesAFailure(Counting):
    @tool
    def more(self) -> str:
        for _ in range(50):
            if random.SystemRandom().random() < 0.5:  # fault
                return "found"
        return "gave up"


class Subprocess(Counting):
    @tool
    def more(self) -> str:
        return subprocess.run(["echo", "hello"], capture_output=True, text=True, check=True).stdout  # fault


class ProcessLeft(Shelf):
    def start(self, task: Task) -> None:
        self.helper = subprocess.Popen(["sleep", "1.5"])  # fault


class Shell(Counting):
    @tool
    def more(self) -> int:
        return os.system("true")  # fault


class ForkedWork(Counting):
    @tool
    def more(self) -> str:
        pid = os.fork()  # fault
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return "done"


class TimerByTheClock(Counting):
    @tool
    def more(self) -> str:
        said: list[Any] = []
        worker = threading.Thread(target=lambda: said.append(json.dumps({"at": time.gmtime().tm_year})))  # fault
        worker.start()
        worker.join()
        return said[0]
