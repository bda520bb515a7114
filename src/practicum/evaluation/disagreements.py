"""Rollouts that the reward and the score see differently: where a hacked reward shows first."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from practicum.display import say, visible
from practicum.errors import RunError
from practicum.ranges import TOLERANCE, reaches
from practicum.store import read_trajectories
from practicum.trajectory import Trajectory, text_of

if TYPE_CHECKING:
    from rich.console import Console

LONG = 2_000
"""Characters of one message that the terminal shows."""


@dataclass(frozen=True)
class Disagreement:
    """One rollout, and how far its reward is above its score (below it, where negative)."""

    trajectory: Trajectory
    reward: float
    score: float
    succeeded: bool

    @property
    def gap(self) -> float:
        """Reward less score."""
        return self.reward - self.score

    def to_dict(self) -> dict[str, Any]:
        """What is written down of it; the rollout itself stands in the Parquet file."""
        return {
            "rollout": self.trajectory.id,
            "task": self.trajectory.task_id,
            "reward": self.reward,
            "score": self.score,
            "ending": self.trajectory.ending,
        }


def disagreements(trajectories: Sequence[Trajectory], *, threshold: float = 1.0) -> list[Disagreement]:
    """Rollouts whose reward is not their score, worst first: paid without success, the most paid at the top; then
    successes that were paid less than they scored.

    A rollout that failed, or has no score or no reward, is left out.
    """
    differing = [
        Disagreement(t, t.reward, t.score, reaches(t.score, threshold))
        for t in trajectories
        if t.score is not None and t.rewards and not t.broke_off and abs(t.reward - t.score) > TOLERANCE
    ]
    return sorted(differing, key=lambda each: (each.succeeded, -abs(each.gap), each.trajectory.id))


def recorded_disagreements(folder: Path, *, threshold: float = 1.0) -> list[Disagreement]:
    """Those of a run's last evaluated model: of the trained one, else the foothold, else the base.

    Raises:
        RunError: no evaluation's rollouts are there, or they cannot be read.
    """
    paths = last_evaluated(folder)
    if not paths:
        raise RunError(f"no evaluation's rollouts in {folder}", fix=f"practicum eval {folder}")
    return disagreements([t for path in paths for t in read_trajectories(path)], threshold=threshold)


def last_evaluated(folder: Path) -> list[Path]:
    """Tables of the last evaluated model's rollouts, in every way of sampling; none where nothing was evaluated."""
    for label in ("trained", "foothold", "base"):
        paths = [folder / "trajectories" / f"eval-{label}-{mode}.parquet" for mode in ("sampled", "greedy")]
        found = [path for path in paths if path.is_file()]
        if found:
            return found
    return []


def print_disagreements(differing: Sequence[Disagreement], console: "Console", *, count: int = 3) -> None:
    """The worst of them, turn by turn."""
    from rich.panel import Panel
    from rich.text import Text

    if not differing:
        say(console, "reward and score agree on every rollout")
        return
    paid = sum(each.gap > 0 and not each.succeeded for each in differing)
    say(console, f"reward and score differ on {len(differing)} rollouts; {paid} are paid without success. The worst:")
    for worst in differing[:count]:
        numbers = f"reward {worst.reward:.3g}, score {worst.score:.3g}, {worst.trajectory.ending}"
        title = Text(visible(f"{worst.trajectory.task_id}: {numbers}"))
        say(console, Panel(_conversation(worst.trajectory), title=title, title_align="left", border_style="dim"))


def _conversation(trajectory: Trajectory) -> Any:
    from rich.text import Text

    text = Text(overflow="fold")
    for message in trajectory.messages:
        role = str(message.get("role", "message"))
        words = text_of(message)
        for call in message.get("tool_calls") or ():
            words += f"\n→ {call['function']['name']}({call['function']['arguments']})"
        if len(words) > LONG:
            words = f"{words[:LONG]} … ({len(words):,} characters)"
        text.append(f"{visible(role):>9}  ", style="bold" if role == "assistant" else "dim")
        text.append(visible(words.strip()) + "\n")
    parts = {**{f"reward {k}": v for k, v in trajectory.metrics.items()}, **trajectory.score_metrics}
    text.append(visible(", ".join(f"{name} {value:.3g}" for name, value in parts.items())), style="dim")
    return text
