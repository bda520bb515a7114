"""Which groups are under way, which are ready, and which may still be trained on: the hard bound on staleness.

Every token carries the policy version that sampled it. ``StepClock`` says at which training step a version was the
newest, so that staleness is counted in steps: a trajectory may be trained on in step k only while k − (step of its
oldest token) ≤ ``max_steps_off_policy``. What is older is collected again, and counted; no task is lost or trained
on twice. The buffer decides and never waits: ``training.async_trainer`` moves the rollouts.

Nothing need ever become too old. Say a group is due at the last step that may train on it: ``ahead`` steps after the
one in which it began. Before each step at most (d + 1) · batch groups are due within d steps, for every d:

* a step that takes its groups in the order in which they are due, and only when at most d · batch of those it leaves
  are due within d steps (``must_wait``), hands this on to the step after it;
* what begins meanwhile is due ``ahead`` steps later, and more than (ahead + 1) · batch are never under way (``start``).

So a step never waits for more groups than it takes, and a slow one is trained on ``ahead`` steps after its beginning
at the latest, with the tokens that it had.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from practicum.tasks import Task
from practicum.trajectory import Group, Trajectory, survivors


@dataclass
class StepClock:
    """Training steps (from 1) by the policy version they began with; a step without signal leaves the version."""

    first_step: int
    versions: list[int]
    """Version at the beginning of ``first_step``, of the step after it, …: never falling."""

    @property
    def step(self) -> int:
        """The step under way."""
        return self.first_step + len(self.versions) - 1

    def advance(self, version: int) -> None:
        """The next step begins, with this version."""
        self.versions.append(version)

    def age(self, version: int) -> int:
        """Steps between the last one that began with this version or an older one, and the step under way."""
        newest = bisect_right(self.versions, version) - 1
        # Older than all that is known: at least one step before the first.
        return self.step - self.first_step - newest if newest >= 0 else self.step - self.first_step + 1


@dataclass(frozen=True)
class Place:
    """One group to collect: its place in the order of all epochs' tasks, from 0."""

    position: int
    attempt: int = 0
    """How often it was collected before and became too old."""


@dataclass
class GroupBuffer:
    """Groups ahead of the trainer.

    Args:
        task_at: The task of a position.
        total: Positions that the whole training has.
        batch: Groups per step.
        ahead: ``max_steps_off_policy``: steps that sampling may be ahead of training.
        clock: Tells ages.
    """

    task_at: Callable[[int], Task]
    total: int
    batch: int
    ahead: int
    clock: StepClock
    next_position: int = 0
    waiting: list[Place] = field(default_factory=list)
    """To be started before new positions, in their order."""
    running: set[Place] = field(default_factory=set)
    ready: dict[Place, Group] = field(default_factory=dict)
    begun: dict[Place, int] = field(default_factory=dict)
    """Newest policy version when a group's first rollout began: none of its tokens is older."""
    in_training: int = 0
    """Groups taken for the step under way."""
    discarded: int = 0
    """Rollouts thrown away as too old; whoever reports them sets it back."""
    untrained: list[Trajectory] = field(default_factory=list)
    """Rollouts that came to their end and that no step will train on; whoever reports them empties it."""

    def start(self) -> list[Place]:
        """Places to start now: one batch for each step ahead and one for the present step may be under way, so that
        in their order none becomes too old."""
        places = list[Place]()
        while len(self.running) + len(self.ready) + self.in_training < (self.ahead + 1) * self.batch:
            if self.waiting:
                place = self.waiting.pop(0)
            elif self.next_position < self.total:
                place = Place(self.next_position)
                self.next_position += 1
            else:
                break
            self.running.add(place)
            places.append(place)
        return places

    def begin_group(self, place: Place, version: int) -> None:
        """The first rollout of a group begins, with this policy version or a newer one."""
        self.begun.setdefault(place, version)

    def finish(self, place: Place, group: Group) -> None:
        """A group has come to its end."""
        self.running.discard(place)
        self.ready[place] = group

    def again(self, place: Place, trajectories: int) -> None:
        """A group is too old to be trained on: collect it anew.

        Args:
            place: Where it stood.
            trajectories: How many rollouts are thrown away.
        """
        self.running.discard(place)
        self.begun.pop(place, None)
        group = self.ready.pop(place, None)
        self.untrained += group.trajectories if group else ()
        self.discarded += trajectories
        self.waiting.append(replace(place, attempt=place.attempt + 1))
        self.waiting.sort(key=lambda waiting: waiting.position)

    def drop_stale(self) -> None:
        """Send back what is ready and too old for the step under way."""
        for place, group in list(self.ready.items()):
            if self.clock.age(oldest_version(group, self.clock)) > self.ahead:
                self.again(place, len(group.trajectories))

    def can_take(self) -> bool:
        """Whether the step under way has its groups."""
        self.drop_stale()
        return len(self.ready) >= self.batch

    def must_wait(self) -> bool:
        """Whether some group under way could no longer be trained on if the step under way went on without it."""
        begun = {place: self.begun[place] for place in self.running if place in self.begun}
        passed_over = [self._version(place) for place in self._by_urgency()[self.batch :]]
        for steps in range(self.ahead):
            due = [version for version in begun.values() if self._due_within(version, steps)]
            others = sum(self._due_within(version, steps) for version in passed_over)
            # Where none of those due is under way, waiting would bring nothing.
            if due and len(due) + others > steps * self.batch:
                return True
        return False

    def take(self) -> list[tuple[Place, Group]]:
        """The groups of the step under way: the oldest first, then in the order of their places."""
        self.drop_stale()
        chosen = self._by_urgency()[: self.batch]
        self.in_training = len(chosen)
        for place in chosen:
            self.begun.pop(place, None)
        return [(place, self.ready.pop(place)) for place in chosen]

    def _by_urgency(self) -> list[Place]:
        return sorted(self.ready, key=lambda place: (self._version(place), place.position))

    def _version(self, place: Place) -> int:
        """By which a ready group is due. One without tokens takes its turn by when it began, or it never would."""
        return self.begun.get(place, oldest_version(self.ready[place], self.clock))

    def _due_within(self, version: int, steps: int) -> bool:
        """Whether what began with this version is to be trained on so many steps after the one under way, or before."""
        return self.ahead - self.clock.age(version) <= steps

    def begin(self, version: int) -> None:
        """The step under way is done; the next one begins, with this policy version."""
        self.in_training = 0
        self.clock.advance(version)

    def last_chance(self, version: int) -> bool:
        """Whether what was begun with this version is too old for every step after the one under way."""
        return self._due_within(version, 0)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the ready groups; rollouts under way are collected anew."""
        pending = sorted([*self.waiting, *self.running], key=lambda place: place.position)
        return {
            "first_step": self.clock.first_step,
            "versions": list(self.clock.versions),
            "next_position": self.next_position,
            "waiting": [[place.position, place.attempt] for place in pending],
            "ready": [[place.position, place.attempt, group.id] for place, group in self.ready.items()],
        }

    def restore(self, state: Mapping[str, Any], groups: Iterable[Group]) -> None:
        """Go on from what ``state`` said and the ready groups written beside it."""
        by_id = {group.id: group for group in groups}
        self.next_position = state["next_position"]
        self.waiting = [Place(*pair) for pair in state["waiting"]]
        self.ready = {Place(position, attempt): by_id[id] for position, attempt, id in state["ready"]}


def oldest_version(group: Group, clock: StepClock) -> int:
    """Version of the oldest token that could be trained on; a group without any is as new as can be."""
    sampled = [t.oldest_version for t in survivors(group.trajectories)]
    return min(sampled, default=clock.versions[-1])
