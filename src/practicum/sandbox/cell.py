"""One run's command line and the letter its launcher gets, for each kind of isolation."""

import marshal
import math
import os
import resource
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from practicum.sandbox.inside.tidy import remove
from practicum.sandbox.limits import Kind, PythonLimits, SandboxError
from practicum.sandbox.machine import (
    HOME,
    INSIDE,
    PACKAGE,
    PACKAGES,
    TMP,
    WORK,
    CellLayout,
    Interpreter,
    bubblewrap_version,
    bwrap,
    is_real_root,
    kernel_version,
    layout,
    program_user,
    tasks_of,
    unreachable,
)

MIB = 1 << 20
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from inside.launcher import main; "
    "main(int(sys.argv[2]), int(sys.argv[3]))"
)


@dataclass(frozen=True)
class Program:
    """What to run: files by relative path, the one to start, its arguments and its standard input."""

    files: Mapping[str, bytes]
    main: str
    argv: Sequence[str]
    stdin: bytes
    limits: PythonLimits
    packages: bool


@dataclass(frozen=True)
class Cell:
    """How to start one run.

    Attributes:
        command: The command line, but for the two descriptors at its end.
        environment: Environment of that command (the program has its own).
        letter: What the launcher reads.
        scratch: Folder on this machine to remove afterwards, if the kind needs one.
        aliases: (text, text) to replace in everything that comes back, longest first.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    letter: bytes
    scratch: Path | None
    aliases: tuple[tuple[str, str], ...]


def build(kind: Kind, python: Interpreter, program: Program) -> Cell:
    """The cell of a run; its scratch folder, if it has one, exists afterwards.

    Raises:
        SandboxError: what the kind needs is missing.
    """
    limits = program.limits
    size, files = limits.folder_mb * MIB, limits.folder_files
    bare = layout(python, program.packages)
    inner = CellLayout(bare.binds, bare.devices, bare.links, bare.hidden, ((WORK, size, files), (TMP, size, files)))
    uid = program_user() if kind == "rlimits" or is_real_root() else 0
    letter = {
        "kind": kind,
        "files": dict(program.files),
        "main": program.main,
        "argv": list(program.argv),
        "limits": _rlimits(limits, kind, uid),
        "folder_bytes": size,
        "folder_files": files,
        "returned_bytes": limits.returned_kb * 1024,
        "uid": uid,
        "parent": os.getpid(),
        "python": python.inside,
        "work": WORK,
        "own": [WORK, TMP],
        "scratch": "",
        "folders": [],
        "env": _environment() | ({"PYTHONPATH": PACKAGES} if program.packages else {}),
    }
    if kind == "rlimits":
        return _beside_the_machine(python, program, letter)
    start = ("-I", "-S", "-c", _BOOT)
    if kind == "bubblewrap":
        command = (*_bubblewrap(inner), "--", python.inside, *start, PACKAGE)
        return Cell(command, {}, marshal.dumps(letter), None, ())
    letter["layout"] = inner.plain()
    return Cell((str(python.program), *start, str(INSIDE.parent)), {}, marshal.dumps(letter), None, ())


def _bubblewrap(inner: CellLayout) -> list[str]:
    if is_real_root():  # its own rights make the namespaces; the launcher then becomes nobody
        command = [bwrap(), "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command = [bwrap(), "--unshare-user", "--uid", "65534", "--gid", "65534"]
    command += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    command += ["--hostname", "sandbox", "--die-with-parent", "--new-session", "--as-pid-1"]
    places = [*(inside for _, inside in inner.binds), *inner.devices]
    for folder in dict.fromkeys(str(parent) for place in places for parent in reversed(Path(place).parents[:-1])):
        command += ["--perms", "0755", "--dir", folder]  # by default they are closed to all but their owner
    for outside, inside in inner.binds:
        command += ["--ro-bind", outside, inside]
    for device in inner.devices:
        command += ["--dev-bind", device, device]
    for folder in inner.hidden:
        command += ["--perms", "0755", "--tmpfs", folder, "--remount-ro", folder]
    for target, path in inner.links:
        command += ["--symlink", target, path]
    sized = bubblewrap_version() >= (0, 7)  # where it is older, the launcher's watch over the folder must do
    for path, size, _ in inner.folders:
        command += ["--perms", "1777", *(["--size", str(size)] if sized else []), "--tmpfs", path]
    command += ["--setenv", "LD_LIBRARY_PATH", f"{HOME}/lib"]
    return [*command, "--remount-ro", "/", "--chdir", "/"]


def _beside_the_machine(python: Interpreter, program: Program, letter: dict[str, Any]) -> Cell:
    """No namespaces: a folder of the machine's, and Landlock over the rest where the kernel has it."""
    needed = [python.program, python.library, *([python.packages / "x"] if program.packages else [])]
    if letter["uid"] and (closed := next(filter(None, map(unreachable, needed)), None)):
        raise SandboxError(
            f"{closed} is closed to other users, so the program cannot be run as nobody",
            where=f"Python at {python.program}",
            allowed="a Python that every user may run",
            fix="apt-get install bubblewrap, or use a Python outside of a home folder (/usr, /usr/local, /opt)",
        )
    scratch = Path(tempfile.mkdtemp(prefix="practicum-sandbox-", dir=_roof(bool(letter["uid"]))))
    try:
        return _furnished(scratch, python, program, letter)
    except BaseException:
        remove(str(scratch))
        raise


