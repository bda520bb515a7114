"""The starter's side of one run: start the cell, read what it says, keep its limits, leave nothing behind."""

import contextlib
import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from practicum.sandbox.cell import MIB, Cell, Program
from practicum.sandbox.inside.launcher import descendants
from practicum.sandbox.inside.tidy import remove
from practicum.sandbox.limits import SandboxError, Status

TICK_S = 0.05
START_S = 30.0  # for the sandbox to come up; the program's own clock begins afterwards
_GIVE_UP_S = 12.0  # for it to go down; the launcher takes at most ten
_FRAMING = 4 * MIB  # names, reasons and lengths around the files that are handed back
_CHUNK = 1 << 16

End = Literal["itself", "cancelled"] | Status


@dataclass
class CellRun:
    """What came of a run, still as bytes. ``end`` says who ended it; "itself" when the program did."""

    end: End = "itself"
    exit_code: int = 0
    cpu_s: float = 0.0
    seconds: float = 0.0
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    files: dict[bytes, bytes] = field(default_factory=dict)
    left_out: list[bytes] = field(default_factory=list)


def supervise(cell: Cell, program: Program, cancelled: threading.Event | None = None) -> CellRun:
    """Carries a run out; when it returns, or raises, every process and folder of the run is gone.

    Raises:
        SandboxError: the sandbox did not come up; the message holds the reason that the machine gave.
    """
    ours, theirs = socket.socketpair()
    letter, stdin = _sealed(cell.letter), _sealed(program.stdin)
    process = None
    try:
        process = subprocess.Popen(
            [*cell.command, str(letter), str(theirs.fileno())],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=cell.environment,
            cwd="/",
            pass_fds=(letter, theirs.fileno()),
            start_new_session=True,
        )
        theirs.close()
        return _Talk(process, ours, program).listen(cancelled)
    except OSError as error:
        raise SandboxError(f"the sandbox cannot be started: {error}", where=cell.command[0]) from error
    finally:
        theirs.close()
        with contextlib.suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)  # the launcher ends everything and itself
        ours.close()
        os.close(letter)
        os.close(stdin)
        if process:
            _bury(process)
        if cell.scratch:
            remove(str(cell.scratch))


class _Talk:
    """Reads a running cell's three streams until it is over or has to be ended."""

    def __init__(self, process: subprocess.Popen[bytes], ours: socket.socket, program: Program) -> None:
        self.process, self.ours, self.limits = process, ours, program.limits
        assert process.stdout and process.stderr
        self.run, self.words = CellRun(), bytearray()
        self.streams = {
            process.stdout.fileno(): (self.run.stdout, self.limits.output_kb * 1024),
            process.stderr.fileno(): (self.run.stderr, self.limits.output_kb * 1024),
            ours.fileno(): (self.words, self.limits.returned_kb * 1024 + _FRAMING),
        }
        self.started = 0.0

    def listen(self, cancelled: threading.Event | None) -> CellRun:
        poll = select.poll()
        for fd in self.streams:
            poll.register(fd, select.POLLIN)
        begun = last_look = time.monotonic()
        open_streams = len(self.streams)
        stopped: End | None = None
        while open_streams and not stopped:
            for fd, _ in poll.poll(TICK_S * 1000):
                data = os.read(fd, _CHUNK)
                if not data:
                    poll.unregister(fd)
                    open_streams -= 1
                stopped = stopped or self._take(fd, data)
            moment = time.monotonic()
            if not self.started and moment - begun > START_S:
                raise SandboxError(f"the sandbox did not come up within {START_S:g} s", fix="try again under less load")
            if moment - last_look >= TICK_S:
                stopped, last_look = stopped or self._look(moment, cancelled), moment
        self.run.seconds = time.monotonic() - self.started
        if stopped:
            self.run.end = stopped
        else:
            self._read_report()
        return self.run

    def _take(self, fd: int, data: bytes) -> End | None:
        buffer, limit = self.streams[fd]
        buffer += data
        if buffer is self.words:
            if not self.started and buffer.startswith(b"5:start,"):
                self.started = time.monotonic()
            return "killed" if len(buffer) > limit else None
        if len(buffer) > limit:
            del buffer[limit:]
            return "output"
        return None

    def _look(self, moment: float, cancelled: threading.Event | None) -> End | None:
        if cancelled and cancelled.is_set():
            return "cancelled"
        if not self.started:
            return None
        seconds, memory = usage(self.process.pid)
        if moment - self.started > self.limits.wall_s or seconds > self.limits.cpu_s:
            return "timeout"
        most = self.limits.memory_mb * MIB
        # pages that forked processes share are counted for each of them, so the slower count decides
        return "memory" if memory > most and shared_out(self.process.pid) > most else None

    def _read_report(self) -> None:
        words = netstrings(bytes(self.words))
        if words[:1] != [b"start"] or b"fault" in words[1:2]:
            said = words[words.index(b"fault") + 1] if b"fault" in words[:-1] else bytes(self.run.stderr).strip()
            raise SandboxError(
                f"the sandbox did not come up: {said.decode('utf-8', 'replace') or 'it gave no reason'}",
                fix="see what the machine allows: practicum.sandbox.sandbox_report()",
            )
        if words[-1:] != [b"end"] or len(words) < 5 or not (words[2] + words[3]).lstrip(b"-").isdigit():
            self.run.end = "killed"  # ended from outside, or by the kernel for want of memory
            self.run.exit_code = -signal.SIGKILL
            return
        how, code, milliseconds, words_left = words[1], words[2], words[3], iter(words[4:-1])
        self.run.end = "files" if how == b"files" else "itself"
        self.run.exit_code, self.run.cpu_s = int(code), int(milliseconds) / 1000
        for word in words_left:
            if word == b"file":
                name = next(words_left, b"")
                self.run.files[name] = next(words_left, b"")
            else:
                self.run.left_out.append(next(words_left, b""))


