"""An agent behind HTTP: starts a rollout there and waits until the gateway has heard how it ended.

The body is AWS multi-turn RL's (``POST /rollout``; an AgentCore agent takes it on ``POST /invocations``). The
agent may answer at once and finish later, or answer when it is done, with its reward in the answer or reported before.
Every way to fail is a ``RolloutError`` with its evidence; whose failure it was is decided in ``rollout.failures``.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from practicum.digests import digest
from practicum.display import telling
from practicum.errors import AgentFailed, RolloutError, RunError
from practicum.rollout.agent_answers import SHOWN, AgentAnswer, read_answer
from practicum.rollout.agent_ending import REPORT_GRACE_S, RolloutEnding
from practicum.rollout.agents import Episode, Keep, forget
from practicum.rollout.calls import argument_object
from practicum.rollout.gateway.registry import Entry, Registry, Reward, State, secret_id
from practicum.rollout.session import Session
from practicum.tasks import Task
from practicum.trajectory import Ending, ToolCall, Turn, text_of
from practicum.whole_answers import AnswerTooLarge, ask

_CONNECT_S = 10.0
HEALTH_S = 10.0
"""Seconds in which an agent has to say that it is up."""
_TOLD_AFTER_S = 2.0
_NO_ROUTE = (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED, httpx.codes.NOT_IMPLEMENTED)
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
        grace_s: Seconds a report is still waited for once the outcome is known (see ``agent_ending``).
    """

    url: str
    registry: Registry
    endpoint: str
    client: httpx.AsyncClient
    job_arn: str
    timeout_s: float = 600.0
    needs_reward: bool = True
    region: str = "local"
    grace_s: float = REPORT_GRACE_S
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
        waiting = telling(f"the agent at {self.health_url}: {HEALTH_S:g} s at most", after_s=_TOLD_AFTER_S)
        try:
            with waiting:
                # One limit for the whole answer: one that trickles is none.
                async with asyncio.timeout(HEALTH_S):
                    answer = await ask(self.client, "GET", self.health_url, timeout=None)
        except TimeoutError as error:
            raise RunError(
                f"the agent does not answer within {HEALTH_S:g} s", where=self.health_url, fix=fix
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = f"the agent does not answer: {_name(error)}"
            raise RunError(reason, where=self.health_url, fix=fix) from error
        if answer.status_code in _NO_ROUTE:
            path = urlsplit(self.health_url).path
            raise RunError(
                f"the agent's server does not serve GET {path}: HTTP {answer.status_code}",
                where=self.health_url,
                allowed="HTTP 200",
                fix=f"add a route GET {path} that answers 200, beside the one that takes rollouts",
            )
        if answer.status_code != httpx.codes.OK:
            raise RunError(
                f"the agent is not healthy: HTTP {answer.status_code} {answer.text[:SHOWN]}",
                where=self.health_url,
                allowed="HTTP 200",
                fix=fix,
            )

    async def run(self, session: Session, task: Task, seed: int, keep: Keep = forget) -> Episode:
        """Have the agent do one rollout; ``Info`` it reports becomes the episode's final state.

        Raises:
            AgentFailed: the agent says that it failed.
            RewardRefused: its reward was refused, and no other came.
            RolloutTimeout: it was too slow.
            RolloutError: it cannot be reached, ended without a report that is needed, or never called the model.
        """
        name = self._new_name(session.id, seed)
        rollout_id = secret_id(name)
        self.registry.open(rollout_id, session, job_arn=self.job_arn, name=name)
        ending = self._ending(self.registry.get(rollout_id))
        try:
            await self._play(ending, task.prompt)
        finally:
            keep(Episode("error", observed_tool_calls(session.turns)))
            await self.registry.close(rollout_id)
        turns = session.turns
        if not turns:
            raise ending.unasked()
        reward = ending.entry.reward or Reward(())
        return Episode(
            _ENDINGS[turns[-1].finish_reason],
            observed_tool_calls(turns),
            _written_down(reward.info, ending.entry),
            reward.values,
            reward.metrics,
        )

    def _ending(self, entry: Entry) -> RolloutEnding:
        return RolloutEnding(
            self.registry,
            entry,
            deadline=time.monotonic() + self.timeout_s,
            needs_reward=self.needs_reward,
            grace_s=self.grace_s,
            endpoint=self.endpoint,
            where=f"trajectory {entry.name} at {self.rollout_url}",
        )

    async def _play(self, ending: RolloutEnding, prompt: str) -> None:
        """Until the rollout is over: REWARD_RECEIVED, or where no reward is needed also READY."""
        answering = asyncio.create_task(self._start(ending, prompt))
        try:
            answer = await ending.answered(answering)
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
        if answer is not None:
            await ending.take(answer)
            self._refuse_failure(answer, ending)
        await ending.wait()
        if ending.entry.state is State.FAILED:
            text = f"the agent reported that the rollout failed{ending.lead}"
            raise ending.with_evidence(
                AgentFailed(text, where=ending.where, fix="look for an exception in the agent's log")
            )

    async def _start(self, ending: RolloutEnding, prompt: str) -> AgentAnswer | None:
        """Post the rollout; None where the connection broke after the agent had reported: nothing is missing."""
        try:
            answer = await ask(
                self.client,
                "POST",
                self.rollout_url,
                json=self._body(ending.entry, prompt),
                timeout=httpx.Timeout(None, connect=_CONNECT_S),
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if ending.over and ending.entry.state is not State.FAILED:
                return None
            lost = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError | httpx.ReadTimeout)
            large = isinstance(error, AnswerTooLarge)
            reached = large or (lost and not isinstance(error, httpx.ConnectError))
            fault = "the connection to the agent was lost" if reached else "the agent cannot be reached"
            fault = "the agent's answer was not read" if large else fault
            fix = "see whether the agent's server runs, and check its address in the recipe"
            failure = RolloutError(f"{fault}: {_name(error)}{ending.lead}", where=ending.where, fix=fix)
            raise ending.with_evidence(failure, reached=reached) from error
        return read_answer(_without_id(answer, ending.entry))

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

    def _refuse_failure(self, answer: AgentAnswer, ending: RolloutEnding) -> None:
        """Raise what the agent says went wrong, unless it has reported the end before."""
        if not answer.failure or (ending.over and ending.entry.state is not State.FAILED):
            return
        before = ending.lead.replace("; ", "; before that: ", 1)
        fix = "look for an exception in the agent's log"
        if answer.status in _NO_ROUTE:
            fix = "serve POST /rollout there, or give the recipe's agent the whole address that takes rollouts"
        elif answer.status == httpx.codes.UNPROCESSABLE_ENTITY:
            fix = "have the agent take the body {prompt, metadata, inferenceParams}, and ignore keys it does not know"
        raise ending.with_evidence(
            AgentFailed(f"{answer.failure}{before}", status=answer.status, where=ending.where, fix=fix)
        )

    def _new_name(self, session_id: str, seed: int) -> str:
        """A name of this attempt alone, the same in every run, and fit for headers and paths."""
        attempt = self._attempts[session_id, seed]
        self._attempts[session_id, seed] += 1
        readable = re.sub(r"[^A-Za-z0-9._~-]", "-", session_id)
        return f"{readable}-{digest([session_id, seed, *([attempt] if attempt else [])])[:8]}"


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


def _without_id(answer: httpx.Response, entry: Entry) -> httpx.Response:
    """An agent's answer as it may be quoted: errors stand in the record, which is the same in every run of one seed."""
    if entry.id.encode() not in answer.content:
        return answer
    content = answer.content.replace(entry.id.encode(), entry.name.encode())
    kind = {"Content-Type": answer.headers.get("Content-Type", "")}
    return httpx.Response(answer.status_code, headers=kind, content=content)


def _written_down(info: Mapping[str, Any], entry: Entry) -> Mapping[str, Any]:
    text = json.dumps(info)
    return json.loads(entry.named(text)) if entry.id in text else info


def _name(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
