"""An event loop in a thread of its own, shared by all who need one, and gone when nobody does."""

import asyncio
import os
import threading

STOP_S = 5.0
"""Seconds for the loop's thread to end."""


class Background:
    """A running loop. ``lend`` gives the one of this process; whoever took it gives it back."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.users = 0
        self.process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="practicum-background", daemon=True)
        self._thread.start()

    @property
    def here(self) -> bool:
        """Whether this is the loop's own thread, which must not wait for it."""
        return threading.current_thread() is self._thread

    def give_back(self) -> None:
        """No longer needed by one of its users; the last one's going ends the loop and its thread."""
        global _shared  # noqa: PLW0603 - one loop for the process is the point
        with _lock:
            self.users -= 1
            if self.users:
                return
            if _shared is self:
                _shared = None
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
        if not self.here:
            self._thread.join(STOP_S)

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


# Taken again by a thread that holds it, where garbage is collected meanwhile.
_lock = threading.RLock()
_shared: Background | None = None


def lend() -> Background:
    """The process's loop; after a fork the child gets its own."""
    global _shared  # noqa: PLW0603
    with _lock:
        if _shared is None or _shared.process != os.getpid():
            _shared = Background()
        _shared.users += 1
        return _shared
