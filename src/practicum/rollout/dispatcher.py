"""Runs rollouts under limits and turns each into a trajectory. One failed rollout never ends a run."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from practicum.engine.protocol import Sample, Sampler, SamplingParams
from practicum.environment.calling import exited
from practicum.errors import ContextFull, EnvironmentFault, ModelError, PracticumError
from practicum.rollout.agents import Agent, Episode, Keep
from practicum.rollout.failures import BrokenOff, ending_of, whose
from practicum.rollout.long_requests import context_of
from practicum.rollout.renderer import Renderer
from practicum.rollout.session import Session
from practicum.scoring import Judge, judge
from practicum.scoring.judgement import reported_reward
from practicum.tasks import Task
from practicum.trajectory import EnvironmentRef, Rollout, Trajectory

BACKOFF_S = 0.25
RETRIES_OF_A_TIMEOUT = 1
"""Where it ran out of time before a token was sampled: what hung twice would hang again, and each time costs the
whole ``rollout_timeout``."""


class AttachableSampler(Sampler, Protocol):
    """A sampler that can advance the rollouts of this process in lock step."""

    def attached(self, session: str) -> AbstractContextManager[None]:
        """Declare a session whose agent runs in this process, for the time of the block."""
        ...


@dataclass(frozen=True)
class RolloutRequest:
    """One rollout to collect."""

    id: str
    group_id: str
    task: Task
    seed: int


@dataclass(frozen=True)
class Limits:
    """What rollouts may take. Times in seconds; ``starts_per_s`` None starts them as soon as there is a place.

    The timeout is of one attempt, episode and judges together. In lock step the time that a rollout waits for the model
    is not counted.
    """

    concurrency: int = 96
    timeout: float = 600.0
    retries: int = 3
    starts_per_s: float | None = None


@dataclass
class Dispatcher:
    """Collects trajectories.

    Args:
        sampler, renderer, params: How a session samples.
        agent: Who plays.
        environment: Identity of the environment, for the trajectory.
        reward: Judges every trajectory; None where the agent itself reports the reward.
        score: The evaluation's number beside it; None leaves it out (training never looks at it), ``reported_reward``
            takes the reward that the agent itself reported.
        on_done: Called with each trajectory as it ends.
        policy_failure: What a rollout is worth that broke off by the policy's doing: ``zero``, a reward of 0, or
            ``drop``, none, so that it is not trained on.
    """

    sampler: AttachableSampler
    renderer: Renderer
    params: SamplingParams
    agent: Agent
    environment: EnvironmentRef
    reward: Judge | None
    score: Judge | None = None
    limits: Limits = field(default_factory=Limits)
    on_done: Callable[[Trajectory], None] = lambda trajectory: None
    policy_failure: Literal["zero", "drop"] = "zero"
    _next_start: float = 0.0

    async def run(self, requests: Sequence[RolloutRequest]) -> list[Trajectory]:
        """Trajectories in the order of the requests; failed ones have ``ending == "error"``.

        In lock step nothing that happens beside the model decides which rollouts are under way together, since rounding
        depends on it: judges work while the next rollouts play, and who failed is tried again in a round of its own.
        """
        trajectories: dict[int, Trajectory] = {}
        try:
            if self.agent.in_process:
                await self._rounds(requests, trajectories)
            else:
                await self._places(requests, trajectories)
        except ExceptionGroup as failures:
            # The others were cancelled; the first failure says what to mend.
            raise failures.exceptions[0] from None
        return [trajectories[n] for n in range(len(requests))]

    async def rollout(self, request: RolloutRequest) -> Trajectory:
        """One trajectory, however many others are under way."""
        for attempt in itertools.count():
            played = await self._play(request, attempt)
            judged = await self._judge(played, request.task)
            if not judged.again:
                break
            await asyncio.sleep(BACKOFF_S * 2**attempt)
        self.on_done(judged.trajectory)
        return judged.trajectory

    async def _places(self, requests: Sequence[RolloutRequest], trajectories: dict[int, Trajectory]) -> None:
        waiting = iter(enumerate(requests))

        async def place() -> None:
            for n, request in waiting:
                trajectories[n] = await self.rollout(request)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.limits.concurrency, len(requests))):
                group.create_task(place())

    async def _rounds(self, requests: Sequence[RolloutRequest], trajectories: dict[int, Trajectory]) -> None:
        unfinished: Sequence[int] = range(len(requests))
        for attempt in itertools.count():
            unfinished = await self._round(requests, unfinished, attempt, trajectories)
            if not unfinished:
                return
            await asyncio.sleep(BACKOFF_S * 2**attempt)

    async def _round(
        self,
        requests: Sequence[RolloutRequest],
        numbers: Sequence[int],
        attempt: int,
        trajectories: dict[int, Trajectory],
    ) -> list[int]:
        """Play and judge these once; returns those to try again."""
        waiting, again, judges = iter(numbers), list[int](), asyncio.Semaphore(self.limits.concurrency)

        async def place() -> None:
            # Whoever ends makes way at once: in lock step no token is sampled between the two, however fast they are.
            for n in waiting:
                played = await self._play(requests[n], attempt)
                group.create_task(judged(n, played))

        async def judged(n: int, played: _Attempt) -> None:
            async with judges:
                result = await self._judge(played, requests[n].task)
            if not result.again:
                trajectories[n] = result.trajectory
                self.on_done(result.trajectory)
            else:
                again.append(n)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.limits.concurrency, len(numbers))):
                group.create_task(place())
        return sorted(again)

    def _tried_again(self, trajectory: Trajectory, broken: BrokenOff) -> bool:
        """Whether a rollout that broke off is tried again: only what infrastructure broke is, with the same seed."""
        if trajectory.failure != "infrastructure" or broken.misconfigured:
            return False
        tries = min(self.limits.retries, RETRIES_OF_A_TIMEOUT) if broken.late else self.limits.retries
        return trajectory.retries < tries

    async def _wait_for_start(self) -> None:
        if self.limits.starts_per_s is None:
            return
        present = asyncio.get_running_loop().time()
        start = max(present, self._next_start)
        self._next_start = start + 1 / self.limits.starts_per_s
        await asyncio.sleep(start - present)

    async def _play(self, request: RolloutRequest, attempt: int) -> "_Attempt":
        """One episode, not judged yet. Every attempt has the same seed: another would be another draw."""
        await self._wait_for_start()
        deadline, loop = asyncio.timeout(self.limits.timeout), asyncio.get_running_loop()
        sampler = _Watched(self.sampler, deadline if self.agent.in_process else None)
        session = Session(request.id, sampler, self.renderer, self.params, request.seed)
        episodes = [Episode("error")]
        failure: BaseException | None = None
        remaining = 0.0
        try:
            async with deadline:
                try:
                    episodes.append(await self._played(session, request.task, request.seed, episodes.append))
                finally:
                    remaining = (deadline.when() or loop.time()) - loop.time()
        except (EnvironmentFault, ModelError):
            # The environment or the model is broken for every rollout alike: retrying would only hide it.
            raise
        except (Exception, SystemExit) as error:  # whatever an agent or a tool throws fails this one alone
            failure = error
        if sampler.fault is not None:  # an agent elsewhere is told of it as of any refusal, and may go on after it
            raise sampler.fault
        trajectory = self._trajectory(request, attempt, session, episodes[-1])
        full = sampler.full or session.overfull
        if failure is None:
            return _Attempt(replace(trajectory, ending="length") if full else trajectory, remaining)
        broken = BrokenOff(
            failure,
            sampled=bool(session.turns),
            expired=isinstance(failure, TimeoutError) and deadline.expired(),
            environment=episodes[-1].broke_in,
            engine=sampler.failed,
            full=full,
            last=attempt >= self.limits.retries,
        )
        if broken.overflowed:
            trajectory = replace(trajectory, ending="length")
            if self.reward is not None:  # what is there is judged, as of an agent that gives in to the refusal
                return _Attempt(trajectory, remaining)
        over = self._broken_off(trajectory, broken)
        return _Attempt(over, 0.0, again=self._tried_again(over, broken))

    async def _judge(self, played: "_Attempt", task: Task) -> "_Attempt":
        """The episode with its reward and score, within what it left of its time; a failed one as it is."""
        trajectory = played.trajectory
        if trajectory.error is not None:
            return played
        deadline = asyncio.timeout(played.remaining)
        try:
            async with deadline:
                judged = await self._judged(trajectory, task)
        except EnvironmentFault:
            raise
        except (Exception, SystemExit) as failure:
            expired = isinstance(failure, TimeoutError) and deadline.expired()
            judged = self._broken_off(trajectory, BrokenOff(failure, sampled=True, expired=expired, judging=True))
        return replace(played, trajectory=judged)

    @property
    def _unearned(self) -> tuple[float, ...]:
        """The rewards of a rollout that broke off by the policy's doing."""
        return (0.0,) if self.policy_failure == "zero" else ()

    def _broken_off(self, trajectory: Trajectory, broken: BrokenOff) -> Trajectory:
        """The record of a rollout that nothing more will come of."""
        failure = whose(broken)
        error = self._gave_up() if broken.expired else failure_text(broken.error)
        if broken.expired and broken.judging:
            error += ", in the reward or the score"
        if failure != "policy":
            return replace(trajectory, ending="error", error=error, failure=failure)
        ending = "length" if trajectory.ending == "length" else ending_of(trajectory.turns, error)
        score = None if self.score is None else 0.0
        return replace(
            trajectory, ending=ending, error=error, failure=failure, rewards=self._unearned, metrics={}, score=score
        )

    def _gave_up(self) -> str:
        return f"gave up after rollout_timeout = {self.limits.timeout:g} s"

    async def _played(self, session: Session, task: Task, seed: int, keep: Keep) -> Episode:
        try:
            if not self.agent.in_process:
                return await self.agent.run(session, task, seed, keep)
            with self.sampler.attached(session.id):
                return await self.agent.run(session, task, seed, keep)
        finally:
            session.release()

    def _trajectory(self, request: RolloutRequest, attempt: int, session: Session, episode: Episode) -> Trajectory:
        return Trajectory(
            id=request.id,
            task_id=request.task.id,
            group_id=request.group_id,
            seed=request.seed,
            environment=self.environment,
            turns=session.turns,
            tool_calls=episode.tool_calls,
            ending=episode.ending,
            tools=session.tools,
            rewards=episode.rewards,
            metrics=episode.metrics,
            final_state=episode.final_state,
            transitions=episode.transitions,
            temperature=self.params.temperature,
            top_p=self.params.top_p,
            retries=attempt,
        )

    async def _judged(self, trajectory: Trajectory, task: Task) -> Trajectory:
        rollout = Rollout.of(trajectory, task)
        if self.reward is not None:
            reward = await judge(self.reward, rollout, turns=len(trajectory.turns))
            trajectory = replace(trajectory, rewards=reward.values, metrics=reward.components)
        if self.score is reported_reward:
            return replace(trajectory, score=trajectory.reward, score_metrics=trajectory.metrics)
        if self.score is not None:
            score = await judge(self.score, rollout, turns=len(trajectory.turns))
            trajectory = replace(trajectory, score=score.total, score_metrics=score.components)
        return trajectory


