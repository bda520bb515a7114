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
from practicum.environment.fixtures import thawed
from practicum.errors import EnvironmentFault, PracticumError
from practicum.evaluation.evaluator import EvaluationPlan, circumstances, judged_by, requests_of
from practicum.evaluation.summary import Evaluation, Mode, summarize
from practicum.rollout.agents import opening
from practicum.rollout.dispatcher import RolloutRequest
from practicum.scoring import Judge, judge
from practicum.scoring.endpoint import Endpoint, Patience, complete, message_of
from practicum.trajectory import Ending, EnvironmentRef, Message, Rollout, ToolCall, Trajectory, Turn, text_of

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


@dataclass
class _Play:
    """One rollout as it goes."""

    turns: list[Turn]
    calls: list[ToolCall]
    tokens: int = 0


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
    ref = make().ref
    places = asyncio.Semaphore(reference.concurrency)
    tokens: dict[str, int] = {}

    async def one(request: RolloutRequest) -> Trajectory:
        async with places:
            play = _Play([], [])
            trajectory = await _rollout(reference, request, make, play, ref, score, reward, max_turns)
            tokens[request.id] = play.tokens
        on_done(trajectory)
        return trajectory

    began = time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            wanted = requests_of(plan, f"{label}-{reference.mode}", reference.mode)
            tasks = [group.create_task(one(request)) for request in wanted]
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
    reference: Reference,
    request: RolloutRequest,
    make: Callable[[], Environment],
    play: _Play,
    ref: EnvironmentRef,
    score: Judge,
    reward: Judge | None,
    max_turns: int | None,
) -> Trajectory:
    environment = make()
    state: Mapping[str, Any] = {}
    tools: tuple[Mapping[str, Any], ...] = ()
    ending: Ending = "error"
    error = None
    try:
        environment.reset(request.task, request.seed)
        tools = tuple(environment.schemas())
        ending = await _loop(reference, environment, request, play, max_turns or environment.max_turns)
        state = thawed(dict(environment.final_state()))
    except EnvironmentFault:
        raise
    except Exception as failure:  # whatever the endpoint or a tool throws fails this rollout alone
        error = str(failure) if isinstance(failure, PracticumError) else f"{type(failure).__name__}: {failure}"
    finally:
        transitions = environment.transitions
        environment.close()
    trajectory = Trajectory(
        id=request.id,
        task_id=request.task.id,
        group_id=request.group_id,
        seed=request.seed,
        environment=ref,
        turns=tuple(play.turns),
        tool_calls=tuple(play.calls),
        ending="error" if error else ending,
        tools=tools,
        final_state=state,
        transitions=transitions,
        temperature=reference.temperature,
        top_p=reference.top_p,
        error=error,
    )
    return trajectory if error else await _judged(trajectory, request, score, reward)


async def _judged(trajectory: Trajectory, request: RolloutRequest, score: Judge, reward: Judge | None) -> Trajectory:
    rollout = Rollout.of(trajectory, request.task)
    try:
        right = await judge(score, rollout)
        trajectory = replace(trajectory, score=right.total, score_metrics=right.components)
        if reward is not None:
            paid = await judge(reward, rollout)
            trajectory = replace(trajectory, rewards=paid.values, metrics=paid.components)
    except PracticumError as error:
        return replace(trajectory, ending="error", error=str(error))
    return trajectory


async def _loop(
    reference: Reference, environment: Environment, request: RolloutRequest, play: _Play, turns: int
) -> Ending:
    messages = opening(environment, request.task)
    new: list[Message] = list(messages)
    for turn in range(turns):
        settings: dict[str, Any] = {
            "temperature": reference.temperature,
            "top_p": reference.top_p,
            "max_tokens": reference.max_tokens,
        }
        if environment.schemas():
            settings["tools"] = environment.schemas()
        if reference.temperature > 0:
            settings["seed"] = request.seed % 2**31
        began = time.perf_counter()
        answer = await complete(reference.endpoint, messages, settings, reference.patience)
        said = _plain(message_of(answer))
        play.tokens += int((answer.get("usage") or {}).get("completion_tokens") or 0)
        cut = answer["choices"][0].get("finish_reason") == "length"
        wishes: Sequence[Message] = said.get("tool_calls") or ()
        reason: Any = "length" if cut else "tool_calls" if wishes else "stop"
        latency = time.perf_counter() - began
        play.turns.append(Turn(tuple(new), said, (), (), (), (), reason, latency_s=latency))
        messages, new = [*messages, said], []
        if cut:
            return "length"
        if not wishes:
            reply = environment.answered(text_of(said))
            if reply is None:
                return "final"
            new = [{"role": "user", "content": reply}]
        for wish in wishes:
            call = await _call(environment, wish, turn)
            play.calls.append(call)
            new.append({"role": "tool", "tool_call_id": call.id, "content": call.result})
        messages = [*messages, *new]
    return "max_turns"


async def _call(environment: Environment, wish: Message, turn: int) -> ToolCall:
    function = wish.get("function") or {}
    name, text = str(function.get("name", "")), function.get("arguments") or "{}"
    try:
        arguments = json.loads(text)
    except (ValueError, TypeError):
        arguments = None
    if not isinstance(arguments, dict):
        told = json.dumps({"error": f"the arguments of {name!r} are not a JSON object: {str(text)[:200]}"})
        return ToolCall(str(wish.get("id")), name, {}, told, True, turn)
    began = time.perf_counter()
    result = await environment.acall(name, arguments)
    seconds = time.perf_counter() - began
    return ToolCall(str(wish.get("id")), name, arguments, result.text, result.is_error, turn, seconds)


def _plain(message: Message) -> Message:
    """The parts of an assistant message that are sent back: what else an endpoint adds may be refused."""
    said: Message = {"role": "assistant", "content": message.get("content") or ""}
    if message.get("tool_calls"):
        said["tool_calls"] = message["tool_calls"]
    return said
