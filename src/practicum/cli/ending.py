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

    def __enter__(self) -> "Ending":
        if threading.current_thread() is threading.main_thread():  # nobody else may
            signal.signal(signal.SIGTERM, self._terminate)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._asked:
            sys.exit(128 + signal.SIGTERM)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() != self._process:  # a fork of ours: it has nothing to tell
            os.kill(os.getpid(), signal.SIGTERM)
            return
        self._asked = True
        # Whoever handles Ctrl-C just now, asyncio for one, handles this; unless a shell had it ignored.
        handler = signal.getsignal(signal.SIGINT)
        (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)
