"""A run in MLflow: parameters, metrics, and one trace per rollout.

    with Tracker(run_folder, "support-desk", "first try") as tracker:
        tracker.log_params({"group_size": 8})
        tracker.log_metrics(1, {"rollout/reward/mean": 0.25})
        tracker.log_trajectory(trajectory, task.prompt)

Everything is written by a thread of its own: importing MLflow and creating its tables takes seconds, and a
tracking server may be slow. Training never waits for tracking and never ends because of it: what cannot be
written is told in one warning. By default the store is ``mlflow.db`` in the run folder; look at it with
``mlflow ui --backend-store-uri sqlite:///RUN/mlflow.db``. MLflow's own telemetry is switched off.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from practicum.trajectory import Trajectory

if TYPE_CHECKING:
    from practicum.monitor.mlflow_store import MlflowStore

QUEUE_LENGTH = 4096
"""Entries that may wait for the thread; more are dropped, and counted."""
BATCH = 64
"""Traces written in one transaction."""
_log = logging.getLogger(__name__)

Entry = tuple[Literal["params", "metrics", "rollout", "status"], Any]


class Tracker:
    """Writes one run to MLflow in the background.

    A restarted run with the same folder and tracking URI goes on with the same MLflow run.

    Args:
        run_folder: Folder of the run; holds the default store and remembers the MLflow run.
        experiment: Name of the MLflow experiment; created where it does not exist.
        run_name: Name shown in MLflow.
        tracking_uri: Another store or server, as MLflow takes it.
    """

    def __init__(self, run_folder: Path, experiment: str, run_name: str, tracking_uri: str | None = None) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        self._about = (run_folder, experiment, run_name, tracking_uri)
        self._queue: queue.Queue[Entry] = queue.Queue(QUEUE_LENGTH)
        self._dropped = 0
        self._warned = False
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close("FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED")

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record settings. MLflow's parameters never change: a resumed run keeps those it began with."""
        self._put(("params", dict(params)))

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record the numbers of one step."""
        self._put(("metrics", (step, time.time_ns() // 1_000_000, dict(metrics))))

    def log_trajectory(self, trajectory: Trajectory, task_prompt: str) -> None:
        """Record one rollout as a trace linked to this run."""
        self._put(("rollout", (trajectory, task_prompt)))

    def close(self, status: str = "FINISHED") -> None:
        """Wait until everything is written and set the run's status (FINISHED, FAILED or KILLED)."""
        if self._thread.is_alive():
            self._queue.put(("status", status))
            self._thread.join()
        if self._dropped:
            _log.warning("MLflow was too slow: %d entries were not recorded there", self._dropped)
            self._dropped = 0

    def _put(self, entry: Entry) -> None:
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self._dropped += 1

    def _work(self) -> None:
        store = self._open()
        closing = False
        while not closing:
            entries = [self._queue.get()]
            while len(entries) < BATCH and not self._queue.empty():
                entries.append(self._queue.get())
            closing = any(kind == "status" for kind, _ in entries)
            if store is not None:
                self._write(store, entries)

    def _open(self) -> "MlflowStore | None":
        try:
            with _quiet("alembic", "mlflow.store.db.utils"):
                from practicum.monitor.mlflow_store import MlflowStore

                return MlflowStore(*self._about)
        except Exception as error:  # whatever MLflow raises, training goes on
            self._warn(error)
            return None

    def _write(self, store: "MlflowStore", entries: list[Entry]) -> None:
        """Rollouts together in one transaction, everything else on its own; the status comes last."""
        single: dict[str, Callable[[Any], None]] = {
            "params": store.write_params,
            "metrics": store.write_metrics,
        }
        rollouts = [payload for kind, payload in entries if kind == "rollout"]
        jobs: list[tuple[Callable[[Any], None], Any]] = [
            *((single[kind], payload) for kind, payload in entries if kind in single),
            *([(store.write_rollouts, rollouts)] if rollouts else []),
            *((store.finish, payload) for kind, payload in entries if kind == "status"),
        ]
        for write, payload in jobs:
            try:
                write(payload)
            except Exception as error:  # as above
                self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            _log.warning("MLflow tracking failed, training goes on without it: %s", first)
        self._warned = True


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Let these loggers pass warnings only, for a while."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
