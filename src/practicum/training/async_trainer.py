"""Asynchronous training: rollouts go on while gradients are computed, and none is trained on that is too old.

A batch of groups for each of the next ``max_steps_off_policy`` steps is under way besides the present step's.
Gradients are computed in a thread of their own; new weights appear between two sampled tokens, so a trajectory may
hold tokens of several versions, and each token says which. What a step trains on is decided by ``GroupBuffer``.

Slow rollouts are often the good ones: what is hard takes longer to do than to fail at. So the sample is not cut by
speed. A step takes quick groups first, but waits where one under way would come too late for the steps that may still
train on it: every rollout begun is trained on once, within the bound, and no task is played again for being slow
(``stragglers: wait``). ``rollout_timeout`` alone ends what hangs.

With ``stragglers: cut`` steps are quicker and the sample is biased against what is slow. A group goes on without the
rollouts that are missing where most of it ended well, at least ``min_group_survivors``, and the missing ones either
take ``STRAGGLER`` times as long as nearly all recent rollouts, or would make the group too old for the next step. They
are counted (``rollout/cut_frac``), and are no failures. A group too old with most of it missing is collected again
(``rollout/discarded_stale``). Whatever is left behind so keeps its place and plays on: its reward is part of
``rollout/reward/begun_mean``, whose distance from ``rollout/reward/mean`` is the bias.

Which rollout meets which weights depends on how long everything takes: two runs with one seed are not the same bit
for bit. ``max_steps_off_policy: 0`` is.
"""

import asyncio
import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import numpy as np

from practicum.errors import naming
from practicum.recipe import Recipe
from practicum.rollout.dispatcher import Dispatcher, RolloutRequest
from practicum.runs.checkpoint import OpenGroups, read_open_groups
from practicum.tasks import Task
from practicum.training.buffer import GroupBuffer, Place, StepClock
from practicum.training.trainer import Trainer, batch_of
from practicum.trajectory import EnvironmentRef, Group, Trajectory, group_by_task, survivors

P = ParamSpec("P")
T = TypeVar("T")

STRAGGLER = 3.0
"""A rollout that takes so many times as long as ``NEARLY_ALL`` of those that ended well is not waited for."""
NEARLY_ALL = 95
"""Percentile of their times."""
RECENT = 512
"""Rollouts whose times are remembered."""
STRAGGLER_FLOOR_S = 1.0
"""No rollout is a straggler before this time."""
LOOK_S = 0.25
"""How often a waiting step looks for stragglers, in seconds."""


class AsyncTrainer(Trainer):
    """A trainer whose rollouts go on while it learns."""

    def _steps(self, first_step: int, last: int) -> int:
        if first_step < last:
            self.bench.run(_sample_ahead(self, first_step, last))
            return last
        return super()._steps(first_step, last)


def trainer_of(recipe: Recipe) -> type[Trainer]:
    """The trainer that a recipe asks for."""
    return AsyncTrainer if recipe.max_steps_off_policy else Trainer


async def _sample_ahead(trainer: Trainer, first_step: int, last: int) -> None:
    """Train from ``first_step + 1`` to the last step."""
    bench, recipe = trainer.bench, trainer.bench.recipe
    clock = StepClock(first_step + 1, [bench.policy.version])
    buffer = GroupBuffer(
        _tasks_by_position(trainer),
        total=last * recipe.global_batch_size,
        batch=recipe.global_batch_size,
        ahead=recipe.max_steps_off_policy,
        clock=clock,
        next_position=first_step * recipe.global_batch_size,
    )
    _restore(buffer, trainer, first_step)
    trainer.view.message(
        f"asynchronous: rollouts go on while weights change, none more than {_steps(buffer.ahead)} behind. Two such "
        "runs are not the same bit for bit; with max_steps_off_policy=0 they are"
    )
    dispatcher = bench.dispatcher(bench.training_params(), free=True)
    async with Ahead(buffer, dispatcher, trainer.requests, recipe, lambda: bench.policy.version) as ahead:
        for step in range(first_step + 1, last + 1):
            trainer.listener.phase("rollouts")
            began = time.monotonic()
            with naming(f"the rollouts for step {step}"):
                groups = await ahead.batch()
            discarded, buffer.discarded = buffer.discarded, 0
            untrained, buffer.untrained = buffer.untrained, []
            metrics = await _aside(
                trainer.train_on, step, groups, clock.age, began=began, discarded=discarded, untrained=untrained
            )
            ahead.advance(bench.policy.version)
            held_out = await trainer.validated(step) if trainer.validation_due(step) else None
            trainer.show(step, metrics, held_out)
            if trainer.checkpoint_due(step):
                await _aside(trainer.save, step, ahead.open_groups())


