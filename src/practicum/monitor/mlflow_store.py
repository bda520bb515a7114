"""The MLflow side of tracking: one run in one store, through MLflow's clients, without its global state.

Importing this module imports MLflow, which takes seconds; ``monitor.tracking`` does so in its own thread.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracing.client import TracingClient

from practicum.files import sync, write_text
from practicum.monitor.spans import trace_of
from practicum.monitor.undelivered import storable
from practicum.trajectory import Trajectory

PARAMS_PER_BATCH = 100
METRICS_PER_BATCH = 1000
PARAM_LENGTH = 6000
"""These are MLflow's own limits."""
RUN_FILE = "mlflow.json"
"""Remembers, in the run folder, which MLflow run it is."""
STORE = "mlflow.db"
BELONGING = ("-journal", "-wal", "-shm")
"""What SQLite keeps beside its file while it writes."""


class MlflowStore:
    """An MLflow run, new or taken up again; used from one thread only."""

    def __init__(self, folder: Path, experiment: str, run_name: str, uri: str | None) -> None:
        self._folder, self._uri = folder, uri
        self._address = None if uri is None else storable(uri)
        store = uri or _own_store(folder.resolve())
        self._client, self._tracing = MlflowClient(store), TracingClient(store)
        self._experiment_id = self._experiment(experiment)
        self._run_id = self._resumed() or self._started(run_name)
        self._known = set(self._client.get_run(self._run_id).data.params)

    def write_params(self, params: Mapping[str, Any]) -> None:
        """Record settings that the run does not have yet."""
        named = {_name(key): str(value)[:PARAM_LENGTH] for key, value in params.items()}
        new = [Param(key, value) for key, value in named.items() if key not in self._known]
        for start in range(0, len(new), PARAMS_PER_BATCH):
            self._client.log_batch(self._run_id, params=new[start : start + PARAMS_PER_BATCH])
        self._known |= named.keys()

    def write_metrics(self, entry: tuple[int, int, Mapping[str, float]]) -> None:
        """Record (step, milliseconds since 1970, numbers)."""
        step, time_ms, metrics = entry
        numbers = [Metric(_name(key), float(value), time_ms, step) for key, value in metrics.items()]
        for start in range(0, len(numbers), METRICS_PER_BATCH):
            self._client.log_batch(self._run_id, metrics=numbers[start : start + METRICS_PER_BATCH])

    def write_rollouts(self, rollouts: Sequence[tuple[Trajectory, str]]) -> None:
        """Record (rollout, prompt of its task) as traces of this run."""
        traces = [trace_of(trajectory, prompt, self._run_id) for trajectory, prompt in rollouts]
        self._tracing.log_spans(self._experiment_id, [span for _, spans in traces for span in spans])
        self._client.link_traces_to_run([id for id, _ in traces], self._run_id)

    def finish(self, status: str) -> None:
        """Set the run's status: FINISHED, FAILED or KILLED."""
        self._client.set_terminated(self._run_id, status)

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        beside = None if self._uri else (self._folder.resolve() / "mlartifacts").as_uri()
        return str(self._client.create_experiment(name, artifact_location=beside))

    def _resumed(self) -> str | None:
        """The run this folder was tracked as before, if the store still has it."""
        try:
            before = json.loads((self._folder / RUN_FILE).read_text(encoding="utf-8"))
            before_uri = before["tracking_uri"]
            if (None if before_uri is None else storable(before_uri)) != self._address:
                return None
            run = self._client.get_run(before["run_id"])
        except (OSError, ValueError, KeyError, MlflowException):
            return None
        self._experiment_id = run.info.experiment_id
        self._client.update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)

    def _started(self, run_name: str) -> str:
        run_id = str(self._client.create_run(self._experiment_id, run_name=run_name).info.run_id)
        about = {"tracking_uri": self._address, "run_id": run_id}
        write_text(self._folder / RUN_FILE, json.dumps(about) + "\n")
        return run_id


def _own_store(folder: Path) -> str:
    """Address of the store in a run folder, which is whole: made beside its place, and renamed.

    MLflow makes its tables in many transactions, and can never open what a kill left in between: where no run is on
    record yet, what is there is tried, and set aside if it is such a half.
    """
    store = folder / STORE
    if not (folder / RUN_FILE).exists():
        with _beside(folder) as copy:
            paths = [path for path in (store, *(folder / f"{STORE}{end}" for end in BELONGING)) if path.exists()]
            for path in paths:
                shutil.copy(path, copy.parent)
            if store.exists() and not _opens(copy):
                for path in paths:
                    path.replace(folder / path.name.replace(STORE, f"broken-{STORE}"))
    if not store.exists():
        with _beside(folder) as new:
            _make(new)
            sync(new)
            new.replace(store)
    return f"sqlite:///{store}"


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A store's path in a folder of its own, which is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    # Never one path twice: MLflow keeps a connection to what was there.
    scratch = Path(tempfile.mkdtemp(prefix=".mlflow.", suffix=".part", dir=folder))
    try:
        yield scratch / STORE
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _make(store: Path) -> None:
    """Make a store's tables, as far as they are not there; and let go of the file."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{store}", (store.parent.parent / "mlartifacts").as_uri()).engine.dispose()


def _opens(store: Path) -> bool:
    try:
        _make(store)
    except Exception:  # whatever MLflow and SQLAlchemy raise of tables that are there, or are not
        return False
    return True


def _name(text: str) -> str:
    """A name MLflow accepts: what it refuses becomes an underscore."""
    return re.sub(r"[^\w\-. :/]", "_", text, flags=re.ASCII)[:250]
