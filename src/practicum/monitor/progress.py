"""The live view of a training run in the terminal; plain lines where there is no terminal.

with TrainingView(total_steps=50, title="support-desk") as view:
    view.phase("rollout")
    view.step(1, reward=0.31, held_out=None, groups_without_signal=3, groups=8, tokens_per_s=810.0)
    view.message("checkpoint written")
"""

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from practicum.display import Harmless, say, screen

WIDTH = 100
LAST_STEPS = 10
LAST_MESSAGES = 6
SPARK_WIDTH = 60
BLOCKS = "▁▂▃▄▅▆▇█"
APART = 0.005
"""From this distance on, the reward of all that was begun is shown beside that of what was trained on."""


@dataclass(frozen=True)
class StepRow:
    """What one step showed; ``None`` where it is not known."""

    number: int
    reward: float | None
    held_out: float | None
    groups_without_signal: int
    groups: int
    tokens_per_s: float
    seconds: float
    begun: float | None = None
    """Mean reward of all that was begun, trained on or not."""

    @property
    def reward_text(self) -> str:
        """The reward trained on; beside it that of all begun, where the two differ."""
        if self.reward is None or self.begun is None or abs(self.begun - self.reward) < APART:
            return _number(self.reward)
        return f"{self.reward:.3f} (of all begun {self.begun:.3f})"


class TrainingView:
    """Shows the last steps, the reward's course, the held-out score, tokens per second and the time left.

    Args:
        total_steps: Steps the run will have.
        title: Name of the run.
        first_step: Steps done before (a resumed run): the time left is estimated from this session's alone.
        console: Where to draw; by default standard output.
        held_out: What the held-out score is called.
    """

    def __init__(
        self,
        total_steps: int,
        title: str = "training",
        first_step: int = 0,
        console: Console | None = None,
        held_out: str = "held-out",
    ) -> None:
        self._console, self._held_out = console or screen(), held_out
        self._total, self._title, self._first = total_steps, title, first_step
        self._phase = "starting"
        self._steps: list[StepRow] = []
        self._messages: deque[str] = deque(maxlen=LAST_MESSAGES)
        self._began = self._step_began = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> "TrainingView":
        self._began = self._step_began = time.monotonic()
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._draw, console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._phase = "finished" if kind is None else "stopped"
        if self._live is not None:
            self._live.stop()

    def phase(self, name: str) -> None:
        """Tell what is going on within the step: rollout, training, evaluation, checkpoint."""
        self._phase = name

    def step(
        self,
        number: int,
        *,
        reward: float | None,
        held_out: float | None,
        groups_without_signal: int,
        groups: int,
        tokens_per_s: float,
        begun: float | None = None,
        shortfall: Sequence[str] = (),
    ) -> None:
        """Show a finished step.

        ``held_out`` where one was measured, ``begun`` where it is not the reward, ``shortfall``: what failed or was
        left out.
        """
        now = time.monotonic()
        seconds, self._step_began = now - self._step_began, now
        row = StepRow(number, reward, held_out, groups_without_signal, groups, tokens_per_s, seconds, begun)
        self._steps.append(row)
        if self._live is None:
            self._print("\n  ".join([self._line(row), *shortfall]))
        elif shortfall:
            self._messages.extend([f"step {number}: {shortfall[0]}", *shortfall[1:]])

    def extend(self, total_steps: int) -> None:
        """The run will have so many steps after all."""
        self._total = total_steps

    def message(self, text: str) -> None:
        """Show something worth knowing."""
        self._messages.append(text)
        if self._live is None:
            self._print(text)

    def _print(self, text: str) -> None:
        say(self._console, text, soft_wrap=True)

    def _line(self, row: StepRow) -> str:
        """The plain form of a step: one line."""
        parts = [
            f"step {row.number}/{self._total}",
            f"reward {row.reward_text}",
            *([f"{self._held_out} {_number(row.held_out)}"] if row.held_out is not None else []),
            f"without signal {row.groups_without_signal}/{row.groups}",
            f"{row.tokens_per_s:.0f} tokens/s",
            f"{_duration(row.seconds)} a step",
            f"{_duration(self._seconds_left())} left",
        ]
        return "  ".join(parts)

    def _seconds_left(self) -> float:
        """Seconds to the end at this session's pace so far."""
        steps = self._steps[-1].number if self._steps else self._first
        if steps <= self._first:
            return float("nan")
        return (time.monotonic() - self._began) / (steps - self._first) * (self._total - steps)

    def _draw(self) -> RenderableType:
        parts: list[RenderableType] = [self._head()]
        if self._steps:
            parts += [Text(), self._course(), Text(), self._table()]
        if self._messages:
            parts += [Text(), *(Text(text, style="dim", overflow="ellipsis") for text in self._messages)]
        width = min(WIDTH, self._console.width)
        return Harmless(Panel(Group(*parts), title=Text(self._title, style="bold"), width=width, border_style="dim"))

    def _head(self) -> RenderableType:
        steps = self._steps[-1].number if self._steps else self._first
        head = Table.grid(expand=True, padding=(0, 2))
        head.add_column(no_wrap=True)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True, justify="right")
        elapsed, left_text = _duration(time.monotonic() - self._began), _duration(self._seconds_left())
        head.add_row(
            Text(f"step {steps}/{self._total}  {self._phase}"),
            ProgressBar(total=self._total, completed=steps, complete_style="green"),
            Text(f"{elapsed} gone, {left_text} left", style="dim"),
        )
        return head

    def _course(self) -> RenderableType:
        rewards = [row.reward for row in self._steps if row.reward is not None]
        scores = [row.held_out for row in self._steps if row.held_out is not None]
        grid = Table.grid(padding=(0, 2))
        grid.add_row(Text("reward", style="dim"), Text(sparkline(rewards), style="cyan"), _span(rewards))
        if scores:
            grid.add_row(Text(self._held_out, style="dim"), Text(sparkline(scores), style="green"), _span(scores))
        return grid

    def _table(self) -> RenderableType:
        table = Table(box=None, expand=True, header_style="dim", pad_edge=False)
        for name in ("step", "reward", self._held_out, "without signal", "tokens/s", "time"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in self._steps[-LAST_STEPS:]:
            silent = "yellow" if 2 * row.groups_without_signal > row.groups else ""
            table.add_row(
                str(row.number),
                row.reward_text,
                Text(_number(row.held_out), style="green"),
                Text(f"{row.groups_without_signal} of {row.groups}", style=silent),
                f"{row.tokens_per_s:.0f}",
                _duration(row.seconds),
            )
        return table


def sparkline(values: list[float], width: int = SPARK_WIDTH) -> str:
    """Blocks from the lowest to the highest value; more values than ``width`` are averaged in stretches."""
    if not values:
        return ""
    n = min(width, len(values))
    edges = [i * len(values) // n for i in range(n + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    if high == low:
        return BLOCKS[0] * n
    return "".join(BLOCKS[round((mean - low) / (high - low) * (len(BLOCKS) - 1))] for mean in means)


def _span(values: list[float]) -> Text:
    if not values:
        return Text("–", style="dim")
    return Text(f"now {values[-1]:.3f}   best {max(values):.3f}   first {values[0]:.3f}", style="dim")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _duration(seconds: float) -> str:
    """Like 42s, 3m 05s or 2h 10m; – where it is not known."""
    if math.isnan(seconds):
        return "–"
    minutes, seconds_over = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {seconds_over:02d}s" if minutes else f"{seconds_over}s"
