"""``practicum promote``: a model or a reward is accepted with an evaluation on record, and the ledger says so."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from practicum.commands.app import RunFolder, app, console
from practicum.digests import digest_folder
from practicum.display import say
from practicum.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from practicum.evaluation.summary import Evaluation

KINDS = ("model", "reward")


@app.command("promote", epilog="Example: practicum promote runs/demo")
def promote_command(
    run: RunFolder,
    what: Annotated[str, typer.Argument(help="model, or the reward it was trained with.")] = "model",
) -> None:
    """Accept a model or a reward, if an evaluation on record meets the recipe's gate. Exit status 0 only if so."""
    promote_run(run, what, console())


def promote_run(run: Path, kind: str, console: "Console") -> None:
    """Hold a run's evaluations against its recipe's gate, and enter the promotion into its ledger.

    Raises:
        RunError: nothing is on record of it, the record was altered, or the gate is missed; naming each number.
    """
    from practicum.evaluation.gates import PromotionGate, promote
    from practicum.recipe import load_recipe
    from practicum.runs.events import EventLog
    from practicum.runs.folder import require_run
    from practicum.runs.manifest import read_manifest, verify

    if kind not in KINDS:
        raise RunError(f"cannot promote {kind!r}", allowed=" or ".join(KINDS))
    require_run(run)
    altered = [finding for finding in verify(run) if not finding.ok]
    if altered:
        raise RunError(f"the record was altered: {altered[0].subject} {altered[0].detail}", where=str(run))
    recipe = load_recipe(run / "recipe.yaml")
    better_than = "" if recipe.promote_better_than == "none" else recipe.promote_better_than
    gate = PromotionGate(recipe.promote_min_success, better_than, recipe.promote_max_unearned)
    if kind == "model" and not (run / "output").is_dir():
        raise RunError(f"{run} has no model yet", fix=f"let it come to its end: practicum resume {run}")
    digest = digest_folder(run / "output") if kind == "model" else read_manifest(run).reward
    accepted = promote(kind, digest, _of_the_present_model(run), gate)
    events = EventLog(run / "events.jsonl")
    try:
        events.append("promote", accepted.to_dict())
    finally:
        events.close()
    low, high = accepted.interval
    success = f"{accepted.success_rate:.1%} ({low:.1%} to {high:.1%}) in {accepted.evaluation}"
    for text in (f"promoted: {kind} {digest[:12]}, {success}", *(f"  {note}" for note in accepted.notes)):
        say(console, text, soft_wrap=True)


def _of_the_present_model(run: Path) -> "list[Evaluation]":
    """What the ledger knows of; of the trained model, only evaluations of its last weights."""
    from practicum.runs.checkpoint import latest_checkpoint
    from practicum.runs.evaluations import recorded_evaluations
    from practicum.runs.events import read_events

    events = list(read_events(run / "events.jsonl"))
    if not any(event.kind == "stop" for event in events):
        raise RunError(f"{run} has not come to its end", fix=f"practicum resume {run}")
    files = {name for event in events for name in event.data.get("files", {})}
    last = latest_checkpoint(run, lambda text: None)
    if last is None:
        raise RunError(f"{run} has no whole checkpoint: which weights were evaluated cannot be told")
    version = json.loads((last.folder / "learner.json").read_text(encoding="utf-8"))["version"]
    return [
        each
        for each in recorded_evaluations(run)
        if f"evaluations/{each.name}.json" in files and (each.label != "trained" or each.version == version)
    ]
