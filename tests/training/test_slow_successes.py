"""Rollouts that succeed slowly and fail quickly are trained on as often as they happen.

The real buffer and the real overlap under a virtual clock, with made-up rollouts: half of the tasks are easy (80% in
about 20 s), half are hard (20%; a success takes long, a failure about 25 s). A gradient takes 30 s.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from practicum.recipe import build_recipe
from practicum.rollout.dispatcher import RolloutRequest
from practicum.seeds import derive
from practicum.tasks import Task
from practicum.training import async_trainer as overlap
from practicum.training.async_trainer import Ahead
from practicum.training.buffer import GroupBuffer, StepClock
from practicum.trajectory import EnvironmentRef, Group, Trajectory, Turn, survivors
from virtual_time import run_virtually

GRADIENT_S, STEPS, BATCH, GROUP, CALLS = 30.0, 30, 8, 8, 6
REF = EnvironmentRef("e", "1", "d")


@dataclass(frozen=True)
class Play:
    """How one rollout goes, drawn as it begins."""

    seconds: float
    reward: float
    slow_way: bool = False


@dataclass
class Simulation:
    """Training without a model. ``draw`` says how a rollout goes, ``learn`` changes what it draws from."""

    draw: Callable[[RolloutRequest, np.random.Generator], Play]
    keys: dict[str, Any]
    learn: Callable[[Sequence[Group]], None] = lambda groups: None
    version: int = 0
    begun: dict[str, Play] = field(default_factory=dict)
    trained: list[str] = field(default_factory=list)
    trained_in: dict[str, int] = field(default_factory=dict)
    """Task → the step that trained on it."""
    cut: int = 0
    discarded: int = 0
    too_old: int = 0
    untrained: list[Trajectory] = field(default_factory=list)
    wall_s: float = 0.0

    def __post_init__(self) -> None:
        self.recipe = build_recipe({"global_batch_size": BATCH, "group_size": GROUP, **self.keys})
        tasks = [Task(str(n), "") for n in range(STEPS * BATCH)]
        ahead = self.recipe.max_steps_off_policy
        self.buffer = GroupBuffer(tasks.__getitem__, len(tasks), BATCH, ahead, StepClock(1, [0]))
        self.wall_s = run_virtually(self._fit())

    async def rollout(self, request: RolloutRequest) -> Trajectory:
        """In the dispatcher's place."""
        play = self.begun[request.id] = self.draw(request, np.random.default_rng(derive(0, request.id)))
        versions = []
        for _ in range(CALLS):
            versions.append(self.version)
            await asyncio.sleep(play.seconds / CALLS)
        tokens = tuple(range(CALLS))
        turn = Turn((), {"role": "assistant"}, (1,), tokens, (-1.0,) * CALLS, tuple(versions), "stop")
        return Trajectory(
            request.id, request.task.id, request.group_id, 0, REF, (turn,), (), "final", rewards=(play.reward,)
        )

    async def _fit(self) -> None:
        async with Ahead(self.buffer, self, self._requests, self.recipe, lambda: self.version) as ahead:
            for step in range(1, STEPS + 1):
                groups = await ahead.batch()
                self._count(step, groups)
                self.learn(groups)
                await asyncio.sleep(GRADIENT_S)
                self.version += 1
                ahead.advance(self.version)

    def _requests(self, step: int, task: Task, attempt: int) -> list[RolloutRequest]:
        group = f"{task.id}.{attempt}"
        return [RolloutRequest(f"{group}/{n}", group, task, n) for n in range(GROUP)]

    def _count(self, step: int, groups: Sequence[Group]) -> None:
        self.trained_in |= {group.task_id: step for group in groups}
        self.untrained += self.buffer.untrained
        self.discarded += self.buffer.discarded
        self.buffer.untrained, self.buffer.discarded = [], 0
        for member in (member for group in groups for member in group.trajectories):
            if member.ending == "cancelled":
                self.cut += 1
            else:
                self.trained.append(member.id)
                # Each step is one version: what began with version v began in step v + 1.
                oldest = min(member.turns[0].versions)
                self.too_old += step - (oldest + 1) > self.recipe.max_steps_off_policy

    def reward(self, ids: Sequence[str]) -> float:
        """Mean over the hard tasks' rollouts among these."""
        return float(np.mean([self.begun[id].reward for id in ids if hard(id)]))

    def with_signal(self, ids: Sequence[str]) -> float:
        """Share of the hard groups whose rewards differ among these."""
        rewards = defaultdict[str, set[float]](set)
        for id in filter(hard, ids):
            rewards[id.partition(".")[0]].add(self.begun[id].reward)
        return float(np.mean([len(values) > 1 for values in rewards.values()]))


def hard(id: str) -> bool:
    return int(id.partition(".")[0]) % 2 == 1


