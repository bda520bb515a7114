"""Forks within a piece of work: for what may crash, hang or leave the process in a state nobody should inherit."""

import ctypes
import os
import pickle
import select
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from practicum.checks.processes.patience import Patience
from practicum.checks.processes.server import DIE_WITH_PARENT, end_group, speak_into
from practicum.checks.processes.stage import stage
from practicum.checks.processes.work import Trouble, interrupted, told_by
from practicum.environment.places import place_of_error

T = TypeVar("T")


@dataclass
class Fork(Generic[T]):
    """A function under way in a fork of this process; ``result`` waits for it."""

    pid: int
    reader: int
    log: Path
    deadline_s: float

    def result(self) -> T | Trouble:
        """What the function gave, or why it came to no end."""
        patience = Patience(self.pid, self.deadline_s)
        try:
            # By its length, and not up to its end: what the fork started may hold the pipe open.
            data = self._read(int.from_bytes(self._read(_LENGTH, patience), "little"), patience)
            answer: T | Trouble = pickle.loads(data) if data else told_by(self.log, stage().home)
        except TimeoutError:
            answer = interrupted(self.pid, self.log, stage().home, self.deadline_s)
        os.close(self.reader)
        end_group(self.pid)
        os.waitpid(self.pid, 0)
        return answer

    def _read(self, count: int, patience: Patience) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            if not select.select([self.reader], [], [], patience.step_s)[0]:
                if patience.is_over():
                    raise TimeoutError
                continue
            part = os.read(self.reader, count - len(parts))
            if not part:
                return b""
            parts += part
        return bytes(parts)


_LENGTH = 8


def fork(function: Callable[..., T], *args: Any, deadline_s: float) -> Fork[T]:
    """Begin to run a function in a fork of this process."""
    reader, writer = os.pipe()
    with tempfile.NamedTemporaryFile(prefix="fork-", dir=stage().root, delete=False) as log:
        pass
    pid = os.fork()
    if pid:
        os.close(writer)
        return Fork(pid, reader, Path(log.name), deadline_s)
    os.close(reader)
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    try:
        speak_into(Path(log.name))
        try:
            answer: Any = function(*args)
        except BaseException as error:
            answer = Trouble(f"{type(error).__name__}: {error}", place_of_error(error, stage().home))
        written = pickle.dumps(answer)
        data = memoryview(len(written).to_bytes(_LENGTH, "little") + written)
        while data:
            data = data[os.write(writer, data) :]
    finally:
        os._exit(0)
