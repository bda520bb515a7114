"""How commands end that somebody else ends: by a signal, or by what the system refuses.

SIGTERM, as a container or a scheduler sends it before it kills, ends a command as Ctrl-C does, with status 143. A full
disk, or a place that cannot be written, is an error to act on.
"""

import errno
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType

from practicum.errors import RunError

_FIX = {
    errno.EACCES: "let this user read and write there (chown, chmod), or name a place that is yours",
    errno.EPERM: "let this user read and write there (chown, chmod), or name a place that is yours",
    errno.EROFS: "it cannot be written at all: name another place",
    errno.ENOSPC: "make room there, then run the command again",
    errno.EDQUOT: "make room there, then run the command again",
    errno.EMFILE: "allow more open files: ulimit -n 4096",
}
_OF_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_CODE = re.compile(r"\(os error (\d+)\)|\[errno (\d+)\]", re.IGNORECASE)
_WORDS = {"database or disk is full": errno.ENOSPC, "attempt to write a readonly database": errno.EROFS} | {
    os.strerror(code).lower(): code for code in _OF_STORAGE
}


class Ending:
    """While it is entered, SIGTERM is Ctrl-C, once; a second one ends the process where it stands."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._asked = False
        self._ignoring = False

    def __enter__(self) -> "Ending":
        if threading.current_thread() is threading.main_thread():  # nobody else may
            signal.signal(signal.SIGTERM, self._terminate)
            self._ignoring = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            if self._ignoring:
                # A shell had Ctrl-C ignored, and it stays without effect: blocked. But asyncio ends its tasks in
                # order only where it finds Python's own handler, which it replaces with one that does.
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
                signal.signal(signal.SIGINT, signal.default_int_handler)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._ignoring:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if self._asked:
            sys.exit(128 + signal.SIGTERM)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() != self._process:  # a fork of ours: it has nothing to tell
            os.kill(os.getpid(), signal.SIGTERM)
            return
        self._asked = True
        # Whoever handles Ctrl-C just now, asyncio for one, handles this.
        handler = signal.getsignal(signal.SIGINT)
        (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)


def refused(error: OSError) -> RunError:
    """What the system refused."""
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    fix = _FIX.get(error.errno or 0, "see that it is there and can be used, then run the command again")
    return RunError(error.strerror or str(error) or type(error).__name__, where=" → ".join(names), fix=fix)


def storage_refusal(error: BaseException) -> RunError | None:
    """What a full disk or a place that cannot be written made of a library's error; None where neither did.

    Libraries wrap what the system says: in groups, as a cause, or as words in an error of their own.
    """
    for inner in _inner(error):
        if isinstance(inner, OSError) and inner.errno in _OF_STORAGE:
            return refused(inner)
        code = _storage_code(str(inner))
        if code:
            words = str(inner).splitlines()[0]
            return RunError(f"{os.strerror(code)}: {type(inner).__name__}: {words:.300}", fix=_FIX[code])
    return None


def _inner(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from or while handling, and the members of groups; each once."""
    waiting, visited = [error], set[int]()
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in visited:
            continue
        visited.add(id(current))
        yield current
        waiting += [current.__context__, current.__cause__]
        waiting += current.exceptions if isinstance(current, BaseExceptionGroup) else ()


def _storage_code(text: str) -> int:
    codes = (int(match[1] or match[2]) for match in _CODE.finditer(text))
    named = next((code for code in codes if code in _OF_STORAGE), 0)
    return named or next((code for words, code in _WORDS.items() if words in text.lower()), 0)
