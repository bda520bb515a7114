"""Nothing older than the bound is trained on, no task is lost and none is trained on twice, whatever takes how long."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from practicum.tasks import Task
from practicum.training.buffer import GroupBuffer, Place, StepClock
from practicum.trajectory import EnvironmentRef, Group, Trajectory, Turn, survivors

REF = EnvironmentRef("e", "1", "d")


def group(place: Place, *versions: int, error: str | None = None) -> Group:
    """One trajectory for each version; its tokens are of that version and of a newer one."""
    members = []
    for n, version in enumerate(versions):
        turn = Turn((), {"role": "assistant"}, (1,), (3, 4), (-1.0, -1.0), (version, version + 1), "stop")
        id = f"{place.position}.{place.attempt}/{n}"
        ending = "error" if error else "final"
        members.append(Trajectory(id, "t", str(place), 0, REF, (turn,), (), ending, rewards=(1.0,), error=error))
    return Group(f"{place.position}.{place.attempt}", "t", tuple(members))


def buffer(*, total: int = 40, batch: int = 4, ahead: int = 2, clock: StepClock | None = None) -> GroupBuffer:
    return GroupBuffer(lambda position: Task(str(position), ""), total, batch, ahead, clock or StepClock(1, [0]))


@given(
    ahead=st.integers(0, 4),
    batch=st.integers(1, 5),
    steps=st.integers(1, 12),
    updates=st.lists(st.integers(0, 3), min_size=12, max_size=12),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=150, deadline=None)
def test_under_any_schedule_every_task_is_trained_on_once_and_never_beyond_the_bound(
    ahead: int, batch: int, steps: int, updates: list[int], seed: int
) -> None:
    rng = random.Random(seed)
    clock = StepClock(1, [0])
    held = buffer(total=steps * batch, batch=batch, ahead=ahead, clock=clock)
    version, begun, trained = 0, dict[Place, int](), list[int]()
    step_of = {0: 1}
    for step in range(1, steps + 1):
        while True:
            begun |= dict.fromkeys(held.start(), version)
            # Some of those under way end, in any order; slow ones may take many steps.
            for place in rng.sample(sorted(begun, key=str), rng.randint(0, len(begun))):
                held.finish(place, group(place, begun.pop(place)))
            if held.can_take():
                break
            assert begun or held.waiting, "nothing under way and too few ready: training would hang"
        taken = held.take()
        assert len(taken) == batch
        for place, ready in taken:
            trained.append(place.position)
            oldest = min(t.oldest_version for t in ready.trajectories)
            newest_step = max(s for v, s in step_of.items() if v <= oldest)
            assert step - newest_step <= ahead
            assert clock.age(oldest) == step - newest_step
        for _ in range(rng.randint(0, 2)):  # while the gradient is computed, sampling goes on
            begun |= dict.fromkeys(held.start(), version)
        version += updates[step - 1]
        step_of[version] = step + 1
        held.begin(version)
        for place in [place for place, of in begun.items() if clock.age(of) > ahead]:
            del begun[place]
            held.again(place, 1)
    assert sorted(trained) == list(range(steps * batch))


@given(
    ahead=st.integers(0, 4),
    batch=st.integers(1, 5),
    steps=st.integers(1, 12),
    updates=st.lists(st.integers(0, 3), min_size=12, max_size=12),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=150, deadline=None)
def test_where_steps_wait_for_what_is_due_nothing_is_ever_too_old(
    ahead: int, batch: int, steps: int, updates: list[int], seed: int
) -> None:
    rng = random.Random(seed)
    held = buffer(total=steps * batch, batch=batch, ahead=ahead, clock=StepClock(1, [0]))
    version, queued, trained = 0, list[Place](), list[Place]()
    # A few groups are so slow that they end only when nothing else is left to end.
    slow = {position for position in range(steps * batch) if rng.random() < 0.3}
    for step in range(1, steps + 1):
        while True:
            queued += held.start()
            for place in queued[: rng.randint(0, len(queued))]:
                held.begin_group(place, version)
                queued.remove(place)
            if held.can_take() and not held.must_wait():
                break
            playing = sorted(held.running & held.begun.keys(), key=lambda place: place.position)
            quick = [place for place in playing if place.position not in slow]
            assert playing or queued, "everybody waits for somebody else"
            for place in rng.sample(quick or playing, rng.randint(0, len(quick or playing))):
                error = "gone" if rng.random() < 0.1 else None
                held.finish(place, group(place, held.begun[place] + rng.randint(0, 1), error=error))
        trained += [place for place, _ in held.take()]
        version += updates[step - 1]
        held.begin(version)
        assert all(held.clock.age(held.begun[place]) <= ahead for place in held.running & held.begun.keys())
    assert sorted(place.position for place in trained) == list(range(steps * batch))
    assert not any(place.attempt for place in trained)
    assert (held.discarded, held.untrained) == (0, [])


def test_a_step_waits_before_more_are_due_at_once_than_a_step_takes() -> None:
    held = buffer(total=40, batch=2, ahead=2)
    first = held.start()
    for place in first:
        held.begin_group(place, 0)
    for place in first[4:]:
        held.finish(place, group(place, 0))

    # Four are under way that are due two steps from now: one step more can train on two of them.
    assert not held.must_wait()
    held.take()
    held.begin(1)
    for place in held.start():
        held.begin_group(place, 1)
        held.finish(place, group(place, 1))
    assert held.can_take()
    assert held.must_wait()
    for place in first[:2]:
        held.finish(place, group(place, 0))
    assert not held.must_wait()
    assert [place for place, _ in held.take()] == first[:2]


def test_a_group_of_failures_takes_its_turn() -> None:
    held = buffer(total=8, batch=2, ahead=2)
    dead, *others = held.start()
    for place in (dead, *others):
        held.begin_group(place, 0)
    held.clock.advance(1)
    held.finish(dead, group(dead, 0, error="gone"))
    for place in others:
        held.finish(place, group(place, 1))

    assert [place for place, _ in held.take()] == [dead, others[0]]


def test_a_step_without_an_update_makes_nothing_older() -> None:
    clock = StepClock(1, [5])
    clock.advance(5)
    clock.advance(5)
    clock.advance(7)

    assert clock.step == 4
    assert [clock.age(version) for version in (7, 6, 5, 4)] == [0, 1, 1, 4]


def test_what_is_too_old_is_collected_again_before_anything_new_and_counted() -> None:
    held = buffer(total=12, batch=2, ahead=1)
    slow, *others = held.start()
    for place in others[:2]:
        held.finish(place, group(place, 0))
    held.take()
    held.begin(1)
    for place in held.start():
        held.finish(place, group(place, 1))
    held.take()
    held.begin(2)
    held.finish(slow, group(slow, 0, 0))

    assert not held.can_take()
    assert held.discarded == 2
    assert [str(place) for place in held.start()[:2]] == [str(Place(0, attempt=1)), str(Place(6))]


def test_the_oldest_go_first() -> None:
    held = buffer(total=8, batch=2, ahead=2)
    first, second, third, *_ = held.start()
    held.clock.advance(1)
    held.finish(first, group(first, 1))
    held.finish(second, group(second, 1))
    held.finish(third, group(third, 0))

    assert [place for place, _ in held.take()] == [third, first]


def test_synchronous_means_that_nothing_starts_while_a_step_is_trained() -> None:
    held = buffer(total=8, batch=2, ahead=0)
    for place in held.start():
        held.finish(place, group(place, 0))
    held.take()
    assert held.start() == []
    held.begin(1)
    assert [place.position for place in held.start()] == [2, 3]


def test_a_group_of_failures_is_as_new_as_can_be() -> None:
    held = buffer(total=2, batch=2, ahead=0)
    held.clock.advance(3)
    for place in held.start():
        held.finish(place, group(place, 0, error="gone"))
    assert held.can_take()


def test_state_and_ready_groups_bring_a_buffer_back_and_what_was_under_way_starts_anew() -> None:
    held = buffer(total=12, batch=2, ahead=1)
    a, b, c, d = held.start()
    held.finish(b, group(b, 0))
    held.finish(d, group(d, 0))
    state, groups = held.state(), list(held.ready.values())

    again = buffer(total=12, batch=2, ahead=1, clock=StepClock(state["first_step"], state["versions"]))
    again.restore(state, groups)

    assert again.ready == held.ready
    assert again.start() == [a, c]
    assert again.next_position == 4


@pytest.mark.parametrize(("endings", "enough"), [([None, None], True), (["lost", None], False), ([], False)])
def test_only_rollouts_that_ended_well_make_a_group_go_on(endings: list[str | None], enough: bool) -> None:
    members = [group(Place(n), 0, error=error).trajectories[0] for n, error in enumerate(endings)]
    assert (len(survivors(members)) >= 2) is enough
