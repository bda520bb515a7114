"""What happened in a rollout: turns with exact tokens, tool calls, rewards. The noun everything else speaks about.

A turn stores its tokens as a *delta*: ``context_ids`` are the tokens fed to the model since the end of the
previous turn, ``action_ids`` the tokens the model sampled. While every turn ``extends`` the one before, the
concatenation of all turns is the one sequence the model saw and the one sequence it is trained on; nothing is
ever decoded and tokenized again. A turn whose prompt does not extend the previous tokens starts a new sequence
(``extends=False``) and names the ``break_cause``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from practicum.tasks import Task

Message = dict[str, Any]
"""One chat message in the OpenAI shape: role, content, optionally tool_calls / tool_call_id / name."""

StopReason = Literal["stop", "length", "tool_calls"]
Ending = Literal["final", "max_turns", "length", "error", "cancelled"]
Failure = Literal["policy", "infrastructure", "environment", "judge", "unknown"]
"""Whose failure it was that a rollout broke off; decided in ``rollout.failures``."""
BreakCause = Literal["template", "retokenization", "rewritten_history", "parallel_branch", "other"]


USER = "@user"
"""Stands for the tool in a transition where a scripted user answered the agent."""


@dataclass(frozen=True)
class ToolCall:
    """One executed tool call and what came back (``result`` is the text the model saw)."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    result: str
    is_error: bool = False
    turn: int = 0
    latency_s: float = 0.0


@dataclass(frozen=True)
class Turn:
    """One model call: what was fed, what was sampled, by which version of the policy."""

    messages: tuple[Message, ...]
    """Messages new in this turn, before the response."""
    response: Message
    """The assistant message parsed from the sampled tokens."""
    context_ids: tuple[int, ...]
    """Tokens fed since the previous turn (the whole prompt where ``extends`` is false)."""
    action_ids: tuple[int, ...]
    """Tokens sampled, the stop token included."""
    logprobs: tuple[float, ...]
    """Log-probability of each action token under the sampler, at the sampling temperature (nats)."""
    versions: tuple[int, ...]
    """Policy version (training step) that sampled each action token."""
    finish_reason: StopReason
    extends: bool = True
    break_cause: BreakCause | None = None
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        if not len(self.action_ids) == len(self.logprobs) == len(self.versions):
            raise ValueError(
                f"a turn needs one log-probability and one version per action token, got "
                f"{len(self.action_ids)} tokens, {len(self.logprobs)} log-probabilities, {len(self.versions)} versions"
            )


@dataclass(frozen=True)
class EnvironmentRef:
    """Identity of the environment a trajectory was collected in."""

    id: str
    version: str
    digest: str


@dataclass(frozen=True)
class Transition:
    """One step of an environment, apart from what the agent was told.

    ``state`` and ``next_state`` are digests before and after it; ``time`` is the virtual clock's after it, in
    seconds since 1970. A ``tool`` of ``@user`` is a scripted user's answer to the agent.
    """

    index: int
    state: str
    tool: str
    arguments: Mapping[str, Any]
    result: str
    is_error: bool
    next_state: str
    time: float


@dataclass(frozen=True)
class Trajectory:
    """Everything that happened in one rollout.

    ``rewards`` holds one number (the trajectory's reward) or one per turn; empty until it is known.
    ``metrics`` holds the reward's named components; ``score`` the evaluation's number, where one was computed.
    """

    id: str
    task_id: str
    group_id: str
    seed: int
    environment: EnvironmentRef
    turns: tuple[Turn, ...]
    tool_calls: tuple[ToolCall, ...]
    ending: Ending
    tools: tuple[Mapping[str, Any], ...] = ()
    """OpenAI function schemas the agent declared."""
    rewards: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    score: float | None = None
    score_metrics: Mapping[str, float] = field(default_factory=dict)
    final_state: Mapping[str, Any] = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
    """What the environment did; empty where the agent had its environment elsewhere."""
    temperature: float = 1.0
    top_p: float = 1.0
    retries: int = 0
    error: str | None = None
    """Why it broke off, where it did and nothing was there to judge."""
    failure: Failure | None = None
    """Whose doing it was: where it broke off, and where its context was full."""

    @property
    def is_conclusive(self) -> bool:
        """Whether it says something of the policy: it came to its end, or broke off by the policy's own doing."""
        if self.failure == "policy":
            return True
        return self.failure is None and self.error is None and self.ending not in ("error", "cancelled")

    @property
    def reward(self) -> float:
        """The trajectory's reward: the one number given, or the sum of the per-turn rewards."""
        return float(sum(self.rewards))

    @property
    def messages(self) -> list[Message]:
        """The conversation, in order, including the assistant's responses."""
        return [message for turn in self.turns for message in (*turn.messages, turn.response)]

    @property
    def n_action_tokens(self) -> int:
        """Tokens the policy sampled."""
        return sum(len(turn.action_ids) for turn in self.turns)

    @property
    def n_context_tokens(self) -> int:
        """Tokens it was fed."""
        return sum(len(turn.context_ids) for turn in self.turns)

    @property
    def oldest_version(self) -> int:
        """Version of the oldest action token (0 for a trajectory without any)."""
        return min((version for turn in self.turns for version in turn.versions), default=0)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data."""
        return asdict(self)


@dataclass(frozen=True)
class Group:
    """The rollouts of one prompt in one step; advantages are computed within it."""

    id: str
    task_id: str
    trajectories: tuple[Trajectory, ...]

    @property
    def rewards(self) -> list[float]:
        """The members' rewards, in order."""
        return [trajectory.reward for trajectory in self.trajectories]


@dataclass(frozen=True)
class Rollout:
    """What a score or a reward may look at: a finished rollout, without tokens or model internals."""

    task: Task
    messages: Sequence[Message]
    tool_calls: Sequence[ToolCall]
    final_state: Mapping[str, Any]
    ending: Ending

    @classmethod
    def of(cls, trajectory: Trajectory, task: Task) -> "Rollout":
        """What may be seen of a trajectory."""
        return cls(task, trajectory.messages, trajectory.tool_calls, trajectory.final_state, trajectory.ending)

    @property
    def answer(self) -> str:
        """Text of the last message, if the assistant wrote it and called no tool in it; else empty."""
        if not self.messages:
            return ""
        last = self.messages[-1]
        if last.get("role") != "assistant" or last.get("tool_calls"):
            return ""
        return text_of(last)

    @property
    def completed(self) -> bool:
        """Whether the agent ended by itself with an answer."""
        return self.ending == "final"


def text_of(message: Message) -> str:
    """A message's text; content blocks are joined, missing content is empty."""
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content if isinstance(block, Mapping))


def survivors(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """Those that can be trained on: they sampled something, and did not fail or failed by the policy's own doing.

    A failure of the policy's without a reward is none of them: its recipe drops those (``policy_failure``).
    """
    return [t for t in trajectories if t.is_conclusive and t.n_action_tokens and (t.failure is None or bool(t.rewards))]


def group_by_task(trajectories: Iterable[Trajectory]) -> list[Group]:
    """Groups in order of first appearance of their ``group_id``."""
    members: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        members.setdefault(trajectory.group_id, []).append(trajectory)
    return [Group(id, items[0].task_id, tuple(items)) for id, items in members.items()]
