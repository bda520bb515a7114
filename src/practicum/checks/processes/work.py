"""What the forks do: load a stage, or do one piece of work on it."""

import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from practicum.checks.processes.messages import Gone, receive, send
from practicum.checks.processes.patience import is_dead
from practicum.checks.processes.server import TELL, TOLD, listen, serve, speak_into
from practicum.checks.processes.stage import Order, load, private_temporary_folder, stage
from practicum.environment.places import is_users, place_of_error, shown

_LAST_WORDS_S = 10.0
_TELLING_S = 5.0


@dataclass(frozen=True)
class Trouble:
    """Work that came to no end: why, and where the user's code stood."""

    what: str
    where: str = ""


def load_a_stage(keeper: socket.socket) -> None:
    """Load what the order says, answer how that went, then take work at the order's socket."""
    order: Order = receive(keeper)
    speak_into(order.root / "log")
    loaded = load(order)
    listener = listen(order.root / "work.socket") if loaded.error is None else None
    send(keeper, loaded)
    if listener is not None:
        serve(listener, keeper, partial(_do, order.root))


def _do(root: Path, connection: socket.socket) -> None:
    own = root / f"work-{os.getpid()}"
    private_temporary_folder(own / "tmp")
    log = own / "log"
    speak_into(log)
    try:
        send(connection, (os.getpid(), log))
        function, args = receive(connection)
    except Gone:
        return
    try:
        answer = function(*args)
    except BaseException as error:
        traceback.print_exc()
        answer = Trouble(f"{type(error).__name__}: {error}", place_of_error(error, stage().home))
    send(connection, answer)


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
    what = died if after_s is None else f"it did not come to an end within {after_s:.0f} s"
    return Trouble(what, shown(*where) if where else "")


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def _places(text: str) -> list[tuple[str, int]]:
    """The frames of faulthandler's tracebacks, innermost first, the main thread's last stack first."""
    found = []
    for line in text.splitlines():
        if line.startswith('  File "') and ", line " in line:
            file, _, rest = line.removeprefix('  File "').partition('", line ')
            number = rest.split(" ", 1)[0]
            if number.isdigit():
                found.append((file, int(number)))
    return found
