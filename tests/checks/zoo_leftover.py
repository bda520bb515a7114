"""Environments that leave the process other than they found it."""

import asyncio
import atexit
import builtins
import colorsys
import contextlib
import decimal
import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import tempfile
import textwrap
import threading
import time
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shelf import Counting, Shelf

from practicum import Task, score_fields, tool

CODE = "ENV-LEFTOVER"
score = score_fields(tag="final_output", exact=True)


class TemporaryFolderLeft(Shelf):
    def start(self, task: Task) -> None:
        self.notes = Path(tempfile.mkdtemp())  # fault
        (self.notes / "task.txt").write_text(task.id, encoding="utf-8")  # fault


class FileLeftOpen(Shelf):
    def start(self, task: Task) -> None:
        self.descriptor = os.open(__file__, os.O_RDONLY)  # fault


class SocketLeft(Shelf):
    def start(self, task: Task) -> None:
        self.pair = socket.socketpair()  # fault


class ThreadLeft(Shelf):
    def start(self, task: Task) -> None:
        threading.Thread(target=time.sleep, args=(1.5,), daemon=True).start()  # fault


class VariableLeft(Shelf):
    def start(self, task: Task) -> None:
        os.environ["SHELF_TASK"] = task.id  # fault


class FolderChanged(Shelf):
    def start(self, task: Task) -> None:
        os.chdir(self.folder)  # fault


class FilterLeft(Shelf):
    def start(self, task: Task) -> None:
        warnings.simplefilter("ignore")  # fault


def _late(*_: Any) -> None:
    raise TimeoutError


class SignalHandlerLeft(Shelf):
    def start(self, task: Task) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, _late)  # fault


class AlarmLeft(Shelf):
    def start(self, task: Task) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.setitimer(signal.ITIMER_REAL, 1000)  # fault


class MonkeypatchLeft(Counting):
    def start(self, task: Task) -> None:
        textwrap.dedent = str.strip  # fault

    @tool
    def more(self) -> str:
        return textwrap.dedent("  a\n  b")


class ClassPatched(Shelf):
    def start(self, task: Task) -> None:
        Path.is_mount = lambda path: True  # type: ignore[method-assign]  # fault


class ConstantChanged(Shelf):
    def start(self, task: Task) -> None:
        colorsys.ONE_THIRD = 0.3  # type: ignore[misc]  # fault


class ModuleReplaced(Shelf):
    def start(self, task: Task) -> None:
        sys.modules["payments"] = types.ModuleType("payments")  # fault


class NameAddedToBuiltins(Shelf):
    def start(self, task: Task) -> None:
        builtins.shelf_task = task  # type: ignore[attr-defined]  # fault


class LocaleLeft(Shelf):
    def start(self, task: Task) -> None:
        locale.setlocale(locale.LC_COLLATE, "C.UTF-8")  # fault


class MaskLeft(Shelf):
    def start(self, task: Task) -> None:
        os.umask(0o077)  # fault


class PathGrows(Shelf):
    def start(self, task: Task) -> None:
        sys.path.insert(0, str(self.folder / "plugins"))  # fault


class SeedSet(Shelf):
    def start(self, task: Task) -> None:
        random.seed(7)  # fault


class OutputRedirected(Shelf):
    def start(self, task: Task) -> None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  # fault

    def stop(self) -> None:
        sys.stdout.close()


class DecimalPrecision(Counting):
    @tool
    def more(self) -> str:
        decimal.getcontext().prec = 6  # fault
        return str(decimal.Decimal(1) / 3)


class CollectorOff(Shelf):
    def start(self, task: Task) -> None:
        gc.disable()  # fault


class RecursionLimit(Shelf):
    def start(self, task: Task) -> None:
        sys.setrecursionlimit(5_000)  # fault


class SocketTimeout(Shelf):
    def start(self, task: Task) -> None:
        socket.setdefaulttimeout(3)  # fault


class HandlersPileUp(Shelf):
    def start(self, task: Task) -> None:
        logging.getLogger("shelf").addHandler(logging.NullHandler())  # fault


class ExitHandlersPileUp(Shelf):
    def start(self, task: Task) -> None:
        atexit.register(print, task.id)  # fault


class LoopLeftOpen(Shelf):
    def start(self, task: Task) -> None:
        self.loop = asyncio.new_event_loop()  # fault


class GeneratorLeftOpen(Counting):
    def start(self, task: Task) -> None:
        self.lines = self._lines()

    def _lines(self) -> Iterator[str]:
        try:
            while True:
                yield "line"  # fault
        finally:
            self.closed = True

    @tool
    def more(self) -> str:
        return next(self.lines)


@contextlib.contextmanager
def _session() -> Iterator[str]:
    yield "open"  # fault
    print("closed")


class ContextLeftOpen(Shelf):
    def start(self, task: Task) -> None:
        self.session = _session()
        self.session.__enter__()


class StackLeftOpen(Shelf):
    def start(self, task: Task) -> None:  # fault
        self.stack = contextlib.ExitStack()
        self.stack.callback(print, task.id)


class SignalHandlerSetAtImport(Shelf):
    signal.signal(signal.SIGUSR2, _late)  # fault


class SeedSetAtImport(Shelf):
    random.seed(7)  # fault


class VariableSetAtImport(Shelf):
    os.environ["SHELF_REGION"] = "north"  # fault


class MonkeypatchAtImport(Shelf):
    colorsys.rgb_to_hls = lambda red, green, blue: (red, green, blue)  # type: ignore[assignment]  # fault
