"""A tracking server that is dead, silent or too slow holds nobody up, and what it did not take is sent later."""

import json
import math
import socket
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from practicum.commands import app
from practicum.errors import RunError
from practicum.monitor import tracking
from practicum.monitor.delivery import deliver
from practicum.monitor.tracking import Tracker
from practicum.monitor.undelivered import Destination, Undelivered
from practicum.trajectory import EnvironmentRef, Trajectory, Turn

THERE = "http://tracking.example"


class Store:
    """An MLflow store that takes down what it is given; ``problem`` is raised instead, ``gate`` waited for."""

    def __init__(self, problem: Exception | None = None, gate: threading.Event | None = None) -> None:
        self.problem, self.gate = problem, gate
        self.taken: list[tuple[str, object]] = []
        self.asked = 0
        self.reached = threading.Event()

    def _take(self, kind: str, payload: object) -> None:
        self.asked += 1
        self.reached.set()
        if self.gate is not None:
            self.gate.wait()
        if self.problem is not None:
            raise self.problem
        self.taken.append((kind, payload))

    def write_params(self, params) -> None:
        self._take("params", params)

    def write_metrics(self, entry) -> None:
        self._take("metrics", list(entry))

    def write_rollouts(self, rollouts) -> None:
        self._take("rollouts", [(trajectory.id, prompt) for trajectory, prompt in rollouts])

    def finish(self, status) -> None:
        self._take("status", status)


def rollout(id: str = "r1") -> Trajectory:
    turn = Turn(
        messages=({"role": "user", "content": "Grüße"},),
        response={"role": "assistant", "content": "ja"},
        context_ids=(1, 2),
        action_ids=(3,),
        logprobs=(-0.5,),
        versions=(0,),
        finish_reason="stop",
        latency_s=0.5,
    )
    ref = EnvironmentRef("desk", "1.0.0", "ab" * 32)
    return Trajectory(
        id=id, task_id="t", group_id="g", seed=1, environment=ref, turns=(turn,), tool_calls=(), ending="final"
    )


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch):
    """Have trackers and deliveries open this store, or fail to."""

    def to(store: Store | Exception) -> None:
        def opened(*_: object) -> Store:
            if isinstance(store, Exception):
                raise store
            return store

        import practicum.monitor.mlflow_store as module

        monkeypatch.setattr(module, "MlflowStore", opened)

    return to


def log_everything(tracker: Tracker) -> None:
    tracker.log_params({"group_size": 8})
    tracker.log_metrics(1, {"training/loss": 0.5})
    tracker.log_trajectory(rollout(), "prompt")


def test_what_a_dead_server_did_not_take_is_sent_later_and_then_gone(tmp_path, reach):
    reach(ConnectionRefusedError("nobody there"))
    with Tracker(tmp_path, "desk", "first", THERE) as tracker:
        log_everything(tracker)
    assert len(Undelivered(tmp_path)) > 0
    store = Store()
    reach(store)
    sent = deliver(tmp_path)
    assert sent.entries == 4
    assert sent.destination == Destination("desk", "first", THERE)
    assert [kind for kind, _ in store.taken] == ["params", "metrics", "rollouts", "status"]
    assert store.taken[0][1] == {"group_size": 8}
    assert store.taken[1][1][0] == 1
    assert store.taken[1][1][2] == {"training/loss": 0.5}
    assert store.taken[2][1] == [("r1", "prompt")]
    assert store.taken[3][1] == "FINISHED"
    assert not (tmp_path / "undelivered").exists()
    assert deliver(tmp_path) is None


def test_a_silent_server_is_waited_for_as_long_as_was_said_and_no_longer(tmp_path, reach, caplog):
    store = Store(gate=threading.Event())
    reach(store)
    tracker = Tracker(tmp_path, "desk", "first", THERE, close_s=0.0)
    tracker.log_metrics(1, {"training/loss": 0.5})
    store.reached.wait()
    tracker.log_metrics(2, {"training/loss": 0.25})
    tracker.close()  # returns though the server is still silent
    assert store.taken == []
    entries = [entry for batch in Undelivered(tmp_path).batches() for entry in Undelivered(tmp_path).entries(batch)]
    assert [payload[0] for kind, payload in entries if kind == "metrics"] == [1, 2]
    assert entries[-1] == ("status", "FINISHED")
    assert f"practicum track {tmp_path}" in caplog.text
    store.gate.set()
    tracker._thread.join()
    # What was in its hand may have arrived all the same; nothing more was sent, and nothing kept twice.
    assert len(store.taken) <= 1
    assert len(Undelivered(tmp_path)) == 1


