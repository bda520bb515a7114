"""What a run folder holds, read for showing. Missing parts are empty; broken ones are noted, never fatal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from practicum.errors import LedgerError, RunError
from practicum.evaluation.disagreements import Disagreement, last_evaluated, recorded_disagreements
from practicum.evaluation.summary import MODES, stage_order
from practicum.runs.events import FILE as EVENTS
from practicum.runs.events import LedgerEvent, read_events
from practicum.runs.manifest import FILE as MANIFEST
from practicum.store import read_trajectories
from practicum.text import json_object
from practicum.trajectory import Trajectory


@dataclass(frozen=True)
class Example:
    """One rollout to look at, and the evaluation or step it comes from."""

    source: str
    trajectory: Trajectory


@dataclass(frozen=True)
class RunData:
    """Everything the page shows."""

    folder: Path
    metrics: Sequence[Mapping[str, Any]]
    """Lines of metrics.jsonl: step, time, phase, metrics."""
    evaluations: Sequence[Mapping[str, Any]]
    manifest: Mapping[str, Any]
    events: Sequence[LedgerEvent]
    examples: Sequence[Example]
    """Two rollouts of one task, before and after training; one or none where there are no more."""
    notes: Sequence[str]
    """What could not be read."""
    comparisons: Sequence[Mapping[str, Any]] = ()
    """Of evaluation.json: each pair of models."""
    disagreements: Sequence[Disagreement] = ()
    """Rollouts of the last evaluated model on which reward and score differ, worst first."""


def read_run(folder: Path) -> RunData:
    """Read a run folder, whole or partial."""
    notes: list[str] = []
    return RunData(
        folder=folder,
        metrics=_metrics(folder / "metrics.jsonl", notes),
        evaluations=_evaluations(folder / "evaluations", notes),
        manifest=_object(folder / MANIFEST, notes),
        events=_events(folder / EVENTS, notes),
        examples=_examples(folder / "trajectories", notes),
        notes=notes,
        comparisons=_comparisons(folder / "evaluation.json", notes),
        disagreements=_disagreements(folder, notes),
    )


def _metrics(path: Path, notes: list[str]) -> list[Mapping[str, Any]]:
    if not path.is_file():
        return []
    rows: list[Mapping[str, Any]] = []
    broken = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        row = json_object(line) or {}
        if isinstance(row.get("step"), int | float) and isinstance(row.get("metrics"), dict):
            rows.append(row)
        else:
            broken += bool(line.strip())
    if broken:
        notes.append(f"{path.name}: {broken} broken line{'s' if broken > 1 else ''} left out")
    return rows


def _evaluations(folder: Path, notes: list[str]) -> list[Mapping[str, Any]]:
    found = [_object(path, notes) for path in sorted(folder.glob("*.json"))]
    whole = [evaluation for evaluation in found if {"label", "mode"} <= evaluation.keys()]
    return sorted(whole, key=lambda e: stage_order(e["label"], e["mode"]))


def _comparisons(path: Path, notes: list[str]) -> list[Mapping[str, Any]]:
    found = _object(path, notes).get("comparisons")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _disagreements(folder: Path, notes: list[str]) -> list[Disagreement]:
    if not last_evaluated(folder):
        return []
    try:
        return recorded_disagreements(folder)
    except RunError as error:
        note = f"{Path(error.where).name}: {error.what}"
        if note not in notes:
            notes.append(note)
        return []


def _object(path: Path, notes: list[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    value = json_object(path.read_text(encoding="utf-8", errors="replace")) or {}
    if not value:
        notes.append(f"{path.name}: not a JSON object, left out")
    return value


def _events(path: Path, notes: list[str]) -> list[LedgerEvent]:
    if not path.is_file():
        return []
    try:
        return read_events(path)
    except LedgerError as error:
        notes.append(f"{path.name}: {error.what} ({error.where.rpartition(', ')[2]})")
        return []


def _examples(folder: Path, notes: list[str]) -> list[Example]:
    """From what reinforcement began with and ended with, evaluated in one mode; else from the first and last step."""
    begun = [(label, mode) for mode in MODES for label in ("foothold", "base")]
    pairs = [(folder / f"eval-{label}-{m}.parquet", folder / f"eval-trained-{m}.parquet") for label, m in begun]
    steps = sorted(folder.glob("step-*.parquet"))
    pairs += [(steps[0], steps[-1])] if len(steps) > 1 else []
    for before, after in pairs:
        if before.is_file() and after.is_file():
            chosen = _pair(_read(before, notes), _read(after, notes))
            if chosen:
                return [Example(before.stem, chosen[0]), Example(after.stem, chosen[1])]
    single = [path for path in (*(path for pair in pairs for path in pair), *steps) if path.is_file()]
    for path in single:
        read = _read(path, notes)
        if read:
            return [Example(path.stem, read[0])]
    return []


def _read(path: Path, notes: list[str]) -> list[Trajectory]:
    try:
        return read_trajectories(path)
    except RunError as error:
        note = f"{path.name}: {error.what}"
        if note not in notes:
            notes.append(note)
        return []


def _pair(before: Sequence[Trajectory], after: Sequence[Trajectory]) -> tuple[Trajectory, Trajectory] | None:
    """Two rollouts of one task, preferably one that was learnt: the worst before, the best after."""
    first = _by_task(before, min)
    last = _by_task(after, max)
    shared = [task for task in first if task in last]
    if not shared:
        return None
    task = max(shared, key=lambda task: _worth(last[task]) - _worth(first[task]))
    return first[task], last[task]


def _by_task(trajectories: Sequence[Trajectory], choose: Callable[..., Trajectory]) -> dict[str, Trajectory]:
    tasks: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        tasks.setdefault(trajectory.task_id, []).append(trajectory)
    return {task: choose(members, key=_worth) for task, members in tasks.items()}


def _worth(trajectory: Trajectory) -> float:
    return trajectory.reward if trajectory.score is None else trajectory.score
