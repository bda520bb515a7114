"""Landlock: files, TCP and signals confined without a namespace, where the kernel has it (landlock(7)).

Used only where neither bubblewrap nor namespaces can be had, which is what most containers are like.
"""

from __future__ import annotations

import ctypes
import os
import stat

from . import kernel

TYPE_CHECKING = False  # the name type checkers know, without the time that importing typing takes
if TYPE_CHECKING:
    from collections.abc import Iterable

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every machine
CONFINES_SIGNALS = 6
"""From this version on, which Linux has since 6.12."""
_VERSION_FLAG, _RULE_PATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15  # truncate, ioctl_dev
# rights known to version 1, 2 (refer), 3 (truncate), 5 (ioctl_dev)
_FILES_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_TCP, _SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    try:
        return kernel.call("syscall", _CREATE, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def restrict(listable: Iterable[str], readable: Iterable[str], writable: Iterable[str]) -> bool:
    """From now on only these files and folders, no TCP, no signal to the outside; False where there is no Landlock.

    Each right holds for all that is below a folder; ``listable`` shows the names there and no content.
    """
    abi = version()
    if abi == 0:
        return False
    handled = _FILES_BY_VERSION[min(abi, 5)]
    rules = _Ruleset(handled, _TCP if abi >= 4 else 0, _SCOPES if abi >= CONFINES_SIGNALS else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = kernel.libc.syscall(ctypes.c_long(_CREATE), ctypes.byref(rules), ctypes.c_size_t(size), 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock: no rule set")
    for path in listable:
        _allow(ruleset, path, _READ_DIR)
    for path in readable:
        _allow(ruleset, path, _READ & handled)
    for path in writable:
        _allow(ruleset, path, handled)
    kernel.call("syscall", _RESTRICT, ruleset, 0)
    os.close(ruleset)
    return True


def _allow(ruleset: int, path: str, rights: int) -> None:
    with kernel.suppress(FileNotFoundError):
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                rights &= _ON_FILES
            rule = _PathRule(rights, fd)
            if kernel.libc.syscall(ctypes.c_long(_ADD), ruleset, _RULE_PATH, ctypes.byref(rule), 0) != 0:
                raise OSError(ctypes.get_errno(), f"landlock: no rule for {path}")
        finally:
            os.close(fd)
