from dataclasses import replace

import pytest

from practicum import Environment, Task, ToolError, reset, tool
from practicum.errors import LedgerError
from practicum.runs.playback import replay, replay_run
from practicum.store import write_trajectories
from practicum.trajectory import ToolCall, Trajectory

TASK = Task("t1", "Draw three times.", {"total": 3})


class Urn(Environment):
    """Balls drawn by the episode's generator, noted down in declared state, a database and a file."""

    id, version = "urn", "1.0.0"
    drawn = reset(list)
    swallowed = False

    def start(self, task):
        self.database.execute("create table balls (id text, number integer)")

    @tool
    def draw(self) -> dict:
        """a ball"""
        if self.swallowed and len(self.drawn) == 1:
            raise ToolError("the urn is empty")
        number = self.random.randrange(1000)
        self.drawn = [*self.drawn, number]
        self.database.execute("insert into balls values (?, ?)", (self.new_id("B"), number))
        (self.scratch / "last.txt").write_text(str(number))
        self.clock.advance(1.5)
        return {"number": number, "at": self.clock.now().isoformat()}

    def next_user(self, answer):
        return "Once more." if len(self.drawn) < 3 else None


def recorded(seed=7):
    urn = Urn()
    urn.reset(TASK, seed)
    for _ in range(2):
        urn.call("draw", {})
    urn.call("steal", {})
    assert urn.answered("two") == "Once more."
    urn.call("draw", {})
    transitions = urn.transitions
    urn.close()
    return Trajectory("r1", "t1", "g1", seed, urn.ref, (), (), "final", transitions=transitions)


def test_a_recorded_episode_replays_identically():
    trajectory = recorded()
    done = replay(Urn, TASK, trajectory)
    assert (done.identical, done.steps) == (True, 5)
    assert len({step.next_state for step in trajectory.transitions}) == 3  # a refused call and the user change nothing
    assert [step.time for step in trajectory.transitions][-1] == 1767225600 + 4.5


def test_the_first_difference_is_shown():
    class Poorer(Urn):
        swallowed = True

    done = replay(Poorer, TASK, recorded())
    assert (done.identical, done.steps) == (False, 2)
    assert "transition 1, draw({}): result differs" in done.difference
    assert "the urn is empty" in done.difference
    assert "urn 1.0.0" in done.difference


@pytest.mark.parametrize("field", ["state", "next_state", "result", "time"])
def test_an_altered_record_differs(field):
    trajectory = recorded()
    altered = replace(trajectory.transitions[1], **{field: 3.0 if field == "time" else "other"})
    steps = (trajectory.transitions[0], altered, *trajectory.transitions[2:])
    assert f"{field} differs" in replay(Urn, TASK, replace(trajectory, transitions=steps)).difference


def test_another_seed_differs():
    assert "result differs" in replay(Urn, TASK, replace(recorded(), seed=8)).difference


def test_an_environment_that_raises_now_is_a_difference():
    class Broken(Urn):
        def start(self, task):
            raise KeyError("gone")

    assert replay(Broken, TASK, recorded()).difference == "KeyError: 'gone'"


def test_what_cannot_be_replayed_says_why():
    assert "not among the run's tasks" in replay(Urn, None, recorded()).skipped
    elsewhere = replace(recorded(), transitions=(), tool_calls=(ToolCall("c1", "draw", {}, "7"),))
    assert "elsewhere" in replay(Urn, TASK, elsewhere).skipped


def test_an_episode_without_calls_is_identical():
    done = replay(Urn, TASK, replace(recorded(), transitions=()))
    assert (done.identical, done.steps) == (True, 0)


def test_a_run_is_replayed_from_its_files(tmp_path):
    write_trajectories(tmp_path / "trajectories" / "step-000001.parquet", [recorded(1), replace(recorded(2), id="r2")])
    done = list(replay_run(tmp_path, Urn, {"t1": TASK}))
    assert [(each.trajectory, each.identical) for each in done] == [("r1", True), ("r2", True)]
    assert [each.trajectory for each in replay_run(tmp_path, Urn, {"t1": TASK}, "r2")] == ["r2"]
    with pytest.raises(LedgerError, match="no trajectory 'r3'"):
        list(replay_run(tmp_path, Urn, {"t1": TASK}, "r3"))
    with pytest.raises(LedgerError, match="no trajectories"):
        list(replay_run(tmp_path / "nowhere", Urn, {}))
