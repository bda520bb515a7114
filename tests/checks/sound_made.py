"""Environments without a fault whose tools are made at run time, run programs, or work with many kinds of data."""

import bisect
import calendar
import contextlib
import contextvars
import csv
import datetime
import decimal
import heapq
import io
import random
import textwrap
import time
import urllib.parse
import uuid
import warnings
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from helper_beside import described
from shelf import ROWS, Counting, Name, Shelf

from practicum import Call, Task, ToolError, score_fields, tool
from practicum.environment import ToolSpec
from practicum.sandbox import PythonLimits, run_python

CODE = "none"
score = score_fields(tag="final_output", exact=True)
_who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class Dynamic(Shelf):
    """Tools that are known only at run time, as of a server."""

    id = "dynamic"

    def __init__(self, names: tuple[str, ...] = ("first", "second")) -> None:
        super().__init__()
        self.names = names
        schema = {
            "type": "object",
            "properties": {"text": {"type": "string", "maxLength": 40}},
            "required": ["text"],
            "additionalProperties": False,
        }
        self.specs = {name: ToolSpec.from_schema(name, f"the {name}", schema, self._answer) for name in names}

    def _answer(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"echo": given["text"][::-1], "draw": self.random.random()}

    def tool_specs(self) -> Mapping[str, ToolSpec]:
        return {**super().tool_specs(), **self.specs}

    def settings(self) -> dict[str, Any]:
        return {"names": list(self.names)}

    def oracle(self, task: Task) -> Iterator[Call]:
        yield Call("first", {"text": "hello"})
        return (yield from super().oracle(task))


class Programs(Counting):
    """Runs a program in Practicum's sandbox."""

    id = "programs"

    @tool
    def more(self) -> str:
        found = run_python({"main.py": "print(sum(range(10)))"}, limits=PythonLimits(wall_s=60, cpu_s=30))
        return f"{found.status}: {found.stdout.strip()}"


class Data(Counting):
    """The standard library, used as it is meant to be."""

    id = "data"

    @tool
    def more(self, name: Name = "x") -> list[Any]:
        began = time.perf_counter()
        out = io.StringIO()
        csv.writer(out).writerows([name, len(row)] for name, row in sorted(ROWS.items()))
        with decimal.localcontext() as context:
            context.prec = 5
            third = str(decimal.Decimal(1) / 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.warn("nobody hears", stacklevel=1)
        day = datetime.date(2026, 1, 31) + datetime.timedelta(days=calendar.monthrange(2026, 2)[1])
        at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()
        heap = [row["size"] for row in ROWS.values()]
        heapq.heapify(heap)
        if time.perf_counter() - began > 3_600:
            raise ToolError("too slow")
        found = [out.getvalue().count("\n"), third, day.isoformat(), at, heapq.nsmallest(2, heap)]
        found += [bisect.bisect([1, 2, 3], 2), zlib.crc32(name.encode()), urllib.parse.quote(name)[:40]]
        found += [sorted({row["colour"] for row in ROWS.values()}), str(uuid.uuid5(uuid.NAMESPACE_DNS, "shelf"))]
        return [*found, random.Random(7).random(), textwrap.shorten(self.task.prompt, 12), described("K1")]


class Contexts(Counting):
    """Context managers and context variables, all of them left again."""

    id = "contexts"

    @contextlib.contextmanager
    def _as(self, who: str) -> Iterator[str]:
        token = _who.set(who)
        try:
            yield _who.get()
        finally:
            _who.reset(token)

    def start(self, task: Task) -> None:
        self.stack = self.enter(contextlib.ExitStack())
        self.stack.callback(list)
        self.table = self.fixture("table")

    @tool
    def more(self) -> list[Any]:
        with self._as(self.task.id) as who, contextlib.suppress(KeyError):
            found = [who, dict(self.table["a"]), _who.get()]
        return [*found, _who.get(), (Path(__file__).parent / "notes.txt").read_text(encoding="utf-8")]


class Retries(Counting):
    """Fails and tries again, the same way in every episode."""

    id = "retries"

    def start(self, task: Task) -> None:
        self.tried = 0

    def _fetch(self) -> str:
        self.tried += 1
        if self.tried % 3:
            raise ConnectionError("as scripted")
        return f"found after {self.tried}"

    @tool
    def more(self) -> str:
        for _ in range(3):
            with contextlib.suppress(ConnectionError):
                return self._fetch()
        raise ToolError("gave up")
