"""Whose failure it is that a rollout broke off, decided here alone.

* **The policy's**: its text cannot be read, or it has filled the context; the agent raises over it, or says that it
  failed after a token was sampled. Such a rollout counts, with a reward of 0.
* **Infrastructure's**: no token was sampled yet, a connection was lost, the engine failed, HTTP 502, 503 or the like.
  Such a rollout is tried again with the same seed.
* **The environment's**: its code raised, or time was up while it ran; or the task alone fills the context.
* **The judge's**: reward or score raised, gave what is no number in range, or ran out of time.
* **Unknown**: time was up elsewhere after a token was sampled.

No failure is ever played again with another seed: that would leave out what the policy does badly, and count what it
does well. A rollout that used up its tokens or turns, and was judged, has not failed.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import httpx

from practicum.errors import AgentFailed, ContextFull, RenderError, RewardRefused, RolloutError, RolloutTimeout
from practicum.trajectory import Ending, Failure, Trajectory, Turn

LOST = (ConnectionError, TimeoutError, httpx.TransportError)
"""Exceptions of a connection that broke."""
BUSY = frozenset({408, 425, 429})
"""Statuses below 500 of a server that could not serve just now."""
TURN_LIMIT = re.compile(r"max[ _]?(turns|steps|iterations)|turn limit|recursion ?limit|UsageLimit", re.IGNORECASE)
"""What frameworks say where an agent has used up its turns."""


@dataclass(frozen=True)
class BrokenOff:
    """A rollout that an exception ended, and what had happened by then.

    Attributes:
        error: The exception.
        sampled: Whether the policy had sampled a token.
        expired: Whether ``rollout_timeout`` ended it.
        judging: Whether the reward or the score was being computed.
        environment: What of the environment was running: a tool's name, say; empty for nothing.
        engine: Whether the last model call failed in the engine.
        full: Whether the last model call found no room in the context.
    """

    error: BaseException
    sampled: bool
    expired: bool = False
    judging: bool = False
    environment: str = ""
    engine: bool = False
    full: bool = False

    @property
    def overflowed(self) -> bool:
        """Whether it ended because the policy had filled its context: what there is can still be judged."""
        return self.full and self.sampled and not self.late and not self.environment

    @property
    def late(self) -> bool:
        """Whether time was up."""
        return self.expired or isinstance(self.error, RolloutTimeout)


def whose(broken: BrokenOff) -> Failure:
    """Whose failure it is."""
    error = broken.error
    if broken.judging or isinstance(error, RewardRefused):
        return "judge"
    if broken.late and broken.sampled:
        return "environment" if broken.environment else "unknown"
    if broken.environment and not broken.late:
        return "environment"
    if broken.full or isinstance(error, ContextFull):
        return "policy" if broken.sampled else "environment"
    if not broken.sampled or broken.engine or _is_infrastructure(error):
        return "infrastructure"
    return "policy"


def _is_infrastructure(error: BaseException) -> bool:
    """Of an error after a token was sampled, whether it says itself that the model's text was not the cause.

    HTTP 500 does not: it is what a server answers where the agent's code raised.
    """
    if isinstance(error, AgentFailed):
        return error.status is not None and (error.status in BUSY or error.status > httpx.codes.INTERNAL_SERVER_ERROR)
    if isinstance(error, RenderError):
        return False
    return isinstance(error, (*LOST, RolloutError))


def ending_of(turns: Sequence[Turn], error: str) -> Ending:
    """How a rollout ended that broke off by the policy's doing: at a limit, or otherwise."""
    if turns[-1].finish_reason == "length":
        return "length"
    return "max_turns" if TURN_LIMIT.search(error) else "error"


@dataclass(frozen=True)
class Cause:
    """Failures of one kind: whose they are, what they said, how many there were."""

    whose: Failure
    text: str
    count: int

    def __str__(self) -> str:
        return f"{self.count} × {self.whose}: {self.text}"


def causes(trajectories: Iterable[Trajectory]) -> list[Cause]:
    """Why rollouts broke off, the commonest first. What differs between rollouts by nature, such as ids, numbers and
    the model's own words, makes no cause another."""
    examples: dict[tuple[Failure, str], str] = {}
    counts: dict[tuple[Failure, str], int] = {}
    for trajectory in trajectories:
        if trajectory.error is None:
            continue
        text = _without_place(trajectory)
        key = trajectory.failure or "unknown", _pattern(text, trajectory)
        examples.setdefault(key, text)
        counts[key] = counts.get(key, 0) + 1
    found = [Cause(key[0], examples[key], count) for key, count in counts.items()]
    return sorted(found, key=lambda cause: -cause.count)


def counted(trajectories: Iterable[Trajectory]) -> dict[str, int]:
    """Failures by whose they are, the classes that have none left out."""
    return dict(Counter(str(t.failure or "unknown") for t in trajectories if t.failure or t.broke_off))


def _without_place(trajectory: Trajectory) -> str:
    """The error without the line that says which rollout it was."""
    lines = (trajectory.error or "").splitlines()
    own = re.compile(r"\s+where: (trajectory|task) .*")
    return "\n".join(line for line in lines if not own.fullmatch(line))


def _pattern(text: str, trajectory: Trajectory) -> str:
    for id in sorted({trajectory.id, trajectory.group_id, trajectory.task_id}, key=len, reverse=True):
        readable = re.sub(r"[^A-Za-z0-9._~-]", "-", id)
        for form in {id, readable} - {""}:
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", "…", text)
    text = re.sub(r"(['\"]).{25,}\1", "'…'", text, flags=re.DOTALL)
    return re.sub(r"\b[0-9a-f]{8,}\b|\d+", "#", text)
