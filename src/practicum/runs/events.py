"""The events of a run, one JSON line each, chained by hashes: what happened, in order, and not altered since.

Every line holds ``seq, time, kind, data, prev, hash``. ``prev`` is the hash of the line before, ``hash`` the
SHA-256 of the other five in canonical JSON. Lines changed, inserted, removed or reordered break the chain.
Cutting whole lines off the end does not: whoever wants proof against that keeps the last hash somewhere else.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from practicum.digests import digest
from practicum.errors import LedgerError
from practicum.files import sync

Kind = Literal[
    "start",
    "check",
    "baseline",
    "warmstart",
    "step",
    "checkpoint",
    "evaluation",
    "promote",
    "recipe_change",
    "code_change",
    "resume",
    "stop",
    "error",
]
FILE = "events.jsonl"
GENESIS = "0" * 64
"""``prev`` of the first event."""


@dataclass(frozen=True)
class LedgerEvent:
    """One line of the ledger; ``time`` is ISO 8601 in UTC."""

    seq: int
    time: str
    kind: Kind
    data: Mapping[str, Any]
    prev: str
    hash: str


class EventLog:
    """Appends to a run's events; one writer at a time.

    Opening an existing file verifies its chain. A last line without its line end, as a killed process leaves
    it, is cut off, and the cut is itself recorded as an ``error`` event with the text that stood there.

    Raises:
        LedgerError: the chain is broken, or another process has the file open for writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)  # a buffer would keep a line that failed, and write it later
        try:
            self._lock()
            events, torn = _parse(path)
            self._next, self._head = len(events), events[-1].hash if events else GENESIS
            self._end = os.fstat(self._file.fileno()).st_size - len(torn)
            sync(path.parent)
            if torn:
                self._mend(torn)
        except BaseException:
            self._file.close()
            raise

    @property
    def head(self) -> str:
        """Hash of the last event (``GENESIS`` where there is none)."""
        return self._head

    def __len__(self) -> int:
        return self._next

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, kind: Kind, data: Mapping[str, Any] | None = None) -> LedgerEvent:
        """Write one event and return once it is on disk; what cannot be written whole leaves nothing behind.

        Raises:
            LedgerError: an unknown kind, or data that is not JSON (NaN and infinity are not).
            OSError: it cannot be written (the disk is full). The file ends where it did, and takes the next event.
        """
        if kind not in get_args(Kind):
            raise LedgerError(
                f"unknown kind of event {kind!r}", where=str(self.path), allowed=", ".join(get_args(Kind))
            )
        body: dict[str, Any] = {
            "seq": self._next,
            "time": datetime.now(UTC).isoformat(timespec="microseconds"),
            "kind": kind,
            "data": dict(data or {}),
            "prev": self._head,
        }
        try:
            event = LedgerEvent(**body, hash=digest(body))
        except (TypeError, ValueError) as error:
            raise LedgerError(
                f"the data of a {kind!r} event cannot be written: {error}",
                where=str(self.path),
                allowed="JSON: objects with text keys, lists, text, finite numbers, true, false, null",
                fix="give plain data",
            ) from error
        self._write(_line(event) + b"\n")
        self._next, self._head = event.seq + 1, event.hash
        return event

    def close(self) -> None:
        """Let another process write."""
        self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LedgerError(
                "another process is writing to this run",
                where=str(self.path),
                fix="wait for it, stop it, or give the new run another name",
            ) from error

    def _write(self, line: bytes) -> None:
        self._cut()  # where the cut below could not be made either
        try:
            rest = memoryview(line)
            while rest:  # a disk that is filling up takes a part, and refuses the rest
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                self._cut()
            raise
        self._end += len(line)

    def _cut(self) -> None:
        if os.fstat(self._file.fileno()).st_size > self._end:
            self._file.truncate(self._end)

    def _mend(self, torn: bytes) -> None:
        self._cut()
        text = torn.decode("utf-8", "replace")
        self.append("error", {"what": "removed a torn last line", "bytes": len(torn), "text": text})


def read_events(path: Path) -> list[LedgerEvent]:
    """All whole events of a file, verified; a torn last line is left out.

    Raises:
        LedgerError: naming the first line that is not a whole, chained event.
    """
    return _parse(path)[0]


def torn_tail(path: Path) -> bytes:
    """What stands after the last line end (empty in a file that was closed properly)."""
    return path.read_bytes().rpartition(b"\n")[2]


def _parse(path: Path) -> tuple[list[LedgerEvent], bytes]:
    try:
        *lines, torn = path.read_bytes().split(b"\n")
    except OSError as error:
        raise LedgerError(f"cannot read the events: {error}", where=str(path)) from error
    events: list[LedgerEvent] = []
    head = GENESIS
    for number, line in enumerate(lines, start=1):
        event = _event(line, f"{path}, line {number}")
        _refuse_break(event, number - 1, head, f"{path}, line {number}")
        events.append(event)
        head = event.hash
    return events, torn


def _line(event: LedgerEvent) -> bytes:
    return json.dumps(asdict(event)).encode()


def _event(line: bytes, where: str) -> LedgerEvent:
    try:
        event = LedgerEvent(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise _broken("the line is not an event", where) from error
    if _line(event) != line:
        raise _broken("the line was rewritten", where)
    return event


def _refuse_break(event: LedgerEvent, seq: int, prev: str, where: str) -> None:
    body = asdict(event)
    written = body.pop("hash")
    try:
        actual = digest(body)
    except (TypeError, ValueError) as error:
        raise _broken("the line is not an event", where) from error
    if written != actual:
        raise _broken("the event was altered: its hash does not fit its content", where)
    if event.seq != seq or event.prev != prev:
        raise _broken("the chain is broken: an event was removed, inserted or moved", where)


def _broken(what: str, where: str) -> LedgerError:
    return LedgerError(
        what,
        where=where,
        allowed="lines exactly as Practicum wrote them; only the very last may be torn",
        fix="restore the file from a copy; what follows this line is unproven",
    )
