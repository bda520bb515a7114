"""A reference model: any OpenAI-compatible endpoint plays the same held-out tasks, judged by the same score.

It answers what a number means: how far does a strong model get on these tasks? Its tokens are its own affair, so its
trajectories hold messages and calls, and no token ids.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from practicum.environment import Environment
from practicum.errors import EnvironmentFault, PracticumError
from practicum.evaluation.evaluator import EvaluationPlan, circumstances, judged_by, requests_of
from practicum.evaluation.summary import Evaluation, Mode, summarize
from practicum.rollout.agents import BuiltinAgent, Episode
from practicum.rollout.dispatcher import RolloutRequest, failure_text
from practicum.rollout.failures import BrokenOff, whose
from practicum.rollout.session import ChatResult, Tools
from practicum.scoring import Judge, judge
from practicum.scoring.endpoint import Endpoint, Patience, complete, message_of
from practicum.trajectory import EnvironmentRef, Message, Rollout, StopReason, Trajectory, Turn

LABEL = "reference"
PATIENCE = Patience(timeout_s=300.0)


@dataclass(frozen=True)
class Reference:
    """Where a reference model is and how it is asked. Temperature 0 is greedy."""

    endpoint: Endpoint
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 4096
    concurrency: int = 8
    patience: Patience = PATIENCE

    @property
    def mode(self) -> Mode:
        """How it is sampled."""
        return "greedy" if self.temperature == 0 else "sampled"

    def to_dict(self) -> dict[str, Any]:
        """What is written down of it; never its key."""
        endpoint = {"base_url": self.endpoint.base_url, "model": self.endpoint.model}
        return {**endpoint, "temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}


class ReferenceSession:
    """One rollout's conversation with a reference model: what ``rollout.session.Session`` is for our own."""

    def __init__(self, reference: Reference, seed: int) -> None:
        self._reference, self._seed = reference, seed
        self.turns: list[Turn] = []
        self.tools: tuple[Mapping[str, Any], ...] = ()
        self.tokens = 0
        """Sampled by the model, as far as it says."""
        self._seen = 0

    async def chat(self, messages: Sequence[Message], tools: Tools | None = None) -> ChatResult:
        """Ask for the next assistant message.

        Raises:
            RolloutError: the endpoint gives none.
        """
        reference, began = self._reference, time.perf_counter()
        asked = [_sent(message) for message in messages]
        answer = await complete(reference.endpoint, asked, self._settings(tools or ()), reference.patience)
        message = _plain(message_of(answer))
        used = int((answer.get("usage") or {}).get("completion_tokens") or 0)
        cut = answer["choices"][0].get("finish_reason") == "length"
        reason: StopReason = "length" if cut else "tool_calls" if message.get("tool_calls") else "stop"
        new, latency = tuple(messages[self._seen :]), time.perf_counter() - began
        self.turns.append(Turn(new, message, (), (), (), (), reason, latency_s=latency))
        self.tools, self.tokens, self._seen = tuple(tools or ()), self.tokens + used, len(messages) + 1
        return ChatResult(message, reason, 0, used)

    def _settings(self, tools: Tools) -> dict[str, Any]:
        reference = self._reference
        settings: dict[str, Any] = {
            "temperature": reference.temperature,
            "top_p": reference.top_p,
            "max_tokens": reference.max_tokens,
        }
        if tools:
            settings["tools"] = list(tools)
        if reference.temperature > 0:
            settings["seed"] = self._seed % 2**31
        return settings


