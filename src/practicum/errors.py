"""Errors a user can act on.

Every error that reaches a person says four things: what was wrong, where, what is allowed, what to do.
The command line prints them without a traceback and exits with a non-zero status.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from practicum.display import visible


class PracticumError(Exception):
    """Base of every error Practicum raises on purpose.

    Args:
        what: What was wrong, with the offending value.
        where: File, line, key or object it was found in.
        allowed: What would have been accepted.
        fix: What the user should do next.
    """

    def __init__(self, what: str, *, where: str = "", allowed: str = "", fix: str = "") -> None:
        self.what, self.where, self.allowed, self.fix = what, where, allowed, fix
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.what]
        lines += [f"  {label}: {text}" for label, text in self._details() if text]
        # Foreign text stands in what and where: an agent's answer, a recipe's key. Raw it would command a terminal.
        return visible("\n".join(lines))

    def _details(self) -> list[tuple[str, str]]:
        return [("where", self.where), ("allowed", self.allowed), ("what to do", self.fix)]


class RecipeError(PracticumError):
    """A recipe key is unknown, of the wrong type or out of range."""


class TaskError(PracticumError):
    """A task or dataset file cannot be used."""


class EnvironmentFault(PracticumError):
    """The environment itself is broken (not a tool call that failed: see ``ToolError``)."""


class ModelError(PracticumError):
    """A model cannot be found, read or trusted."""


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Put the place before that of a ``ModelError`` from the block: the model itself does not know of steps."""
    try:
        yield
    except ModelError as error:
        where = f"{place}; {error.where}" if error.where else place
        raise ModelError(error.what, where=where, allowed=error.allowed, fix=error.fix) from error


class RolloutError(PracticumError):
    """One rollout failed; it never ends a run. An agent that raises it says that the model's text was not the cause."""

    evidence: Any = None
    """Of an agent server's rollout, what is known of it: a ``rollout.refusals.AgentEvidence``."""


class RenderError(RolloutError):
    """A conversation cannot be turned into tokens."""


class ContextFull(RolloutError):
    """A conversation leaves no room to sample within ``max_sequence_length``. Trying again would not help."""


class RolloutTimeout(RolloutError):
    """An agent's rollout was not over within ``rollout_timeout``."""


class AgentFailed(RolloutError):
    """An agent server said that its rollout failed.

    Args:
        status: HTTP status of its answer; None where it reported the failure otherwise.
    """

    def __init__(self, what: str, *, status: int | None = None, where: str = "", allowed: str = "", fix: str = ""):
        self.status = status
        super().__init__(what, where=where, allowed=allowed, fix=fix)


class RewardRefused(RolloutError):
    """The reward that an agent owes was refused, or did not come though the agent has answered for good."""


class RunError(PracticumError):
    """A run folder cannot be created, resumed or read."""


class LedgerError(PracticumError):
    """The audit trail is broken or refuses an entry."""
