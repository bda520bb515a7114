"""A run in MLflow: parameters, metrics, and one trace per rollout.

    with Tracker(run_folder, "support-desk", "first try") as tracker:
        tracker.log_params({"group_size": 8})
        tracker.log_metrics(1, {"rollout/reward/mean": 0.25})
        tracker.log_trajectory(trajectory, task.prompt)

Everything is written by a thread of its own: importing MLflow and creating its tables takes seconds, and a
tracking server may be slow or silent. Training never waits for tracking and never ends because of it, and closing
waits a bounded time: what was not delivered by then stays in the run folder (``monitor.undelivered``), is told in one
warning, and is sent by ``practicum track RUN``. By default the store is ``mlflow.db`` in the run folder; look at it
with ``mlflow ui --backend-store-uri sqlite:///RUN/mlflow.db``. MLflow's own telemetry is switched off.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from practicum.display import say_line, visible
from practicum.monitor.undelivered import Destination, Entry, Undelivered, without_password
from practicum.trajectory import Trajectory

if TYPE_CHECKING:
    from practicum.monitor.mlflow_store import MlflowStore

QUEUE_LENGTH = 4096
"""Entries that may wait for the thread; more are written down as undelivered."""
BATCH = 64
"""Traces written in one transaction."""
SERVER_CLOSE_S, OWN_CLOSE_S, KILLED_CLOSE_S = 20.0, 300.0, 5.0
"""Seconds that closing waits at most: for a server, for the store in the run folder, and after Ctrl-C or SIGTERM."""
SILENT_FOR_S = 60.0
"""Seconds for which a server that did not answer is not asked again."""
SERVER_TOLD_AFTER_S, OWN_TOLD_AFTER_S = 1.0, 10.0
"""Seconds of waiting after which closing says what it waits for: making the tables of an own store takes some."""
PATIENCE = {"MAX_RETRIES": "2", "TIMEOUT": "10", "BACKOFF_FACTOR": "1"}
"""Of MLflow's own requests, unless the user's environment says otherwise: its defaults add up to minutes."""
_log = logging.getLogger(__name__)


class Tracker:
    """Writes one run to MLflow in the background.

    A restarted run with the same folder and tracking URI goes on with the same MLflow run.

    Args:
        run_folder: Folder of the run; holds the default store and remembers the MLflow run.
        experiment: Name of the MLflow experiment; created where it does not exist.
        run_name: Name shown in MLflow.
        tracking_uri: Another store or server, as MLflow takes it.
        close_s: Seconds that ``close`` waits at most.
    """

    def __init__(
        self,
        run_folder: Path,
        experiment: str,
        run_name: str,
        tracking_uri: str | None = None,
        close_s: float | None = None,
    ) -> None:
        quieten()
        self._folder, self._destination = run_folder, Destination(experiment, run_name, tracking_uri)
        self._close_s = close_s if close_s is not None else SERVER_CLOSE_S if tracking_uri else OWN_CLOSE_S
        self._undelivered = Undelivered(run_folder)
        self._news = threading.Condition()
        self._waiting: deque[Entry] = deque()
        self._in_hand: list[Entry] = []
        self._overflow: list[Entry] = []
        self._status: str | None = None
        self._kept = 0
        self._given_up = self._warned = False
        self._ask_again = 0.0
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
        """Deliver what is waiting and the run's status (FINISHED, FAILED or KILLED); keep what does not arrive in time.

        Waits ``close_s`` at most, and less where the status is KILLED: whoever ended the run does not want to wait.
        """
        if self._given_up:
            return
        bound = min(self._close_s, KILLED_CLOSE_S) if status == "KILLED" else self._close_s
        with self._news:
            self._status = status
            self._news.notify()
        try:
            self._wait(bound)
        finally:
            self._give_up()
        if self._kept:
            _log.warning(
                "%d entries did not reach MLflow and are kept in %s; to send them: practicum track %s",
                *(self._kept, self._undelivered.folder, self._folder),
            )

    def _wait(self, bound: float) -> None:
        """Until the thread has come to its end, ``bound`` seconds at most; before long it is said what for."""
        told_after = min(bound, SERVER_TOLD_AFTER_S if self._destination.tracking_uri else OWN_TOLD_AFTER_S)
        self._thread.join(told_after)
        if self._thread.is_alive() and bound > told_after:
            left = len(self._waiting) + len(self._in_hand)
            where = without_password(self._destination.tracking_uri or str(self._folder))
            say_line(f"practicum: waiting for MLflow at {where}: {left} entries, {bound:.0f} s at most", stderr=True)
            self._thread.join(bound - told_after)

    def _give_up(self) -> None:
        """Write down whatever has not arrived; the thread, should it still hang, delivers and keeps nothing more."""
        with self._news:
            self._given_up = True
            status: list[Entry] = [] if self._status is None else [("status", self._status)]
            self._keep([*self._in_hand, *self._waiting, *self._overflow, *status])
            self._in_hand, self._overflow, self._status = [], [], None
            self._waiting.clear()
            self._news.notify()

    def _put(self, entry: Entry) -> None:
        with self._news:
            if len(self._waiting) < QUEUE_LENGTH:
                self._waiting.append(entry)
                self._news.notify()
                return
            self._overflow.append(entry)
            if len(self._overflow) >= BATCH:
                self._keep(self._overflow)
                self._overflow = []

    def _take(self) -> list[Entry]:
        """The next entries, in the thread's hand from now on; the status with the last; none when it is over."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._status is not None or self._given_up)
            entries = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if self._status is not None and not self._waiting:
                entries += [*self._overflow, ("status", self._status)]
                self._overflow, self._status = [], None
            self._in_hand = entries = [entry for part in parts_of(entries) for entry in part]
            return entries

    def _keep(self, entries: Sequence[Entry]) -> None:
        """Write entries down; the lock is held."""
        try:
            self._undelivered.keep(self._destination, entries)
        except Exception as error:  # a full disk, or a rollout that no table takes: the run goes on
            self._warn(error)
        else:
            self._kept += len(entries)

    def _work(self) -> None:
        store: MlflowStore | None = None
        closing = False
        while not closing and (entries := self._take()):
            closing = entries[-1][0] == "status"
            if store is None and time.monotonic() >= self._ask_again:
                store = self._open()
            self._deliver(store, entries)

    def _open(self) -> "MlflowStore | None":
        try:
            with _quiet("alembic", "mlflow.store.db.utils"):
                from practicum.monitor.mlflow_store import MlflowStore

                about = self._destination
                return MlflowStore(self._folder, about.experiment, about.run_name, about.tracking_uri)
        except Exception as error:  # whatever MLflow raises, training goes on
            self._not_answered(error)
            return None

    def _deliver(self, store: "MlflowStore | None", entries: Sequence[Entry]) -> None:
        """Write entries to the store; keep what it does not take for want of an answer."""
        for part in parts_of(entries):
            arrived = not self._given_up and store is not None and self._written(store, part)
            with self._news:
                if self._given_up:
                    return  # all that was in hand is written down already
                if not arrived:
                    self._keep(part)
                self._in_hand = self._in_hand[len(part) :]

    def _written(self, store: "MlflowStore", part: Sequence[Entry]) -> bool:
        """Whether entries arrived, or never will because they are broken."""
        if time.monotonic() < self._ask_again:
            return False
        try:
            write_part(store, part)
        except Exception as error:  # as above
            if not is_broken(error):
                self._not_answered(error)
                return False
            self._warn(error)
        return True

    def _not_answered(self, error: Exception) -> None:
        self._ask_again = time.monotonic() + SILENT_FOR_S
        self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            _log.warning("MLflow tracking failed, training goes on without it: %s", visible(first_line(error)))
        self._warned = True


