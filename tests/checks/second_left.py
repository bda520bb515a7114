"""The second zoo: environments that leave the process other than they found it, in ways the first does not know."""

import asyncio
import builtins
import calendar
import copyreg
import csv
import datetime
import faulthandler
import fractions
import gc
import io
import json
import logging
import mimetypes
import os
import resource
import select
import signal
import sqlite3
import string
import sys
import tempfile
import threading
import time
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from shelf import Counting, Shelf

from practicum import Task, score_fields, tool

CODE = "ENV-LEFTOVER"
score = score_fields(tag="final_output", exact=True)


class NumpySeedSet(Shelf):
    def start(self, task: Task) -> None:
        np.random.seed(3)  # fault


class NumpyErrorsSilenced(Shelf):
    def start(self, task: Task) -> None:
        np.seterr(all="ignore")  # fault


class NumpyPrintsOtherwise(Shelf):
    def start(self, task: Task) -> None:
        np.set_printoptions(precision=2)  # fault


class TaskLeft(Counting):
    @tool
    async def more(self) -> str:
        asyncio.get_running_loop().create_task(asyncio.sleep(100))  # fault
        return "started"


class ExecutorLeft(Counting):
    def start(self, task: Task) -> None:
        self.pool = ThreadPoolExecutor(1)

    @tool
    def more(self) -> str:
        return self.pool.submit(str, 3).result()  # fault


class TimerLeft(Counting):
    @tool
    def more(self) -> str:
        timer = threading.Timer(100, print)
        timer.daemon = True
        timer.start()  # fault
        return "later"


class ProfilerLeft(Counting):
    @tool
    def more(self) -> str:
        threading.setprofile(lambda *_: None)  # fault
        return "profiled"


class SwitchInterval(Shelf):
    def start(self, task: Task) -> None:
        sys.setswitchinterval(0.02)  # fault


class LongNumbers(Shelf):
    def start(self, task: Task) -> None:
        sys.set_int_max_str_digits(9_000)  # fault


class CollectorTuned(Shelf):
    def start(self, task: Task) -> None:
        gc.set_threshold(10_000)  # fault


class CollectorCallback(Shelf):
    def start(self, task: Task) -> None:
        gc.callbacks.append(lambda *_: None)  # fault


class ImportHook(Shelf):
    def start(self, task: Task) -> None:
        sys.meta_path.append(types.SimpleNamespace(find_spec=lambda *_: None))  # type: ignore[arg-type]  # fault


class SearchPathGrows(Counting):
    @tool
    def more(self) -> str:
        sys.path.append("/nowhere")  # fault
        return "x"


class ExceptionHook(Shelf):
    def start(self, task: Task) -> None:
        sys.excepthook = lambda *_: None  # fault


class WarningsShownOtherwise(Shelf):
    def start(self, task: Task) -> None:
        warnings.showwarning = lambda *_, **__: None  # type: ignore[assignment]  # fault


class Dialect(Shelf):
    def start(self, task: Task) -> None:
        csv.register_dialect("shelf", delimiter=";")  # fault


class SqliteAdapter(Shelf):
    def start(self, task: Task) -> None:
        sqlite3.register_adapter(fractions.Fraction, str)  # fault


class MimeType(Shelf):
    def start(self, task: Task) -> None:
        mimetypes.add_type("text/shelf", f".{len(task.id)}shelf")  # fault


class Pickling(Shelf):
    def start(self, task: Task) -> None:
        copyreg.pickle(fractions.Fraction, lambda value: (str, (str(value),)))  # fault


class LoggingDisabled(Shelf):
    def start(self, task: Task) -> None:
        logging.disable(logging.ERROR)  # fault


class LoggingLevel(Shelf):
    def start(self, task: Task) -> None:
        logging.getLogger().setLevel(logging.DEBUG)  # fault


class RecordFactory(Shelf):
    def start(self, task: Task) -> None:
        logging.setLogRecordFactory(lambda *_, **__: logging.makeLogRecord({}))  # fault


class TemporaryFolderMoved(Shelf):
    def start(self, task: Task) -> None:
        tempfile.tempdir = str(self.scratch)  # fault


class FileLimit(Shelf):
    def start(self, task: Task) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))  # fault


class Nice(Shelf):
    def start(self, task: Task) -> None:
        os.nice(1)  # fault


class FrozenClock(Counting):
    def start(self, task: Task) -> None:
        time.time = lambda: 1_700_000_000.0  # fault

    @tool
    def more(self) -> float:
        return time.time()


class OutputTaken(Counting):
    def start(self, task: Task) -> None:
        self.out = sys.stdout = io.StringIO()  # fault

    @tool
    def more(self) -> str:
        return "x"


class BuiltinReplaced(Shelf):
    def start(self, task: Task) -> None:
        builtins.print = lambda *_, **__: None  # type: ignore[assignment]  # fault


class EncoderPatched(Shelf):
    def start(self, task: Task) -> None:
        json.JSONEncoder.default = lambda self, value: str(value)  # type: ignore[method-assign]  # fault


class DateReplaced(Shelf):
    def start(self, task: Task) -> None:
        class Always(datetime.date):
            """The same day."""

        datetime.date = Always  # type: ignore[misc]  # fault


class TemplateDelimiter(Shelf):
    def start(self, task: Task) -> None:
        string.Template.delimiter = "%"  # fault


class PipeLeft(Shelf):
    def start(self, task: Task) -> None:
        self.ends = os.pipe()  # fault


class PollLeft(Shelf):
    def start(self, task: Task) -> None:
        self.poll = select.epoll()  # fault


class OwnFileLeftOpen(Shelf):
    def start(self, task: Task) -> None:
        self.file = (self.scratch / "notes.txt").open("w", encoding="utf-8")  # fault


class DatabaseLeftOpen(Shelf):
    def start(self, task: Task) -> None:
        self.rows = sqlite3.connect(self.scratch / "own.db", check_same_thread=False)  # fault
        self.rows.execute("create table t (n)")


class NamedTemporaryFileKept(Shelf):
    def start(self, task: Task) -> None:
        with tempfile.NamedTemporaryFile(delete=False) as file:  # fault
            file.write(b"x")


class FaultHandler(Shelf):
    def start(self, task: Task) -> None:
        faulthandler.disable()  # fault


class SignalIgnored(Counting):
    @tool
    def more(self) -> str:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # fault
        return "done"


class SignalBlocked(Shelf):
    def start(self, task: Task) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # fault


class ZoneSet(Shelf):
    def start(self, task: Task) -> None:
        os.environ["TZ"] = "UTC+3"  # fault
        time.tzset()


class EventLoopSet(Shelf):
    def start(self, task: Task) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())  # fault


class FolderOfAnEpisodeLeft(Counting):
    @tool
    def more(self) -> int:
        folder = Path(tempfile.mkdtemp(prefix="shelf-"))  # fault
        return len(list(folder.iterdir()))


class PatchedAtImport(Shelf):
    calendar.January = 2  # type: ignore[misc]  # fault