async def evaluate_reference(
    reference: Reference,
    plan: EvaluationPlan,
    make: Callable[[], Environment],
    *,
    score: Judge,
    reward: Judge | None = None,
    max_turns: int | None = None,
    label: str = LABEL,
    on_done: Callable[[Trajectory], None] = lambda trajectory: None,
) -> tuple[Evaluation, list[Trajectory]]:
    """Let a reference model play the plan.

    Args:
        make: Makes a fresh environment for each rollout.
        score, reward: As for the policy; the reward only to show where the two disagree.
        max_turns: None for the environment's own bound.

    Raises:
        EnvironmentFault: the environment is broken. An endpoint that fails fails its rollouts, which count as such.
    """
    ref, agent = make().ref, BuiltinAgent(make, max_turns)
    places = asyncio.Semaphore(reference.concurrency)
    tokens: dict[str, int] = {}

    async def played(request: RolloutRequest) -> Trajectory:
        async with places:
            session = ReferenceSession(reference, request.seed)
            trajectory = await _rollout(session, request, agent, ref, reference)
            tokens[request.id] = session.tokens
            if trajectory.error is None:
                trajectory = await _judged(trajectory, request, score, reward)
        on_done(trajectory)
        return trajectory

    began = time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            wanted = requests_of(plan, f"{label}-{reference.mode}", reference.mode)
            tasks = [group.create_task(played(request)) for request in wanted]
    except ExceptionGroup as failures:
        # The others were cancelled; the first failure says what to mend.
        raise failures.exceptions[0] from None
    trajectories = [task.result() for task in tasks]
    how = circumstances(
        plan,
        label,
        reference.mode,
        temperature=reference.temperature,
        version=0,
        environment=asdict(ref),
        seconds=time.monotonic() - began,
        tokens=tokens,
        model=reference.to_dict(),
        **judged_by(score, reference.endpoint),
    )
    return summarize(trajectories, how), list(trajectories)


async def _rollout(
    session: ReferenceSession, request: RolloutRequest, agent: BuiltinAgent, ref: EnvironmentRef, reference: Reference
) -> Trajectory:
    episodes = [Episode("error")]
    broken: BrokenOff | None = None
    try:
        episodes.append(await agent.run(session, request.task, request.seed, episodes.append))
    except EnvironmentFault:
        raise
    except Exception as failure:  # whatever the endpoint or a tool throws fails this rollout alone
        within = episodes[-1].broke_in
        broken = BrokenOff(failure, sampled=bool(session.turns), environment=within, engine=not within)
    episode = episodes[-1]
    return Trajectory(
        id=request.id,
        task_id=request.task.id,
        group_id=request.group_id,
        seed=request.seed,
        environment=ref,
        turns=tuple(session.turns),
        tool_calls=episode.tool_calls,
        ending="error" if broken else episode.ending,
        tools=session.tools,
        final_state=episode.final_state,
        transitions=episode.transitions,
        temperature=reference.temperature,
        top_p=reference.top_p,
        error=None if broken is None else failure_text(broken.error),
        failure=None if broken is None else whose(broken),
    )


async def _judged(trajectory: Trajectory, request: RolloutRequest, score: Judge, reward: Judge | None) -> Trajectory:
    rollout = Rollout.of(trajectory, request.task)
    try:
        right = await judge(score, rollout)
        trajectory = replace(trajectory, score=right.total, score_metrics=right.components)
        if reward is not None:
            paid = await judge(reward, rollout)
            trajectory = replace(trajectory, rewards=paid.values, metrics=paid.components)
    except PracticumError as error:
        failure = whose(BrokenOff(error, sampled=True, judging=True))
        return replace(trajectory, ending="error", error=str(error), failure=failure)
    return trajectory


def _sent(message: Message) -> Message:
    """A message as OpenAI's interface wants it: a tool's result bears no name."""
    return {key: value for key, value in message.items() if key != "name"} if message["role"] == "tool" else message


def _plain(message: Message) -> Message:
    """The parts of an assistant message that are sent back: what else an endpoint adds may be refused."""
    plain: Message = {"role": "assistant", "content": message.get("content") or ""}
    if message.get("tool_calls"):
        plain["tool_calls"] = [_call(wish) for wish in message["tool_calls"]]
    return plain


def _call(wish: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call whose parts are all there, whatever the endpoint left out."""
    function = wish.get("function") or {}
    arguments = function.get("arguments") or "{}"
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    named = {"name": str(function.get("name", "")), "arguments": text}
    return {"id": str(wish.get("id")), "type": "function", "function": named}
