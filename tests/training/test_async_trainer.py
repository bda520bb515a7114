"""Rollouts go on while a step is trained; slow ones are waited for only when a group would become too old, or cut."""

import asyncio
import json
import signal
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kills import killed_at
from practicum.errors import EnvironmentFault
from practicum.recipe import build_recipe
from practicum.rollout.dispatcher import RolloutRequest
from practicum.runs.checkpoint import OpenGroups
from practicum.seeds import derive
from practicum.store import read_trajectories
from practicum.tasks import Task
from practicum.training import async_trainer as overlap
from practicum.training.async_trainer import Ahead
from practicum.training.buffer import GroupBuffer, StepClock
from practicum.trajectory import EnvironmentRef, Trajectory, Turn, group_by_task, survivors


class World:
    """A policy whose version the test sets, and rollouts that take the time it says, or (time, whether they fail)."""

    def __init__(self, seconds: Any = lambda request: 0.0, *, steps: int = 6, **recipe: Any) -> None:
        values = {"global_batch_size": 2, "group_size": 3, "max_steps_off_policy": 1, **recipe}
        self.recipe = build_recipe(values)
        self.version, self.seconds = 0, seconds
        self.begun, self.cancelled = Counter[str](), list[str]()
        batch, ahead = self.recipe.global_batch_size, self.recipe.max_steps_off_policy
        tasks = [Task(str(n), "") for n in range(steps * batch)]
        self.buffer = GroupBuffer(tasks.__getitem__, len(tasks), batch, ahead, StepClock(1, [0]))

    def requests(self, step: int, task: Task, attempt: int) -> list[RolloutRequest]:
        return [
            RolloutRequest(f"{task.id}.{attempt}/{n}", f"{task.id}.{attempt}", task, n)
            for n in range(self.recipe.group_size)
        ]

    async def rollout(self, request: RolloutRequest) -> Trajectory:
        """In the dispatcher's place."""
        self.begun[request.id] += 1
        version = self.version
        try:
            result = self.seconds(request)
            if isinstance(result, Exception):
                raise result
            seconds, failed = result if isinstance(result, tuple) else (result, False)
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled.append(request.id)
            raise
        turn = Turn((), {"role": "assistant"}, (1,), (2,), (-1.0,), (version,), "stop")
        ref = EnvironmentRef("e", "1", "d")
        if failed:
            return Trajectory(request.id, request.task.id, request.group_id, 0, ref, (), (), "error", error="it failed")
        return Trajectory(request.id, request.task.id, request.group_id, 0, ref, (turn,), (), "final", rewards=(1.0,))

    def again(self, kept: OpenGroups) -> None:
        """Go on from what a checkpoint holds."""
        old, clock = self.buffer, StepClock(kept.state["first_step"], list(kept.state["versions"]))
        self.buffer = GroupBuffer(old.task_at, old.total, old.batch, old.ahead, clock)
        self.buffer.restore(kept.state, group_by_task(kept.trajectories))

    def ahead(self) -> Ahead:
        return Ahead(self.buffer, self, self.requests, self.recipe, lambda: self.version)

    async def trained(self, steps: int, ahead: Ahead, seconds: float = 0.0) -> list[list[Any]]:
        """Train, each gradient taking some time."""
        batches = []
        for _ in range(steps):
            groups = await asyncio.wait_for(ahead.batch(), 10)
            batches.append(groups)
            for group in groups:
                for t in survivors(group.trajectories):
                    assert self.buffer.clock.age(t.oldest_version) <= self.buffer.ahead
            await asyncio.sleep(seconds)
            self.version += 1
            ahead.advance(self.version)
        return batches


def run(world: World, steps: int, seconds: float = 0.0) -> list[list[Any]]:
    async def work() -> list[list[Any]]:
        async with world.ahead() as ahead:
            return await world.trained(steps, ahead, seconds)

    return asyncio.run(work())


