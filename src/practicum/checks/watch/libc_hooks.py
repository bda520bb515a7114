"""Taps on the C library: who reads the wall clock or draws entropy, however deep, and a clock that can be shifted.

Python functions can be replaced, but ``datetime``, SQLite, NumPy, pandas and ctypes ask the C library themselves.
So the library's own functions are replaced, in a process made for checking: their first bytes become a jump to code
that makes the system call, counts it, and adds an offset to the wall clock. Monotonic clocks are left alone.

This needs Linux on x86-64. Elsewhere, or where the system forbids it, ``install`` gives None and only the Python
functions by name are watched.
"""

import ctypes
import mmap
import platform
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CLOCK, _OFFSET, _ENTROPY = 0, 8, 16
"""Places in the shared cell: calls of the wall clock, seconds added to it, calls for entropy."""

_PAGE = mmap.PAGESIZE
_READ, _WRITE, _EXECUTE = 1, 2, 4
_FAILED = ctypes.c_void_p(-1).value


@dataclass(frozen=True)
class Taps:
    """The taps of this process. ``hooked`` names the functions of the C library that are watched."""

    hooked: frozenset[str]
    _cell: "memoryview[int]"

    @property
    def clock_reads(self) -> int:
        """How often the wall clock was read so far."""
        return self._cell[_CLOCK // 8]

    @property
    def draws(self) -> int:
        """How often the operating system was asked for entropy so far."""
        return self._cell[_ENTROPY // 8]

    def shift(self, seconds: float) -> bool:
        """Let the wall clock tell another time, from now on and for everything in this process.

        False where it cannot be done: on builds of Python whose timed waits go by the wall clock.
        """
        if seconds and not self._waits_by_the_monotonic_clock():
            return False
        self._cell[_OFFSET // 8] = int(seconds) & 0xFFFF_FFFF_FFFF_FFFF
        return True

    def _waits_by_the_monotonic_clock(self) -> bool:
        before, lock = self.clock_reads, threading.Lock()
        lock.acquire()
        lock.acquire(timeout=0.001)
        return self.clock_reads == before


@cache
def install() -> Taps | None:
    """Put the taps in, once per process; None where that cannot be done."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    before = time.time()
    try:
        taps = _install(ctypes.CDLL(None, use_errno=True))
    except (OSError, AttributeError, ValueError):
        return None
    # What was put in must work, or nothing that is counted means anything.
    counted = taps.clock_reads
    return taps if abs(time.time() - before) < 5 and taps.clock_reads == counted + 1 else None


def _install(libc: ctypes.CDLL) -> Taps:
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    # Neither is ever given back: the library's functions use them until the process ends.
    cell, code = (_memory(libc) for _ in range(2))
    errno, end, places = _address(libc.__errno_location), code, {}
    for name, make in _REPLACEMENTS.items():
        body = make(cell, errno)
        ctypes.memmove(end, body, len(body))
        places[name] = end
        end += -(-len(body) // 16) * 16
    if libc.mprotect(code, _PAGE, _READ | _EXECUTE):
        raise OSError(ctypes.get_errno(), "mprotect")
    hooked = {name for name, place in places.items() if _redirect(libc, _address(getattr(libc, name)), place)}
    return Taps(frozenset(hooked), memoryview((ctypes.c_uint64 * 3).from_address(cell)).cast("B").cast("Q"))


def _memory(libc: ctypes.CDLL) -> int:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    address = libc.mmap(None, _PAGE, _READ | _WRITE, flags, -1, 0)
    if address in (None, _FAILED):
        raise OSError(ctypes.get_errno(), "mmap")
    return int(address)


def _address(function: object) -> int:
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)  # type: ignore[arg-type]


def _redirect(libc: ctypes.CDLL, function: int, to: int) -> bool:
    """Overwrite a function's beginning with: mov r11, to · jmp r11."""
    jump = b"\x49\xbb" + struct.pack("<Q", to) + b"\x41\xff\xe3"
    first, length = _mapping(function)
    if not length or libc.mprotect(first, length, _READ | _WRITE | _EXECUTE):
        return False
    ctypes.memmove(function, jump, len(jump))
    libc.mprotect(first, length, _READ | _EXECUTE)
    return True


def _mapping(address: int) -> tuple[int, int]:
    """Start and length of the whole mapping: part of the kernel's own page of code (vdso) cannot be made writable."""
    for line in Path("/proc/self/maps").read_text(encoding="ascii", errors="replace").splitlines():
        first, last = (int(number, 16) for number in line.split()[0].split("-"))
        if first <= address < last:
            return first, last - first
    return 0, 0


# Machine code -----------------------------------------------------------------------------------------------


def _system_call(number: int) -> bytes:
    return b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"  # mov eax, number · syscall


def _count(cell: int, place: int) -> bytes:
    # mov r11, cell + place · lock inc qword [r11]
    return b"\x49\xbb" + struct.pack("<Q", cell + place) + b"\xf0\x49\xff\x03"


def _or_error(body: bytes, errno: int) -> bytes:
    """Carry on with ``body`` unless the call failed; then set errno and return -1, as C functions do."""
    skip = b"\x48\x85\xc0\x78" + bytes([len(body)])  # test rax, rax · js error
    fail = b"\xf7\xd8\x50\x49\xbb" + struct.pack("<Q", errno)  # neg eax · push rax · mov r11, __errno_location
    fail += b"\x41\xff\xd3\x59\x89\x08"  # call r11 · pop rcx · mov [rax], ecx
    return skip + body + fail + b"\xb8\xff\xff\xff\xff\xc3"  # mov eax, -1 · ret


_RETURN_ZERO = b"\x31\xc0\xc3"  # xor eax, eax · ret
_TO_OFFSET = b"\x4d\x8b\x5b\x08"  # mov r11, [r11 + 8]: from the counted clock to the offset beside it


def _clock_gettime(cell: int, errno: int) -> bytes:
    counted = _count(cell, _CLOCK) + _TO_OFFSET + b"\x4c\x01\x1e"  # add [rsi], r11
    # The wall clock is number 0, 5 (coarse) or 11 (atomic time): test edi, edi · je · cmp edi, 5 · je · cmp edi, 11
    which = b"\x85\xff\x74\x0a\x83\xff\x05\x74\x05\x83\xff\x0b\x75" + bytes([len(counted)])  # · jne past it
    return _system_call(228) + _or_error(which + counted + _RETURN_ZERO, errno)


def _time(cell: int, errno: int) -> bytes:
    del errno  # it never fails
    body = _count(cell, _CLOCK) + _TO_OFFSET + b"\x4c\x01\xd8"  # add rax, r11
    return _system_call(201) + body + b"\x48\x85\xff\x74\x03\x48\x89\x07\xc3"  # test rdi, rdi · je · mov [rdi], rax


def _gettimeofday(cell: int, errno: int) -> bytes:
    counted = _count(cell, _CLOCK) + _TO_OFFSET + b"\x4c\x01\x1f"  # add [rdi], r11
    body = b"\x48\x85\xff\x74" + bytes([len(counted)]) + counted + _RETURN_ZERO  # test rdi, rdi · je past it
    return _system_call(96) + _or_error(body, errno)


def _getrandom(cell: int, errno: int) -> bytes:
    return _system_call(318) + _or_error(_count(cell, _ENTROPY) + b"\xc3", errno)


def _getentropy(cell: int, errno: int) -> bytes:
    no_flags = b"\x31\xd2"  # xor edx, edx
    return no_flags + _system_call(318) + _or_error(_count(cell, _ENTROPY) + _RETURN_ZERO, errno)


_REPLACEMENTS: dict[str, Callable[[int, int], bytes]] = {
    "clock_gettime": _clock_gettime,
    "time": _time,
    "gettimeofday": _gettimeofday,
    "getrandom": _getrandom,
    "getentropy": _getentropy,
}
