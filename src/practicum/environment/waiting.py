"""Waiting for a result from synchronous code."""

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def waited(value: Any) -> Any:
    """The value, or what it comes to where it has to be waited for; also where this thread runs a loop already."""
    if not inspect.isawaitable(value):
        return value
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_result(value))
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(asyncio.run, _result(value)).result()


async def _result(value: Any) -> Any:
    return await value