@dataclass
class _Live:
    """One group under way."""

    place: Place
    requests: Sequence[RolloutRequest]
    members: list["asyncio.Task[Trajectory]"] = field(default_factory=list)
    begun: dict[int, float] = field(default_factory=dict)
    """When each member began, by the event loop's clock."""

    def finished(self) -> list[Trajectory]:
        return [task.result() for task in self.members if _ended(task)]

    def unfinished(self) -> list[int]:
        return [n for n, task in enumerate(self.members) if not task.done()]

    def cut(self) -> list[Trajectory]:
        """All members in their order, where most are finished: for those that are not, that they were cut off."""
        here = self.finished()
        known = {trajectory.id: trajectory for trajectory in here}
        return [known.get(request.id) or _cut_off(request, here[0].environment) for request in self.requests]


class Ahead:
    """Keeps as many groups under way as the buffer asks for. Use it with ``async with``.

    Args:
        buffer: Decides.
        dispatcher: Runs one rollout.
        requests: (step, task, attempt) → a group's rollouts.
        recipe: For its limits.
        version: The policy's newest version.
    """

    def __init__(
        self,
        buffer: GroupBuffer,
        dispatcher: Dispatcher,
        requests: Callable[[int, Task, int], Sequence[RolloutRequest]],
        recipe: Recipe,
        version: Callable[[], int],
    ) -> None:
        self._buffer, self._dispatcher, self._requests, self._version = buffer, dispatcher, requests, version
        self._cuts = recipe.stragglers == "cut"
        self._survivors, self._enough_known = recipe.min_group_survivors, recipe.group_size
        self._took = deque[float](maxlen=RECENT)
        """Seconds that recent rollouts took which ended well, those that were left behind too."""
        self._places = asyncio.Semaphore(recipe.rollout_max_concurrency)
        self._live: dict[Place, _Live] = {}
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._watchers = set[asyncio.Task[None]]()
        self._playing = set[asyncio.Task[Trajectory]]()
        """Rollouts of live groups, and those left behind."""

    async def __aenter__(self) -> "Ahead":
        return self

    async def __aexit__(self, *_: object) -> None:
        work = [*self._watchers, *self._playing]
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    async def batch(self) -> list[Group]:
        """The groups of the step under way, as soon as there are enough.

        Raises:
            EnvironmentFault, ModelError: the environment or the model is broken for every rollout alike.
        """
        while True:
            self._start()
            if self._failure is not None:
                raise self._failure
            taken = self._take()
            if taken is not None:
                return [group for _, group in taken]
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_S if self._cuts else None)
            if self._cuts:
                self._cut(self._stragglers)

    def advance(self, version: int) -> None:
        """The next step begins with this version: what can no longer be trained on in time is begun anew."""
        self._buffer.begin(version)
        for live in list(self._live.values()):
            oldest = self._buffer.begun.get(live.place)
            if oldest is not None and self._buffer.clock.age(oldest) > self._buffer.ahead:
                self._leave(live)
                self._buffer.untrained += live.finished()
                self._buffer.again(live.place, len(live.requests))
        self._start()

    def open_groups(self) -> OpenGroups:
        """What a checkpoint keeps."""
        ready = self._buffer.ready.values()
        return OpenGroups(self._buffer.state(), [t for group in ready for t in group.trajectories])

    def _take(self) -> list[tuple[Place, Group]] | None:
        if not self._buffer.can_take() or (not self._cuts and self._buffer.must_wait()):
            return None
        if self._cuts:
            # Whoever is not taken along now, although enough of the group have finished, would be lost.
            self._cut(lambda live: live.unfinished() if self._last_chance(live) else ())
        return self._buffer.take()

    def _last_chance(self, live: _Live) -> bool:
        oldest = self._buffer.begun.get(live.place)
        return oldest is not None and self._buffer.last_chance(oldest)

    def _start(self) -> None:
        for place in self._buffer.start():
            step = place.position // self._buffer.batch + 1
            live = _Live(place, self._requests(step, self._buffer.task_at(place.position), place.attempt))
            self._live[place] = live
            live.members = [asyncio.create_task(self._rollout(live, n)) for n in range(len(live.requests))]
            self._playing.update(live.members)
            for member in live.members:
                member.add_done_callback(self._playing.discard)
            self._watch(self._whole(live))

    def _watch(self, work: Coroutine[Any, Any, None]) -> None:
        watcher = asyncio.create_task(work)
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _rollout(self, live: _Live, n: int) -> Trajectory:
        async with self._places:
            clock = asyncio.get_running_loop()
            self._buffer.begin_group(live.place, self._version())
            live.begun[n] = clock.time()
            try:
                trajectory = await self._dispatcher.rollout(live.requests[n])
            except Exception as failure:  # of the environment: every other rollout would fail alike
                self._failure = self._failure or failure
                self._changed.set()
                raise
            if survivors([trajectory]):
                self._took.append(clock.time() - live.begun[n])
            return trajectory

    async def _whole(self, live: _Live) -> None:
        """Hand a group over when all its rollouts have ended, or when the rest of them was cut off."""
        await asyncio.gather(*live.members, return_exceptions=True)
        if self._live.get(live.place) is live and self._failure is None:
            del self._live[live.place]
            self._hand_over(live, live.finished())
        self._changed.set()

    def _hand_over(self, live: _Live, members: Sequence[Trajectory]) -> None:
        for group in group_by_task(members):
            self._buffer.finish(live.place, group)
        self._start()

    def _cut(self, whom: Callable[[_Live], Sequence[int]]) -> None:
        """Let groups of which most ended well go on without the rollouts named, if those are all that is missing."""
        for live in list(self._live.values()):
            late = whom(live)
            if not late or set(late) != set(live.unfinished()):
                continue
            well = len(survivors(live.finished()))
            if well >= self._survivors and 2 * well > len(live.requests):
                members = live.cut()
                self._leave(live)
                self._hand_over(live, members)

    def _stragglers(self, live: _Live) -> list[int]:
        if len(self._took) < self._enough_known:
            return []
        patience = max(STRAGGLER * float(np.percentile(self._took, NEARLY_ALL)), STRAGGLER_FLOOR_S)
        now = asyncio.get_running_loop().time()
        return [n for n in live.unfinished() if n in live.begun and now - live.begun[n] > patience]

    def _leave(self, live: _Live) -> None:
        """Wait no longer for a group. What has begun plays on: only so is it known what was lost with it."""
        del self._live[live.place]
        for n in live.unfinished():
            if n in live.begun:
                live.members[n].add_done_callback(self._ended_untrained)
            else:
                live.members[n].cancel()

    def _ended_untrained(self, task: "asyncio.Task[Trajectory]") -> None:
        if _ended(task):
            self._buffer.untrained.append(task.result())


