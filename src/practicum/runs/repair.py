"""What a killed process leaves in a run's folder, and its removal when the run is opened again.

The event in the ledger makes an evaluation one that was carried out. It is written last, so whatever an evaluation
left behind without its event belongs to one that did not come to its end, and is done again.
"""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from practicum.errors import RunError
from practicum.files import write_text
from practicum.runs.events import FILE, read_events

EVALUATED = "evaluation "
"""Begins the phase of an evaluation's metrics; its name follows."""


def remove_leftovers(folder: Path) -> None:
    """Remove half-written files, a torn line of metrics, and what belongs to evaluations that did not end.

    Raises:
        LedgerError: the ledger is broken.
        OSError: the disk is full.
    """
    for path in [*folder.rglob(".*.part"), *folder.rglob(".*.old")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    entered = _evaluations_entered(folder)
    for path in (folder / "evaluations").glob("*.json"):
        if not entered[path.stem]:
            path.unlink()
    _mend_metrics(folder / "metrics.jsonl", entered)


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a file of JSON lines; a torn last one, as a killed process leaves it, is left out."""
    text = path.read_bytes()
    lines = text[: text.rfind(b"\n") + 1].splitlines()
    return [_entry(path, number, line) for number, line in enumerate(lines, 1) if line]


def _entry(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
        if isinstance(entry, dict) and {"step", "time", "phase", "metrics"} <= entry.keys():
            return entry
        problem = "it is not a step with its numbers"
    except ValueError as error:
        problem = str(error)
    raise RunError(
        f"a line of the metrics cannot be read: {problem}",
        where=f"{path}, line {number}",
        fix="put the line back as it was, or take it out: then its numbers are missing in the curves, and nothing else",
    )


def _evaluations_entered(folder: Path) -> Counter[str]:
    """How often each evaluation stands in the ledger, by ``label-mode``."""
    events = [event.data for event in read_events(folder / FILE) if event.kind == "evaluation"]
    return Counter(f"{data['label']}-{data['mode']}" for data in events if "label" in data)


def _mend_metrics(path: Path, entered: Counter[str]) -> None:
    if not path.exists():
        return
    lines, met, whole = whole_lines(path), Counter[str](), []
    for line in lines:
        name = str(line["phase"]).removeprefix(EVALUATED)
        met[name] += 1
        if name == line["phase"] or met[name] <= entered[name]:
            whole.append(line)
    if len(whole) < len(lines) or not path.read_bytes().endswith(b"\n"):
        write_text(path, "".join(json.dumps(line) + "\n" for line in whole))