def test_every_task_is_trained_on_once_in_whole_groups() -> None:
    batches = run(World(), 6)

    tasks = Counter(group.task_id for groups in batches for group in groups)
    assert tasks == {str(n): 1 for n in range(12)}
    assert all(len(group.trajectories) == 3 for groups in batches for group in groups)


def test_rollouts_of_the_next_step_begin_before_this_one_is_trained() -> None:
    world = World(lambda request: 0.01)
    versions = [t.oldest_version for groups in run(world, 6, 0.05)[1:] for g in groups for t in g.trajectories]

    # Sampled while the step before was being trained: one version behind.
    assert versions == [step - 1 for step in range(1, 6) for _ in range(6)]


def test_a_hung_rollout_is_left_behind_where_enough_of_its_group_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "STRAGGLER_FLOOR_S", 0.1)
    monkeypatch.setattr(overlap, "LOOK_S", 0.02)
    world = World(lambda request: 3600.0 if request.id.endswith("/2") else 0.0, stragglers="cut")

    batches = run(world, 6)

    endings = {tuple(t.ending for t in group.trajectories) for groups in batches for group in groups}
    assert endings == {("final", "final", "cancelled")}
    assert set(world.cancelled) == {f"{n}.0/2" for n in range(12)}


def test_slow_successes_are_waited_for_where_quick_failures_are_the_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "STRAGGLER_FLOOR_S", 0.01)
    monkeypatch.setattr(overlap, "LOOK_S", 0.01)
    quick = ("/0", "/1")
    world = World(lambda request: 0.0 if request.id.endswith(quick) else 0.2, group_size=5, steps=2, stragglers="cut")

    batches = run(world, 2, 0.05)

    assert [len(survivors(group.trajectories)) for groups in batches for group in groups] == [5] * 4
    assert world.cancelled == []


def test_a_rollout_is_a_straggler_by_what_rollouts_of_all_groups_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "STRAGGLER_FLOOR_S", 0.01)
    monkeypatch.setattr(overlap, "LOOK_S", 0.01)
    # Task 1's last is slow beside its own group, and not beside the rollouts of task 0.
    takes: dict[str, Any] = {"0": lambda id: 0.1, "1": lambda id: 0.2 if id.endswith("/2") else 0.0}
    world = World(lambda request: takes[request.task.id](request.id), steps=1, stragglers="cut")

    (groups,) = run(world, 1)

    assert [len(survivors(group.trajectories)) for group in groups] == [3, 3]


def mostly_slow(request: RolloutRequest) -> float:
    """Of task 1 two end in time for the second step; the other three come too late for it."""
    return 0.3 if request.id.startswith("1.0/") and not request.id.endswith(("/0", "/1")) else 0.01


def test_no_rollout_is_cut_for_its_groups_last_chance_while_most_of_it_is_missing() -> None:
    world = World(mostly_slow, group_size=5, stragglers="cut")

    batches = run(world, 6, 0.03)

    sizes = {group.task_id: len(survivors(group.trajectories)) for groups in batches for group in groups}
    assert sizes == {str(n): 5 for n in range(12)}
    assert world.begun["1.1/4"] == 1
    assert world.buffer.discarded == 5


def test_a_step_waits_for_a_group_that_would_come_too_late_for_the_next() -> None:
    world = World(mostly_slow, group_size=5)

    batches = run(world, 6, 0.03)

    steps = {group.task_id: step for step, groups in enumerate(batches, 1) for group in groups}
    assert steps["1"] == 2
    assert all(len(survivors(group.trajectories)) == 5 for groups in batches for group in groups)
    assert set(world.begun.values()) == {1}
    assert (world.buffer.discarded, world.cancelled) == (0, [])


def test_quick_groups_are_trained_on_before_slow_ones_while_those_have_time() -> None:
    # Task 0 is the first to begin and takes as long as two gradients.
    world = World(lambda request: 0.2 if request.task.id == "0" else 0.0, max_steps_off_policy=3)

    batches = run(world, 6, 0.1)

    step = next(step for step, groups in enumerate(batches, 1) for group in groups if group.task_id == "0")
    assert 2 <= step <= 4
    assert [group.task_id for group in batches[0]] == ["1", "2"]


