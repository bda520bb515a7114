"""Whole runs: beginning one, going on with an interrupted one, evaluating one again."""

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from practicum.commands.control import run_control
from practicum.commands.gate import Passed, require_certificate
from practicum.commands.stages import Pipeline
from practicum.commands.summary import print_evaluations, print_examples, print_next
from practicum.display import StatusLine, heading, say
from practicum.errors import PracticumError, RunError
from practicum.evaluation.evaluator import Evaluation, read_evaluation
from practicum.evaluation.gates import require_baseline, require_foothold
from practicum.evaluation.summary import LABELS, MODES
from practicum.programs import program
from practicum.recipe import Recipe
from practicum.runs.checkpoint import Checkpoint, latest_checkpoint, newest_step
from practicum.runs.events import read_events
from practicum.runs.folder import Run, default_folder, named_folder, require_run
from practicum.runs.versions import RUNS, compare_version, enter_version
from practicum.training.components import Workbench, build, manifest_of
from practicum.training.course import Course, verdict
from practicum.training.isolation import isolation_line
from practicum.training.splits import columns_told

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def run_demo(recipe: Recipe, console: Console, *, name: str, control: bool) -> None:
    """Check, baseline, foothold, reinforcement, evaluation, report, in a fresh run folder."""
    folder = default_folder(name)
    heading(console, Text.assemble(("Practicum demo", "bold"), f"  run folder {folder}"))
    with open_pipeline(folder, console, recipe, {"whole": True, "control": control}) as pipeline:
        _carry_out(pipeline, whole=True, control=control)


