"""What forks do (load a stage, a piece of work on it, a part of one that may hang), and how long to wait for it."""

import ctypes
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

from practicum.checks.processes.fork_server import (
    DIE_WITH_PARENT,
    TELL,
    TOLD,
    Gone,
    Late,
    end_group,
    listen,
    receive,
    serve,
    speak_into,
)
from practicum.checks.processes.stage import StageOrder, load, private_temporary_folder, stage
from practicum.environment.places import is_users, place_of_error, shown

LONGEST_S = 300.0
"""Seconds of processor time after which work is held to go on for ever."""


class WorkDeadline:
    """Waits for a process group for a while, and then on as long as it works.

    A machine under load may not let it run; then it is ready to, and that is work. What sleeps for as long again as
    it was given waits for what will never come, however often it looks.
    """

    def __init__(self, group: int, seconds: float) -> None:
        self.step_s = seconds
        """How long to wait before asking ``is_over`` for the first time, and then again."""
        self._group, self._left = group, seconds

    def is_over(self) -> bool:
        """Whether to give up."""
        asleep, spent_s = _state(self._group)
        # The first time, the time given is up, and counting begins.
        self._left -= self.step_s if asleep and self.step_s == _LOOK_S else 0.0
        self.step_s = _LOOK_S
        return self._left <= 0 or spent_s > LONGEST_S


_LOOK_S = 0.1


def receive_patiently(connection: Connection, group: int, seconds: float) -> Any:
    """An answer, waited for so long, and on as long as the process group does something for it.

    Raises:
        Gone: the other side is no more.
        Late: it has slept for too long, or worked for too long.
    """
    deadline = WorkDeadline(group, seconds)
    while True:
        try:
            return receive(connection, deadline.step_s)
        except Late:
            if deadline.is_over():
                raise


def is_dead(pid: int) -> bool:
    """Whether a process ended; one that nobody has fetched yet, too."""
    return _fields(Path(f"/proc/{pid}"))[:1] in ([], ["Z"], ["X"])


def _state(group: int) -> tuple[bool, float]:
    """Whether all threads of a group sleep, and the seconds of processor time it has had."""
    ticks, asleep = 0, True
    for entry in Path("/proc").iterdir():
        fields = _fields(entry) if entry.name.isdigit() else []
        if len(fields) > 12 and fields[2] == str(group):
            asleep = asleep and not any(_fields(task)[:1] in (["R"], ["D"]) for task in (entry / "task").glob("*"))
            ticks += int(fields[11]) + int(fields[12])
    return asleep, ticks / os.sysconf("SC_CLK_TCK")


def _fields(folder: Path) -> list[str]:
    """State, parent, group and so on, as proc(5) counts them from the third field."""
    try:
        return (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


_LAST_WORDS_S = 10.0
_TELLING_S = 5.0


@dataclass(frozen=True)
class Trouble:
    """Work that came to no end: why, and where the user's code stood."""

    reason: str
    where: str = ""


def load_a_stage(keeper: Connection) -> None:
    """Load what the order says, answer how that went, then take work at the order's socket."""
    order: StageOrder = receive(keeper)
    speak_into(order.root / "log")
    loaded = load(order)
    listener = listen(order.root / "work.socket") if loaded.error is None else None
    keeper.send(loaded)
    if listener is not None:
        serve(listener, keeper, partial(_do, order.root))


def _do(root: Path, connection: Connection) -> None:
    own = root / f"work-{os.getpid()}"
    private_temporary_folder(own / "tmp")
    log = own / "log"
    speak_into(log)
    try:
        connection.send((os.getpid(), log))
        function, args = receive(connection)
    except Gone:
        return
    try:
        answer = function(*args)
    except BaseException as error:
        traceback.print_exc()
        answer = Trouble(f"{type(error).__name__}: {error}", place_of_error(error, stage().home))
    connection.send(answer)


def interrupted(pid: int, log: Path, home: Path, after_s: float) -> Trouble:
    """End a process that did not answer in time, and say where it stood."""
    with suppress(ProcessLookupError):
        os.kill(pid, TELL)
        _wait(lambda: TOLD in _text(log), _TELLING_S)
        os.kill(pid, signal.SIGABRT)  # upon which faulthandler writes down every thread's stack
    _wait(lambda: is_dead(pid), _LAST_WORDS_S)
    return told_by(log, home, after_s)


def _wait(is_over: Callable[[], bool], seconds: float) -> None:
    """A machine under load takes its time."""
    until = time.monotonic() + seconds
    while not is_over() and time.monotonic() < until:
        time.sleep(0.02)


def told_by(log: Path, home: Path, after_s: float | None = None) -> Trouble:
    """Why a piece of work gave no answer, from what it left: it died, or was ended after so many seconds."""
    text = _text(log)
    where = next((place for place in _places(text) if is_users(place[0], home)), None)
    end = "\n".join(text.strip().splitlines()[-12:])
    died = f"the process died\n{end}".strip()
    reason = died if after_s is None else f"it did not come to an end within {after_s:.0f} s"
    return Trouble(reason, shown(*where) if where else "")


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def _places(text: str) -> list[tuple[str, int]]:
    """The frames of faulthandler's tracebacks, innermost first, the main thread's last stack first."""
    places = []
    for line in text.splitlines():
        if line.startswith('  File "') and ", line " in line:
            file, _, rest = line.removeprefix('  File "').partition('", line ')
            number = rest.split(" ", 1)[0]
            if number.isdigit():
                places.append((file, int(number)))
    return places


T = TypeVar("T")


@dataclass
class Fork(Generic[T]):
    """A function under way in a fork of this process; ``result`` waits for it."""

    pid: int
    reader: Connection
    log: Path
    deadline_s: float

    def result(self) -> T | Trouble:
        """What the function gave, or why it came to no end."""
        answer: T | Trouble
        try:
            answer = receive_patiently(self.reader, self.pid, self.deadline_s)
        except Late:
            answer = interrupted(self.pid, self.log, stage().home, self.deadline_s)
        except Gone:
            answer = told_by(self.log, stage().home)
        self.reader.close()
        end_group(self.pid)
        os.waitpid(self.pid, 0)
        return answer


def fork(function: Callable[..., T], *args: Any, deadline_s: float) -> Fork[T]:
    """Begin to run a function in a fork of this process."""
    reader, writer = Pipe(duplex=False)
    with tempfile.NamedTemporaryFile(prefix="fork-", dir=stage().root, delete=False) as log:
        pass
    pid = os.fork()
    if pid:
        writer.close()
        return Fork(pid, reader, Path(log.name), deadline_s)
    reader.close()
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    try:
        speak_into(Path(log.name))
        try:
            answer: Any = function(*args)
        except BaseException as error:
            answer = Trouble(f"{type(error).__name__}: {error}", place_of_error(error, stage().home))
        writer.send(answer)
    finally:
        os._exit(0)
