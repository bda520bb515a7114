"""An agent behind HTTP: starts a rollout there and waits until the gateway has heard how it ended.

The body is AWS multi-turn RL's (``POST /rollout``; an AgentCore agent takes it on ``POST /invocations``). The
agent may answer at once and finish later, or answer when it is done. Every way to fail is a ``RolloutError``;
whose failure it was is decided in ``rollout.failures``.
"""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from practicum.digests import digest
from practicum.errors import AgentFailed, RewardRefused, RolloutError, RunError
from practicum.rollout.agents import Episode, Keep, forget
from practicum.rollout.calls import argument_object
from practicum.rollout.gateway_registry import Entry, Outcome, Registry, Reward, State
from practicum.rollout.session import Session
from practicum.tasks import Task
from practicum.trajectory import Ending, ToolCall, Turn, text_of

_CONNECT_S = 10.0
_BODY_SHOWN = 500
_ENDINGS: dict[str, Ending] = {"stop": "final", "length": "length", "tool_calls": "max_turns"}


@dataclass(frozen=True)
class HttpAgent:
    """An agent server, as an ``Agent`` the dispatcher can run.

    Args:
        url: Where rollouts are posted; ``/rollout`` is added where the address has no path.
        registry: The gateway's trajectories.
        endpoint: The gateway's address as the agent reaches it.
        client: Sends the requests; its owner closes it.
        job_arn: Name of the run, told to the agent as ``jobArn``.
        timeout_s: Seconds a rollout may take in all. Below the dispatcher's own, the error says
            what never came.
        needs_reward: Whether a rollout is over only when the agent has sent its reward; otherwise when it
            is sealed, and the reward is computed by the run.
        region: Told to the agent.
    """

    url: str
    registry: Registry
    endpoint: str
    client: httpx.AsyncClient
    job_arn: str
    timeout_s: float = 600.0
    needs_reward: bool = True
    region: str = "local"
    in_process: bool = False
    _attempts: Counter[tuple[str, int]] = field(default_factory=Counter, repr=False, compare=False)
    """Attempts at each rollout so far."""

    @property
    def rollout_url(self) -> str:
        """Address that takes a rollout."""
        return self.url if urlsplit(self.url).path.strip("/") else self.url.rstrip("/") + "/rollout"

    @property
    def health_url(self) -> str:
        """Address that tells whether the agent is up: ``/health``, or ``/ping`` beside ``/invocations``."""
        base, _, name = self.rollout_url.rstrip("/").rpartition("/")
        return f"{base}/ping" if name == "invocations" else f"{base}/health"

    async def check_health(self) -> None:
        """Ask once whether the agent is up.

        Raises:
            RunError: it cannot be reached, or says that it is not.
        """
        fix = "start the agent's server, and check its address in the recipe"
        try:
            answer = await self.client.get(self.health_url, timeout=_CONNECT_S)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = f"the agent does not answer: {_name(error)}"
            raise RunError(reason, where=self.health_url, fix=fix) from error
        if answer.status_code != httpx.codes.OK:
            raise RunError(
                f"the agent is not healthy: HTTP {answer.status_code} {answer.text[:_BODY_SHOWN]}",
                where=self.health_url,
                allowed="HTTP 200",
                fix=fix,
            )

    async def run(self, session: Session, task: Task, seed: int, keep: Keep = forget) -> Episode:
        """Have the agent do one rollout; ``Info`` it reports becomes the episode's final state.

        Raises:
            RolloutError: the agent refused, failed, was too slow, or never called the model.
        """
        rollout_id = self._new_id(session.id, seed)
        self.registry.open(rollout_id, session, job_arn=self.job_arn)
        try:
            outcome = await self._play(self.registry.get(rollout_id), task.prompt)
        finally:
            keep(Episode("error", observed_tool_calls(session.turns)))
            await self.registry.close(rollout_id)
        turns = session.turns
        if not turns:
            raise RolloutError(
                "the agent ended the rollout without a single model call",
                where=self._where(rollout_id),
                fix="have it call the model at metadata.endpoint, with the rolloutId in header or path",
            )
        reward = outcome.reward or Reward(())
        return Episode(
            _ENDINGS[turns[-1].finish_reason],
            observed_tool_calls(turns),
            reward.info,
            reward.values,
            reward.metrics,
        )

    async def _play(self, entry: Entry, prompt: str) -> Outcome:
        """How the rollout ended: REWARD_RECEIVED, or where no reward is needed also READY."""
        deadline = asyncio.get_running_loop().time() + self.timeout_s
        with contextlib.suppress(TimeoutError):  # too late or not is for the registry to say
            async with asyncio.timeout_at(deadline):
                await self._start(entry, prompt)
        wait = self.registry.wait_reward if self.needs_reward else self.registry.wait_sealed
        outcome = await wait(entry.id, deadline - asyncio.get_running_loop().time())
        if outcome.state is State.FAILED:
            reason = f"; the last model call failed: {outcome.error}" if outcome.error else ""
            raise AgentFailed(
                f"the agent reported that the rollout failed{reason}",
                where=self._where(entry.id),
                fix="look for an exception in the agent's log",
            )
        return outcome

    async def _start(self, entry: Entry, prompt: str) -> None:
        """Post the rollout and make sense of the answer; an answer that says "done" seals the trajectory."""
        try:
            answer = await self.client.post(
                self.rollout_url,
                json=self._body(entry, prompt),
                timeout=httpx.Timeout(None, connect=_CONNECT_S),
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if self._reached(entry.outcome):
                return  # the connection broke after the agent had reported the end: nothing is missing
            raise RolloutError(
                f"the agent cannot be reached: {_name(error)}",
                where=self._where(entry.id),
                fix="start the agent's server, and check its address in the recipe",
            ) from error
        body = _json_or_none(answer)
        self._refuse_failure(answer, body, entry)
        if not _is_done(answer, body):
            return
        if entry.state is State.PENDING and entry.calls:
            await entry.complete("ready", None)
        if self.needs_reward and entry.state is State.READY and entry.error:
            raise RewardRefused(
                f"the agent is done and its reward is missing; {entry.error}",
                where=self._where(entry.id),
                fix="send one number for the trajectory, or one per turn",
            )

    def _body(self, entry: Entry, prompt: str) -> dict[str, Any]:
        sampling = entry.session.params
        return {
            "prompt": prompt,
            "metadata": {
                "jobArn": self.job_arn,
                "rolloutId": entry.id,
                "endpoint": self.endpoint,
                "region": self.region,
            },
            "inferenceParams": {
                "temperature": sampling.temperature,
                "topP": sampling.top_p,
                "maxTokens": sampling.max_tokens,
            },
        }

    def _refuse_failure(self, answer: httpx.Response, body: Any, entry: Entry) -> None:
        if self._reached(entry.outcome):
            return
        fields = body if isinstance(body, dict) else {}
        if "errorType" in fields:
            text = f"the agent answered {fields['errorType']}: {fields.get('errorMessage', '')}"
        elif not answer.is_success:
            text = f"the agent answered HTTP {answer.status_code}: {answer.text[:_BODY_SHOWN]}"
        elif fields.get("status") == "error":
            text = f"the agent answered with an error: {fields.get('error', '')}"
        else:
            return
        if entry.error:
            text += f"; before that: {entry.error}"
        raise AgentFailed(
            text,
            status=answer.status_code,
            where=self._where(entry.id),
            fix="look for an exception in the agent's log",
        )

    def _reached(self, outcome: Outcome) -> bool:
        return outcome.state is State.REWARD_RECEIVED or (outcome.state is State.READY and not self.needs_reward)

    def _new_id(self, session_id: str, seed: int) -> str:
        """An id of this attempt alone, fit for headers and paths: late calls of an earlier one must not reach it."""
        attempt = self._attempts[session_id, seed]
        self._attempts[session_id, seed] += 1
        readable = re.sub(r"[^A-Za-z0-9._~-]", "-", session_id)
        return f"{readable}-{digest([session_id, seed, *([attempt] if attempt else [])])[:8]}"

    def _where(self, trajectory_id: str) -> str:
        return f"trajectory {trajectory_id} at {self.rollout_url}"


def observed_tool_calls(turns: Sequence[Turn]) -> tuple[ToolCall, ...]:
    """The tool calls a remote agent made, as far as the model saw their results in a later turn.

    Whether the tool failed and how long it took stay with the agent; arguments that are no object are a failed call.
    """
    results: dict[str, str] = {}
    for turn in turns:
        for message in turn.messages:
            if message.get("role") == "tool":
                results.setdefault(message.get("tool_call_id", ""), text_of(message))
    asked = [(number, call) for number, turn in enumerate(turns) for call in turn.response.get("tool_calls", ())]
    return tuple(_observed(call, results[call["id"]], number) for number, call in asked if call["id"] in results)


def _observed(call: Mapping[str, Any], result: str, turn: int) -> ToolCall:
    function = call["function"]
    arguments = argument_object(function["arguments"])
    return ToolCall(call["id"], function["name"], arguments or {}, result, arguments is None, turn)


def _json_or_none(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _is_done(answer: httpx.Response, body: Any) -> bool:
    """Whether an answer stands for a finished rollout rather than an accepted one."""
    accepted_at_once = body in ({}, {"status": "accepted"}) or not answer.content
    return answer.status_code != httpx.codes.ACCEPTED and not accepted_at_once


def _name(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
