"""Whose failure it is that a rollout broke off, decided here alone.

* **The policy's**: its text cannot be read; the agent raises over it, or says that it failed after a token was sampled.
  Such a rollout counts, with a reward of 0.
* **Infrastructure's**: no token was sampled yet, a connection was lost, the engine failed, HTTP 502, 503 or the like, a
  model call was answered 429. Such a rollout is tried again with the same seed. So is one whose agent answers with an
  ``errorType`` of ``InternalServerError`` or ``AccessDenied`` after a token, until the last attempt allowed fails so
  too: the same seed said the same text, and whoever crashes over it each time does so by the policy's doing. A policy
  would otherwise be paid for text that crashes its agent. A plain HTTP 500 is what frameworks answer where the agent's
  code raised: the policy's, at once.
  An agent that calls the model as the gateway does not serve it (another temperature, an unknown parameter, a wrong
  address) and fails over the refusal has to be mended: nothing is tried again.
* **The environment's**: its code raised, or time was up while it ran and a token had been sampled; or the task alone
  fills the context.
* **The judge's**: reward or score raised, gave what is no number in range, or ran out of time.
* **Unknown**: time was up elsewhere after a token was sampled.

No failure is ever played again with another seed: that would leave out what the policy does badly, and count what it
does well. A rollout that used up its tokens, its turns or its context, and was judged, has not failed; where there was
nothing to judge, since the agent owed its reward and sent none, that is the policy's failure.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import httpx

from practicum.errors import AgentFailed, ContextFull, RenderError, RewardRefused, RolloutError, RolloutTimeout
from practicum.rollout.refusals import AgentEvidence, CallSubject, Refusal
from practicum.trajectory import Ending, Failure, Trajectory, Turn

LOST = (ConnectionError, TimeoutError, httpx.TransportError)
"""Exceptions of a connection that broke."""
BUSY = frozenset({408, 425, 429})
"""Statuses below 500 of a server that could not serve just now."""
CRASHED = re.compile(r"(InternalServer|AccessDenied)(Error|Exception)?")
"""``errorType`` of an agent that says itself that something beside the model's text has failed."""
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
        last: Whether no further attempt is allowed.
    """

    error: BaseException
    sampled: bool
    expired: bool = False
    judging: bool = False
    environment: str = ""
    engine: bool = False
    full: bool = False
    last: bool = False

    @property
    def overflowed(self) -> bool:
        """Whether it ended because the policy had filled its context: what there is can still be judged."""
        return self.full and self.sampled and not self.late and not self.environment

    @property
    def late(self) -> bool:
        """Whether time was up."""
        return self.expired or isinstance(self.error, RolloutTimeout)

    @property
    def refusal(self) -> Refusal | None:
        """The refused model call that stands as the last thing an agent server did wrong."""
        evidence = self._evidence
        stands = evidence is not None and evidence.refusal is not None and evidence.refusal.subject is CallSubject.MODEL
        return evidence.refusal if evidence is not None and stands else None

    @property
    def misconfigured(self) -> bool:
        """Whether the agent calls the model as it is not served: every attempt would end so."""
        return self.refusal is not None and self.refusal.is_about_settings

    @property
    def crashed(self) -> bool:
        """Whether the agent server says that something beside the model's text has failed."""
        evidence = self._evidence
        return evidence is not None and CRASHED.fullmatch(evidence.error_type) is not None

    @property
    def _evidence(self) -> AgentEvidence | None:
        evidence = getattr(self.error, "evidence", None)
        return evidence if isinstance(evidence, AgentEvidence) else None


def whose(broken: BrokenOff) -> Failure:
    """Whose failure it is."""
    error = broken.error
    if broken.misconfigured:
        return "infrastructure"
    if broken.judging or (isinstance(error, RewardRefused) and broken.refusal is None):
        return "judge"
    if broken.environment and (broken.sampled or not broken.late):
        return "environment"
    if broken.late and broken.sampled:
        return "unknown"
    if broken.full or isinstance(error, ContextFull):
        return "policy" if broken.sampled else "environment"
    return "infrastructure" if _is_infrastructure(broken) else "policy"


def _is_infrastructure(broken: BrokenOff) -> bool:
    """Whether the model's text was not the cause: there was none, or whoever failed says so.

    HTTP 500 does not say so: it is what a server answers where the agent's code raised.
    """
    error, refusal = broken.error, broken.refusal
    if not broken.sampled or broken.engine or (refusal is not None and _is_passing(refusal.status)):
        return True
    if broken.crashed:
        return not broken.last
    if isinstance(error, AgentFailed):
        return _is_passing(error.status)
    return isinstance(error, (*LOST, RolloutError)) and not isinstance(error, RenderError | RewardRefused)


def _is_passing(status: int | None) -> bool:
    """Whether an HTTP status says that the same call may be served later."""
    return status is not None and (status in BUSY or status > httpx.codes.INTERNAL_SERVER_ERROR)


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