def slow_successes(success_s: float) -> Callable[[RolloutRequest, np.random.Generator], Play]:
    def draw(request: RolloutRequest, rng: np.random.Generator) -> Play:
        if not hard(request.id):
            return Play(20 * math.exp(0.5 * rng.normal()), float(rng.random() < 0.8))
        succeeds = rng.random() < 0.2
        return Play((success_s if succeeds else 25) * math.exp(0.5 * rng.normal()), float(succeeds))

    return draw


@pytest.mark.parametrize("success_s", [150, 300])
@pytest.mark.parametrize("places", [96, 512])
@pytest.mark.parametrize("bound", [1, 3])
def test_slow_successes_are_trained_on_as_often_as_they_happen(success_s: float, places: int, bound: int) -> None:
    keys = {"max_steps_off_policy": bound, "rollout_max_concurrency": places}
    training = Simulation(slow_successes(success_s), keys)

    assert sorted(training.trained) == sorted(training.begun)
    assert training.reward(training.trained) == pytest.approx(0.2, abs=0.02)
    assert training.with_signal(training.trained) == pytest.approx(1 - 0.8**GROUP - 0.2**GROUP, abs=0.05)
    assert (training.cut, training.discarded, training.too_old, training.untrained) == (0, 0, 0, [])


@pytest.mark.parametrize("success_s", [150, 300])
def test_waiting_for_slow_ones_is_still_far_from_synchronous(success_s: float) -> None:
    at_once = Simulation(slow_successes(success_s), {"max_steps_off_policy": 0, "rollout_max_concurrency": 512})
    ahead = Simulation(slow_successes(success_s), {"max_steps_off_policy": 3, "rollout_max_concurrency": 512})

    # A group has three steps' time, so that the slowest of a batch costs a third of it.
    assert at_once.wall_s / ahead.wall_s > 2.9


def test_a_slow_task_in_eight_has_its_turn_like_any_other() -> None:
    def draw(request: RolloutRequest, rng: np.random.Generator) -> Play:
        slow = int(request.task.id) % 8 == 0
        return Play((200 if slow else 20) * math.exp(0.3 * rng.normal()), float(rng.random() < 0.5))

    training = Simulation(draw, {"max_steps_off_policy": 3, "rollout_max_concurrency": 512})

    late = {task: step - (int(task) // BATCH + 1) for task, step in training.trained_in.items()}
    assert len(late) == STEPS * BATCH
    assert max(late.values()) <= 3
    assert np.mean([late[task] for task in late if int(task) % 8 == 0]) <= 3


@pytest.mark.parametrize("success_s", [150, 300])
def test_what_cutting_costs_is_seen_beside_the_reward_trained_on(
    success_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "LOOK_S", 3.0)
    training = Simulation(slow_successes(success_s), {"rollout_max_concurrency": 512, "stragglers": "cut"})

    first_attempts = [id for id in training.begun if ".0/" in id]
    assert training.reward(training.trained) < 0.5 * training.reward(first_attempts)
    assert training.cut > 0
    assert training.too_old == 0
    known = [*training.trained, *(t.id for t in training.untrained)]
    # What it took to the end of training to tell is missing of the reward of all that was begun.
    assert training.reward(known) > 0.8 * training.reward(first_attempts)


@dataclass
class Policy:
    """Takes a slow way that mostly succeeds, or a quick one that seldom does, with a probability that it learns."""

    logit: float = math.log(0.05 / 0.95)
    rate: float = 0.14

    @property
    def slow_share(self) -> float:
        return 1 / (1 + math.exp(-self.logit))

    def draw(self, request: RolloutRequest, rng: np.random.Generator) -> Play:
        slow = rng.random() < self.slow_share
        seconds = (200 if slow else 20) * math.exp(0.3 * rng.normal())
        return Play(seconds, float(rng.random() < (0.7 if slow else 0.3)), slow)


def learnt(keys: dict[str, Any]) -> list[float]:
    """Share of slow ways after each step of training with group-relative advantages."""
    policy, shares, begun = Policy(), list[float](), dict[str, Play]()

    def learn(groups: Sequence[Group]) -> None:
        slope = 0.0
        for group in groups:
            members = survivors(group.trajectories)
            rewards = np.array([member.reward for member in members])
            slow = np.array([begun[member.id].slow_way for member in members], dtype=float)
            spread = rewards.std()
            if spread > 0:
                slope += float(np.mean((rewards - rewards.mean()) / spread * (slow - policy.slow_share)))
        policy.logit += policy.rate * slope
        shares.append(policy.slow_share)

    Simulation(policy.draw, {"rollout_max_concurrency": 512, **keys}, learn, begun=begun)
    return shares


def test_a_rare_slow_way_that_pays_is_learnt_as_in_synchronous_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "LOOK_S", 3.0)
    at_once, ahead, cut = (
        learnt({"max_steps_off_policy": bound, "stragglers": stragglers})
        for bound, stragglers in ((0, "wait"), (3, "wait"), (3, "cut"))
    )
    assert at_once[-1] > 0.4
    # What is up to three steps old comes to the same up to four steps later.
    assert ahead[-1] > at_once[-1 - 4]
    assert cut[-1] < 0.06