def train_run(
    recipe: Recipe, console: Console, *, name: str, command: str = "practicum check", without_gate: str | None = None
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
    folder = named_folder(name)
    step = newest_step(folder)
    if step:
        raise RunError(
            f"{folder} already holds a run, now at step {step}",
            fix=f"continue it with: practicum resume {folder}; or give the new run another name with --run NAME",
        )

    def gate(bench: Workbench) -> Passed:
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
        _carry_out(pipeline, whole=False, control=False)


def resume_run(folder: Path, console: Console) -> None:
    """Carry out what an interrupted run still lacks."""
    require_run(folder)
    _refuse_ungated(folder)
    with open_pipeline(folder, console) as pipeline:
        begun_as = pipeline.run.begun_as
        pipeline.run.events.append("resume")
        _carry_out(pipeline, whole=bool(begun_as.get("whole")), control=bool(begun_as.get("control")))


def _refuse_ungated(folder: Path) -> None:
    """A run that only has a baseline or a foothold has not been let through the gate yet."""
    events = list(read_events(folder / "events.jsonl"))
    whole = any(event.kind == "start" and event.data.get("whole") for event in events)
    if not whole and not newest_step(folder) and not any(event.kind == "check" for event in events):
        raise RunError(
            f"{folder} has not begun training: the gate comes first",
            fix=f"practicum train {folder}/recipe.yaml --run {folder}",
        )


def evaluate_recipe(recipe: Recipe, console: Console, *, name: str) -> None:
    """Evaluate the newest weights of the recipe's run; where it has not been trained, base and reference alone."""
    folder = named_folder(name)
    checkpoint = _newest(folder, console)
    with open_pipeline(folder, console, recipe) as pipeline:  # refuses a run of another recipe
        _evaluate_newest(pipeline, checkpoint)


def evaluate_run(folder: Path, console: Console) -> None:
    """Evaluate a run's newest weights on the test split, beside what is on record."""
    require_run(folder)
    if not (folder / "checkpoints").exists():
        raise RunError(f"{folder} has no checkpoint to evaluate", fix=f"practicum resume {folder}")
    checkpoint = _newest(folder, console)
    if checkpoint is None:
        raise RunError(f"{folder} has no whole checkpoint to evaluate", fix=f"practicum resume {folder}")
    with open_pipeline(folder, console) as pipeline:
        _evaluate_newest(pipeline, checkpoint)


def _newest(folder: Path, console: Console) -> Checkpoint | None:
    return latest_checkpoint(folder, lambda text: say(console, text, style="yellow"))


def _evaluate_newest(pipeline: Pipeline, checkpoint: Checkpoint | None) -> None:
    folder, console = pipeline.run.folder, pipeline.console
    if not any(each.label == "base" for each in evaluations_of(folder)):
        pipeline.evaluate("base")
    if checkpoint is not None:
        pipeline.load(checkpoint)
        pipeline.evaluate("trained" if pipeline.step else "foothold")
    pipeline.evaluate_reference()
    print_evaluations(evaluations_of(folder), console)
    pipeline.conclude()
    say(console, f"on record in {folder}; page: {pipeline.report()}")


def baseline_run(recipe: Recipe, console: Console, *, name: str, given: str) -> None:
    """Base and reference model on the test split, on record; refuses to call a base that never succeeds a start.

    Args:
        given: The recipe as the user named it, for the advice.

    Raises:
        RunError: the base model has no success.
    """
    folder = named_folder(name)
    with open_pipeline(folder, console, recipe) as pipeline:
        evaluations = pipeline.evaluate("base")
        pipeline.evaluate_reference()
        _show(evaluations_of(folder), pipeline)
        require_foothold(evaluations, run=str(folder), recipe=f"{given} --run {folder}")


def warmstart_run(recipe: Recipe, console: Console, *, name: str) -> None:
    """A foothold and its evaluation, on record.

    Raises:
        RunError: the recipe asks for none, or the run has begun reinforcement.
    """
    if not recipe.warmstart_demonstrations:
        raise RunError("the recipe asks for no foothold", fix="warmstart_demonstrations=32")
    folder = named_folder(name)
    with open_pipeline(folder, console, recipe) as pipeline:
        step = pipeline.foothold()
        if step:
            raise RunError(f"{folder} is already at step {step}", fix="start a new run with --run NAME")
        _show(pipeline.evaluate("foothold"), pipeline)


def _show(evaluations: Sequence[Evaluation], pipeline: Pipeline) -> None:
    print_evaluations(evaluations, pipeline.console)
    pipeline.conclude()
    folder = pipeline.run.folder
    text = f"on record in {folder}; the same recipe with --run {folder} goes on from here"
    say(pipeline.console, text, soft_wrap=True)


@contextmanager
def open_pipeline(
    folder: Path,
    console: Console,
    recipe: Recipe | None = None,
    begun_as: Mapping[str, Any] | None = None,
    gate: Callable[[Workbench], Passed] | None = None,
) -> Iterator[Pipeline]:
    """A pipeline in a run folder: a new run, or one begun before.

    Nothing is written until all that the recipe names has been loaded.

    Args:
        folder: The run's.
        console: Where progress is shown.
        recipe: Of a new run; where a run is there, it must have been begun with the same. None: that run's own.
        begun_as: Recorded with a new run.
        gate: Says why training may begin, or refuses; what it says is recorded.

    Raises:
        RunError: the folder holds a run with another recipe, or cannot be written; or what ``gate`` raises.
    """
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            run = None
            if recipe is None or (folder / "recipe.yaml").exists():
                run = stack.enter_context(Run.reopen(folder, began))
                recipe = _same(run, recipe or run.recipe)
            bench = stack.enter_context(_built(recipe, console))
            environment = bench.target.make()
            compare_version(folder.parent, environment)
            passed = gate(bench) if gate is not None else None
            enter_version(folder.parent, environment)
            if run is None:
                run = stack.enter_context(Run.create(folder, recipe, began))
            for note in run.describe(manifest_of(bench), begun_as or {}):
                say(console, f"{note}: the run goes on, but not bit for bit as before", style="yellow")
            pipeline = Pipeline(run, bench, console)
            if passed is not None:
                pipeline.record(passed)
            yield pipeline
    except KeyboardInterrupt:
        say(console)
        if (folder / "recipe.yaml").exists():
            text = f"stopped; what is on record is whole. Go on with: {program('practicum')} resume {folder}"
        else:
            text = "stopped before the run began; nothing was written"
        say(console, text, soft_wrap=True)
        raise
    except PracticumError:
        raise
    except Exception as error:
        if _is(error, _FULL):
            what, fix = "cannot write", "make room there; what is on record is whole"
        elif _is(error, _DENIED):
            what, fix = "not permitted", "let this user read and write there (chown, chmod); what is on record is whole"
        else:
            raise
        raise RunError(f"{what}: {error}", where=str(folder), fix=f"{fix}. Then: practicum resume {folder}") from error


def evaluations_of(folder: Path) -> list[Evaluation]:
    """What is on record, in the order of the run's stages."""
    paths = [folder / "evaluations" / f"{label}-{mode}.json" for mode in MODES for label in LABELS]
    return [read_evaluation(path) for path in paths if path.exists()]


def _carry_out(pipeline: Pipeline, *, whole: bool, control: bool) -> None:
    run, console = pipeline.run, pipeline.console
    pipeline.tasks()  # what is missing is said before anything long has run
    if whole:
        heading(console, "check: is the environment deterministic?")
        pipeline.check()
        heading(console, "baseline: the untrained model on held-out tasks")
        print_evaluations(pipeline.evaluate("base"), console)
    if run.recipe.warmstart_demonstrations:
        heading(console, "foothold: imitate a few demonstrations")
    step = pipeline.foothold()
    if step:
        say(console, f"going on from the checkpoint of step {step}")
    if whole and step == 0 and run.recipe.warmstart_demonstrations:
        print_evaluations(pipeline.evaluate("foothold"), console)
    heading(console, "multi-turn reinforcement learning")
    pipeline.reinforce(step)
    heading(console, "external evaluation: the score never saw the reward")
    pipeline.evaluate("trained")
    if control:
        heading(console, "control: the same minutes of supervised steps instead")
        run_control(pipeline)
    print_evaluations(evaluations_of(run.folder), console)
    _say_why_not_more(run, console)
    pipeline.conclude()
    print_examples(run.folder, console)
    print_next(run.folder, pipeline.finish(), console)
    say(console, f"{run.seconds / 60:.1f} minutes in all", style="bold")


def _say_why_not_more(run: Run, console: Console) -> None:
    """Where the trained model falls short: whether learning had stopped, or would have gone on, and what to change."""
    trained = next((each for each in evaluations_of(run.folder) if each.label == "trained"), None)
    why = trained and verdict(Course.of(run.folder), run.recipe, trained.success_rate)
    if why:
        say(console, why, style="yellow", soft_wrap=True)


def _built(recipe: Recipe, console: Console) -> Workbench:
    with StatusLine(console, f"loading {recipe.model_name}"):
        bench = build(recipe)
    for line in columns_told(recipe, bench.target, bench.splits):
        say(console, line, soft_wrap=True)
    if line := isolation_line(bench.target):
        say(console, line, soft_wrap=True)
    return bench


def _same(run: Run, recipe: Recipe) -> Recipe:
    if run.recipe != recipe:
        before, now = run.recipe.to_dict(), recipe.to_dict()
        different = ", ".join(f"{key} ({before[key]!r} there)" for key in now if before[key] != now[key])
        raise RunError(
            f"{run.folder} holds a run that was begun with another recipe: {different}",
            fix=f"go on with it: practicum resume {run.folder}; or give the new run another name with --run NAME",
        )
    return recipe


def _is(error: Exception, reasons: set[int]) -> bool:
    """Whether the system said so, also where a library wraps what it said."""
    return (isinstance(error, OSError) and error.errno in reasons) or any(
        os.strerror(number) in str(error) for number in reasons
    )
