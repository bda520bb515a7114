"""``practicum export``: a run's model as one Hugging Face folder."""

from pathlib import Path
from typing import Annotated

import typer

from practicum.commands.app import app, console
from practicum.display import StatusLine, say, screen


@app.command(epilog="Example: practicum export runs/demo models/desk")
def export(
    run: Annotated[Path, typer.Argument(help="A run folder, or a model folder or adapter such as runs/demo/output.")],
    folder: Annotated[Path, typer.Argument(help="The Hugging Face folder to write.")],
    base: Annotated[Path | None, typer.Option(help="The adapter's base model, if not where the adapter says.")] = None,
) -> None:
    """Write a run's model as one Hugging Face folder, its adapter merged: for Transformers, vLLM and others."""
    from practicum.errors import RunError
    from practicum.files import program
    from practicum.rollout.model_export import export_model

    output = run / "output" if (run / "recipe.yaml").is_file() else run
    if not output.is_dir():
        fix = "give the folder of a run, such as runs/demo, or of a model" if output == run else ""
        raise RunError(
            f"no model in {output}", fix=fix or f"let the run come to its end: {program('practicum')} resume {run}"
        )
    if output == run and not any((run / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise RunError(
            f"no model in {run}",
            allowed="a run's folder, or one with config.json (a model) or adapter_config.json (an adapter)",
            fix="give the folder of a run, such as runs/demo, or of a model",
        )
    with StatusLine(screen(stderr=True), "merging"):
        difference = export_model(output, folder, base)
    say(console(), f"wrote {folder}", soft_wrap=True)
    if difference:
        say(console(), f"chat template: {difference}", style="yellow", soft_wrap=True)
