r"""Text from models, agents, servers and files is data: how it is shown, on a terminal and on a page.

    say(console, f"the agent answered: {body}")      # a line or a table for people
    visible(body)                                    # the same for what is put together first

An escape sequence can set a terminal's title, clear it, or write to the clipboard; a bidirectional control shows a
line in another order than it stands in (CVE-2021-42574). ``visible`` is the one function that takes such power
away, and nothing else is changed: letters of any script, emoji, tabs and line ends stay. A page's text goes through
``report.sections.esc``, which goes through it too; a test holds that nothing is printed past these.
"""

import asyncio
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.measure import Measurement
    from rich.text import Text

COMMANDS = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # bidirectional controls, and the deprecated ones after them
    "\u2028\u2029\ufff9-\ufffb"  # line ends that only some programs know; annotations
    "\ud800-\udfff"  # half a surrogate pair: no encoder takes it
    "\U000e0000-\U000e007f"  # tags: text that nobody sees
    "]"
)
"""Characters that command whatever shows them."""


def visible(text: str) -> str:
    r"""Text in which every character that commands a terminal or a page is shown instead: ESC as ``\u001b``.

    The escapes are JSON's, so that a JSON document stays one, and means the same.
    """
    return COMMANDS.sub(_escaped, text.replace("\r\n", "\n"))


def visible_within(value: Any) -> Any:
    """A JSON value, every text in it and every name of a member as ``visible``; a tuple becomes a list."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible_within(key): visible_within(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [visible_within(item) for item in value]
    return value


def screen(*, stderr: bool = False, width: int | None = None) -> "Console":
    """A console on standard output, or on standard error; brackets and colons in what it shows are no markup."""
    from rich.console import Console

    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def say(console: "Console", content: "RenderableType" = "", *, style: str = "", soft_wrap: bool = False) -> None:
    """Print text, or anything rich can show, with all that it holds ``visible``. Text is no markup.

    Args:
        console: Where to; any of rich's.
        style: For text: such as ``yellow``.
        soft_wrap: Leave long lines to the terminal, so that paths and commands can be copied.
    """
    from rich.text import Text

    shown = Text(visible(content), style) if isinstance(content, str) else content
    console.print(Harmless(shown), soft_wrap=soft_wrap)


def heading(console: "Console", text: "str | Text") -> None:
    """A line across the screen with a title in it."""
    from rich.rule import Rule

    say(console, Rule(text))


class StatusLine:
    """What is going on just now, on one line that is gone afterwards; nothing where there is no terminal.

    Use it as a context manager; ``update`` says what comes next.
    """

    def __init__(self, console: "Console", text: str) -> None:
        from rich.text import Text

        self._status = console.status(Text(visible(text)))

    def __enter__(self) -> "StatusLine":
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the line away before the block ends."""
        self._status.stop()

    def update(self, text: str) -> None:
        """Show another text."""
        from rich.text import Text

        self._status.update(Text(visible(text)))


def say_line(text: str, *, stderr: bool = False) -> None:
    """A line of text as it is, ``visible``, without a console's width and colours."""
    print(visible(text), file=sys.stderr if stderr else sys.stdout)


@contextmanager
def telling(what: str, *, after_s: float) -> Iterator[None]:
    """Say on standard error, once it has taken so long, what a coroutine waits for within the block."""
    say = partial(say_line, f"practicum: waiting for {what}", stderr=True)
    timer = asyncio.get_running_loop().call_later(after_s, say)
    try:
        yield
    finally:
        timer.cancel()


class VisibleFormatter(logging.Formatter):
    """Log records as ``visible`` text: what a server or an agent said stands in them."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter``."""
        return visible(super().format(record))


def show_traceback(error: BaseException) -> None:
    """Print an error nobody expected as Python does, ``visible``: its message may hold anybody's text."""
    say_line("".join(traceback.format_exception(error)).rstrip("\n"), stderr=True)


@dataclass(frozen=True)
class Harmless:
    """A renderable of which the texts are ``visible``; rich's own control codes (a cursor's moves) pass."""

    content: "RenderableType"

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.segment import Segment

        for segment in console.render(self.content, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)

    def __rich_measure__(self, console: "Console", options: "ConsoleOptions") -> "Measurement":
        from rich.measure import Measurement

        return Measurement.get(console, options, self.content)


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
