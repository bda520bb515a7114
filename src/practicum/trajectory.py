"""What happened in a rollout: turns with exact tokens, tool calls, rewards. The noun everything else speaks about.

A trajectory is a forest of sequences, mostly of one. A turn stores its tokens as a *delta*: ``context_ids`` are the
tokens fed to the model since the end of the turn that it continues, ``action_ids`` the tokens the model sampled. The
turns of one ``sequence`` put together are the one sequence the model saw and the one it is trained on; nothing is ever
decoded and tokenized again. A turn whose prompt extends no sequence starts another (``extends=False``) and names the
``break_cause``; main agent and sub-agent by turns are two sequences.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any, Literal, get_args

from practicum.chat import Message, message_key, repeated, text_of
from practicum.ranges import reaches, total
from practicum.tasks import Task

__all__ = [
    "USER",
    "BreakCause",
    "Ending",
    "EnvironmentRef",
    "Failure",
    "Group",
    "Message",
    "Rollout",
    "StopReason",
    "ToolCall",
    "Trajectory",
    "Transition",
    "Turn",
    "common_prefix",
    "group_by_task",
    "survivors",
    "text_of",
]

StopReason = Literal["stop", "length", "tool_calls"]
Ending = Literal["final", "max_turns", "length", "error", "cancelled"]
Failure = Literal["policy", "infrastructure", "environment", "judge", "unknown"]
"""Whose failure it was that a rollout broke off; decided in ``rollout.failures``."""
BreakCause = Literal[
    "template",
    "retokenization",
    "rewritten_history",
    "tools_changed",
    "sub_agent",
    "parallel_branch",
    "other",
]
"""Why a turn extends no sequence: the renderer drops or rewrites earlier turns; the same words are other tokens; the
history was edited, summarised or cut; other tools; a conversation of its own; the same history continued twice."""


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
    """Messages new in this turn, before the response (the whole prompt's where ``extends`` is false)."""
    response: Message
    """The assistant message parsed from the sampled tokens."""
    context_ids: tuple[int, ...]
    """Tokens fed since the turn before of its sequence (the whole prompt where ``extends`` is false)."""
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
    sequence: int | None = None
    """Which of the trajectory's sequences it belongs to, from 0. None (older records): that of the turn before where it
    extends, else one of its own."""
    malformed_calls: tuple[str, ...] = ()
    """What the model wrote as tool calls and nobody can read, as it wrote it; the agent saw it as text."""

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
    """Whose doing it was that it broke off."""

    @property
    def broke_off(self) -> bool:
        """Whether it ended with nothing there to judge: in held-out evaluation, it is missed."""
        return self.error is not None or self.ending == "error"

    @property
    def is_conclusive(self) -> bool:
        """Whether it says something of the policy: it came to its end, or broke off by the policy's own doing."""
        if self.failure == "policy":
            return True
        return self.failure is None and not self.broke_off and self.ending != "cancelled"

    @property
    def held_out_score(self) -> float | None:
        """Its score as held-out evaluation counts it: None where there was nothing to judge, or nobody has."""
        return None if self.broke_off else self.score

    def succeeded(self, threshold: float) -> bool:
        """Whether it is a success in held-out evaluation; without a score it is none, whatever the threshold."""
        score = self.held_out_score
        return score is not None and reaches(score, threshold)

    @property
    def reward(self) -> float:
        """The trajectory's reward: the one number given, or the sum of the per-turn rewards."""
        return total(self.rewards)

    @property
    def messages(self) -> list[Message]:
        """The conversation in the order in which it was told: each message once, the assistant's responses among them.

        A turn that begins a sequence with the history of another adds what was not said before.
        """
        return [m for told, turn in zip(self.told, self.turns, strict=True) for m in (*told, turn.response)]

    @property
    def told(self) -> tuple[tuple[Message, ...], ...]:
        """For each turn, the messages before its response that nobody had said before."""
        if all(turn.extends for turn in self.turns[1:]):
            return tuple(turn.messages for turn in self.turns)
        return tuple(_told(self.turns))

    @property
    def sequences(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the turns of each sequence; sequences in the order of their first turns."""
        members: dict[int, list[int]] = {}
        for number, sequence in enumerate(sequence_numbers(self.turns)):
            members.setdefault(sequence, []).append(number)
        return tuple(map(tuple, members.values()))

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
    sampled_at: tuple[int, ...] | None = None
    """Which of ``messages`` the model said, one for each turn; None for all of the assistant's."""

    @classmethod
    def of(cls, trajectory: Trajectory, task: Task) -> "Rollout":
        """What may be seen of a trajectory."""
        lengths = accumulate(len(told) + 1 for told in trajectory.told)
        return cls(
            task,
            trajectory.messages,
            trajectory.tool_calls,
            trajectory.final_state,
            trajectory.ending,
            tuple(length - 1 for length in lengths),
        )

    @property
    def turn_places(self) -> tuple[int, ...]:
        """Where in ``messages`` each turn's answer stands: examples and edited history in a prompt are no turns."""
        if self.sampled_at is not None:
            return self.sampled_at
        return tuple(at for at, message in enumerate(self.messages) if message.get("role") == "assistant")

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


def survivors(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """Those that can be trained on: they sampled something, and did not fail or failed by the policy's own doing.

    A failure of the policy's without a reward is none of them: its recipe drops those (``policy_failure``).
    """
    return [t for t in trajectories if t.is_conclusive and t.n_action_tokens and (t.failure is None or bool(t.rewards))]


def failure_counts(trajectories: Iterable[Trajectory]) -> dict[str, int]:
    """Rollouts that failed by whose failure it was, every class in order; of no known one: ``unknown``."""
    counts = Counter(t.failure or "unknown" for t in trajectories if t.failure or t.broke_off)
    return {whose: counts[whose] for whose in get_args(Failure)}


def group_by_task(trajectories: Iterable[Trajectory]) -> list[Group]:
    """Groups in order of first appearance of their ``group_id``."""
    members: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        members.setdefault(trajectory.group_id, []).append(trajectory)
    return [Group(id, items[0].task_id, tuple(items)) for id, items in members.items()]


def sequence_numbers(turns: Sequence[Turn]) -> list[int]:
    """The sequence of each turn, numbered from 0 in the order in which sequences begin."""
    names: dict[Any, int] = {}
    numbers: list[int] = []
    for position, turn in enumerate(turns):
        if turn.sequence is not None:
            numbers.append(names.setdefault(turn.sequence, len(names)))
        elif numbers and turn.extends:
            numbers.append(numbers[-1])
        else:
            numbers.append(names.setdefault(("begun at", position), len(names)))
    return numbers


def _told(turns: Sequence[Turn]) -> Iterator[tuple[Message, ...]]:
    histories: dict[int, list[str]] = {}
    for turn, sequence in zip(turns, sequence_numbers(turns), strict=True):
        keys = [message_key(message) for message in turn.messages]
        own = turn.extends or turn.break_cause == "sub_agent"
        others = [] if own else [repeated(history, keys) for history in histories.values()]
        said = max(others, key=sum, default=[False] * len(keys))
        yield tuple(message for message, known in zip(turn.messages, said, strict=True) if not known)
        histories.setdefault(sequence, []).extend([*keys, message_key(turn.response)])


Judge = Callable[[Rollout], Any | Awaitable[Any]]
"""A score or a reward. An attribute ``signed = True`` declares the range [−1, 1]; ``excuses`` says why a check of it
need not pass, by the check's or the attack's name."""


def common_prefix(first: Any, second: Any) -> int:
    """With how many equal parts, such as tokens, two lists, two tuples or two one-dimensional arrays begin.

    Lists that are alike are compared at once: the sampler asks this for every token.
    """
    length = min(len(first), len(second))
    equal = first[:length] == second[:length]
    if isinstance(equal, bool):
        return length if equal else next((n for n in range(length) if first[n] != second[n]), length)
    return length if equal.all() else int(equal.argmin())