def test_closing_says_what_it_waits_for(tmp_path, reach, monkeypatch, capsys):
    waits: list[float] = []
    store = Store(gate=threading.Event())
    reach(store)
    monkeypatch.setattr(tracking, "SERVER_TOLD_AFTER_S", 0.0)
    tracker = Tracker(tmp_path, "desk", "first", THERE, close_s=12.0)
    tracker.log_metrics(1, {})
    store.reached.wait()
    monkeypatch.setattr(tracker._thread, "join", waits.append)
    tracker.close()
    assert waits == [0.0, 12.0]
    assert f"waiting for MLflow at {THERE}: 1 entries, 12 s at most" in capsys.readouterr().err
    store.gate.set()


def test_whoever_ends_the_run_waits_less(tmp_path, reach, monkeypatch):
    waits: list[float] = []
    store = Store(gate=threading.Event())
    reach(store)
    with pytest.raises(KeyboardInterrupt), Tracker(tmp_path, "desk", "first", THERE) as tracker:
        tracker.log_metrics(1, {})
        store.reached.wait()
        monkeypatch.setattr(tracker._thread, "join", waits.append)
        raise KeyboardInterrupt
    assert sum(waits) == tracking.KILLED_CLOSE_S
    store.gate.set()


def test_ctrl_c_or_sigterm_while_it_waits_ends_it_and_loses_nothing(tmp_path, reach, monkeypatch):
    store = Store(gate=threading.Event())
    reach(store)
    tracker = Tracker(tmp_path, "desk", "first", THERE)
    log_everything(tracker)
    store.reached.wait()

    def interrupted(timeout: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tracker._thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tracker.close()
    (batch,) = Undelivered(tmp_path).batches()
    assert [kind for kind, _ in Undelivered(tmp_path).entries(batch)] == ["params", "metrics", "rollout", "status"]
    store.gate.set()


def test_a_server_that_did_not_answer_is_not_asked_for_every_entry(tmp_path, reach, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(tracking.time, "monotonic", lambda: now[0])
    store = Store(ConnectionError("lost"))
    tracker = Tracker.__new__(Tracker)
    monkeypatch.setattr(threading.Thread, "start", lambda self: None)
    Tracker.__init__(tracker, tmp_path, "desk", "first", THERE)
    for step in range(5):
        tracker._deliver(store, [("metrics", (step, 0, {}))])
    assert store.asked == 1
    now[0] = tracking.SILENT_FOR_S
    store.problem = None
    tracker._deliver(store, [("metrics", (5, 0, {}))])
    assert store.asked == 2
    assert len(Undelivered(tmp_path)) == 5


def test_a_full_queue_is_written_down_instead_of_dropped(tmp_path, reach, monkeypatch):
    monkeypatch.setattr(tracking, "QUEUE_LENGTH", 10)
    monkeypatch.setattr(tracking, "BATCH", 4)
    store = Store(gate=threading.Event())
    reach(store)
    tracker = Tracker(tmp_path, "desk", "first", THERE, close_s=0.0)
    for step in range(50):
        tracker.log_metrics(step, {})
    tracker.close()
    steps = [
        payload[0]
        for batch in Undelivered(tmp_path).batches()
        for kind, payload in Undelivered(tmp_path).entries(batch)
        if kind == "metrics"
    ]
    assert sorted(steps) == list(range(50))
    store.gate.set()


def test_an_entry_that_no_server_would_take_is_not_kept(tmp_path, reach, caplog):
    reach(Store(ValueError("no number")))
    with Tracker(tmp_path, "desk", "first", THERE) as tracker:
        tracker.log_metrics(1, {"a": math.nan})
    assert len(Undelivered(tmp_path)) == 0
    assert "no number" in caplog.text


def test_a_delivery_that_breaks_off_goes_on_where_it_stopped(tmp_path, reach):
    undelivered = Undelivered(tmp_path)
    for step in range(3):
        undelivered.keep(Destination("desk", "first", THERE), [("metrics", (step, 7, {"a": 1.0}))])

    class Tired(Store):
        def _take(self, kind: str, payload: object) -> None:
            if self.asked == 1:
                raise ConnectionError("lost again")
            super()._take(kind, payload)

    first, second = Tired(), Store()
    reach(first)
    with pytest.raises(RunError, match="lost again"):
        deliver(tmp_path)
    reach(second)
    assert deliver(tmp_path).entries == 2
    assert [payload[0] for _, payload in first.taken + second.taken] == [0, 1, 2]


def test_what_a_server_refuses_for_good_is_named_and_does_not_stop_the_rest(tmp_path, reach):
    undelivered = Undelivered(tmp_path)
    undelivered.keep(Destination("desk", "first", THERE), [("params", {"a": 1}), ("metrics", (1, 7, {}))])

    class Picky(Store):
        def write_params(self, params) -> None:
            raise ValueError("changed its value")

    store = Picky()
    reach(store)
    sent = deliver(tmp_path)
    assert sent.refused == ("params: changed its value",)
    assert [kind for kind, _ in store.taken] == ["metrics"]


def test_numbers_that_are_none_and_letters_of_any_kind_come_back(tmp_path):
    undelivered = Undelivered(tmp_path)
    entries = [("params", {"name": "Grüße\u2028"}), ("metrics", (1, 7, {"a": math.inf}))]
    undelivered.keep(Destination("desk", "first", None), entries)
    (batch,) = undelivered.batches()
    assert [[kind, json.loads(json.dumps(payload))] for kind, payload in undelivered.entries(batch)] == [
        ["params", {"name": "Grüße\u2028"}],
        ["metrics", [1, 7, {"a": math.inf}]],
    ]


def test_a_broken_batch_is_named(tmp_path, reach):
    undelivered = Undelivered(tmp_path)
    undelivered.keep(Destination("desk", "first", THERE), [("params", {})])
    undelivered.batches()[0].write_text("{")
    reach(Store())
    with pytest.raises(RunError, match=r"000001\.json"):
        deliver(tmp_path)


def test_the_command_sends_and_says_so(tmp_path, reach, monkeypatch):
    monkeypatch.setattr("practicum.runs.folder.require_run", lambda run: None)
    Undelivered(tmp_path).keep(Destination("desk", "first", THERE), [("params", {"a": 1}), ("status", "FINISHED")])
    reach(Store())
    done = CliRunner().invoke(app, ["track", str(tmp_path)])
    assert (done.exit_code, done.output.strip()) == (0, f"sent 2 entries to {THERE}")
    assert "has reached MLflow" in CliRunner().invoke(app, ["track", str(tmp_path)]).output


def test_a_port_where_nobody_listens_costs_no_more_than_the_few_tries_that_were_set(tmp_path, monkeypatch):
    for name, value in {"MAX_RETRIES": "1", "TIMEOUT": "1", "BACKOFF_FACTOR": "0", "BACKOFF_JITTER": "0"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    with Tracker(tmp_path, "desk", "first", f"http://127.0.0.1:{port}") as tracker:
        for step in range(200):
            tracker.log_metrics(step, {"training/loss": 1.0})
    kept = [entry for batch in Undelivered(tmp_path).batches() for entry in Undelivered(tmp_path).entries(batch)]
    assert len(kept) == 201


def test_a_rollout_sent_twice_is_one_trace():
    from practicum.monitor.spans import trace_of

    def ids(run: str, trajectory: Trajectory) -> list[str]:
        trace, spans = trace_of(trajectory, "prompt", run)
        return [trace, *(span.span_id for span in spans)]

    assert ids("run", rollout()) == ids("run", rollout())
    assert len(set(ids("run", rollout()))) == len(ids("run", rollout()))
    assert ids("run", rollout())[0] != ids("other", rollout())[0]
    assert ids("run", rollout())[0] != ids("run", rollout("r2"))[0]


def test_without_a_run_folder_the_command_says_so(tmp_path: Path):
    done = CliRunner().invoke(app, ["track", str(tmp_path / "none")])
    assert done.exit_code != 0
