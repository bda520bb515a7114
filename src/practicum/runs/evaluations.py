"""``evaluation.json``: all evaluations of a run in one file, with the comparisons between them.

The file holds nothing that differs between two runs with one seed on one machine: what took how long stands in
``timings.json``. It says what the figures were rounded on, since rounding moves them as a seed does.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from practicum.digests import digest_file
from practicum.display import say
from practicum.errors import RunError
from practicum.evaluation.comparison import Comparison, comparisons
from practicum.evaluation.disagreements import (
    Disagreement,
    last_evaluated,
    print_disagreements,
    recorded_disagreements,
)
from practicum.evaluation.evaluator import read_evaluation
from practicum.evaluation.summary import LABELS, MODES, Evaluation, stage_order
from practicum.files import write_text
from practicum.runs.manifest import FILE as MANIFEST
from practicum.runs.manifest import read_manifest

if TYPE_CHECKING:
    from rich.console import Console

FILE = "evaluation.json"
TIMINGS = "timings.json"
CLOCK = ("seconds", "seconds_per_rollout")
"""What of an evaluation differs from run to run."""
LISTED = 20
"""Disagreements that the record lists."""


def write_record(
    folder: Path, evaluations: Sequence[Evaluation], disagreements: Sequence[Disagreement] = ()
) -> dict[str, str]:
    """Write both files into ``folder``; returns their digests by name."""
    manifest = folder / MANIFEST
    content = {
        "machine": read_manifest(folder).machine.rounding if manifest.exists() else None,
        "evaluations": {each.name: _timeless(each) for each in evaluations},
        "comparisons": [asdict(each) for each in comparisons(evaluations)],
        "disagreements": [each.to_dict() for each in disagreements],
    }
    timings = {each.name: {key: getattr(each, key) for key in CLOCK} for each in evaluations}
    write_text(folder / FILE, json.dumps(content, indent=2, sort_keys=True) + "\n")
    write_text(folder / TIMINGS, json.dumps(timings, indent=2, sort_keys=True) + "\n")
    return {name: digest_file(folder / name) for name in (FILE, TIMINGS)}


def conclude(folder: Path, console: "Console", *, shown: int = 2) -> dict[str, str]:
    """After any evaluation: write the run's record, print how its models compare, and the worst disagreements.

    Args:
        folder: The run's.
        shown: Disagreements printed turn by turn.

    Returns:
        Digests of the files written, by path within the folder, for the ledger.

    Raises:
        RunError: nothing was evaluated, or a file cannot be read.
    """
    evaluations = recorded_evaluations(folder)
    if not evaluations:
        raise RunError(f"no evaluation is on record in {folder}", fix=f"practicum eval {folder}")
    disagreements = (
        recorded_disagreements(folder, threshold=evaluations[-1].success_threshold) if last_evaluated(folder) else []
    )
    digests = write_record(folder, evaluations, disagreements[:LISTED])
    for each in evaluations:
        if not each.independent:
            say(console, f"{each.name} is not independent: {each.doubt}", style="yellow")
    for comparison in comparisons(evaluations):
        say(console, sentence(comparison))
    print_disagreements(disagreements, console, count=shown)
    return digests


def recorded_evaluations(folder: Path) -> list[Evaluation]:
    """All evaluations on record in a run: base, foothold, trained, then others by name; sampled before greedy.

    Raises:
        RunError: one cannot be read.
    """
    found = [read_evaluation(path) for path in (folder / "evaluations").glob("*.json")]
    return sorted(found, key=lambda e: stage_order(e.label, e.mode))


def evaluations_of(folder: Path) -> list[Evaluation]:
    """What is on record of the stages of a run, in their order; sampled ones first."""
    paths = [folder / "evaluations" / f"{label}-{mode}.json" for mode in MODES for label in LABELS]
    return [read_evaluation(path) for path in paths if path.exists()]


def sentence(comparison: Comparison) -> str:
    """A comparison as a sentence."""
    low, high = comparison.interval
    verdict = "clearly" if comparison.is_clear else "perhaps by chance"
    mode = comparison.mode if comparison.independent else f"{comparison.mode}, not independent"
    if not comparison.difference:
        return f"{comparison.second} and {comparison.first} ({mode}) succeed equally often"
    better = "more" if comparison.difference > 0 else "less"
    return (
        f"{comparison.second} succeeds {abs(comparison.difference):.1%} {better} often than {comparison.first} "
        f"({mode}), {verdict}: 95% {low:+.1%} to {high:+.1%}; of {comparison.n_tasks} tasks "
        f"{comparison.only_second} against {comparison.only_first}, {comparison.chance}"
    )


def _timeless(evaluation: Evaluation) -> dict[str, Any]:
    return {key: value for key, value in asdict(evaluation).items() if key not in CLOCK}
