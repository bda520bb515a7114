"""Limits alone, for an ordinary user: the program runs as that user, and still cannot touch the process that trains.

All programs run in one such process (``TRAINER``), as a user without rights, on the kernel's own Landlock and on that
of kernels before 6.12, which does not confine signals. After each the process says how it is.
"""

import ast
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from practicum.sandbox import kinds
from practicum.sandbox.inside import landlock

USER = 64998
LIBC = (
    "import ctypes, os, signal, sys, time\n"
    "libc = ctypes.CDLL(None, use_errno=True)\n"
    "X86 = os.uname().machine == 'x86_64'\n"
    "def call(x86, arm, *rest):\n"
    "  got = libc.syscall(x86 if X86 else arm, *rest)\n"
    "  print('refused' if got < 0 and ctypes.get_errno() in (1, 38) else f'{got} errno {ctypes.get_errno()}')\n"
    "room = ctypes.create_string_buffer\n"
    "def attempt(do, *rest):\n"
    "  try: print('did', do(*rest))\n"
    "  except OSError as e: print('refused' if e.errno in (1, 38) else repr(e))\n"
)
OWNER = "import fcntl\nr, w = os.pipe()\n"
TOUCHES = {
    # signals, by process and by thread
    "kill": "attempt(os.kill, {pid}, 9)",
    "kill of a thread": "attempt(os.kill, {tid}, 9)",
    "kill of another's program": "attempt(os.kill, {other}, 9)",
    "kill of its launcher": "attempt(os.kill, os.getppid(), 9)",
    "kill of its group": "attempt(os.killpg, {pid}, 9)",
    "kill of all": "attempt(os.kill, -1, 9)",
    "tkill": "call(200, 130, {tid}, 9)",
    "tgkill": "call(234, 131, {pid}, {tid}, 9)",
    "sigqueue": "call(129, 138, {pid}, 9, room(128))",
    "sigqueue of a thread": "call(297, 240, {pid}, {tid}, 9, room(128))",
    "owner of a pipe": OWNER + "attempt(fcntl.fcntl, r, fcntl.F_SETOWN, {pid})",
    "owner's other call": OWNER + "attempt(fcntl.fcntl, r, 15, b'\\x01\\0\\0\\0' + ({pid}).to_bytes(4, 'little'))",
    "signal of a pipe": OWNER + "attempt(fcntl.fcntl, r, 10, 9)",
    "owner of a socket": OWNER + "import socket; a, b = socket.socketpair()\n"
    "attempt(fcntl.ioctl, a, 0x8901, ({pid}).to_bytes(4, 'little'))",
    "group of a socket": OWNER + "import socket; a, b = socket.socketpair()\n"
    "attempt(fcntl.ioctl, a, 0x8902, ({pid}).to_bytes(4, 'little'))",
    "a handle of a process": "attempt(os.pidfd_open, {pid})",
    # time and place of work
    "nice": "attempt(os.setpriority, os.PRIO_PROCESS, {pid}, 19)",
    "nice of its launcher": "attempt(os.setpriority, os.PRIO_PROCESS, os.getppid(), 19)",
    "nice of a group": "attempt(os.setpriority, os.PRIO_PGRP, {pid}, 19)",
    "nice of a user": "attempt(os.setpriority, os.PRIO_USER, 0, 19)",
    "cores": "attempt(os.sched_setaffinity, {pid}, {{0}})",
    "cores of a thread": "attempt(os.sched_setaffinity, {tid}, {{0}})",
    "scheduler": "attempt(os.sched_setscheduler, {pid}, os.SCHED_IDLE, os.sched_param(0))",
    "scheduler's parameter": "attempt(os.sched_setparam, {pid}, os.sched_param(0))",
    "scheduler's attributes": "call(314, 274, {pid}, room(b'\\x30', 48), 0)",
    "disk": "call(251, 30, 1, {pid}, 3 << 13)",
    "disk of a user": "call(251, 30, 3, os.getuid(), 3 << 13)",
    "shared cores": "call(157, 167, 62, 1, {pid}, 0, 0)",
    "limits": "import resource; attempt(resource.prlimit, {pid}, resource.RLIMIT_CPU, (1, 1))",
    # memory
    "pages to another node": "call(256, 238, {pid}, 64, room(8), room(8))",
    "where pages are": "call(279, 239, {pid}, 1, room(8), None, room(8), 0)",
    "reading memory": "call(310, 270, {pid}, room(64), 1, room(64), 1, 0)",
    "writing memory": "call(311, 271, {pid}, room(64), 1, room(64), 1, 0)",
    "ptrace": "call(101, 117, 16, {pid}, 0, 0)",
    "comparing": "call(312, 272, {pid}, {other}, 0, 0, 0)",
    "its locks": "call(274, 100, {pid}, room(8), room(8))",
}
ASKS = {
    "group": ("attempt(os.getpgid, {n})", "getpgid"),
    "session": ("attempt(os.getsid, {n})", "getsid"),
    "niceness": ("attempt(os.getpriority, os.PRIO_PROCESS, {n})", "getpriority"),
    "cores": ("attempt(os.sched_getaffinity, {n})", "sched_getaffinity"),
    "scheduler": ("attempt(os.sched_getscheduler, {n})", "sched_getscheduler"),
    "time slice": ("attempt(os.sched_rr_get_interval, {n})", "sched_rr_get_interval"),
    "disk": ("call(252, 31, 1, {n})", "ioprio_get"),
    "rights": ("call(125, 90, (ctypes.c_uint32 * 2)(0x20080522, {n}), (ctypes.c_uint32 * 6)())", "capget"),
    "moving it": ("attempt(os.setpgid, {n}, {n})", "setpgid"),
}
FILES = {
    "mode of a file": "attempt(os.chmod, '{file}', 0)",
    "mode of the folder": "attempt(os.chmod, '{folder}', 0)",
    "owner": "attempt(os.chown, '{file}', os.getuid(), os.getgid())",
    "time": "attempt(os.utime, '{file}', (1, 1))",
    "attribute": "attempt(os.setxattr, '{file}', 'user.x', b'1')",
    "length": "attempt(os.truncate, '{file}', 0)",
    "length, through a descriptor to read": "attempt(lambda: os.open(os.__file__, os.O_RDONLY | os.O_TRUNC))",
    "mode, through a descriptor to read": "attempt(lambda: os.fchmod(os.open(os.__file__, os.O_RDONLY), 0))",
    "flags, through a descriptor to read": "import fcntl\n"
    "attempt(lambda: fcntl.ioctl(os.open(os.__file__, os.O_RDONLY), 0x40086602, b'\\x40\\0\\0\\0\\0\\0\\0\\0'))",
}
INNOCENT = {
    "its own signal": "signal.signal(10, lambda *_: print('got it'))\n"
    "os.kill(os.getpid(), 10); signal.raise_signal(10)",
    "its own group": "signal.signal(10, lambda *_: print('got it')); os.kill(0, 10); os.killpg(0, 10)",
    "its own cores": "print(len(os.sched_getaffinity(0)) == len(os.sched_getaffinity(os.getpid())))",
    "its own niceness": "print(os.nice(5), os.getpriority(os.PRIO_PROCESS, 0), os.getpgid(0) == os.getpgrp())",
    "processes of its own": "import subprocess\n"
    "print(subprocess.run([sys.executable, '-c', 'print(2)'], capture_output=True, text=True, timeout=9).stdout)",
    "threads": "import threading; t = threading.Thread(target=print, args=('there',)); t.start(); t.join()",
    "files": "import shutil; open('a', 'w').write('text'); shutil.copyfile('a', 'b')\n"
    "f = open('b', 'r+'); f.truncate(2); f.close(); os.rename('b', 'c'); print(open('c').read())",
    "a fork of its own": "import multiprocessing\n"
    "other = multiprocessing.get_context('fork').Process(target=print, args=('there',)); other.start(); other.join()",
}
SAID = {
    "its own signal": "got it\ngot it\n",
    "its own group": "got it\ngot it\n",
    "its own cores": "True\n",
    "its own niceness": "5 5 True\n",
    "processes of its own": "2\n\n",
    "threads": "there\n",
    "files": "te\n",
    "a fork of its own": "there\n",
}
TRAINER = """
import json, os, subprocess, sys, tempfile, threading, time, types
package = sys.modules["practicum"] = types.ModuleType("practicum")
package.__path__ = [sys.argv[1]]
from practicum.sandbox import PythonLimits
from practicum.sandbox.python import prepare, run_in
tids, folder = [], tempfile.mkdtemp()
file = os.path.join(folder, "file")
def idle():
    tids.append(threading.get_native_id())
    time.sleep(600)
threading.Thread(target=idle, daemon=True).start()
quiet = subprocess.DEVNULL  # a pipe of ours that it held would outlive a trainer that was ended
other = subprocess.Popen(["sleep", "600"], stdin=quiet, stdout=quiet, stderr=quiet)
while not tids: time.sleep(0.01)
def state():
    about = os.stat(file)
    time = [(os.getpriority(0, n), os.sched_getaffinity(n), os.sched_getscheduler(n)) for n in (os.getpid(), *tids)]
    return time, other.poll(), os.stat(folder).st_mode, about.st_mode, about.st_mtime, about.st_size, os.listxattr(file)
open(file, "w").write("weights")
before = state()
names = {"pid": os.getpid(), "tid": tids[0], "other": other.pid, "file": file, "folder": folder}
LIBC, programs = json.load(sys.stdin)
for name, code in programs.items():
    n = 2**22 + 5 if name.endswith("nobody") else os.getpid()
    try:
        code = code.format(**names, n=n)
        found = run_in("rlimits", prepare({"main.py": LIBC + code}, limits=PythonLimits(memory_mb=512)))
        said = found.stdout, found.status, found.stderr
    except Exception as error:
        said = str(error), "raised", ""
    print(json.dumps([name, *said, state() == before]), flush=True)
other.kill()
"""


