"""``practicum resume``: what an interrupted run still lacks."""

from pathlib import Path
from typing import TYPE_CHECKING

from practicum.commands.app import RunFolder, app, console
from practicum.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console


@app.command(epilog="Example: practicum resume runs/demo")
def resume(run: RunFolder) -> None:
    """Go on with an interrupted run from its newest checkpoint: exactly as if it had not stopped.

    Asynchronous runs (max_steps_off_policy above 0) lose nothing, but are not the same bit for bit.
    """
    resume_run(run, console())


def resume_run(folder: Path, console: "Console") -> None:
    """Carry out what an interrupted run still lacks."""
    from practicum.commands.pipeline import carry_out, open_pipeline
    from practicum.runs.folder import require_run

    require_run(folder)
    _refuse_ungated(folder)
    with open_pipeline(folder, console) as pipeline:
        begun_as = pipeline.run.begun_as
        pipeline.run.events.append("resume")
        carry_out(pipeline, whole=bool(begun_as.get("whole")), control=bool(begun_as.get("control")))


def _refuse_ungated(folder: Path) -> None:
    """A run that only has a baseline or a foothold has not been let through the gate yet."""
    from practicum.runs.checkpoint import newest_step
    from practicum.runs.events import read_events

    events = list(read_events(folder / "events.jsonl"))
    whole = any(event.kind == "start" and event.data.get("whole") for event in events)
    if not whole and not newest_step(folder) and not any(event.kind == "check" for event in events):
        raise RunError(
            f"{folder} has not begun training: the gate comes first",
            fix=f"practicum train {folder}/recipe.yaml --run {folder}",
        )
