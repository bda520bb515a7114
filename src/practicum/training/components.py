"""Everything a recipe names, built once: environment, tasks, model, sampler, learner, agent."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import torch

from practicum.display import say_line
from practicum.engine.local.export import plain_sampling
from practicum.engine.local.hardware import choose_device, choose_dtype, instructions, processor
from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.models import family_of, find_model, model_digest, tokenizer_digest
from practicum.engine.local.policy import Policy
from practicum.engine.local.sampler import LocalSampler
from practicum.engine.protocol import SamplingParams
from practicum.environment.target import AgentsOwn, EnvironmentTarget, target_of
from practicum.errors import EnvironmentFault, RecipeError
from practicum.recipe import BUILTIN, Recipe
from practicum.rollout.agents import Agent, BuiltinAgent
from practicum.rollout.agents_http import HttpAgent
from practicum.rollout.dispatcher import Dispatcher, Limits, RolloutRequest
from practicum.rollout.gateway.app import create_gateway
from practicum.rollout.gateway.http_server import GatewayServer
from practicum.rollout.gateway.registry import Registry
from practicum.rollout.renderer import Renderer, make_renderer
from practicum.runs.code_digest import digest_object, digest_settings
from practicum.runs.manifest import Manifest, data_digests, describe_machine, tool_digests
from practicum.scoring import Judge
from practicum.scoring.judgement import reported_reward
from practicum.tasks import TaskSet
from practicum.training.splits import load_splits
from practicum.trajectory import EnvironmentRef, Trajectory

T = TypeVar("T")

REPORTING_S = 5.0
"""How much longer than ``rollout_timeout`` the dispatcher waits for a remote agent, whose own error says more."""


@dataclass
class Workbench:
    """The parts of one run, ready to use. Use it with ``with``: an agent server's gateway runs until the end."""

    recipe: Recipe
    target: EnvironmentTarget
    environment: EnvironmentRef
    score: Judge
    reward: Judge
    """The environment's reward, or where it has none, the score."""
    splits: Mapping[str, TaskSet]
    folder: Path
    """The model's."""
    policy: Policy
    sampler: LocalSampler
    learner: LocalLearner
    renderer: Renderer
    agent: Agent
    runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    """One event loop for the whole run: a gateway and its connections outlive a step."""
    closing: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    """What is closed at the end."""

    def __enter__(self) -> "Workbench":
        if self.recipe.agent != BUILTIN:
            try:
                self.agent = self.run(self._remote_agent(self.recipe.agent))
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run(self.closing.aclose())
        finally:
            self.runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the workbench's loop."""
        return self.runner.run(work)

    def collect(self, dispatcher: Dispatcher, requests: Sequence[RolloutRequest]) -> list[Trajectory]:
        """Run rollouts to their end."""
        return self.run(dispatcher.run(requests))

    def dispatcher(
        self,
        params: SamplingParams,
        *,
        scored: bool = False,
        free: bool = False,
        on_done: Callable[[Trajectory], None] = lambda trajectory: None,
    ) -> Dispatcher:
        """A dispatcher over the present weights. Only ``scored`` ones, for held-out tasks, run the score.

        Rollouts of a ``free`` one do not wait for each other: others are under way besides, and weights may change.
        """
        self.sampler.weights_changed()
        agent = self.agent
        remote = not isinstance(agent, BuiltinAgent)
        if free and isinstance(agent, BuiltinAgent):
            agent = replace(agent, in_process=False)
        return Dispatcher(
            sampler=self.sampler,
            renderer=self.renderer,
            params=params,
            agent=agent,
            environment=self.environment,
            reward=None if remote else self.reward,
            score=self.score if scored else None,
            limits=self._limits(remote=remote),
            on_done=on_done,
            policy_failure="zero" if scored else self.recipe.policy_failure,
        )

    def training_params(self) -> SamplingParams:
        """How training rollouts sample."""
        recipe = self.recipe
        return SamplingParams(recipe.temperature, recipe.sampling_top_p, recipe.sampling_max_tokens)

    def held_out_params(self, temperature: float) -> SamplingParams:
        """How validation and evaluation rollouts sample."""
        return SamplingParams(temperature, self.recipe.val_top_p, self.recipe.val_max_tokens)

    def _limits(self, *, remote: bool) -> Limits:
        recipe = self.recipe
        return Limits(
            concurrency=recipe.rollout_max_concurrency,
            timeout=recipe.rollout_timeout + (REPORTING_S if remote else 0.0),
            retries=recipe.rollout_max_retries,
            starts_per_s=recipe.rollout_tps if remote else None,
        )

    async def _remote_agent(self, url: str) -> HttpAgent:
        """An agent server as the agent, with the gateway it talks to.

        Raises:
            RunError: the agent does not answer.
        """
        recipe, registry = self.recipe, Registry()
        public_name = urlsplit(recipe.gateway_url or "").hostname
        gateway = create_gateway(
            registry,
            max_concurrency=recipe.rollout_max_concurrency,
            host_names=[name for name in (recipe.gateway_host, public_name) if name],
        )
        place = GatewayServer(
            gateway, host=recipe.gateway_host, port=recipe.gateway_port, public_url=recipe.gateway_url
        )
        server = await self.closing.enter_async_context(place)
        # An agent's server may close a connection after an error: a kept one would lose the retry.
        limits = httpx.Limits(max_connections=recipe.rollout_max_concurrency, max_keepalive_connections=0)
        client = await self.closing.enter_async_context(httpx.AsyncClient(limits=limits))
        job = f"arn:practicum:local:job/{recipe.name or 'run'}"
        agent = HttpAgent(url, registry, server.url, client, job, timeout_s=recipe.rollout_timeout)
        await agent.check_health()
        return agent