def test_places_go_to_groups_in_the_order_in_which_they_are_due() -> None:
    world = World(lambda request: 0.005, rollout_max_concurrency=4)

    run(world, 6)

    assert list(world.begun) == [f"{task}.0/{n}" for task in range(12) for n in range(3)]


@pytest.mark.parametrize(("stragglers", "kept"), [("cut", 2), ("wait", 3)])
def test_the_reward_of_what_is_cut_is_known_when_it_has_ended(
    stragglers: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "STRAGGLER_FLOOR_S", 0.02)
    monkeypatch.setattr(overlap, "LOOK_S", 0.01)
    world = World(lambda request: 0.15 if request.id == "0.0/2" else 0.0, stragglers=stragglers)

    batches = run(world, 6, 0.05)

    (slow,) = [group for groups in batches for group in groups if group.task_id == "0"]
    assert len(survivors(slow.trajectories)) == kept
    assert [t.id for t in world.buffer.untrained] == (["0.0/2"] if stragglers == "cut" else [])
    assert world.cancelled == []


def test_a_group_that_hangs_whole_is_begun_anew_when_it_can_no_longer_be_trained_on() -> None:
    # Task 0 hangs the first time; all others are quick.
    def seconds(request: RolloutRequest) -> float:
        return 3600.0 if request.id.startswith("0.0/") else 0.01

    world = World(seconds, max_steps_off_policy=2, stragglers="cut")

    async def work() -> list[list[Any]]:
        async with world.ahead() as ahead:
            return await world.trained(6, ahead, 0.02)

    batches = asyncio.run(work())

    tasks = Counter(group.task_id for groups in batches for group in groups)
    assert tasks == {str(n): 1 for n in range(12)}
    assert {f"0.0/{n}" for n in range(3)} <= set(world.cancelled)
    assert world.begun["0.1/0"] == 1
    assert world.buffer.discarded == 3


@settings(max_examples=15, deadline=None)
@given(
    bound=st.integers(1, 3),
    group_size=st.integers(2, 4),
    kinds=st.lists(st.sampled_from(["quick", "slow", "failed", "hung"]), min_size=7, max_size=7),
    gradient=st.sampled_from([0.0, 0.003, 0.02]),
    torn_after=st.integers(0, 5),
    stragglers=st.sampled_from(["wait", "cut"]),
)
def test_whatever_rollouts_do_none_too_old_is_trained_on_and_each_task_is_trained_on_once(
    bound: int, group_size: int, kinds: list[str], gradient: float, torn_after: int, stragglers: str
) -> None:
    takes = {"quick": 0.001, "slow": 0.02, "failed": (0.002, True), "hung": (0.3, True)}
    world = World(
        lambda request: takes[kinds[derive(0, request.id) % len(kinds)]],
        group_size=group_size,
        max_steps_off_policy=bound,
        stragglers=stragglers,
    )

    async def work() -> list[list[Any]]:
        async with world.ahead() as ahead:
            first = await world.trained(torn_after, ahead, gradient)
            kept = ahead.open_groups()
        # As after a kill: only what the checkpoint holds goes on.
        world.again(kept)
        async with world.ahead() as ahead:
            return first + await world.trained(6 - torn_after, ahead, gradient)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "STRAGGLER_FLOOR_S", 0.05)
        patch.setattr(overlap, "LOOK_S", 0.01)
        batches = asyncio.run(asyncio.wait_for(work(), 30))

    assert Counter(group.task_id for groups in batches for group in groups) == {str(n): 1 for n in range(12)}
    assert all(len(group.trajectories) == group_size for groups in batches for group in groups)
    if stragglers == "wait":
        assert not any(t.ending == "cancelled" for groups in batches for g in groups for t in g.trajectories)
        assert world.buffer.discarded == 0


def test_no_more_rollouts_are_under_way_than_allowed() -> None:
    most, now = 0, 0

    class Counted(World):
        async def rollout(self, request: RolloutRequest) -> Trajectory:
            nonlocal most, now
            now += 1
            most = max(most, now)
            try:
                return await super().rollout(request)
            finally:
                now -= 1

    run(Counted(lambda request: 0.01, rollout_max_concurrency=4), 6)

    assert most == 4


