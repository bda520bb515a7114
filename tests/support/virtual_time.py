"""An event loop whose clock runs only while nothing else is to be done: hours of waiting pass in milliseconds."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its ``time()`` jumps to the next thing that is due. Where nothing is, it raises instead of hanging."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        poll = self._selector.select  # type: ignore[attr-defined]

        def select(timeout: float | None = None) -> Any:
            if timeout is None:
                raise RuntimeError("nothing is due any more: everybody waits for somebody else")
            # A hair more, so that rounding does not leave it before what is due.
            self._now += timeout + 1e-9 if timeout > 0 else 0.0
            return poll(0)

        self._selector.select = select  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._now


def run_virtually(work: Coroutine[Any, Any, Any]) -> float:
    """Run it to its end; returns the virtual seconds it took."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        began = loop.time()
        runner.run(work)
        return loop.time() - began
