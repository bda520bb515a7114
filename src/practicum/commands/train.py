"""``practicum train``: multi-turn reinforcement learning in an environment that was checked, or with a reason."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from practicum.commands.app import Overrides, RecipeFile, RunName, app, console, loaded_recipe, run_name
from practicum.display import say
from practicum.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from practicum.commands.gate import Passed
    from practicum.recipe import Recipe
    from practicum.training.components import Workbench


_OF_THE_ENVIRONMENT = (
    *("agent", "environment", "score", "reward", "training_dataset", "validation_dataset", "test_dataset"),
    *("prompt_column", "id_column", "answer_column"),
)
"""Keys that, beside the gate's limits, decide what is checked."""


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
    if without_gate is not None and not without_gate.strip():
        raise RunError(
            "--without-gate needs a reason, which is recorded with the run",
            fix="--without-gate 'why the environment needs no certificate'; or leave it out, and run practicum check",
        )
    loaded = loaded_recipe(recipe, overrides)
    name, command = run_name(run, loaded, recipe), _check_command(recipe, overrides or [])
    train_run(loaded, console(), name=name, command=command, without_gate=without_gate)


def train_run(
    recipe: "Recipe",
    console: "Console",
    *,
    name: str,
    command: str = "practicum check",
    without_gate: str | None = None,
) -> None:
    """Foothold, reinforcement, evaluation, report; in a new run folder, or in one with a baseline or foothold.

    Args:
        recipe: What is trained.
        console: Where progress is shown.
        name: Of the run, or its folder.
        command: The check that certifies this environment, named where there is no certificate.
        without_gate: A reason to train without a certificate.

    Raises:
        RunError: the folder holds a run that has begun reinforcement, or one with another recipe; or there is no
            valid certificate of the environment and no reason to do without.
    """
    from practicum.commands.gate import require_certificate
    from practicum.commands.pipeline import carry_out, open_pipeline
    from practicum.evaluation.gates import require_baseline
    from practicum.runs.checkpoint import newest_step
    from practicum.runs.evaluations import evaluations_of
    from practicum.runs.folder import named_folder
    from practicum.runs.versions import RUNS

    folder = named_folder(name)
    step = newest_step(folder)
    if step:
        raise RunError(
            f"{folder} already holds a run, now at step {step}",
            fix=f"continue it with: practicum resume {folder}; or give the new run another name with --run NAME",
        )

    def gate(bench: "Workbench") -> "Passed":
        passed = require_certificate(
            [folder.parent, RUNS], bench.target, recipe, command=command, without_gate=without_gate
        )
        if passed.certificate is not None:
            # A foothold that is on record was made before; else the recipe may ask for one.
            to_come = bool(recipe.warmstart_demonstrations) and not (folder / "checkpoints").exists()
            require_baseline(evaluations_of(folder), folder, foothold=to_come)
        elif without_gate is None:
            say(console, f"not checked: {passed.reason}", style="yellow", soft_wrap=True)
        return passed

    with open_pipeline(folder, console, recipe, gate=gate) as pipeline:
        carry_out(pipeline, whole=False, control=False)


def _check_command(recipe: str, overrides: list[str]) -> str:
    """The check that certifies what this recipe trains in."""
    from practicum.commands.gate import LIMITS

    decisive = [text for text in overrides if text.startswith((*_OF_THE_ENVIRONMENT, *LIMITS))]
    return shlex.join(["practicum", "check", recipe, *decisive])
