"""The seccomp program: system calls that no program in the sandbox gets, whatever else isolates it.

Closed are the network (sockets of any family; socketpair stays), looking into or steering other processes (where these
share a process table with the program, by any call that takes a process's number), making namespaces and mounts, kernel
memory that no other limit counts (System V objects, memfd, keys), and the large corners of the kernel with a history
(bpf, io_uring, userfaultfd, perf). Numbers: the kernel's syscall tables.
"""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False  # the name type checkers know, without the time that importing typing takes
if TYPE_CHECKING:
    from collections.abc import Iterable

_EPERM, _ENOSYS = 1, 38
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _AND, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT_0 = 0, 4, 16
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: (x86_64, aarch64); None where the machine has no such call
_CLOSED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "personality": (135, 92),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
}
# Only where the program shares its process table with the machine: other ways to signal, steer or find out others than
# the calls of _BY_PROCESS, which are open as long as they are about the program itself.
_OF_OTHERS: dict[str, tuple[int | None, int | None]] = {
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "process_mrelease": (448, 448),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "get_robust_list": (274, 100),
    "capget": (125, 90),
}
# Only where the program runs as the starter's own user: what changes a file without opening it for writing, which
# Landlock (landlock(7), "Current limitations") leaves to that user; truncate, before its version 3.
_OF_OWNERS: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "truncate": (76, 45),
}
# Their first argument is a process or thread; 0 and the program's own number are the caller itself, or the program.
_BY_PROCESS: dict[str, tuple[int, int]] = {
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_getscheduler": (145, 120),
    "sched_setparam": (142, 118),
    "sched_getparam": (143, 121),
    "sched_setattr": (314, 274),
    "sched_getattr": (315, 275),
    "sched_rr_get_interval": (148, 127),
    "getpgid": (121, 155),
    "getsid": (124, 156),
    "setpgid": (109, 154),
}
# Their first argument says whose the second is: a process, a group, or, from this number on, all of a user's.
_BY_KIND: dict[str, tuple[int, int, int]] = {
    "setpriority": (141, 140, 2),
    "getpriority": (140, 141, 2),
    "ioprio_set": (251, 30, 3),
    "ioprio_get": (252, 31, 3),
}
_GETAFFINITY = (204, 123)  # the C library asks it for threads: "no such call" is an answer that it can live with
_FCNTL, _OWNERS_OF_FILES = (72, 25), (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: who gets SIGIO, or another signal
_IOCTL, _OWNERS_OF_SOCKETS = (16, 29), (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP: the same of sockets
_ATTRIBUTES_OF_FILES = (0x40086602, 0x401C5820, 0x40087602)  # FS_IOC_SETFLAGS, FSSETXATTR, SETVERSION
_PRCTL, _SHARED_CORES = (157, 167), 62  # PR_SCHED_CORE: which processes may share a core
_OPEN, _OPENAT, _OPENAT2 = (2, None), (257, 56), (437, 437)
_ACCESS_MODE, _TRUNCATE = 0b11, 0o1000
_CLONE, _CLONE3, _PRLIMIT, _KILL_CALL, _TGKILL = (56, 220), (435, 435), (302, 261), (62, 129), (234, 131)


def program(
    protected: Iterable[int] = (),
    shared_processes: bool = False,
    machine: str | None = None,
    *,
    own: int = 0,
    same_user: bool = False,
    signals_confined: bool = True,
) -> bytes | None:
    """The filter for this machine, or None for a processor whose numbers are not known here.

    Args:
        protected: Process ids that must not be signalled.
        shared_processes: The program sees the machine's processes: it may neither steer others nor signal groups.
        machine: As ``os.uname().machine``, which is the default.
        own: The program's own process id, where processes are shared.
        same_user: It runs as its starter's user, whose processes and files the kernel lets it change.
        signals_confined: Something else keeps signals within the program's own processes (Landlock from version 6).
    """
    machine = machine or os.uname().machine
    if machine not in _MACHINES:
        return None
    column = list(_MACHINES).index(machine)
    parts = [
        _code(_LOAD, _ARCHITECTURE),
        _code(_JUMP_EQUAL, _MACHINES[machine], 1, 0),
        _code(_RETURN, _KILL),
        _code(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":  # the x32 numbers would go round every comparison below
        parts += [_code(_JUMP_AT_LEAST, 0x40000000, 0, 1), _code(_RETURN, _KILL)]
    closed = [*_CLOSED.values(), *(_OF_OTHERS.values() if shared_processes else ())]
    for number in (numbers[column] for numbers in [*closed, *(_OF_OWNERS.values() if same_user else ())]):
        if number is not None:
            parts += [_code(_JUMP_EQUAL, number, 0, 1), _REFUSE]
    # clone3 takes its flags from memory, where a filter cannot read; without it the C library uses clone
    parts += [_code(_JUMP_EQUAL, _CLONE3[column], 0, 1), _NO_SUCH_CALL]
    parts += _on(_CLONE[column], [*_argument(0), _code(_JUMP_ANY_BIT, _NEW_NAMESPACES, 0, 1), _REFUSE])
    parts += _on(_PRLIMIT[column], [*_argument(0), *_unless(0)])
    if shared_processes:
        parts += _others_spared(column, own)
        parts += _signals_spared(column, protected, own if same_user and not signals_confined else 0)
    if same_user:
        parts += _files_spared(column)
    return b"".join([*parts, _code(_RETURN, _ALLOW)])


def _others_spared(column: int, own: int) -> list[bytes]:
    """Calls that are open as long as they are about the program itself."""
    parts: list[bytes] = []
    for calls in _BY_PROCESS.values():
        parts += _on(calls[column], [*_argument(0), *_unless(0, own)])
    parts += _on(_GETAFFINITY[column], [*_argument(0), *_unless(0, own, refusal=_NO_SUCH_CALL)])
    for *numbers, all_of_user in _BY_KIND.values():
        whose = [*_argument(0), _code(_JUMP_AT_LEAST, all_of_user, 0, 1), _REFUSE]
        parts += _on(numbers[column], [*whose, *_argument(1), *_unless(0, own)])
    parts += _on(_FCNTL[column], [*_argument(1), *_if(*_OWNERS_OF_FILES)])
    parts += _on(_IOCTL[column], [*_argument(1), *_if(*_OWNERS_OF_SOCKETS)])
    return parts + _on(_PRCTL[column], [*_argument(0), *_if(_SHARED_CORES)])


def _signals_spared(column: int, protected: Iterable[int], alone: int) -> list[bytes]:
    """kill(2) and tgkill(2): not to the protected, to groups or to all; with ``alone``, to that process only."""
    if alone:
        kill, tgkill = [*_argument(0), *_unless(0, alone)], [*_argument(0), *_unless(alone)]
        return _on(_KILL_CALL[column], kill) + _on(_TGKILL[column], tgkill)
    negative = [_code(_JUMP_AT_LEAST, 0x80000000, 0, 1), _REFUSE]  # a group, or all
    test = [*_argument(0), *_if(*protected), *negative]
    return _on(_KILL_CALL[column], test) + _on(_TGKILL[column], test)


def _files_spared(column: int) -> list[bytes]:
    """Opening cuts no file that may only be read, and no ioctl changes its attributes."""
    parts = _on(_IOCTL[column], [*_argument(1), *_if(*_ATTRIBUTES_OF_FILES)])
    for number, place in ((_OPEN[column], 1), (_OPENAT[column], 2)):
        reading = [*_argument(place), _code(_AND, _ACCESS_MODE), _code(_JUMP_EQUAL, 0, 0, 3)]
        cut = [*_argument(place), _code(_JUMP_ANY_BIT, _TRUNCATE, 0, 1), _REFUSE]
        parts += _on(number, reading + cut) if number is not None else []
    return [*parts, _code(_JUMP_EQUAL, _OPENAT2[column], 0, 1), _NO_SUCH_CALL]  # its flags are in memory


def _on(number: int, test: list[bytes]) -> list[bytes]:
    """If the call is this one: the test; then the number is loaded again for what follows."""
    inner = [*test, _code(_LOAD, _NUMBER)]
    return [_code(_JUMP_EQUAL, number, 0, len(inner)), *inner]


def _argument(place: int) -> list[bytes]:
    """Load the lower half of an argument: process ids, commands and flags have no more."""
    return [_code(_LOAD, _ARGUMENT_0 + 8 * place)]


def _if(*values: int) -> list[bytes]:
    """Refuse any of these."""
    return [instruction for value in values for instruction in (_code(_JUMP_EQUAL, value, 0, 1), _REFUSE)]


def _unless(*values: int, refusal: bytes = b"") -> list[bytes]:
    """Refuse all but these."""
    rows = [_code(_JUMP_EQUAL, value, len(values) - place, 0) for place, value in enumerate(values)]
    return [*rows, refusal or _REFUSE]


def _code(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, value)


_REFUSE, _NO_SUCH_CALL = _code(_RETURN, _ERRNO | _EPERM), _code(_RETURN, _ERRNO | _ENOSYS)
