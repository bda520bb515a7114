import json
import logging
import os
import shutil
import subprocess
import sys
import time

import pytest

from practicum.monitor.tracking import QUEUE_LENGTH, Tracker
from practicum.trajectory import EnvironmentRef, ToolCall, Trajectory, Turn

REF = EnvironmentRef("desk", "1.0.0", "ab" * 32)


def turn(response, **changes):
    values = {
        "messages": ({"role": "user", "content": "Grüße\u2028"},),
        "response": {"role": "assistant", "content": response},
        "context_ids": (1, 2, 3),
        "action_ids": (4, 5),
        "logprobs": (-0.5, -0.1),
        "versions": (7, 8),
        "finish_reason": "stop",
        "latency_s": 0.25,
    }
    return Turn(**{**values, **changes})


def trajectory(id="r1", **changes):
    values = {
        "id": id,
        "task_id": "t1",
        "group_id": "g1",
        "seed": 3,
        "environment": REF,
        "turns": (turn(None, finish_reason="tool_calls"), turn("It is high.")),
        "tool_calls": (ToolCall("c1", "look_up", {"key": "a"}, "no such key", True, 0, 0.5),),
        "ending": "final",
        "rewards": (0.75,),
        "metrics": {"format": 0.1},
        "score": 1.0,
    }
    return Trajectory(**{**values, **changes})


