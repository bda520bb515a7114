"""The run folder: one run, one folder, one writer. Everything a run leaves behind is written here, as it goes."""

import contextlib
import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from practicum.digests import digest_file
from practicum.errors import RunError
from practicum.evaluation.evaluator import Evaluation, write_evaluation
from practicum.files import write_text
from practicum.monitor.tracking import Tracker
from practicum.recipe import Recipe, load_recipe
from practicum.runs.checkpoint import Checkpoint
from practicum.runs.events import EventLog, read_events
from practicum.runs.manifest import Machine, Manifest, file_digests, read_manifest, write_manifest
from practicum.runs.repair import remove_leftovers, whole_lines
from practicum.runs.versions import RUNS
from practicum.trajectory import Trajectory

TRACED_PER_STEP = 16
"""Rollouts of a step shown as MLflow traces; all of them stand in the step's Parquet file."""
ARITHMETIC = ("numpy", "peft", "torch", "transformers")
"""Packages whose version decides how numbers are rounded."""


class Run:
    """An open run folder.

    Use ``Run.create`` or ``Run.reopen``; either takes the folder's lock, so that two processes never write to one
    run. Close it (or use ``with``) to flush MLflow and release the lock.
    """

    def __init__(self, folder: Path, recipe: Recipe, events: EventLog, began: float) -> None:
        self.folder, self.recipe, self.events, self._began = folder, recipe, events, began
        self._seconds_before = self._recorded_seconds()
        self._tracker: Tracker | None = None

    @classmethod
    def create(cls, folder: Path, recipe: Recipe, began: float) -> "Run":
        """Begin a run in a new or empty folder; its clock starts at ``began`` (``time.monotonic``).

        Raises:
            RunError: the folder already holds a run or something else, or cannot be written.
            LedgerError: another process is just beginning a run there.
        """
        refuse_taken(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            events = EventLog(folder / "events.jsonl")
            try:
                write_text(folder / "recipe.yaml", recipe.to_yaml())
            except OSError:
                events.close()
                events.path.unlink()
                folder.rmdir()
                raise
        except OSError as error:
            raise RunError(
                f"cannot write the run folder: {error.strerror}", where=str(folder), fix="choose another with --run"
            ) from error
        return cls(folder, recipe, events, began)

    @classmethod
    def reopen(cls, folder: Path, began: float) -> "Run":
        """Go on with a run; what a killed process left half-written, or did not enter in the ledger, is removed.

        Raises:
            RunError: no run is there, or a line of its metrics is broken.
            LedgerError: its ledger is broken, or another process is writing to it.
        """
        require_run(folder)
        recipe = load_recipe(folder / "recipe.yaml")
        events = EventLog(folder / "events.jsonl")
        try:
            remove_leftovers(folder)
            return cls(folder, recipe, events, began)
        except BaseException:
            events.close()
            raise

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        status = "FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED"
        with contextlib.suppress(OSError):  # a full disk is already being reported
            if error is not None and not isinstance(error, KeyboardInterrupt):
                self.events.append("error", {"what": f"{type(error).__name__}: {error}"})
        self.close(status)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def seconds(self) -> float:
        """Time spent on this run in all its sessions, as far as recorded."""
        return self._seconds_before + time.monotonic() - self._began

    @property
    def tracker(self) -> Tracker:
        """MLflow, opened when first needed: in the run folder, or where ``MLFLOW_TRACKING_URI`` says."""
        if self._tracker is None:
            self._tracker = Tracker(self.folder, "practicum", self.name, os.environ.get("MLFLOW_TRACKING_URI") or None)
            self._tracker.log_params(self.recipe.to_dict())
        return self._tracker

    @property
    def begun_as(self) -> Mapping[str, Any]:
        """What the run was begun as: which stages of a whole run it has."""
        return self._start() or {}

    def close(self, status: str = "FINISHED") -> None:
        """Flush and let go of the folder."""
        try:
            if self._tracker is not None:
                self._tracker.close(status)
        finally:
            self.events.close()

    def describe(self, manifest: Manifest, begun_as: Mapping[str, Any], *, rules: Collection[str] = ()) -> list[str]:
        """Write the manifest, or check that what is loaded now is what the manifest says.

        Args:
            manifest: Of what was loaded.
            begun_as: Recorded in the ``start`` event of a new run.
            rules: Which of score and reward are rules of Practicum's own (``rules_of_practicum``). Where a manifest is
                too old to hold their settings, their digests may differ.

        Returns:
            What about machine and rules differs from before, so that going on is not bit for bit the same.

        Raises:
            RunError: environment, data, reward, score or model differ from what the run was begun with.
        """
        if not (self.folder / "manifest.json").exists():
            write_manifest(self.folder, manifest)
        if self._start() is None:
            files = file_digests(self.folder, [self.folder / "recipe.yaml", self.folder / "manifest.json"])
            self.events.append("start", {**begun_as, "files": files})
        recorded = read_manifest(self.folder)
        before, present = asdict(recorded), asdict(manifest)
        # A key that recipes did not have then has its default now: that is no other recipe.
        present["recipe"] = {key: value for key, value in present["recipe"].items() if key in before["recipe"]}
        # Nor are other data what an earlier version said less of.
        present["data"] = {
            split: {key: value for key, value in data.items() if key in before["data"].get(split, data)}
            for split, data in present["data"].items()
        }
        compared = [key for key in before if key not in ("machine", "recipe_digest", "rule_settings")]
        changed = [key for key in compared if before[key] != present[key]]
        settings = before["rule_settings"]
        same_rule = [key for key in changed if key in settings and settings[key] == present["rule_settings"][key]]
        excused = {*same_rule, *(() if settings else rules)}
        refused = [key for key in changed if key not in excused]
        if refused:
            raise RunError(
                f"the run was begun with another {', '.join(refused)}",
                where=str(self.folder),
                fix="put back what the run was begun with, or start a new run with --run NAME",
            )
        if changed:
            self._record_code_change({key: [before[key], present[key]] for key in changed})
        unsure = "" if settings else ", and the run is too old to tell whether its settings are"
        notes = [f"Practicum's own code of the {key} is not what it was{unsure}" for key in changed]
        return notes + _machine_changes(recorded.machine, manifest.machine)

    def _record_code_change(self, digests: Mapping[str, Sequence[str]]) -> None:
        """Enter in the ledger, once, that what follows is judged by another version's code."""
        earlier = [event.data for event in read_events(self.events.path) if event.kind == "code_change"]
        if not earlier or earlier[-1] != digests:
            self.events.append("code_change", digests)

    def record_metrics(self, phase: str, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line to ``metrics.jsonl`` and hand the numbers to MLflow."""
        line = {"step": step, "time": round(self.seconds, 3), "phase": phase, "metrics": dict(metrics)}
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        self.tracker.log_metrics(step, metrics)

    def record_trajectories(self, trajectories: Sequence[Trajectory], prompts: Mapping[str, str]) -> None:
        """Show some rollouts as MLflow traces (all are in the step's Parquet file)."""
        for trajectory in trajectories[:TRACED_PER_STEP]:
            self.tracker.log_trajectory(trajectory, prompts[trajectory.task_id])

    def record_evaluation(self, evaluation: Evaluation, trajectories: Sequence[Trajectory]) -> None:
        """Write an evaluation and enter it in the ledger; only the entry makes it one that was carried out."""
        files = write_evaluation(self.folder, evaluation, trajectories)
        summary = {"label": evaluation.label, "mode": evaluation.mode, "success_rate": evaluation.success_rate}
        self.events.append("evaluation", {**summary, "interval": list(evaluation.interval), "files": files})

    def has_on_record(self, evaluation: str) -> bool:
        """Whether the ledger lists the files of the evaluation of that name, as they are now."""
        recorded: dict[str, str] = {}
        for event in read_events(self.events.path):
            recorded |= event.data.get("files", {})
        names = [f"evaluations/{evaluation}.json", f"trajectories/eval-{evaluation}.parquet"]
        return all(
            name in recorded and (self.folder / name).is_file() and digest_file(self.folder / name) == recorded[name]
            for name in names
        )

    def acknowledge(self, checkpoint: Checkpoint) -> None:
        """Enter a checkpoint that is gone on from in the ledger, if a kill came between it and its event."""
        for event in read_events(self.events.path):
            if checkpoint.digest in (event.data.get("checkpoint"), event.data.get("digest")):
                return
        if checkpoint.foothold is not None:
            self.events.append("warmstart", {**checkpoint.foothold, "checkpoint": checkpoint.digest})
        elif checkpoint.step:
            self.events.append("checkpoint", {"step": checkpoint.step, "digest": checkpoint.digest})

    def forget_after(self, step: int | None) -> None:
        """Drop metrics of training after ``step``, which a resumed run does again; None: also the foothold's."""
        path = self.folder / "metrics.jsonl"
        if path.exists():
            kept = [line for line in whole_lines(path) if _stays(line, step)]
            write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def _start(self) -> Mapping[str, Any] | None:
        return next((event.data for event in read_events(self.events.path) if event.kind == "start"), None)

    def _recorded_seconds(self) -> float:
        path = self.folder / "metrics.jsonl"
        lines = whole_lines(path) if path.exists() else []
        return float(lines[-1]["time"]) if lines else 0.0


def require_run(folder: Path) -> None:
    """Refuse a folder that holds no run.

    Raises:
        RunError: saying so.
    """
    if not (folder / "recipe.yaml").is_file():
        raise RunError(f"no run in {folder}", fix="give the folder of a run, such as runs/demo")


def refuse_taken(folder: Path) -> None:
    """Refuse a folder that a new run cannot have.

    Raises:
        RunError: saying what is there, and how to go on.
    """
    if (folder / "recipe.yaml").exists():
        raise RunError(
            f"{folder} already holds a run",
            fix=f"continue it with: practicum resume {folder}; or give the new run another name with --run NAME",
        )
    if folder.exists() and (not folder.is_dir() or any(path.name != "events.jsonl" for path in folder.iterdir())):
        raise RunError(f"{folder} is not an empty folder", fix="give the run another name with --run NAME")


def default_folder(name: str) -> Path:
    """The run folder of that name, with a number where it is taken."""
    folder = named_folder(name)
    number = 2
    candidate = folder
    while (candidate / "recipe.yaml").exists():
        candidate, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return candidate


def named_folder(name: str) -> Path:
    """``runs/NAME``, or NAME itself where it is a path."""
    return Path(name) if "/" in name else RUNS / name


def _stays(line: Mapping[str, Any], step: int | None) -> bool:
    match line["phase"]:
        case "foothold":
            return step is not None
        case "rl" | "checkpoint":
            return bool(line["step"] <= (step or 0))
        case "validation":  # the one before the first step is done again with it
            return bool(line["step"] <= (step or -1))
    return True


def _machine_changes(before: Machine, present: Machine) -> list[str]:
    notes = [] if before.threads == present.threads else [f"{before.threads} CPU threads then, {present.threads} now"]
    for name in ("processor", "instructions", "dtype"):
        old, new = getattr(before, name), getattr(present, name)
        if old and old != new:
            notes.append(f"{name}: {old} then, {new} now")
    for name in ARITHMETIC:
        old, new = before.packages.get(name), present.packages.get(name)
        if old != new:
            notes.append(f"{name} {old} then, {new} now")
    return notes
