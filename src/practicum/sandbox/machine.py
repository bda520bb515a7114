"""What this machine is: its kernel, who this process may be or become on it, its bubblewrap, and the Python inside.

Of Python a sandbox needs to see its installation and the system's libraries.
"""

import os
import platform
import re
import secrets
import shutil
import struct
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from practicum.sandbox.limits import SandboxError

_MACHINE_USERS = (0x7000_0000, 0x1000_0000)  # above every range that systemd and container engines give out
_FEW_USERS = 10_000


@cache
def is_real_root() -> bool:
    """Root of the machine itself, whose processes the kernel does not count, and not of a container's namespace."""
    return os.geteuid() == 0 and _users() == (0, 4294967295)


def _users() -> tuple[int, int]:
    """(first, number) of the largest range of users that this process could become, were it root."""
    rows = [list(map(int, row.split())) for row in Path("/proc/self/uid_map").read_text().splitlines()]
    return max(((first, number) for first, _, number in rows), key=lambda found: found[1])


def program_user() -> int:
    """A user that nobody else is, for root to run a program as; 0 to stay who one is."""
    first, number = _MACHINE_USERS if is_real_root() else _users()
    if os.geteuid() != 0 or number < _FEW_USERS:
        return 0
    return first + number // 2 + secrets.randbelow(number // 2)


def unreachable(path: Path) -> Path | None:
    """The first folder above a path that other users may not pass."""
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001), None)


def bwrap() -> str:
    """Path of bubblewrap's program."""
    return shutil.which("bwrap") or "bwrap"


@cache
def bubblewrap_version() -> tuple[int, ...]:
    """Version of the installed bubblewrap; () where there is none."""
    try:
        said = subprocess.run([bwrap(), "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
        return tuple(int(part) for part in said.split()[-1].split("."))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return ()


def kernel_version() -> tuple[int, int]:
    """(major, minor) of the running kernel."""
    major, minor = platform.release().split(".")[:2]
    return int(major), int("".join(character for character in minor if character.isdigit()) or 0)


def tasks_of(uid: int) -> int:
    """Threads of all of a user's processes."""
    count = 0
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                count += sum(1 for _ in (entry / "task").iterdir())
        except OSError:
            continue
    return count


HOME, WORK, TMP = "/python", "/work", "/tmp"
INSIDE = Path(__file__).parent / "inside"
PACKAGES = "/packages"  # where the packages lie inside, if they are to be seen
PACKAGE = "/sandbox"  # where the launcher's package lies inside
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_SHARED_PREFIXES = ("/usr", "/usr/local")  # these hold more than Python
_C_LIBRARY = re.compile(r"/(libc\.so\.6|libc-[\d.]+\.so|ld-musl-[^/]+|libc\.musl-[^/]+)$")


@dataclass(frozen=True)
class Interpreter:
    """A Python installation: program, standard library, and the tree they lie in."""

    program: Path
    prefix: Path
    library: Path
    packages: Path
    shared_library: Path | None = None

    @property
    def inside(self) -> str:
        """Path of the program inside the sandbox."""
        return f"{HOME}/{self.program.relative_to(self.prefix)}"


@dataclass(frozen=True)
class CellLayout:
    """What is to be seen inside, each path as it is named there.

    Attributes:
        binds: (path on this machine, path inside), read-only.
        devices: Device files, bound where they are.
        links: (target, path) of symbolic links.
        hidden: Folders shown empty.
        folders: (path, bytes, files) of writable folders, each a small filesystem of its own.
    """

    binds: tuple[tuple[str, str], ...]
    devices: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]
    folders: tuple[tuple[str, int, int], ...] = field(default=())

    def plain(self) -> dict[str, Any]:
        """As lists, for the launcher."""
        return {
            name: [list(row) if isinstance(row, tuple) else row for row in rows] for name, rows in vars(self).items()
        }


@cache
def this_interpreter() -> Interpreter:
    """The Python this process runs on; of a virtual environment, the one beneath it.

    Raises:
        SandboxError: its program or standard library is not where it should be.
    """
    program = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    prefix, library = Path(os.path.realpath(sys.base_prefix)), Path(os.path.realpath(Path(os.__file__).parent))
    shared = None
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        shared = Path(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")
    packages = Path(os.path.realpath(sysconfig.get_path("purelib")))
    if not (program.is_file() and program.is_relative_to(prefix) and library.is_relative_to(prefix)):
        raise SandboxError(
            f"Python's installation cannot be made out: program {program}, standard library {library}",
            allowed=f"both below {prefix}",
            fix="run on a Python of the usual layout (Debian, Docker, pyenv, uv and conda have it)",
        )
    return Interpreter(program, prefix, library, packages, shared if shared and shared.is_file() else None)


@cache
def layout(python: Interpreter, with_packages: bool) -> CellLayout:
    """Binds for an interpreter; its packages only where asked."""
    library = f"{HOME}/{python.library.relative_to(python.prefix)}"
    if str(python.prefix) in _SHARED_PREFIXES:
        binds = [(python.program, python.inside), (python.library, library)]
        if python.shared_library:
            binds.append((python.shared_library, f"{HOME}/lib/{python.shared_library.name}"))
    else:
        binds = [(python.prefix, HOME)]
    names = ("site-packages", "dist-packages")
    hidden = [f"{library}/{name}" for name in names if (python.library / name).is_dir()]
    if with_packages:
        binds.append((python.packages, PACKAGES))
    binds += system_libraries(python)
    shown = tuple((str(outside), str(inside)) for outside, inside in binds)
    return CellLayout((*shown, (str(INSIDE), f"{PACKAGE}/inside")), DEVICES, (("/tmp", "/dev/shm"),), tuple(hidden))


def system_libraries(python: Interpreter) -> list[tuple[Path, str]]:
    """The folder of the C library, and the loader where the program names it."""
    libraries: list[tuple[Path, str]] = []
    loader = _loader(python.program)
    if loader:
        libraries.append((Path(os.path.realpath(loader)), loader))
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        if _C_LIBRARY.search(path):
            folder = Path(path).parent
            for candidate in dict.fromkeys([folder, Path("/usr", *folder.parts[1:])]):
                if candidate.is_dir() and not (candidate.is_symlink() and candidate != folder):
                    libraries.append((candidate, str(candidate)))
            break
    return list(dict.fromkeys(libraries))


def _loader(program: Path) -> str:
    """The ELF program interpreter ("" for a program without one); elf(5), 64 bit."""
    data = program.open("rb").read(4096)
    if data[:5] != b"\x7fELF\x02":
        return ""
    (start,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    for at in range(start, start + size * count, size):
        if at + size <= len(data) and struct.unpack_from("<I", data, at)[0] == 3:
            offset, length = struct.unpack_from("<Q", data, at + 8)[0], struct.unpack_from("<Q", data, at + 32)[0]
            return os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
    return ""
