"""Runs rollouts under limits and turns each into a trajectory. One failed rollout never ends a run."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from practicum.engine.protocol import Sample, Sampler, SamplingParams
from practicum.environment.calling import exited
from practicum.errors import EnvironmentFault, PracticumError
from practicum.rollout.agents import Agent, Episode, Keep
from practicum.rollout.session import Renderer, Session
from practicum.scoring import Judge, judge
from practicum.seeds import derive
from practicum.tasks import Task
from practicum.trajectory import EnvironmentRef, Rollout, Trajectory

BACKOFF_S = 0.25


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

    In lock step the time that a rollout waits for the model is not counted.
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
        score: The evaluation's number beside it; None leaves it out (training never looks at it).
        on_done: Called with each trajectory as it ends.
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
    _next_start: float = 0.0

    async def run(self, requests: Sequence[RolloutRequest]) -> list[Trajectory]:
        """Trajectories in the order of the requests; failed ones have ``ending == "error"``."""
        waiting, done = iter(enumerate(requests)), dict[int, Trajectory]()

        async def place() -> None:
            # Whoever ends makes way at once: in lock step no token is sampled between the two, however fast they are.
            for n, request in waiting:
                done[n] = await self.one(request)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.limits.concurrency, len(requests))):
                    group.create_task(place())
        except ExceptionGroup as failures:
            # The others were cancelled; the first failure says what to mend.
            raise failures.exceptions[0] from None
        return [done[n] for n in range(len(requests))]

    async def one(self, request: RolloutRequest) -> Trajectory:
        """One trajectory, however many others are under way."""
        trajectory = await self._with_retries(request)
        self.on_done(trajectory)
        return trajectory

    async def _with_retries(self, request: RolloutRequest) -> Trajectory:
        for attempt in range(self.limits.retries + 1):
            seed = request.seed if attempt == 0 else derive(request.seed, "retry", attempt)
            trajectory = await self._attempt(request, seed)
            if trajectory.error is None or attempt == self.limits.retries:
                return replace(trajectory, retries=attempt)
            await asyncio.sleep(BACKOFF_S * 2**attempt)
        raise AssertionError("unreachable")

    async def _wait_for_start(self) -> None:
        if self.limits.starts_per_s is None:
            return
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_start)
        self._next_start = start + 1 / self.limits.starts_per_s
        await asyncio.sleep(start - now)

    async def _attempt(self, request: RolloutRequest, seed: int) -> Trajectory:
        await self._wait_for_start()
        deadline = asyncio.timeout(self.limits.timeout)
        sampler = _Untimed(self.sampler, deadline) if self.agent.in_process else self.sampler
        session = Session(request.id, sampler, self.renderer, self.params, seed)
        kept = [Episode("error")]
        trajectory, error = None, None
        try:
            async with deadline:
                episode = await self._played(session, request.task, seed, kept.append)
                trajectory = self._trajectory(request, seed, session, episode)
                trajectory = await self._judged(trajectory, request.task)
        except EnvironmentFault:
            # The environment is broken for every rollout alike: retrying would only hide it.
            raise
        except (Exception, SystemExit) as failure:  # whatever an agent, a tool or a reward throws fails this one alone
            error = told(failure)
            if isinstance(failure, TimeoutError) and deadline.expired():
                error = f"gave up after rollout_timeout = {self.limits.timeout:g} s"
                error += ", in the reward or the score" if trajectory else ""
        if error is None and trajectory is not None:
            return trajectory
        trajectory = trajectory or self._trajectory(request, seed, session, kept[-1])
        return replace(trajectory, ending="error", error=error)

    async def _played(self, session: Session, task: Task, seed: int, keep: Keep) -> Episode:
        try:
            if not self.agent.in_process:
                return await self.agent.run(session, task, seed, keep)
            with self.sampler.attached(session.id):
                return await self.agent.run(session, task, seed, keep)
        finally:
            session.release()

    def _trajectory(self, request: RolloutRequest, seed: int, session: Session, episode: Episode) -> Trajectory:
        return Trajectory(
            id=request.id,
            task_id=request.task.id,
            group_id=request.group_id,
            seed=seed,
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
        )

    async def _judged(self, trajectory: Trajectory, task: Task) -> Trajectory:
        rollout = Rollout.of(trajectory, task)
        if self.reward is not None:
            reward = await judge(self.reward, rollout, turns=len(trajectory.turns))
            trajectory = replace(trajectory, rewards=reward.values, metrics=reward.components)
        if self.score is not None:
            score = await judge(self.score, rollout, turns=len(trajectory.turns))
            trajectory = replace(trajectory, score=score.total, score_metrics=score.components)
        return trajectory


@dataclass
class _Untimed:
    """The sampler of a rollout in lock step, whose time stands still while it waits for the model.

    Its next token waits until every other rollout's tool has come back: where one of them hangs, that one alone shall
    run out of time. A call of the model itself ends, with its last token.
    """

    sampler: Sampler
    deadline: asyncio.Timeout

    @property
    def version(self) -> int:
        return self.sampler.version

    async def sample(self, session: str, prompt_ids: Sequence[int], params: SamplingParams, seed: int) -> Sample:
        loop, end = asyncio.get_running_loop(), self.deadline.when()
        if end is None or self.deadline.expired():  # within another call, or while the rollout is given up
            return await self.sampler.sample(session, prompt_ids, params, seed)
        left = end - loop.time()
        self.deadline.reschedule(None)
        try:
            return await self.sampler.sample(session, prompt_ids, params, seed)
        finally:
            self.deadline.reschedule(loop.time() + left)

    def release(self, session: str) -> None:
        self.sampler.release(session)


def told(failure: BaseException) -> str:
    """What is written down of why a rollout failed."""
    if isinstance(failure, SystemExit):
        failure = exited(failure, "the environment, the agent or the reward")
    text = str(failure) if isinstance(failure, PracticumError) else f"{type(failure).__name__}: {failure}"
    return "\n".join([text, *getattr(failure, "__notes__", ())])
