"""Programs that try to get out, to harm or to stay. Each is stopped with a clear result and leaves nothing behind."""

import os
import re
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from practicum.sandbox import PythonResult

SOON = {"cpu_s": 1, "wall_s": 0.7}
ROUNDS = "import os, sys, time, signal, socket, subprocess, threading, ctypes, resource, mmap\nmark = sys.argv[1]\n"
Escape = tuple[str, str, str, dict[str, Any]]  # code, statuses, pattern to find in what it printed, limits

REFUSED = "PermissionError|FileNotFoundError|NotADirectoryError|Read-only file system"
ESCAPES: dict[str, Escape] = {
    # network
    "connect over tcp": ("socket.create_connection(('127.0.0.1', 80), 1)", "error", "PermissionError", {}),
    "send over udp": ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", "error", "PermissionError", {}),
    "resolve a name": ("socket.getaddrinfo('example.com', 80)", "error", "gaierror|PermissionError", {}),
    "listen on a port": ("socket.create_server(('', 0))", "error", "PermissionError", {}),
    "reach a daemon's socket": ("socket.socket(socket.AF_UNIX).connect('/run/x')", "error", "PermissionError", {}),
    "talk netlink to the kernel": ("socket.socket(16, socket.SOCK_RAW, 0)", "error", "PermissionError", {}),
    # files
    "read /etc/passwd": ("print(open('/etc/passwd').read())", "error", REFUSED, {}),
    "read the machine's processes": ("print(open('/proc/1/environ').read())", "error", REFUSED, {}),
    "read the kernel's memory": ("open('/dev/mem', 'rb')", "error", REFUSED, {}),
    "open the terminal": ("open('/dev/tty')", "error", REFUSED, {}),
    "read a file outside": ("print(open('{secret}').read())", "error", REFUSED, {}),
    "write a file outside": ("open('{outside}/new', 'w')", "error", REFUSED, {}),
    "change a file outside": ("open('{secret}', 'w').write('changed')", "error", REFUSED, {}),
    "climb out by ..": ("print(os.listdir('../' * 20 + '{outside}'[1:]))", "error", REFUSED, {}),
    "write into the root": ("open('/new', 'w')", "error", REFUSED, {}),
    "change the standard library": ("open(os.__file__, 'a')", "error", REFUSED, {}),
    "hard link to a file outside": ("os.link('{secret}', 'mine')", "error", REFUSED + "|Invalid cross-device", {}),
    "write through a linked folder": (
        "os.symlink('{outside}', 'door'); open('door/new', 'w')",
        "error",
        REFUSED,
        {},
    ),
    "make a device": ("os.mknod('disk', 0o60666, os.makedev(8, 0))", "error", "PermissionError", {}),
    "run the machine's shell": ("subprocess.run(['/bin/sh', '-c', 'echo ran'])", "error", REFUSED, {}),
    # too much
    "flood standard output": ("while True: print('x' * 1000)", "output", "x" * 1000, {}),
    "flood standard error": ("while True: os.write(2, b'y' * 65536)", "output", "y" * 1000, {}),
    "loop for ever": ("while True: pass", "timeout", "", SOON),
    "sleep for ever": ("print('zz', flush=True); time.sleep(9999)", "timeout", "zz", SOON),
    "stop itself for ever": ("os.kill(os.getpid(), signal.SIGSTOP)", "timeout", "", SOON),
    "loop and ignore signals": (
        "for n in set(signal.Signals) - {{9, 19}}: signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
        "timeout",
        "",
        SOON,
    ),
    "share the work of a loop": (
        "for _ in range(3):\n  if not os.fork():\n    while True: pass\nfor _ in range(3): os.wait()\nprint('done')",
        "timeout",
        "",
        {"cpu_s": 1, "wall_s": 20},
    ),
    "fork without end": ("while True: os.fork()", "error timeout", "BlockingIOError", SOON),
    "fork without end, deaf to errors": (
        "while True:\n  try: os.fork() or os.setsid()\n  except OSError: pass",
        "timeout",
        "",
        SOON,
    ),
    "start threads without end": (
        "while True: threading.Thread(target=time.sleep, args=(99,)).start()",
        "error timeout",
        "can't start new thread",
        SOON,
    ),
    "fill the memory": ("x = bytearray(10**9)", "memory", "MemoryError", {}),
    "fill the memory bit by bit": ("x = []\nwhile True: x.append(bytearray(10**6))", "memory", "MemoryError", {}),
    "fill the memory from many processes": (
        "for _ in range(7):\n  if not os.fork(): break\nx = bytearray(os.urandom(1) * 50_000_000); time.sleep(9)",
        "memory",
        "",
        {"memory_mb": 128},
    ),
    "fill shared memory": (
        "for _ in range(7):\n  if not os.fork(): break\n"
        "m = mmap.mmap(-1, 50_000_000); m.write(b'x' * len(m)); time.sleep(9)",
        "memory",
        "",
        {"memory_mb": 128},
    ),
    "write one huge file": (
        "f = open('big', 'wb')\nwhile True: f.write(bytes(10**6))",
        "error",
        "File too large",
        {"file_mb": 2},
    ),
    "write many large files": (
        "for n in range(99): open(str(n), 'wb').write(bytes(10**6))",
        "error files",
        "No space left|",
        {"folder_mb": 4},
    ),
    "write many small files": (
        "n = 0\nwhile True: open(str(n), 'w').close(); n += 1",
        "error files",
        "No space left|Too many|",
        {"folder_files": 100},
    ),
    "nest folders without end": (
        "for n in range(800): os.mkdir('d'); os.chdir('d')\nprint('deep')",
        "ok",
        "deep",
        {},
    ),
    "raise its own limits": (
        "resource.setrlimit(resource.RLIMIT_CPU, (99, 99))",
        "error",
        "not allowed to raise maximum limit",
        {},
    ),
    "lower the limits of others": ("resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))", "error", REFUSED, {}),
    # other processes
    "signal its parent": (
        "for n in (2, 15, 9, 19):\n"
        "  for pid in (os.getppid(), 1, -1):\n"
        "    try: os.kill(pid, n)\n    except OSError as e: print(e)\n"
        "print('still here')",
        "ok",
        "still here",
        {},
    ),
    "signal a process outside": ("os.kill({pid}, 9)", "error", "ProcessLookupError|PermissionError", {}),
    "end its parent by a pipe": (
        "import fcntl\nr, w = os.pipe()\n"
        "for command, value in ((8, os.getppid()), (10, 9), (4, os.O_ASYNC | os.O_NONBLOCK)):\n"
        "  try: fcntl.fcntl(r, command, value)\n  except OSError as e: print(e)\n"
        "os.write(w, b'x'); time.sleep(0.2); print('still here')",
        "ok",
        "still here",
        {},
    ),
    "slow its parent down": (
        "calls = lambda n: os.setpriority(0, n, 19), lambda n: os.sched_setaffinity(n, {{0}}), os.getpgid, os.getsid\n"
        "for call in calls:\n"
        "  try: call(os.getppid())\n  except OSError as e: print(e)\n"
        "try: os.setpriority(os.PRIO_USER, os.getuid(), 19)\nexcept OSError as e: print(e)\n"
        "print('still here')",
        "ok",
        "still here",
        {},
    ),
    "signal a group outside": ("os.killpg({group}, 9)", "error", "ProcessLookupError|PermissionError", {}),
    "system calls by ctypes": (
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "buffer = ctypes.create_string_buffer(64)\n"
        "calls = dict(ptrace=(101, 16, os.getppid(), 0, 0), read=(310, os.getppid(), buffer, 1, buffer, 1, 0),\n"
        "  write=(311, os.getppid(), buffer, 1, buffer, 1, 0), mount=(165, b'x', b'/work', b'tmpfs', 0, 0),\n"
        "  unshare=(272, 0x10000000), setns=(308, 0, 0), chroot=(161, b'/work'), bpf=(321, 0, buffer, 64),\n"
        "  keys=(250, 0, -3, 0), ring=(425, 1, buffer), perf=(298, buffer, 0, -1, -1, 0), fault=(323, 0),\n"
        "  shared=(29, 0, 4096, 0o1600), memory=(319, b'x', 0), module=(175, buffer, 64, b''), boot=(169, 1, 2, 3),\n"
        "  space=(56, 0x10000000 | 17, 0, 0, 0, 0), handle=(304, -100, buffer, 0), clock=(227, 0, buffer))\n"
        "for name, (number, *rest) in calls.items():\n"
        "  if os.uname().machine == 'x86_64':\n"
        "    got = libc.syscall(number, *rest); print(name, got, ctypes.get_errno())\n"
        "    assert got == -1 and ctypes.get_errno() == 1, name\n"
        "print('all refused')",
        "ok",
        "all refused",
        {},
    ),
    "become another user": ("os.setuid(0 if os.getuid() else 1)", "error", "PermissionError|Invalid argument", {}),
    "crash by ctypes": ("ctypes.string_at(0)", "killed", "", {}),
    "crash by depth": (
        "sys.setrecursionlimit(10**9)\nx = []\nfor _ in range(200_000): x = [x]\nrepr(x)",
        "killed memory error",
        "",
        {},
    ),
    # staying
    "leave a daemon": (
        "if not os.fork():\n  os.setsid()\n"
        "  if os.fork(): os._exit(0)\n"
        "  signal.signal(15, signal.SIG_IGN); time.sleep(1); open('{outside}/late', 'w'); time.sleep(99)\n"
        "time.sleep(0.1); print('gone')",
        "ok",
        "gone",
        {},
    ),
    "leave many daemons": (
        "me = os.getpid()\nfor _ in range(3):\n  if os.getpid() == me and not os.fork(): os.setsid(); os.fork()\n"
        "if os.getpid() != me: time.sleep(99)",
        "ok",
        "",
        {"wall_s": 3},
    ),
    "leave zombies": (
        "for _ in range(10):\n  if not os.fork(): os._exit(0)\nprint('left')",
        "ok",
        "left",
        {},
    ),
    "leave a child that holds the output": (
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)', mark]); print('left')",
        "ok",
        "left",
        {},
    ),
    "leave a thread running": (
        "threading.Thread(target=time.sleep, args=(99,)).start(); print('left')",
        "timeout",
        "left|",
        SOON,
    ),
    # what comes back
    "a link as a result": ("os.symlink('{secret}', 'result.txt'); print('made')", "ok", "made", {}),
    "a fifo as a result": ("os.mkfifo('result.txt'); print('made')", "ok", "made", {}),
    "a pickle as a result": (
        "import pickle\n"
        "class Bomb:\n  def __reduce__(self): return os.system, ('touch {outside}/pickled',)\n"
        "open('result.txt', 'wb').write(pickle.dumps(Bomb(), 2)); pickle.loads(pickle.dumps(Bomb())); print('made')",
        "ok",
        "made",
        {},
    ),
    "hostile names as a result": (
        "for name in (b'a\\nb', b'\\xff', b'-rf', b'..x', b'x' * 255): open(name, 'w').write('text')\nprint('made')",
        "ok",
        "made",
        {},
    ),
    # what it is born with
    "read more than its input": ("print(repr(sys.stdin.read() + sys.stdin.read()))", "ok", "'given'", {}),
    "change its input": ("os.write(0, b'x' * 99)", "error", "PermissionError|Operation not permitted|Bad file", {}),
    "find inherited files": (
        "found = []\n"
        "for n in range(3, 128):\n  try: os.fstat(n); found.append(n)\n  except OSError: pass\nprint('found', found)",
        "ok",
        r"found \[\]",
        {},
    ),
    "find inherited secrets": ("assert 'PRACTICUM_SECRET' not in os.environ; print('none')", "ok", "none", {}),
    "import the trainer's packages": ("import practicum", "error", "ModuleNotFoundError", {}),
}


