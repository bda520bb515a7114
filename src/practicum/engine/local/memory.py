"""Keeping freed memory in the process.

Every step allocates and frees gigabytes of activations. glibc hands large blocks back to the kernel at once, and
getting them again costs a page fault per 4 KiB, which took up to half of a training step on a virtual machine.
"""

import ctypes
import functools
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


@functools.cache
def keep_freed_memory() -> bool:
    """Tell glibc not to return freed memory; False where the C library is another one. Affects speed only."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
