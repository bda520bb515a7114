"""``practicum report``, ``track`` and ``verify``: what is done with a run's folder as it lies."""

from typing import Annotated

import typer

from practicum.commands.app import RunFolder, app, console
from practicum.display import StatusLine, say, screen


@app.command(epilog="Example: practicum report runs/demo")
def report(run: RunFolder) -> None:
    """Write a run's HTML page again."""
    from practicum.commands.summary import next_commands
    from practicum.recipe import load_recipe
    from practicum.report.run_page import write_report
    from practicum.runs.folder import require_run

    require_run(run)
    load_recipe(run / "recipe.yaml")  # the page says how to go on with the run, which a broken recipe forbids
    say(console(), f"wrote {write_report(run, next_commands(run))}", soft_wrap=True)


@app.command(epilog="Example: practicum track runs/demo")
def track(
    run: RunFolder,
    tracking_uri: Annotated[str | None, typer.Option(help="Another MLflow than the one the run was to reach.")] = None,
) -> None:
    """Send to MLflow what it did not take while the run went on. Exit status 0 only if all of it has arrived."""
    from practicum.monitor.delivery import deliver
    from practicum.monitor.undelivered import without_password
    from practicum.runs.folder import require_run

    require_run(run)
    with StatusLine(screen(stderr=True), f"sending {run / 'undelivered'}") as status:
        delivery = deliver(run, tracking_uri, lambda sent, of: status.update(f"sending: {sent} of {of} batches"))
    if delivery is None:
        say(console(), f"everything of {run} has reached MLflow")
        return
    destination = without_password(delivery.destination.tracking_uri or str(run / "mlflow.db"))
    say(console(), f"sent {delivery.entries} entries to {destination}", soft_wrap=True)
    for entry in delivery.refused:
        say(console(), f"refused for good: {entry}", style="yellow", soft_wrap=True)
    raise typer.Exit(1 if delivery.refused else 0)


@app.command(epilog="Example: practicum verify runs/demo")
def verify(run: RunFolder) -> None:
    """Prove from the ledger that nothing on record was altered. Exit status 0 only if so."""
    from rich.text import Text

    from practicum.runs.folder import require_run
    from practicum.runs.manifest import verify as findings_of

    require_run(run)
    out, findings = console(), findings_of(run)
    for finding in findings:
        mark = ("ok     ", "green") if finding.ok else ("ALTERED", "bold red")
        say(out, Text.assemble(mark, f"  {finding.subject}  {finding.detail}"), soft_wrap=True)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)
