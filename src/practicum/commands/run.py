"""Commands that make a run, go on with one, or look at one."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from practicum.commands.app import Overrides, RecipeFile, RunFolder, RunName, app, console, loaded_recipe, run_name
from practicum.display import StatusLine, say, screen
from practicum.errors import RunError

_OF_THE_ENVIRONMENT = (
    *("agent", "environment", "score", "reward", "training_dataset", "validation_dataset", "test_dataset"),
    *("prompt_column", "id_column", "answer_column"),
)
"""Keys that, beside the gate's limits, decide what is checked."""


@app.command(epilog="Example: practicum demo --seed 1 --run first")
def demo(
    recipe: Annotated[str, typer.Option(help="Recipe to run: a .yaml file, or one that ships.")] = "support_desk",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    control: Annotated[bool, typer.Option("--control", help="Also run the supervised control, as long again.")] = False,
    run: RunName = None,
) -> None:
    """The whole loop on one recipe: check, baseline, foothold, reinforcement, evaluation, report."""
    from practicum.commands.training_runs import run_demo

    run_demo(loaded_recipe(recipe, [f"seed={seed}"]), console(), name=run or "demo", control=control)


@app.command(epilog="Example: practicum baseline support_desk --run desk")
def baseline(recipe: RecipeFile, overrides: Overrides = None, run: RunName = None) -> None:
    """Evaluate the untrained model on the held-out test split, and the reference model if the recipe names one.

    Exit status 1 where it never succeeds: it needs a foothold, or easier tasks.
    """
    from practicum.commands.training_runs import baseline_run

    loaded = loaded_recipe(recipe, overrides)
    baseline_run(loaded, console(), name=run_name(run, loaded, recipe), given=recipe)


@app.command(epilog="Example: practicum warmstart support_desk warmstart_epochs=5 --run desk")
def warmstart(recipe: RecipeFile, overrides: Overrides = None, run: RunName = None) -> None:
    """Supervised steps on demonstrations (an oracle's, successful rollouts', or a model's): a foothold."""
    from practicum.commands.training_runs import warmstart_run

    loaded = loaded_recipe(recipe, overrides)
    warmstart_run(loaded, console(), name=run_name(run, loaded, recipe))


@app.command(epilog="Example: practicum train desk.yaml learning_rate=1e-5 --run desk")
def train(
    recipe: RecipeFile,
    overrides: Overrides = None,
    run: RunName = None,
    without_gate: Annotated[
        str | None, typer.Option(metavar="REASON", help="Train without a certificate; the reason is recorded.")
    ] = None,
) -> None:
    """Train in a checked environment: foothold if the recipe asks for one, then multi-turn reinforcement learning."""
    from practicum.commands.training_runs import train_run

    if without_gate is not None and not without_gate.strip():
        raise RunError(
            "--without-gate needs a reason, which is recorded with the run",
            fix="--without-gate 'why the environment needs no certificate'; or leave it out, and run practicum check",
        )
    loaded = loaded_recipe(recipe, overrides)
    name, command = run_name(run, loaded, recipe), _check_command(recipe, overrides or [])
    train_run(loaded, console(), name=name, command=command, without_gate=without_gate)


@app.command("eval", epilog="Example: practicum eval runs/demo; or: practicum eval desk.yaml --run desk")
def evaluate(
    what: Annotated[str, typer.Argument(help="A run folder, or a recipe: its run's newest weights.")],
    overrides: Overrides = None,
    run: RunName = None,
) -> None:
    """Evaluate a run's model on its test split, beside what is on record for base and foothold.

    A recipe stands for its run (or the one named with --run); where that has not been trained, the base model and the
    reference are evaluated alone.
    """
    from practicum.commands.training_runs import evaluate_recipe, evaluate_run

    path = Path(what)
    if path.suffix in (".yaml", ".yml") or (path.name == what and not path.is_dir()):
        loaded = loaded_recipe(what, overrides)
        evaluate_recipe(loaded, console(), name=run_name(run, loaded, what))
        return
    if overrides or run:
        raise RunError("a run folder has its own recipe and name", where=what, fix=f"practicum eval {what}")
    evaluate_run(path, console())


@app.command(epilog="Example: practicum resume runs/demo")
def resume(run: RunFolder) -> None:
    """Go on with an interrupted run from its newest checkpoint: exactly as if it had not stopped.

    Asynchronous runs (max_steps_off_policy above 0) lose nothing, but are not the same bit for bit.
    """
    from practicum.commands.training_runs import resume_run

    resume_run(run, console())


@app.command(epilog="Example: practicum promote runs/demo")
def promote(
    run: RunFolder,
    what: Annotated[str, typer.Argument(help="model, or the reward it was trained with.")] = "model",
) -> None:
    """Accept a model or a reward, if an evaluation on record meets the recipe's gate. Exit status 0 only if so."""
    from practicum.commands.promote import promote_run

    promote_run(run, what, console())


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
        done = deliver(run, tracking_uri, lambda sent, of: status.update(f"sending: {sent} of {of} batches"))
    if done is None:
        say(console(), f"everything of {run} has reached MLflow")
        return
    where = without_password(done.destination.tracking_uri or str(run / "mlflow.db"))
    say(console(), f"sent {done.entries} entries to {where}", soft_wrap=True)
    for what in done.refused:
        say(console(), f"refused for good: {what}", style="yellow", soft_wrap=True)
    raise typer.Exit(1 if done.refused else 0)


@app.command(epilog="Example: practicum verify runs/demo")
def verify(run: RunFolder) -> None:
    """Prove from the ledger that nothing on record was altered. Exit status 0 only if so."""
    from practicum.runs.folder import require_run
    from practicum.runs.verify import verify as findings_of

    require_run(run)
    out, findings = console(), findings_of(run)
    for finding in findings:
        mark = ("ok     ", "green") if finding.ok else ("ALTERED", "bold red")
        say(out, Text.assemble(mark, f"  {finding.subject}  {finding.detail}"), soft_wrap=True)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


@app.command(epilog="Example: practicum replay runs/demo")
def replay(
    run: RunFolder,
    trajectory: Annotated[str | None, typer.Argument(help="One trajectory's id; left out, all are replayed.")] = None,
) -> None:
    """Execute recorded tool calls again, without a model. Exit status 0 only if every result is identical.

    Where nothing can be replayed (an agent had its tools elsewhere, or called none) it says so, and is not 0.
    """
    from practicum.commands.replay import replay_in_console

    raise typer.Exit(0 if replay_in_console(run, trajectory, console()) else 1)


def _check_command(recipe: str, overrides: list[str]) -> str:
    """The check that certifies what this recipe trains in."""
    from practicum.commands.gate import LIMITS

    decisive = [text for text in overrides if text.startswith((*_OF_THE_ENVIRONMENT, *LIMITS))]
    return shlex.join(["practicum", "check", recipe, *decisive])
