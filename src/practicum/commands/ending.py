"""SIGTERM, as a container or a scheduler sends it before it kills: the command ends as at Ctrl-C, with status 143."""

import os
import signal
import sys
import threading
from types import FrameType, TracebackType


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
