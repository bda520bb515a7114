"""A process that answers each connection with a fork of itself, and the messages between the two."""

import ctypes
import faulthandler
import gc
import os
import select
import signal
import socket
import sys
import time
import traceback
import types
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


class Gone(Exception):
    """The other side ended."""


class Late(Gone):
    """The other side did not answer in time."""


def receive(connection: Connection, timeout_s: float | None = None) -> Any:
    """Wait for one message: what ``Connection.send`` of the other side was given.

    Raises:
        Gone: the other side is no more.
        Late: ``timeout_s`` seconds went by.
    """
    try:
        if not connection.poll(timeout_s):
            raise Late("no answer in time")
        # Once something comes, all of it comes.
        return connection.recv()
    except (EOFError, OSError) as error:
        raise Gone(str(error) or "the process ended") from error


_LOOK_S = 0.05
"""How often ended forks are looked for while there are any."""

_PATIENCE_S = 2.0
TELL = signal.SIGRTMAX - 1
"""The signal upon which a process says where its coroutines wait."""

TOLD = "These are all coroutines that wait."
"""What it says last."""

DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def serve(listener: socket.socket, keeper: Connection, handle: Callable[[Connection], None]) -> None:
    """Fork for every connection and ``handle`` it there, until ``keeper`` is closed from the other side.

    A fork leads a process group of its own: when it ends, so does all that it started.
    """
    forks: set[int] = set()
    ears: list[socket.socket | Connection] = [listener, keeper]
    listener.setblocking(False)
    while True:
        ready, _, _ = select.select(ears, [], [], _LOOK_S if forks else None)
        if keeper in ready:
            break
        if listener in ready:
            with suppress(BlockingIOError, ConnectionAbortedError):
                connection = Connection(listener.accept()[0].detach())
                forks.add(_forked(connection, (listener, keeper), handle))
                connection.close()
        _bury(forks)
    # Theirs may have been closed at the same moment: let them end what they started.
    until = time.monotonic() + _PATIENCE_S
    while forks and time.monotonic() < until:
        time.sleep(0.01)
        _bury(forks)
    for pid in forks:
        end_group(pid)


def end_group(pid: int) -> None:
    """End a fork and what it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def listen(path: Path) -> socket.socket:
    """A socket at ``path`` that others may connect to."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(128)
    return listener


def speak_into(log: Path) -> None:
    """From now on this process's output, and word of how it died, go to a file; and where it waits, when asked to."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.close(descriptor)
    faulthandler.enable(file=2)
    signal.signal(TELL, _tell_where_coroutines_wait)


def _tell_where_coroutines_wait(*_: object) -> None:
    """What waits for an event loop stands on no thread's stack; written as faulthandler writes its lines."""
    for each in gc.get_objects():
        frame = each.cr_frame if isinstance(each, types.CoroutineType) and each.cr_suspended else None
        if frame is not None:
            os.write(2, f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in a coroutine\n'.encode())
    os.write(2, f"{TOLD}\n".encode())


def _forked(
    connection: Connection, ours: tuple[socket.socket | Connection, ...], handle: Callable[[Connection], None]
) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        # Both sides do it, whichever comes first: from here on the group can be ended.
        with suppress(OSError):
            os.setpgid(pid, pid)
        return pid
    status = 1
    try:
        with suppress(OSError):
            os.setpgid(0, 0)
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
        for each in ours:
            each.close()
        handle(connection)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        # Threads that the user's code left running must not hold the process up, nor run anything at exit.
        os._exit(status)


def _bury(forks: set[int]) -> None:
    for pid in list(forks):
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
        forks.discard(pid)
        end_group(pid)
