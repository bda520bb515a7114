"""When a rollout of an agent server is over: its report, its answer, or what it was refused; and how long to wait.

An agent that finishes later has the whole ``rollout_timeout``. Where the outcome is known, only ``REPORT_GRACE_S``
are waited: after an answer that stands for a finished rollout, and after a report that was refused.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import TypeVar

from practicum.errors import RewardRefused, RolloutError, RolloutTimeout
from practicum.rollout.agent_answers import AgentAnswer, reward_values
from practicum.rollout.gateway.error_answers import GatewayError
from practicum.rollout.gateway.registry import Entry, Registry, Reward, State
from practicum.rollout.refusals import AgentEvidence, CallSubject, Refusal

REPORT_GRACE_S = 10.0
"""Seconds a report may come after the agent has answered for good, or after one that was refused; and seconds that the
agent's answer may come after its report."""
_LOOK_S = 1.0
"""Seconds between two looks at a rollout of which nothing is heard."""

FailedRollout = TypeVar("FailedRollout", bound=RolloutError)


@dataclass
class RolloutEnding:
    """Waits for the end of one rollout.

    Args:
        registry, entry: Where the agent's calls are heard.
        deadline: Monotonic seconds at which it is given up.
        needs_reward: Whether it is over only with the agent's reward; otherwise when it is sealed.
        grace_s: See ``REPORT_GRACE_S``.
        endpoint: The gateway's address as the agent was told it.
        where: The place that errors name.
    """

    registry: Registry
    entry: Entry
    deadline: float
    needs_reward: bool
    grace_s: float
    endpoint: str
    where: str
    answer: AgentAnswer | None = None
    _answered: float = 0.0
    _calls_then: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing more is needed of the agent."""
        state = self.entry.state
        return state in (State.REWARD_RECEIVED, State.FAILED) or (state is State.READY and not self.needs_reward)

    @property
    def lead(self) -> str:
        """What refusal may explain a failure, ready to follow a sentence; empty where there was none."""
        lead = self.registry.lead(self.entry)
        return f"; {lead}" if lead else ""

    async def answered(self, answering: "asyncio.Task[AgentAnswer | None]") -> AgentAnswer | None:
        """The agent's answer; None where it does not come in time, or soon after the rollout is over."""
        over = asyncio.create_task(self._until_over())
        try:
            await asyncio.wait({answering, over}, timeout=self._remaining, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
        if self.over and not answering.done():
            await asyncio.wait({answering}, timeout=min(self.grace_s, self._remaining))
        return answering.result() if answering.done() else None

    async def take(self, answer: AgentAnswer) -> None:
        """Seal the trajectory of an agent that has answered for good, with the reward in its answer if it has one."""
        self.answer, self._answered, self._calls_then = answer, time.monotonic(), self.entry.calls
        if self.over or answer.accepted or answer.failure:
            return
        try:
            reward = self._reward_of(answer)
            if self.entry.state is State.PENDING and (self.entry.calls or reward):
                await self.entry.complete("ready", None)
            if reward:
                self.entry.update_reward(reward, None)
        except (GatewayError, ValueError) as refused:
            self.entry.refuse(Refusal(CallSubject.REWARD, "the reward in the agent's answer", str(refused)))

    async def wait(self) -> None:
        """Wait until the rollout is over.

        Raises:
            RolloutTimeout: it is not within ``rollout_timeout``.
            RewardRefused: a report was refused, or none came with an answer for good, and none within the grace.
            RolloutError: the rollout has no turn, or the trajectory was closed meanwhile.
        """
        while not self.over:
            if self.entry.closed:
                raise RolloutError("the trajectory was closed while it was waited for", where=self.where)
            remaining = self._due - time.monotonic()
            if remaining <= 0:
                raise self._unfinished()
            await self.entry.news(min(remaining, _LOOK_S))

    def with_evidence(self, failure: FailedRollout, *, reached: bool = True) -> FailedRollout:
        """An error with what is known of the rollout as its evidence."""
        answer = self.answer
        failure.evidence = AgentEvidence(
            model_calls=self.entry.calls,
            answer_status=answer.status if answer else None,
            error_type=answer.error_type if answer else "",
            said_failed=self.entry.state is State.FAILED or bool(answer and answer.says_failed),
            reached=reached,
            refusal=self.entry.refusals.last,
        )
        return failure

    def unasked(self) -> RolloutError:
        """The error of a rollout without a turn: the policy was never asked, or nobody received what it said."""
        calls = self.entry.calls
        if calls:
            text = f"the agent ended the rollout without receiving a single answer of the {calls} that were sampled"
            fix = "have the agent wait for the model's answer: its client's timeout must be longer than a model call"
        else:
            text, fix = "the agent ended the rollout without a single model call", self._reach_the_model
        return self.with_evidence(RolloutError(f"{text}{self.lead}", where=self.where, fix=fix))

    @property
    def _remaining(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    @property
    def _finishes_later(self) -> bool:
        """Whether the agent said so, or shows it: by calls after an answer that seemed to be for good."""
        answer = self.answer
        return answer is None or answer.accepted or self.entry.calls > self._calls_then

    @property
    def _due(self) -> float:
        """When to give up, as it looks now."""
        refused = self.entry.report_refused
        since = refused if self._finishes_later else max(self._answered, refused or 0.0)
        if self.entry.running or since is None:
            return self.deadline
        return min(self.deadline, since + self.grace_s)

    async def _until_over(self) -> None:
        while not self.over:
            await self.entry.news(_LOOK_S)

    def _reward_of(self, answer: AgentAnswer) -> Reward | None:
        if answer.reward is None or not self.needs_reward:
            return None
        return Reward(reward_values(answer.reward))

    def _unfinished(self) -> RolloutError:
        refused = self.entry.report_refused is not None
        if time.monotonic() >= self.deadline:
            text = self.registry.unfinished(self.entry, self._missing)
            kind: type[RolloutError] = RewardRefused if refused else RolloutTimeout
        elif not self.entry.session.turns and not self._finishes_later:
            return self.unasked()
        elif self._finishes_later:
            text = f"a report of the agent was refused and no other came within {self.grace_s:g} s{self.lead}"
            kind = RewardRefused
        else:
            said = repr(self.answer.excerpt) if self.answer else ""
            text = f"the agent answered {said} and no reward came within {self.grace_s:g} s{self.lead}"
            kind = RewardRefused
        return self.with_evidence(kind(text, where=self.where, fix=self._mend))

    @property
    def _missing(self) -> str:
        if self.entry.state is State.READY:
            return "the agent never called /update-reward"
        if self.needs_reward:
            return "the agent never called /complete-rollout and /update-reward"
        return "the agent never called /complete-rollout"

    @property
    def _mend(self) -> str:
        if self.entry.refusals.last is not None:
            return "mend the call as its refusal says, and have the agent raise where a call is refused"
        if not self.entry.calls:
            return self._reach_the_model
        if not self._finishes_later:
            return (
                'answer {"reward": number}, or call /complete-rollout and /update-reward before answering; an agent '
                'that finishes later answers {"status": "accepted"}'
            )
        if self.entry.state is State.READY:
            return 'send POST /update-reward {"TrajectoryId": rolloutId, "Rewards": [number]}, or raise rollout_timeout'
        return "look for an exception in the agent's log, or raise rollout_timeout"

    @property
    def _reach_the_model(self) -> str:
        return (
            "have the agent call the model at metadata.endpoint, with the rolloutId in header or path, and see that it "
            f"reaches {self.endpoint} from where it runs (in a container 127.0.0.1 is the container itself: set "
            "gateway_host and gateway_url)"
        )