def test_a_broken_environment_ends_the_training() -> None:
    world = World(lambda request: EnvironmentFault("it is broken") if request.task.id == "3" else 0.0)

    with pytest.raises(EnvironmentFault, match="it is broken"):
        run(world, 6)


def test_at_the_end_nothing_is_left_running() -> None:
    world = World(lambda request: 3600.0)

    async def work() -> set[Any]:
        async with world.ahead() as ahead:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ahead.batch(), 0.1)
        await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(work()) == set()
    assert len(world.cancelled) == 12


def test_a_checkpoint_holds_what_is_ready_and_says_what_was_under_way() -> None:
    world = World(lambda request: 3600.0 if request.task.id == "1" else 0.0)

    async def work() -> Any:
        async with world.ahead() as ahead:
            await world.trained(1, ahead)
            await asyncio.sleep(0.05)
            return ahead.open_groups()

    kept = asyncio.run(work())

    ready = {position for position, _, _ in kept.state["ready"]}
    waiting = {position for position, _ in kept.state["waiting"]}
    assert waiting == {1}
    assert ready | waiting | {0, 2} == set(range(kept.state["next_position"]))
    assert {t.task_id for t in kept.trajectories} == {str(n) for n in ready}


def test_a_whole_asynchronous_run_survives_a_kill_and_keeps_the_bound(commands: Any) -> None:
    recipe = ("desk.yaml", "max_steps_off_policy=2", "max_steps=5", "--run", "a")
    killed = killed_at("practicum.engine.local.learner", "LocalLearner", "forward_backward", 3)

    torn = commands("train", *recipe, first=killed)
    assert torn.code == -signal.SIGKILL, torn.err
    last = commands("resume", "runs/a")

    assert last.code == 0, last.err
    assert "asynchronous: rollouts go on while weights change, none more than 2 steps behind" in last.out
    run = commands.folder / "runs/a"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["phase"] == "rl"]
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5]
    assert max(line["metrics"].get("training/staleness_max", 0) for line in steps) <= 2
    trained = [t.task_id for n in range(1, 6) for t in read_trajectories(run / f"trajectories/step-{n:06d}.parquet")]
    assert set(Counter(trained).values()) == {2}  # each task's group once
    assert commands("verify", "runs/a").code == 0


def test_a_validation_that_hangs_holds_no_training_rollout_up(commands: Any) -> None:
    desk = commands.folder / "desk.py"
    hang = (
        "    def start(self, task):\n        time.sleep(60 if task.id.startswith('validation') else 0)\n\n    @tool\n"
    )
    desk.write_text("import time\n" + desk.read_text().replace("    @tool\n", hang))
    keys = ("max_steps_off_policy=1", "max_steps=3", "val_every=1", "rollout_timeout=2", "rollout_max_retries=0")

    done = commands("train", "desk.yaml", *keys, "max_failed_rollouts=1", "--run", "a")

    assert done.code == 0, done.err
    lines = [json.loads(line) for line in (commands.folder / "runs/a/metrics.jsonl").read_text().splitlines()]
    hung = [line["metrics"]["val/reward/failed_rollouts"] for line in lines if line["phase"] == "validation"]
    assert max(hung[1:]) > 0
    assert [line["metrics"]["rollout/failed_frac"] for line in lines if line["phase"] == "rl"] == [0.0] * 3


def test_a_fault_of_one_rollout_ends_the_training_though_others_of_its_group_still_run() -> None:
    def seconds(request: RolloutRequest) -> Any:
        return EnvironmentFault("it is broken") if request.id == "0.0/0" else 3600.0

    world = World(seconds)

    async def work() -> None:
        async with world.ahead() as ahead:
            await asyncio.wait_for(ahead.batch(), 5)

    with pytest.raises(EnvironmentFault, match="it is broken"):
        asyncio.run(work())