def netstrings(data: bytes) -> list[bytes]:
    """The words of "5:start,3:end,"; reading ends at the first thing that is not one."""
    words, at = [], 0
    while (colon := data.find(b":", at, at + 12)) > at and data[at:colon].isdigit():
        end = colon + 1 + int(data[at:colon])
        if data[end : end + 1] != b",":
            break
        words.append(data[colon + 1 : end])
        at = end + 1
    return words


def _sealed(content: bytes) -> int:
    """A descriptor to read the content from, which nobody can write to or make grow."""
    fd = os.memfd_create("practicum", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return fd


def _bury(process: subprocess.Popen[bytes]) -> None:
    """Waits until the cell is gone; if it will not go, ends it by force."""
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()
    try:
        process.wait(_GIVE_UP_S)
    except subprocess.TimeoutExpired:
        for pid in [*descendants(process.pid), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


_RESIDENT = re.compile(rb"^Rss(?:Anon|Shmem):\s+(\d+) kB$", re.MULTILINE)
_PROPORTIONAL = re.compile(rb"^Pss:\s+(\d+) kB$", re.MULTILINE)
_TICKS = os.sysconf("SC_CLK_TCK")


def usage(pid: int) -> tuple[float, int]:
    """(processor seconds, bytes of memory without files) of a process and everything below it, from /proc.

    Limits on single processes do not see that.
    """
    seconds, memory = 0.0, 0
    for process in [pid, *descendants(pid)]:
        with contextlib.suppress(OSError, ValueError, IndexError):
            # after the command's name, which may hold anything: utime, stime, cutime, cstime
            times = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[11:15]
            seconds += sum(map(int, times)) / _TICKS
            status = Path(f"/proc/{process}/status").read_bytes()
            memory += sum(map(int, _RESIDENT.findall(status))) * 1024
    return seconds, memory


def shared_out(pid: int) -> int:
    """Bytes of memory of the same, pages that several share counted once; slower."""
    total = 0
    for process in [pid, *descendants(pid)]:
        with contextlib.suppress(OSError):
            found = _PROPORTIONAL.findall(Path(f"/proc/{process}/smaps_rollup").read_bytes())
            total += sum(map(int, found)) * 1024
    return total