def build(recipe: Recipe) -> Workbench:
    """Load what the recipe names.

    Raises:
        RecipeError: a needed key is missing.
        PracticumError: the environment, its tasks or the model cannot be loaded.
    """
    model_name = _required(recipe, "model_name")
    target = target_of(recipe)
    score = _score(target)
    if score is reported_reward and recipe.reference_base_url:
        raise RecipeError(
            "a reference model cannot be asked: tools and reward are the agent server's own",
            where=f"agent {recipe.agent}",
            fix="take reference_base_url out, or give the recipe an environment",
        )
    environment = target.make()
    splits = load_splits(recipe, target)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    device = choose_device(recipe.device)
    folder = find_model(model_name)
    policy = Policy.load(folder, dtype=choose_dtype(recipe.dtype, device), device=device)
    renderer = make_renderer(policy.tokenizer, family_of(model_name))
    policy.model.generation_config = plain_sampling(policy.model, renderer.get_stop_token_ids())
    return Workbench(
        recipe=recipe,
        target=target,
        environment=environment.ref,
        score=score,
        reward=target.reward or score,
        splits=splits,
        folder=folder,
        policy=policy,
        sampler=LocalSampler(policy, max_length=_longest(policy, recipe)),
        learner=_learner(policy, recipe),
        renderer=renderer,
        agent=BuiltinAgent(target.make, recipe.max_turns),
    )


def _longest(policy: Policy, recipe: Recipe) -> int:
    """Tokens that a rollout may come to: the recipe's bound, or the model's own where that is lower.

    Beyond its own bound a model computes something, but nothing that it was made for.
    """
    most: int | None = getattr(policy.model.config.get_text_config(), "max_position_embeddings", None)
    if most is None or recipe.max_sequence_length <= most:
        return recipe.max_sequence_length
    bound = f"max_sequence_length is {recipe.max_sequence_length}, but the model was made for at most {most} tokens"
    say_line(f"practicum: {bound}: rollouts end there", stderr=True)
    return most


def _learner(policy: Policy, recipe: Recipe) -> LocalLearner:
    return LocalLearner(
        policy,
        lora_rank=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_plus_lr_ratio=recipe.lora_plus_lr_ratio,
        train_embeddings=recipe.train_embeddings,
        micro_batch_tokens=recipe.micro_batch_tokens,
        seed=recipe.seed,
    )


def manifest_of(bench: Workbench) -> Manifest:
    """What decides the outcome of a run with these components: digests and versions of all of them."""
    device = bench.policy.shape.device
    return Manifest(
        environment=bench.environment,
        tools=tool_digests(bench.target.make().schemas()),
        seeds={"seed": bench.recipe.seed},
        data=data_digests(bench.splits),
        reward=digest_object(bench.reward),
        score=digest_object(bench.score),
        rule_settings={"score": digest_settings(bench.score), "reward": digest_settings(bench.reward)},
        recipe=bench.recipe.to_dict(),
        model={"name": str(bench.recipe.model_name), "digest": model_digest(bench.folder)},
        tokenizer=tokenizer_digest(bench.folder),
        machine=describe_machine(
            torch.get_num_threads(),
            Path.cwd(),
            processor=processor(device),
            instructions=instructions(device),
            dtype=str(bench.policy.model.dtype).removeprefix("torch."),
        ),
    )


def _score(target: EnvironmentTarget) -> Judge:
    if target.score is None and target.environment is AgentsOwn:
        return reported_reward
    if target.score is None:
        raise EnvironmentFault(
            f"there is no score beside {target.environment.__name__}",
            where=str(target.module.__file__),
            fix="define score there, such as: score = score_fields(tag='final_output', exact=True)",
        )
    return target.score


def _required(recipe: Recipe, key: str) -> str:
    value = getattr(recipe, key)
    if value is None:
        raise RecipeError(f"the recipe has no {key}", fix=f"add a line {key}: …, or give {key}=… on the command line")
    return str(value)
