"""What is known of a rollout that an agent server did not bring to a good end; whose failure it was is seen by it."""

from dataclasses import dataclass

from practicum.rollout.refusals import Refusal


@dataclass(frozen=True)
class AgentEvidence:
    """Beside the sentence for its reader, the ``evidence`` of every ``RolloutError`` about an agent server.

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
