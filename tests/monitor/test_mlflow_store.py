"""The store in a run's folder is whole or not there, whenever the process is killed."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from practicum.monitor.tracking import Tracker

CODE = """
import pathlib, sys
from practicum.monitor.mlflow_store import MlflowStore
MlflowStore(pathlib.Path(sys.argv[1]), "desk", "first", None)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_kill_while_tables_are_made_leaves_no_half_of_a_store(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", CODE, str(tmp_path)], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.glob(".mlflow.*.part/mlflow.db")):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)

    (left,) = names(tmp_path)
    assert left.startswith(".mlflow.")
    assert left.endswith(".part"), "what a run that is opened again removes"


def test_a_half_of_a_store_is_set_aside_and_another_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with sqlite3.connect(tmp_path / "mlflow.db") as half:
        half.execute("CREATE TABLE trace_info (request_id TEXT)")

    with Tracker(tmp_path, "desk", "first") as tracker:
        tracker.log_metrics(1, {"training/loss": 0.5})

    from mlflow import MlflowClient

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert names(tmp_path) == ["broken-mlflow.db", "mlflow.db", "mlflow.json"]
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = [each for each in client.search_experiments() if each.name == "desk"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics == {"training/loss": 0.5}


def test_what_mlflow_raises_is_told_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "mlflow.json").write_text('{"tracking_uri": null, "run_id": "0"}')
    with sqlite3.connect(tmp_path / "mlflow.db") as half:
        half.execute("CREATE TABLE trace_info (request_id TEXT)")

    Tracker(tmp_path, "desk", "first").close()

    said, kept = [record.getMessage() for record in caplog.records if record.name.startswith("practicum")]
    assert "training goes on without it" in said
    assert "practicum track" in kept
    assert "\n" not in said
