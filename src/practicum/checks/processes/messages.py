"""Messages between the processes of a check: pickles of our own data, each behind its length."""

import pickle
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("<Q")


class Gone(Exception):
    """The other side ended."""


class Late(Gone):
    """The other side did not answer in time."""


def send(connection: socket.socket, message: Any) -> None:
    """Send one message whole."""
    data = pickle.dumps(message)
    connection.sendall(_LENGTH.pack(len(data)) + data)


def receive(connection: socket.socket, timeout_s: float | None = None) -> Any:
    """Wait for one message.

    Raises:
        Gone: the other side is no more.
        Late: ``timeout_s`` seconds went by.
    """
    # Once something comes, all of it comes.
    connection.settimeout(timeout_s)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except TimeoutError as error:
        raise Late("no answer in time") from error
    except OSError as error:
        raise Gone(str(error)) from error
    connection.settimeout(None)
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    return pickle.loads(_exactly(connection, length))


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        try:
            part = connection.recv(min(count - len(parts), 1 << 20))
        except OSError as error:
            raise Gone(str(error)) from error
        if not part:
            raise Gone("the process ended")
        parts += part
    return bytes(parts)