def quieten() -> None:
    """MLflow without telemetry, and with requests that end soon enough; before it is imported."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for name, value in PATIENCE.items():
        os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", value)


def parts_of(entries: Sequence[Entry]) -> list[list[Entry]]:
    """What is written in one go: rollouts together, in one transaction; everything else alone; a status last."""
    rollouts = [entry for entry in entries if entry[0] == "rollout"]
    single = [[entry] for entry in entries if entry[0] in ("params", "metrics")]
    return [*single, *([rollouts] if rollouts else []), *([entry] for entry in entries if entry[0] == "status")]


def write_part(store: "MlflowStore", part: Sequence[Entry]) -> None:
    """Write entries of one kind to the store."""
    writes: dict[str, Callable[[Any], None]] = {
        "params": store.write_params,
        "metrics": store.write_metrics,
        "rollout": store.write_rollouts,
        "status": store.finish,
    }
    kind, payload = part[0]
    writes[kind]([payload for _, payload in part] if kind == "rollout" else payload)


def is_broken(error: BaseException) -> bool:
    """Whether the entry itself was at fault, so that no server would ever take it."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return bool(error.get_http_status_code() == 400)
    return isinstance(error, ValueError | TypeError)


def first_line(error: BaseException) -> str:
    """What an error says first."""
    return without_password((str(error).strip() or type(error).__name__).splitlines()[0])


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