@pytest.fixture(scope="module")
def fresh_process(tmp_path_factory):
    """A first tracked run in a process of its own, with its output: creating the tables takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    code = (
        "import sys, pathlib; from practicum.monitor.tracking import Tracker;"
        "t = Tracker(pathlib.Path(sys.argv[1]), 'tables', 'tables'); t.log_params({'a': 1}); t.close();"
        "import mlflow, mlflow.telemetry.client as c; from mlflow.tracking import _tracking_service as s;"
        "print(mlflow.active_run(), s.utils._tracking_uri, c.get_telemetry_client())"
    )
    testing = ("CI", "PYTEST_CURRENT_TEST")
    environment = {name: value for name, value in os.environ.items() if name not in testing}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True, env=environment
    )
    return folder, done


@pytest.fixture
def run(tmp_path, fresh_process):
    shutil.copy(fresh_process[0] / "mlflow.db", tmp_path / "mlflow.db")
    return tmp_path


def client(folder):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def tracked(folder):
    return client(folder).get_run(json.loads((folder / "mlflow.json").read_text())["run_id"])


def traces(folder):
    found = tracked(folder)
    return client(folder).search_traces(
        locations=[found.info.experiment_id], filter_string=f"trace.run_id = '{found.info.run_id}'"
    )


def test_parameters_and_metrics_by_step_reach_the_store(run):
    with Tracker(run, "desk", "first") as tracker:
        tracker.log_params({"rl.group_size": 8, "model": {"name": "smol"}})
        tracker.log_metrics(1, {"rollout/reward/mean": 0.25, "rollout/tool_calls/we:rd(tool)": 1})
        tracker.log_metrics(2, {"rollout/reward/mean": 0.5})
    found = tracked(run)
    assert found.info.run_name == "first"
    assert found.info.status == "FINISHED"
    assert found.data.params == {"rl.group_size": "8", "model": "{'name': 'smol'}"}
    assert found.data.metrics == {"rollout/reward/mean": 0.5, "rollout/tool_calls/we:rd_tool_": 1.0}
    history = client(run).get_metric_history(found.info.run_id, "rollout/reward/mean")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.25), (2, 0.5)]
    assert client(run).get_experiment(found.info.experiment_id).name == "desk"


def test_a_rollout_is_one_trace_with_a_span_per_turn_and_tool_call(run):
    with Tracker(run, "desk", "first") as tracker:
        tracker.log_trajectory(trajectory(), "How severe is a?")
    (trace,) = traces(run)
    root, first, call, second = trace.data.spans
    assert [span.name for span in trace.data.spans] == ["rollout", "turn 1", "look_up", "turn 2"]
    assert {span.parent_id for span in (first, call, second)} == {root.span_id}
    assert root.inputs == {"prompt": "How severe is a?"}
    assert root.outputs["answer"] == "It is high."
    assert (root.outputs["reward"], root.outputs["score"]) == (0.75, 1.0)
    assert root.outputs["reward_components"] == {"format": 0.1}
    assert first.inputs == {"messages": [{"role": "user", "content": "Grüße\u2028"}]}
    assert first.attributes["policy_versions"] == [7, 8]
    assert first.attributes["mlflow.chat.tokenUsage"] == {
        "input_tokens": 3,
        "output_tokens": 2,
        "total_tokens": 5,
    }
    assert call.inputs == {"key": "a"}
    assert call.outputs == "no such key"
    assert (call.status.status_code.value, call.status.description) == ("ERROR", "no such key")
    assert (call.end_time_ns - call.start_time_ns) / 1e9 == pytest.approx(0.5)
    assert first.end_time_ns == call.start_time_ns
    assert trace.info.tags["reward"] == "0.75"
    assert trace.info.tags["trajectory_id"] == "r1"
    assert trace.info.execution_duration == pytest.approx(1000, abs=1)
    assert trace.info.state.value == "OK"


def test_a_failed_rollout_is_a_failed_trace(run):
    lost = trajectory(turns=(), tool_calls=(), ending="error", rewards=(), score=None, error="server gone \ud800")
    with Tracker(run, "desk", "first") as tracker:
        tracker.log_trajectory(lost, "prompt")
    (trace,) = traces(run)
    assert trace.info.state.value == "ERROR"
    assert trace.data.spans[0].status.description == "server gone ?"
    assert trace.data.spans[0].outputs["reward"] is None
    assert "reward" not in trace.info.tags


def test_a_restarted_run_goes_on_as_the_same_mlflow_run(run):
    with Tracker(run, "desk", "first") as tracker:
        tracker.log_params({"group_size": 8})
        tracker.log_metrics(1, {"training/loss": 1.0})
    before = tracked(run)
    with Tracker(run, "desk", "first") as tracker:
        tracker.log_params({"group_size": 4, "seed": 1})
        tracker.log_metrics(2, {"training/loss": 0.5})
    after = tracked(run)
    assert after.info.run_id == before.info.run_id
    assert after.data.params == {"group_size": "8", "seed": "1"}
    assert len(client(run).get_metric_history(after.info.run_id, "training/loss")) == 2
    assert len(client(run).search_runs([after.info.experiment_id])) == 1


def test_a_run_unknown_to_the_store_starts_anew(run):
    (run / "mlflow.json").write_text(json.dumps({"tracking_uri": None, "run_id": "0" * 32}))
    Tracker(run, "desk", "first").close()
    assert tracked(run).info.run_name == "first"


def test_an_exception_in_the_block_marks_the_run_as_failed(run):
    with pytest.raises(RuntimeError, match="boom"), Tracker(run, "desk", "first") as tracker:
        tracker.log_metrics(1, {"training/loss": 1.0})
        raise RuntimeError("boom")
    assert tracked(run).info.status == "FAILED"
    assert tracked(run).data.metrics == {"training/loss": 1.0}


def test_a_store_that_cannot_be_opened_costs_one_warning_and_nothing_else(tmp_path, caplog):
    with Tracker(tmp_path, "desk", "first", tracking_uri="nonsense://nowhere") as tracker:
        for step in range(3):
            tracker.log_metrics(step, {"training/loss": 1.0})
            tracker.log_trajectory(trajectory(), "prompt")
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "training goes on without it" in warnings[0].getMessage()


def test_what_one_entry_breaks_does_not_take_the_others_along(run, caplog):
    with Tracker(run, "desk", "first") as tracker:
        tracker.log_metrics(1, {"training/loss": "not a number"})
        tracker.log_metrics(2, {"training/loss": 0.5})
        tracker.log_params({"group_size": 8})
        tracker.log_trajectory(trajectory(), "prompt")
    assert tracked(run).data.params == {"group_size": "8"}
    assert tracked(run).data.metrics == {"training/loss": 0.5}
    assert len(traces(run)) == 1
    assert [record.levelname for record in caplog.records if record.name.startswith("practicum")] == ["WARNING"]


def test_logging_sixty_four_rollouts_holds_the_caller_up_for_a_moment_only(run):
    many = [trajectory(f"r{n}") for n in range(64)]
    tracker = Tracker(run, "desk", "first")
    started = time.perf_counter()
    for rollout in many:
        tracker.log_trajectory(rollout, "prompt")
    assert time.perf_counter() - started < 0.5
    tracker.close()
    assert len(traces(run)) == 64


def test_a_full_queue_drops_and_tells_instead_of_waiting(run, caplog):
    tracker = Tracker(run, "desk", "first")
    for _ in range(2 * QUEUE_LENGTH):
        tracker.log_params({})
    tracker.close()
    dropped = [record.args[0] for record in caplog.records if "too slow" in record.msg]
    assert len(dropped) == 1
    assert 0 < dropped[0] <= QUEUE_LENGTH


def test_closing_twice_is_harmless(run):
    tracker = Tracker(run, "desk", "first")
    tracker.close()
    tracker.close()
    assert tracked(run).info.status == "FINISHED"


def test_nothing_global_changes_and_no_table_creation_is_chattered_about(fresh_process):
    _, done = fresh_process
    assert done.stdout == "None None None\n"
    assert "INFO" not in done.stderr