def _ended(task: "asyncio.Task[Trajectory]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _cut_off(request: RolloutRequest, environment: EnvironmentRef) -> Trajectory:
    """The record of a rollout that was not waited for."""
    return Trajectory(
        request.id, request.task.id, request.group_id, request.seed, environment, (), (), ending="cancelled"
    )


async def _aside(function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """What it returns, from a thread of its own. Interrupted, it is still waited for: it writes to the run."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **named))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


def _steps(n: int) -> str:
    return "1 step" if n == 1 else f"{n} steps"


def _tasks_by_position(trainer: Trainer) -> Callable[[int], Task]:
    """The task of each position; a step's batch, which puts a whole epoch in order, is drawn once for its groups."""
    recipe = trainer.bench.recipe
    # Those ahead, the present step, and what is collected again of the one before.
    batch = functools.lru_cache(recipe.max_steps_off_policy + 2)(lambda step: batch_of(trainer.train, step, recipe))

    def task_at(position: int) -> Task:
        step, place = divmod(position, recipe.global_batch_size)
        return batch(step + 1)[place]

    return task_at


def _restore(buffer: GroupBuffer, trainer: Trainer, first_step: int) -> None:
    """Go on with what was ready when the checkpoint was written."""
    open_groups = read_open_groups(trainer.run.folder, first_step)
    if open_groups is None:
        return
    buffer.clock.first_step, buffer.clock.versions = (
        open_groups.state["first_step"],
        list(open_groups.state["versions"]),
    )
    buffer.restore(open_groups.state, group_by_task(open_groups.trajectories))