# All are tried on the kind that this machine takes; on the weaker ones, those that each kind stops in its own way.
EACH_IN_ITS_OWN_WAY = {
    *("connect over tcp", "read the machine's processes", "read a file outside", "write a file outside"),
    *("change a file outside", "write into the root", "change the standard library", "hard link to a file outside"),
    *("run the machine's shell", "fork without end, deaf to errors", "fill the memory from many processes"),
    *("write many large files", "write many small files", "nest folders without end", "signal its parent"),
    *("signal a process outside", "signal a group outside", "system calls by ctypes", "become another user"),
    *("leave a daemon", "leave many daemons", "a link as a result", "find inherited files"),
    *("import the trainer's packages", "loop and ignore signals", "end its parent by a pipe", "slow its parent down"),
}


TRIED = [("own", name) for name in ESCAPES]
TRIED += [(kind, name) for kind in ("namespaces", "rlimits") for name in ESCAPES if name in EACH_IN_ITS_OWN_WAY]


@pytest.mark.parametrize(("wall", "name"), TRIED, indirect=["wall"])
def test_is_stopped_and_leaves_nothing(
    name: str, wall: Any, outside: Any, open_descriptors: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRACTICUM_SECRET", "hush")
    code, statuses, pattern, limits = ESCAPES[name]
    code = ROUNDS + code.format(outside=outside.folder, secret=outside.secret, pid=os.getpid(), group=os.getpgid(0))
    monkeypatch.setattr(tempfile, "tempdir", str(_roof(outside)))
    threads, descriptors = threading.active_count(), open_descriptors()
    begun = time.monotonic()

    result: PythonResult = wall.run(code, outside.marker, stdin="given", **limits)

    said = f"{result.reason}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
    assert result.status in statuses.split(), said
    assert re.search(pattern, result.stdout + result.stderr), said
    assert result.reason
    assert time.monotonic() - begun < 25
    assert "top secret" not in repr(result)
    assert outside.contents() == outside.before
    assert outside.processes() == []
    assert threading.active_count() == threads
    assert open_descriptors() == descriptors
    assert list(_roof(outside).iterdir()) == []


def _roof(outside: Any) -> Path:
    """An empty folder for temporary files, beside the guarded one."""
    roof = Path(f"{outside.folder}-tmp")
    roof.mkdir(mode=0o755, exist_ok=True)
    return roof


@pytest.fixture(autouse=True)
def _roof_is_removed(outside: Any) -> Any:
    yield
    if (roof := Path(f"{outside.folder}-tmp")).exists():
        roof.rmdir()