def _furnished(scratch: Path, python: Interpreter, program: Program, letter: dict[str, Any]) -> Cell:
    scratch.chmod(0o711)
    work, tmp, own_python = scratch / "work", scratch / "tmp", scratch / "python"
    for folder in (work, tmp, own_python / "bin"):
        folder.mkdir(parents=True)
    # The shape of a virtual environment keeps the installation's own packages out of sight.
    (own_python / "pyvenv.cfg").write_text(f"home = {python.program.parent}\ninclude-system-site-packages = false\n")
    inside = own_python / "bin" / python.program.name
    inside.symlink_to(python.program)
    if program.packages:
        letter["env"]["PYTHONPATH"] = str(python.packages)
    folders = [str(scratch), *(str(path) for path in scratch.rglob("*") if path.is_dir() and not path.is_symlink())]
    letter |= {"python": str(inside), "work": str(work), "own": [str(work), str(tmp)]}
    letter |= {"scratch": str(scratch), "folders": folders}
    del letter["env"]["LD_LIBRARY_PATH"]
    letter["env"] |= {"HOME": str(work), "TMPDIR": str(tmp), "PATH": str(inside.parent)}
    writable = [str(work), str(tmp), *layout(python, False).devices]
    letter["landlock"] = [[str(python.library)], [*_readable(python, program.packages), str(own_python)], writable]
    aliases = [
        (str(python.library), f"{HOME}/{python.library.relative_to(python.prefix)}"),
        (str(python.packages), PACKAGES),
        (str(scratch), ""),
    ]
    aliases.sort(key=lambda pair: -len(pair[0]))
    command = (str(python.program), "-I", "-S", "-c", _BOOT, str(INSIDE.parent))
    return Cell(command, {}, marshal.dumps(letter), scratch, tuple(aliases))


def _roof(for_nobody: bool) -> str:
    """Where scratch folders are made: the usual place for temporary files, if the program's user may pass there."""
    usual = tempfile.gettempdir()
    return usual if not for_nobody or not unreachable(Path(usual, "x")) else "/tmp"


def _readable(python: Interpreter, with_packages: bool) -> list[str]:
    bare = layout(python, with_packages)
    entries = [entry for entry in python.library.iterdir() if entry.name not in ("site-packages", "dist-packages")]
    libraries = [path for path in (python.prefix / "lib").glob("*.so*") if path.is_file()]
    found = [python.program, *entries, *libraries, *([python.packages] if with_packages else [])]
    system = [outside for outside, inside in bare.binds if not inside.startswith((HOME, PACKAGE, PACKAGES))]
    return [*map(str, found), *system, "/etc/ld.so.cache", *bare.devices]


def _environment() -> dict[str, str]:
    return {
        "HOME": WORK,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "LD_LIBRARY_PATH": f"{HOME}/lib",
        "MALLOC_ARENA_MAX": "1",  # a thread's own arena would count 64 MiB of address space
        "PATH": f"{HOME}/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        "TMPDIR": TMP,
        "TZ": "UTC",
    }


def _rlimits(limits: PythonLimits, kind: Kind, uid: int) -> list[list[Any]]:
    cpu, memory, file = math.ceil(limits.cpu_s), limits.memory_mb * MIB, limits.file_mb * MIB
    processes = limits.processes + 1  # and the launcher
    if not is_real_root() and (kind == "rlimits" or kernel_version() < (5, 14)):
        processes += tasks_of(uid or os.getuid())  # the kernel counts all of the user's here, not the program's alone
    return [
        [resource.RLIMIT_CPU, [cpu, cpu + 1]],
        [resource.RLIMIT_AS, [memory, memory]],
        [resource.RLIMIT_FSIZE, [file, file]],
        [resource.RLIMIT_NPROC, [processes, processes]],
        [resource.RLIMIT_NOFILE, [128, 128]],
        [resource.RLIMIT_STACK, [8 * MIB, 8 * MIB]],
        [resource.RLIMIT_CORE, [0, 0]],
        [resource.RLIMIT_MEMLOCK, [0, 0]],
        [resource.RLIMIT_MSGQUEUE, [0, 0]],
        [resource.RLIMIT_SIGPENDING, [256, 256]],  # what is queued counts for all of the user's processes
        [resource.RLIMIT_NICE, [0, 0]],  # a user who may run ahead of others does not pass that on
        [resource.RLIMIT_RTPRIO, [0, 0]],
    ]
