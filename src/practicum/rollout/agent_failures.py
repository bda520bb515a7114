"""How a rollout of an agent server failed: the sentence for its reader, and beside it what a classifier needs."""

from dataclasses import dataclass

from practicum.errors import RolloutError, RolloutTimeout
from practicum.rollout.gateway_refusals import Refusal


@dataclass(frozen=True)
class AgentEvidence:
    """What is known of a rollout that an agent server did not bring to a good end.

    Attributes:
        model_calls: Model calls that were answered: 0 where the policy had no part in it.
        answer_status: HTTP status of the agent's answer; None where none came.
        error_type: The ``errorType`` its answer names, such as ``InternalServerError``; empty for none.
        said_failed: Whether the agent itself said that the rollout failed, by ``/complete-rollout`` or its answer.
        reached: Whether its server could be reached.
        refusal: The last call of the agent that was refused and that it has not got over.
    """

    model_calls: int = 0
    answer_status: int | None = None
    error_type: str = ""
    said_failed: bool = False
    reached: bool = True
    refusal: Refusal | None = None


class AgentFailure(RolloutError):
    """An agent server failed a rollout, could not be reached, or ended it without the report that is needed."""

    def __init__(self, what: str, *, where: str, fix: str, evidence: AgentEvidence) -> None:
        super().__init__(what, where=where, fix=fix)
        self.evidence = evidence


class AgentTimeout(RolloutTimeout):
    """An agent server's rollout was not over within ``rollout_timeout``."""

    def __init__(self, what: str, *, where: str, fix: str, evidence: AgentEvidence) -> None:
        super().__init__(what, where=where, fix=fix)
        self.evidence = evidence
