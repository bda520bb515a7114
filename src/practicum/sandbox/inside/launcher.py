"""Starts one program inside the sandbox, waits for it, ends whatever it left running, hands back what it wrote.

It is process 1 of its own process table wherever there is one, so the kernel ends everything with it. The program
cannot reach it: it is not dumpable, ptrace is closed, and signals to process 1 are ignored. Even so, nothing that
it reports is believed further than a program's own words would be.

It speaks to its starter over one socket: a list of netstrings ("5:start,"). It stops when that socket is closed.
"""

from __future__ import annotations

import _signal
import marshal
import os
import resource
import select
import sys
import time

from . import filter as closed_calls
from . import harvest, kernel, landlock, tidy
from .kernel import SIGKILL, suppress

TYPE_CHECKING = False  # the name type checkers know, without the time that importing typing takes
if TYPE_CHECKING:
    from typing import Any

TICK_MS = 50


def main(spec_fd: int, report_fd: int) -> None:
    """Does it all; never returns."""
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # Python's handler would let the program end process 1 by it
    status = 70
    try:
        os.set_inheritable(report_fd, False)
        with os.fdopen(spec_fd, "rb") as stream:
            spec = marshal.load(stream)
        _confine(spec)
        child = _start(spec, report_fd)
        _say(report_fd, b"start")
        for fd in (0, 1, 2):  # the program's alone from here on
            os.close(fd)
        outcome = _watch(child, report_fd, spec)
        _end_the_rest(spec)
        if outcome is not None:
            _report(report_fd, outcome, spec)
        elif spec["scratch"]:  # there may be no one left to clear it away
            tidy.remove(spec["scratch"])
        status = 0
    except Exception as error:
        with suppress(OSError):
            _say(report_fd, b"fault", str(error).encode("utf-8", "replace"))
    finally:
        os._exit(status)


def _say(fd: int, *words: bytes) -> None:
    data = b"".join(b"%d:%s," % (len(word), word) for word in words)
    while data:
        data = data[os.write(fd, data) :]


def _confine(spec: dict[str, Any]) -> None:
    """Everything that is done before the program's own process exists; the order matters."""
    kernel.steady_addresses()
    if spec["kind"] == "namespaces":
        from . import namespaces

        namespaces.enter(spec["layout"], real_root=bool(spec["uid"]))
    if spec["kind"] == "rlimits":  # it must outlive its starter, to end what the program left running
        kernel.adopt_orphans()
    if spec["uid"]:
        for folder in spec["folders"]:
            os.chown(folder, spec["uid"], spec["uid"])
        kernel.become(spec["uid"])
    if spec["kind"] != "rlimits":
        kernel.die_with_parent()  # and everything with it; last, for changing the user clears it
    kernel.renounce()
    os.umask(0o022)
    for name, content in spec["files"].items():
        path = os.path.join(spec["work"], name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "wb") as stream:
            stream.write(content)


def _start(spec: dict[str, Any], report_fd: int) -> int:
    launcher = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        os.setsid()
        os.chdir(spec["work"])
        shared = spec["kind"] == "rlimits"
        if shared:
            landlock.restrict(*spec["landlock"])
        blocked = closed_calls.program(
            [launcher, spec["parent"]] if shared else [],
            shared,
            own=os.getpid(),
            same_user=shared and not spec["uid"],
            signals_confined=landlock.version() >= landlock.CONFINES_SIGNALS,
        )
        for limit, value in spec["limits"]:
            resource.setrlimit(limit, tuple(value))
        if blocked:
            kernel.install_filter(blocked)
        os.execve(spec["python"], [spec["python"], "-s", "-B", spec["main"], *spec["argv"]], spec["env"])
    except BaseException as error:  # there is no one above to tell
        _say(report_fd, b"fault", str(error).encode("utf-8", "replace"))
    finally:
        os._exit(70)


def _watch(child: int, report_fd: int, spec: dict[str, Any]) -> tuple[str, int, float] | None:
    """(how, exit code, processor seconds) once the program is over; None when the starter has hung up."""
    poll = select.poll()
    poll.register(report_fd, select.POLLIN)
    with suppress(OSError):  # an old kernel: then the ticks alone
        poll.register(os.pidfd_open(child), select.POLLIN)
    while True:
        ended = _reap(child)
        if _flooded(spec):  # also at the end: much can be written between two ticks
            return "files", 0, 0.0
        if ended:
            return "exit", *ended
        if any(fd == report_fd for fd, _ in poll.poll(TICK_MS)):
            return None


def _reap(child: int) -> tuple[int, float] | None:
    """Buries what has ended; (exit code, processor seconds) if the program itself has."""
    with suppress(ChildProcessError):
        while True:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == child:
                return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
            if pid == 0:
                break
    return None


def _flooded(spec: dict[str, Any]) -> bool:
    own, most = spec["kind"] != "rlimits", (spec["folder_bytes"], spec["folder_files"])
    return any(harvest.flooded(folder, own, *most) for folder in spec["own"])


def _end_the_rest(spec: dict[str, Any]) -> None:
    """Kills and buries every process that is left, however it was detached."""
    everything = os.getpid() == 1 or (spec["kind"] == "rlimits" and spec["uid"])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if everything:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(-1, SIGKILL)
        else:
            for pid in descendants(os.getpid()):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def descendants(pid: int) -> list[int]:
    """All processes below one, from /proc."""
    processes: list[int] = []
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        try:
            threads = os.listdir(f"/proc/{current}/task")
        except OSError:
            continue
        for thread in threads:
            with suppress(OSError), open(f"/proc/{current}/task/{thread}/children", "rb") as stream:
                children = [int(word) for word in stream.read().split()]
                processes += children
                waiting += children
    return processes


def _report(fd: int, outcome: tuple[str, int, float], spec: dict[str, Any]) -> None:
    how, code, seconds = outcome
    _say(fd, how.encode(), b"%d" % code, b"%d" % int(seconds * 1000))
    if how == "exit":
        files, left_out = harvest.written(spec["work"], spec["files"], spec["returned_bytes"])
        for name, content in files.items():
            _say(fd, b"file", name.encode(), content)
        for line in left_out:
            _say(fd, b"left", line.encode("utf-8", "backslashreplace"))
    _say(fd, b"end")


if __name__ == "__main__":  # pragma: no cover: started by name from outside
    main(int(sys.argv[1]), int(sys.argv[2]))