def play(package: Path) -> dict[str, list[Any]]:
    """By program: what it printed, its status, its errors, and whether the trainer was as before."""
    asked = {f"ask {name} of {who}": code for name, (code, _) in ASKS.items() for who in ("trainer", "nobody")}
    programs = TOUCHES | FILES | INNOCENT | asked
    said = subprocess.run(
        [*f"setpriv --reuid={USER} --regid={USER} --clear-groups /usr/bin/python3 -B -c".split(), TRAINER, package],
        input=json.dumps([LIBC, programs]),
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    played = {name: rest for name, *rest in map(json.loads, said.stdout.splitlines())}
    assert list(played) == list(programs), f"the trainer was ended after {list(played)[-1:]}: {said.stderr}"
    return played


@pytest.fixture(scope="module", params=["of this kernel", "of Linux 6.1"])
def played(request: pytest.FixtureRequest) -> Iterator[dict[str, list[Any]]]:
    """Every program's outcome, on this kernel's Landlock and on an older one's."""
    recent = "import sys; assert sys.version_info >= (3, 11)"
    if os.geteuid() != 0 or subprocess.run(["/usr/bin/python3", "-c", recent], check=False).returncode:
        pytest.skip("only root can become another user, who needs a Python of the system's")
    if not landlock.version():
        pytest.skip("no Landlock here")
    source = Path(kinds.__file__).parent.parent
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        copy = Path(folder) / "practicum"
        shutil.copytree(source / "sandbox", copy / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
        for ground in ("errors.py", "display.py"):
            shutil.copy(source / ground, copy)
        if request.param != "of this kernel":
            code = copy / "sandbox" / "inside" / "landlock.py"
            old = (
                code.read_text()
                .replace("return kernel.call(", "return min(2, kernel.call(")
                .replace("FLAG)\n", "FLAG))\n", 1)
            )
            ast.parse(old)
            code.write_text(old)
        yield play(copy)


@pytest.mark.parametrize("touch", [*TOUCHES, *FILES])
def test_a_touch_of_the_trainer_is_refused_and_changes_nothing(played: dict[str, list[Any]], touch: str) -> None:
    printed, status, errors, unchanged = played[touch]
    assert (printed.split("\n")[-2], status, unchanged) == ("refused", "ok", True), errors


@pytest.mark.parametrize("question", ASKS)
def test_a_question_tells_no_process_from_none(played: dict[str, list[Any]], question: str) -> None:
    about_trainer, about_nobody = (played[f"ask {question} of {who}"][:2] for who in ("trainer", "nobody"))
    assert about_trainer == about_nobody == ["refused\n", "ok"]


@pytest.mark.parametrize("program", INNOCENT)
def test_what_a_program_does_to_itself_works_as_ever(played: dict[str, list[Any]], program: str) -> None:
    printed, status, errors, unchanged = played[program]
    assert (printed, status, unchanged) == (SAID[program], "ok", True), errors
