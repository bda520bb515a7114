"""One audit hook for all who listen: a hook can never be removed, so it is put in once."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Listener = Callable[[str, tuple[Any, ...]], None]

_listeners: list[Listener] = []
_installed = False


def listen_to_audit(listener: Listener) -> None:
    """Tell ``listener`` of every audit event of this process from now on."""
    global _installed  # noqa: PLW0603 (one hook a process)
    if listener not in _listeners:
        _listeners.append(listener)
    if not _installed:
        _installed = True
        sys.addaudithook(_hear)


def stop_listening(listener: Listener) -> None:
    """Tell it no more."""
    if listener in _listeners:
        _listeners.remove(listener)


class _Busy(threading.local):
    listening = False


_busy = _Busy()


def _hear(event: str, args: tuple[Any, ...]) -> None:
    # What listeners do raises events too.
    if event in _IDLE or _busy.listening:
        return
    _busy.listening = True
    try:
        for listener in tuple(_listeners):
            listener(event, args)
    finally:
        _busy.listening = False


def writes(args: tuple[Any, ...]) -> bool:
    """Whether an ``open`` event is one for writing."""
    mode, flags = args[1], args[2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)


def nameless(event: str, args: tuple[Any, ...]) -> bool:
    """Whether an event opens a temporary file without a name: its path is a folder's."""
    return event == "open" and writes(args) and isinstance(args[0], str | bytes) and Path(os.fsdecode(args[0])).is_dir()


_WRITING = 0o3 | 0o100  # O_WRONLY, O_RDWR, O_CREAT
_IDLE = frozenset(
    {"sys._getframe", "object.__getattr__", "object.__setattr__", "compile", "exec", "import", "marshal.loads"}
)
