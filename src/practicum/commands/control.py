"""The fair control: what would the same minutes of plain supervised training have given?

A fresh base model imitates the run's own demonstrations for as long as foothold and reinforcement took together,
or until its held-out loss has not improved for ``PATIENCE`` passes, and keeps the pass where that loss is best. It is
then evaluated like the trained model.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from practicum.commands.foothold import record_pass, supervision
from practicum.commands.stages import Pipeline
from practicum.display import StatusLine
from practicum.training.components import build
from practicum.training.imitation import imitate

MOST_PASSES = 1000
"""An upper bound; minutes or patience end the control before."""

PATIENCE = 20
"""Passes without a better held-out loss after which more of them are not expected to help."""


def run_control(pipeline: Pipeline) -> None:
    """Train and evaluate the control; recorded under the label ``control``. Done once per run."""
    run, recipe, console = pipeline.run, pipeline.run.recipe, pipeline.console
    if all((run.folder / "evaluations" / f"control-{mode}.json").exists() for mode in pipeline.modes):
        return
    budget = supervised_and_reinforced_seconds(run.folder)
    with build(recipe) as bench, StatusLine(console, "control: gathering demonstrations") as status:
        taught = supervision(bench, run)
        began = last = time.monotonic()
        losses: list[float] = []
        passes = imitate(
            bench.learner,
            taught.data,
            taught.held_out,
            epochs=MOST_PASSES,
            batch_size=recipe.warmstart_batch_size,
            learning_rate=recipe.warmstart_learning_rate,
            seed=recipe.seed,
            select_best=True,
            enough=lambda: time.monotonic() - began >= budget or passes_since_best(losses) >= PATIENCE,
        )
        for outcome in passes:
            losses.append(outcome.validation_loss)
            moment = time.monotonic()
            record_pass(run, "control", outcome, moment - last)
            last = moment
            status.update(
                f"control, pass {outcome.epoch}: held-out loss {outcome.validation_loss:.4f}, "
                f"{moment - began:.0f}/{budget:.0f} s"
            )
        status.stop()
        Pipeline(run, bench, console).evaluate("control")


def passes_since_best(losses: Sequence[float]) -> int:
    """Passes after the first one with the lowest loss; 0 where there are none."""
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0


def supervised_and_reinforced_seconds(folder: Path) -> float:
    """Seconds the run spent on foothold and reinforcement, evaluations left out."""
    total = 0.0
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["phase"] == "rl":
            total += entry["metrics"]["timing_s/step"]
        elif entry["phase"] == "foothold":
            total += entry["metrics"]["timing_s/training"]
    return total