@dataclass(frozen=True)
class _Attempt:
    """One attempt at a rollout; ``retries`` of the trajectory says which."""

    trajectory: Trajectory
    remaining: float
    """Seconds it has left of its time."""
    again: bool = False
    """Whether it is to be tried again."""


@dataclass
class _Watched:
    """A rollout's sampler, which remembers how the last model call ended.

    In lock step the rollout's time stands still while it waits for the model: its next token waits until every other
    rollout's tool has come back, and where one of them hangs, that one alone shall run out of time. A call of the
    model itself ends, with its last token.
    """

    sampler: Sampler
    deadline: asyncio.Timeout | None
    """Of a rollout in lock step."""
    full: bool = False
    """Whether the last call found no room in the context."""
    failed: bool = False
    """Whether the last call failed otherwise, in the engine."""
    fault: ModelError | None = None
    """What is wrong with the model itself, for every rollout alike."""

    @property
    def version(self) -> int:
        return self.sampler.version

    @property
    def max_length(self) -> int | None:
        return context_of(self.sampler)

    async def sample(self, session: str, prompt_ids: Sequence[int], params: SamplingParams, seed: int) -> Sample:
        self.full = self.failed = False
        try:
            return await self._sample(session, prompt_ids, params, seed)
        except ContextFull:
            self.full = True
            raise
        except ModelError as fault:
            self.fault = fault
            raise
        except Exception:
            self.failed = True
            raise

    async def _sample(self, session: str, prompt_ids: Sequence[int], params: SamplingParams, seed: int) -> Sample:
        deadline, loop = self.deadline, asyncio.get_running_loop()
        end = deadline and deadline.when()
        if deadline is None or end is None or deadline.expired():
            # Not in lock step, within another call, or while the rollout is given up.
            return await self.sampler.sample(session, prompt_ids, params, seed)
        remaining = end - loop.time()
        deadline.reschedule(None)
        try:
            return await self.sampler.sample(session, prompt_ids, params, seed)
        finally:
            deadline.reschedule(loop.time() + remaining)

    def release(self, session: str) -> None:
        self.sampler.release(session)


def failure_text(failure: BaseException) -> str:
    """What is written down of why a rollout failed."""
    if isinstance(failure, SystemExit):
        failure = exited(failure, "the environment, the agent or the reward")
    text = str(failure) if isinstance(failure, PracticumError) else f"{type(failure).__name__}: {failure}"
    return "\n".join([text, *getattr(failure, "__notes__", ())])
