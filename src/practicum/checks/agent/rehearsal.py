"""An agent's server at play with a scripted model: the real gateway, real HTTP, and a log of what is asked."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from practicum.checks.agent.requests import RequestLog
from practicum.checks.agent.script import Script, ScriptedSampler
from practicum.engine.protocol import SamplingParams
from practicum.environment.target import EnvironmentTarget
from practicum.recipe import Recipe
from practicum.rollout.agents_http import HttpAgent
from practicum.rollout.dispatcher import Dispatcher, Limits, RolloutRequest
from practicum.rollout.gateway.app import create_gateway
from practicum.rollout.gateway.http_server import GatewayServer
from practicum.rollout.gateway.registry import Registry
from practicum.rollout.renderer import Renderer
from practicum.tasks import Task
from practicum.trajectory import Trajectory

PATIENCE_S = 60.0
"""Seconds that a rollout with a scripted model may take, unless the recipe allows less."""
_REPORTING_S = 5.0
"""How much longer the dispatcher waits than the agent's own bound, whose error says more."""


@dataclass(frozen=True)
class Rehearsal:
    """One rollout to be played: its prompt, and what the model says in it."""

    id: str
    task: Task
    script: Script

    @property
    def label(self) -> str:
        """The rollout in words."""
        return f"task {self.task.id!r} with {self.script.name}"


@dataclass(frozen=True)
class Rehearsed:
    """What came of one: the requests the model was sent, and the trajectory with its reported reward."""

    rehearsal: Rehearsal
    requests: tuple[str, ...]
    trajectory: Trajectory


@dataclass(frozen=True)
class AgentStage:
    """Where an agent's server plays. See ``open_stage``."""

    log: RequestLog
    sampler: ScriptedSampler
    dispatcher: Dispatcher

    async def play(self, rehearsals: Sequence[Rehearsal]) -> list[Rehearsed]:
        """Play rollouts at the same time; a failed one has its error in the trajectory."""
        for rehearsal in rehearsals:
            self.log.forget(rehearsal.id)
            self.sampler.play(rehearsal.id, rehearsal.script)
        requests = [
            RolloutRequest(rehearsal.id, rehearsal.task.id, rehearsal.task, rehearsal.script.seed)
            for rehearsal in rehearsals
        ]
        with self.sampler.together(len(rehearsals)):
            played = await self.dispatcher.run(requests)
        return [
            Rehearsed(rehearsal, self.log.requests(rehearsal.id), trajectory)
            for rehearsal, trajectory in zip(rehearsals, played, strict=True)
        ]


def require_agent(recipe: Recipe) -> None:
    """Refuse an agent that is not there, before anything is checked that takes longer.

    Raises:
        RunError: it cannot be reached, or says that it is not healthy.
    """

    async def ask() -> None:
        async with httpx.AsyncClient() as client:
            await HttpAgent(recipe.agent, Registry(), "", client, "").check_health()

    asyncio.run(ask())


@asynccontextmanager
async def open_stage(target: EnvironmentTarget, recipe: Recipe, renderer: Renderer) -> AsyncIterator[AgentStage]:
    """A gateway, and the recipe's agent ready to be played with.

    Raises:
        RunError: the agent cannot be reached, or says that it is not healthy.
    """
    registry = Registry()
    log = RequestLog(create_gateway(registry, max_concurrency=recipe.rollout_max_concurrency))
    sampler = ScriptedSampler(renderer, log.tools)
    patience = min(PATIENCE_S, recipe.rollout_timeout)
    async with (
        GatewayServer(log) as server,
        httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)) as client,
    ):
        agent = HttpAgent(
            recipe.agent, registry, server.url, client, "arn:practicum:local:job/check", timeout_s=patience
        )
        await agent.check_health()
        dispatcher = Dispatcher(
            sampler=sampler,
            renderer=renderer,
            params=SamplingParams(recipe.temperature, recipe.sampling_top_p, recipe.sampling_max_tokens),
            agent=agent,
            environment=target.make().ref,
            reward=None,
            score=target.score,
            limits=Limits(timeout=patience + _REPORTING_S, retries=0),
        )
        yield AgentStage(log, sampler, dispatcher)
