"""A run opened with all that its recipe names, and its stages carried out to the end."""

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from practicum.commands.control import run_control
from practicum.commands.gate import Passed
from practicum.commands.stages import Pipeline
from practicum.commands.summary import print_evaluations, print_examples, print_next
from practicum.display import StatusLine, heading, say
from practicum.environment.parts import code_files
from practicum.errors import PracticumError, RunError
from practicum.evaluation.summary import Evaluation
from practicum.files import program
from practicum.recipe import Recipe
from practicum.runs.code_digest import is_core
from practicum.runs.evaluations import evaluations_of
from practicum.runs.folder import Run
from practicum.runs.versions import compare_version, enter_version
from practicum.training.components import Workbench, build, manifest_of
from practicum.training.course import Course, verdict
from practicum.training.isolation import isolation_line
from practicum.training.splits import columns_told

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


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
            for note in run.describe(manifest_of(bench), begun_as or {}, rules=rules_of_practicum(bench)):
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
            problem, fix = "cannot write", "make room there; what is on record is whole"
        elif _is(error, _DENIED):
            problem, fix = (
                "not permitted",
                "let this user read and write there (chown, chmod); what is on record is whole",
            )
        else:
            raise
        raise RunError(
            f"{problem}: {error}", where=str(folder), fix=f"{fix}. Then: practicum resume {folder}"
        ) from error


def carry_out(pipeline: Pipeline, *, whole: bool, control: bool) -> None:
    """Every stage that the run lacks, each once. ``whole``: with a check and a baseline of its own."""
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


def print_stage(evaluations: Sequence[Evaluation], pipeline: Pipeline) -> None:
    """What a stage came to, on record, and how to go on from it."""
    print_evaluations(evaluations, pipeline.console)
    pipeline.conclude()
    folder = pipeline.run.folder
    text = f"on record in {folder}; the same recipe with --run {folder} goes on from here"
    say(pipeline.console, text, soft_wrap=True)


def _say_why_not_more(run: Run, console: Console) -> None:
    """Where the trained model falls short: whether learning had stopped, or would have gone on, and what to change."""
    trained = next((each for each in evaluations_of(run.folder) if each.label == "trained"), None)
    why = trained and verdict(Course.of(run.folder), run.recipe, trained.success_rate)
    if why:
        say(console, why, style="yellow", soft_wrap=True)


def rules_of_practicum(bench: Workbench) -> frozenset[str]:
    """Score and reward that are Practicum's own rules, with settings that the environment's digest covers.

    Their code is Practicum's, and changes from version to version without being another rule: a run begun before goes
    on. What the user wrote must be what it was.
    """
    target = bench.target
    home = Path(str(target.module.__file__)).resolve()
    shipped = target.module.__name__.startswith("practicum.")
    covered = shipped or home in code_files(target.environment).values()
    judges = zip(("score", "reward"), target.judges, (bench.score, bench.reward), strict=True)
    return frozenset(key for key, place, judge in judges if covered and ":" not in place and is_core(judge))


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
