"""A server's whole answer, of a bounded size: one that sends without end fills no memory."""

from typing import Any

import httpx

MOST_BYTES = 16 << 20
"""Of an answer, once it is unpacked."""
_OF_THE_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class AnswerTooLarge(httpx.HTTPError):
    """The answer has more bytes than anybody waits for."""


async def ask(client: httpx.AsyncClient, method: str, url: str, **request: Any) -> httpx.Response:
    """Send a request and read its answer.

    Args:
        request: As ``httpx.AsyncClient.stream`` takes it: json, timeout, …

    Raises:
        AnswerTooLarge: it has more than ``MOST_BYTES``.
        httpx.HTTPError: as the client does.
    """
    parts, size = list[bytes](), 0
    async with client.stream(method, url, **request) as answer:
        async for part in answer.aiter_bytes():
            size += len(part)
            if size > MOST_BYTES:
                raise AnswerTooLarge(f"the answer has more than {MOST_BYTES >> 20} MiB")
            parts.append(part)
    headers = [(name, value) for name, value in answer.headers.items() if name not in _OF_THE_WIRE]
    return httpx.Response(answer.status_code, headers=headers, content=b"".join(parts), request=answer.request)
