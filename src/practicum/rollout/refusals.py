"""What the rollout server refused, remembered until the agent got over it.

Agents swallow the answers to refused calls (AWS's own handler does). Whoever waits for a report that was refused
must learn of it here, or would only see that none came.
"""

from dataclasses import dataclass, field
from enum import StrEnum

CONTEXT_FULL = "context_length_exceeded"
"""Code of a model call that found no room in the context: agents that shorten their history look for it."""
_WRONG_CALL = frozenset({400, 403, 404, 405, 422})


class CallSubject(StrEnum):
    """What a call to the rollout server was about."""

    MODEL = "model"
    SEAL = "complete-rollout"
    REWARD = "update-reward"
    OTHER = "other"

    @classmethod
    def of(cls, path: str) -> "CallSubject":
        """What a path is about; a misspelt one too, as far as it can be guessed."""
        if "/v1" in path or "chat" in path:
            return cls.MODEL
        if "reward" in path.lower():
            return cls.REWARD
        return cls.SEAL if "complete" in path.lower() else cls.OTHER


@dataclass(frozen=True)
class Refusal:
    """One call that was not served.

    Attributes:
        subject: What it was about.
        call: The call in words, such as ``/update-reward`` or ``the last model call``.
        message: What is wrong and what to mend, as the caller was answered.
        status: HTTP status of the answer; None where the fault stood in the agent's own answer.
        code: Short machine-readable name, such as ``context_length_exceeded``.
        param: What of the body was wrong, such as ``messages.1.assistant.content``; empty for the call as a whole.
    """

    subject: CallSubject
    call: str
    message: str
    status: int | None = None
    code: str = ""
    param: str = ""

    @property
    def is_about_settings(self) -> bool:
        """Whether a model call was refused for how the agent calls: its address, its parameters, its token.

        Not for what the policy has said, which comes back in the messages and may be what fills or spoils them.
        """
        if self.subject is not CallSubject.MODEL or self.status not in _WRONG_CALL:
            return False
        said = self.param == "messages" or ".assistant" in self.param
        return self.code != CONTEXT_FULL and not said

    def __str__(self) -> str:
        if self.status is not None and self.status >= 500:
            return f"{self.call} failed: {self._line}"
        answered = "" if self.status is None else f" with HTTP {self.status}"
        return f"{self.call} was refused{answered}: {self._line}"

    @property
    def _line(self) -> str:
        """The message as one line, without the place: whoever quotes it has a place of its own."""
        lines = (line.strip() for line in self.message.splitlines())
        return "; ".join(line for line in lines if line and not line.startswith("where:"))


@dataclass
class Refusals:
    """The refusals of one trajectory that still stand: a good call about the same takes one back."""

    _standing: dict[CallSubject, Refusal] = field(default_factory=dict)

    def add(self, refusal: Refusal) -> None:
        """Remember it as the last one."""
        self._standing.pop(refusal.subject, None)
        self._standing[refusal.subject] = refusal

    def got_over(self, subject: CallSubject) -> None:
        """Forget what was refused about this: a later call succeeded."""
        self._standing.pop(subject, None)

    @property
    def last(self) -> Refusal | None:
        """The last refusal that the agent has not got over."""
        return next(reversed(self._standing.values()), None)


@dataclass(frozen=True)
class AgentEvidence:
    """What is known of a rollout that an agent server did not bring to a good end: whose failure it was is seen by it.

    Beside the sentence for its reader, the ``evidence`` of every ``RolloutError`` about an agent server.

    Attributes:
        model_calls: Model calls that were answered: 0 where the policy had no part in it.
        answer_status: HTTP status of the agent's answer; None where none came.
        error_type: The ``errorType`` its answer names, such as ``InternalServerError``; empty for none.
        said_failed: Whether the agent itself said that the rollout failed, by ``/complete-rollout`` or its ``status``.
        reached: Whether its server could be reached.
        refusal: The last call of the agent that was refused and that it has not got over.
    """

    model_calls: int = 0
    answer_status: int | None = None
    error_type: str = ""
    said_failed: bool = False
    reached: bool = True
    refusal: Refusal | None = None
