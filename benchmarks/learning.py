"""Does each estimator learn with each loss: `python benchmarks/learning.py [FOLDER]` (about 15 minutes on one core).

Nine ``advantage_method``s × three ``loss_fn``s × three seeds from the same footholds: 81 runs of 40 steps of 16 prompts
× 4 rollouts, and 240 held-out rollouts at temperature 1 before and after each. A pretrained model takes twenty seconds
a step on two cores, so the model is a tiny one (``learning_desk``), random until it imitated a demonstrator who often
errs; all else is the product: recipe, environment, dispatcher, trainer, learner, evaluation. So this tells whether
estimators and losses push the right way, not how well they do on large models.

All share one recipe (``RECIPE``): ``gamma`` 1, ``advantage_normalization`` on where the method has it, one learning
rate, default clip bounds, rewards per turn (the lookup's at its turn, the answer's at the last), four minibatches a
step, so that ratios differ from 1 and losses from each other.

``--small`` takes the real small model and the demo's recipe instead: SmolLM2 after the demo's foothold, ten steps, 200
held-out tasks; seven minutes a run on two cores, so choose (``--losses ppo --seeds 0``: an hour).

Written to FOLDER (``benchmarks/learning``, or ``benchmarks/learning-small``): ``table.md``, ``curves.csv``,
``curves.svg``; and below ``runs`` and ``footholds`` what a second start goes on from: finished runs are not done again.
``--methods``, ``--losses`` and ``--seeds`` choose; the table and curves are of all that is in FOLDER. A pair has
learned where for every seed the 95% Wilson interval of success afterwards lies above the one before. Beside that:
greedy success; silent, the share of groups that said nothing over the last five steps; and clipped, the share of
trained tokens whose ratio met a bound.
"""

import argparse
import csv
import io
import itertools
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import learning_desk
import matplotlib as mpl
import tiny
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers.utils import logging as transformers_logging

from practicum.algorithms.advantages import ESTIMATORS
from practicum.commands.pipeline import open_pipeline
from practicum.digests import digest_file
from practicum.engine.local.models import SMOLLM2
from practicum.evaluation.evaluator import Evaluation
from practicum.evaluation.statistics import wilson_interval
from practicum.files import write_folder, write_text
from practicum.recipe import Recipe, load_recipe
from practicum.recipes import shipped
from practicum.suites.support_desk import SupportDesk

METHODS = tuple(ESTIMATORS)
LOSSES = ("ppo", "importance_sampling", "cispo")
SEEDS = (0, 1, 2)
CLIPPED = "training/clip_frac"
LAST = 5
"""Steps over which the end of a course is averaged."""
RECIPE: dict[str, Any] = {
    "test_tasks": learning_desk.TASKS["test"],
    "sampling_max_tokens": 24,
    "max_sequence_length": 256,
    "max_steps": 40,
    "global_batch_size": 16,
    "group_size": 4,
    "minibatches_per_step": 4,
    "learning_rate": 5e-4,
    "save_every": 1000,
    "val_every": 10,
    "val_at_start": True,
    "val_temperature": 1.0,
}
FOOTHOLD: dict[str, Any] = {
    "warmstart_demonstrations": 400,
    "warmstart_epochs": 10,
    "warmstart_learning_rate": 3e-3,
    "warmstart_batch_size": 16,
}


@dataclass(frozen=True)
class Setting:
    """A model, what it works at, and how."""

    folder: str
    recipe: dict[str, Any]
    foothold: dict[str, Any]
    threads: int | None
    desk: str
    """Digest of what decides besides."""
    load: Callable[[Path, dict[str, Any]], Recipe]
    """A folder to write in and the recipe's keys → the recipe."""
    raw: Callable[[Path, int], Path | str]
    """A folder and a seed → the model before its foothold."""


def _tiny_recipe(folder: Path, keys: dict[str, Any]) -> Recipe:
    others = {key: value for key, value in keys.items() if key != "model_name"}
    desk = f"{learning_desk.__file__}:Desk"
    return load_recipe(tiny.recipe(folder / "recipe.yaml", Path(keys["model_name"]), desk, **others))


def _small_recipe(folder: Path, keys: dict[str, Any]) -> Recipe:
    del folder
    return load_recipe(shipped("support_desk"), [f"{key}={value}" for key, value in keys.items()])


TINY = Setting(
    "learning",
    RECIPE,
    FOOTHOLD,
    threads=1,
    desk=digest_file(Path(learning_desk.__file__)),
    load=_tiny_recipe,
    raw=lambda folder, seed: learning_desk.tiny_model(folder / "raw", seed),
)
SMALL = Setting(
    "learning-small",
    {"val_every": 0, "save_every": 1000, "warmstart_demonstrations": 0},
    {"warmstart_demonstrations": 80},
    threads=None,
    desk=SupportDesk(level=2).ref.digest,
    load=_small_recipe,
    raw=lambda folder, seed: SMOLLM2,
)


@dataclass(frozen=True)
class Result:
    """One run: held-out successes, sampled and greedy, and its course by step."""

    method: str
    loss: str
    seed: int
    trials: int
    before: int
    after: int
    greedy_before: int
    greedy_after: int
    rewards: Sequence[float]
    """Mean training reward of each step, from 1."""
    silent: Sequence[float]
    """Share of each step's groups whose advantages were all zero."""
    clipped: Sequence[float]
    """Share of each step's trained tokens whose ratio met a clip bound."""
    validation: dict[str, float]
    """Step → success on validation tasks, sampled."""


def main() -> None:
    """Do what is missing, then write and print the table."""
    args = _arguments()
    setting = SMALL if args.small else TINY
    if setting.threads:
        torch.set_num_threads(setting.threads)
    transformers_logging.disable_progress_bar()
    os.environ["MLFLOW_TRACKING_URI"] = "nowhere://"  # nothing to track, and importing it takes longer than a run
    logging.getLogger("practicum.monitor.tracking").setLevel(logging.ERROR)
    folder: Path = args.folder or Path(__file__).parent / setting.folder
    _refuse_other_settings(folder, setting)
    console = Console()
    # Seed by seed, so that a table of what is there compares all pairs early on.
    wanted = [(method, loss, seed) for seed in args.seeds for loss in args.losses for method in args.methods]
    missing = [each for each in wanted if not _path(folder, *each).exists()]
    done = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*done, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("", total=len(wanted), completed=len(wanted) - len(missing))
        for method, loss, seed in missing:
            progress.update(task, description=f"{method} · {loss} · seed {seed}")
            began = time.monotonic()
            result = _run(setting, folder, method, loss, seed)
            write_text(_path(folder, method, loss, seed), json.dumps(asdict(result)) + "\n")
            progress.advance(task)
            progress.console.print(_line(result, time.monotonic() - began), highlight=False)
    results = [Result(**json.loads(path.read_text())) for path in sorted((folder / "runs").glob("*.json"))]
    results.sort(key=lambda each: (METHODS.index(each.method), LOSSES.index(each.loss), each.seed))
    table = "\n".join(_table(results))
    write_text(folder / "table.md", table + "\n")
    write_text(folder / "curves.csv", _curves(results))
    write_text(folder / "curves.svg", _figure(results))
    print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--small", action="store_true", help="the real small model, with the demo's recipe")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=LOSSES)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    return parser.parse_args()


def _refuse_other_settings(folder: Path, setting: Setting) -> None:
    """Results of other settings are no part of this table."""
    settings = json.dumps({**setting.recipe, **setting.foothold, "desk": setting.desk}, indent=1) + "\n"
    path = folder / "settings.json"
    if path.exists() and path.read_text() != settings:
        raise SystemExit(f"{path} is of another recipe, foothold or desk: give another folder, or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, settings)


# One run ---------------------------------------------------------------------------------------------------------


def _run(setting: Setting, folder: Path, method: str, loss: str, seed: int) -> Result:
    model = _foothold(setting, folder, seed)
    before = json.loads(model.with_suffix(".json").read_text())
    with tempfile.TemporaryDirectory() as name:
        keys = {"model_name": str(model), "seed": seed, "advantage_method": method, "loss_fn": loss}
        recipe = setting.load(Path(name), {**setting.recipe, **keys})
        with open_pipeline(Path(name) / "run", _quiet(), recipe) as pipeline:
            pipeline.reinforce(pipeline.foothold())
            after = _successes(pipeline.evaluate("trained"))
        lines = [json.loads(line) for line in (Path(name) / "run/metrics.jsonl").read_text().splitlines()]
    course = [line["metrics"] for line in lines if line["phase"] == "rl"]
    return Result(
        method,
        loss,
        seed,
        trials=recipe.test_tasks or 0,
        before=before["sampled"],
        after=after["sampled"],
        greedy_before=before["greedy"],
        greedy_after=after["greedy"],
        rewards=[step["rollout/reward/mean"] for step in course],
        silent=[step["analysis/zero_adv_groups"] / recipe.global_batch_size for step in course],
        clipped=[step.get(f"{CLIPPED}_low", 0.0) + step.get(f"{CLIPPED}_high", 0.0) for step in course],
        validation={str(x["step"]): x["metrics"]["val/score/mean"] for x in lines if x["phase"] == "validation"},
    )


def _foothold(setting: Setting, folder: Path, seed: int) -> Path:
    """The model that all runs of a seed start from, and beside it its own held-out successes."""
    model = folder / "footholds" / f"seed-{seed}"
    if model.with_suffix(".json").exists():
        return model
    with tempfile.TemporaryDirectory() as name:
        raw = str(setting.raw(Path(name), seed))
        recipe = setting.load(Path(name), {**setting.recipe, "model_name": raw, "seed": seed, **setting.foothold})
        with open_pipeline(Path(name) / "run", _quiet(), recipe) as pipeline:
            pipeline.foothold()
            found = _successes(pipeline.evaluate("foothold"))
            write_folder(model, pipeline.bench.learner.export)
    write_text(model.with_suffix(".json"), json.dumps(found) + "\n")
    return model


def _successes(evaluations: Sequence[Evaluation]) -> dict[str, int]:
    return {each.mode: round(each.success_rate * each.n_rollouts) for each in evaluations}


def _quiet() -> Console:
    return Console(file=io.StringIO())


def _path(folder: Path, method: str, loss: str, seed: int) -> Path:
    return folder / "runs" / f"{method}-{loss}-{seed}.json"


# What came of them -----------------------------------------------------------------------------------------------


def _line(result: Result, seconds: float) -> str:
    success = f"success {result.before / result.trials:.1%} → {result.after / result.trials:.1%}"
    reward = f"reward {result.rewards[0]:.2f} → {_end(result.rewards):.2f}"
    return f"{result.method} · {result.loss} · seed {result.seed}: {success}, {reward}, {seconds:.1f} s"


def _table(results: Sequence[Result]) -> Iterator[str]:
    yield "| estimator | loss | before | after | by seed | greedy | silent at the end | clipped | learned |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for (method, loss), members in itertools.groupby(results, lambda each: (each.method, each.loss)):
        runs = list(members)
        trials = sum(run.trials for run in runs)
        before, after = sum(run.before for run in runs), sum(run.after for run in runs)
        seeds = ", ".join(f"{run.before / run.trials:.0%} → {run.after / run.trials:.0%}" for run in runs)
        greedy = [sum(each) / trials for each in zip(*((r.greedy_before, r.greedy_after) for r in runs), strict=True)]
        silent = sum(_end(run.silent) for run in runs) / len(runs)
        cells = [method, loss, _rate(before, trials), _rate(after, trials), seeds]
        clipped = sum(sum(run.clipped) / len(run.clipped) for run in runs) / len(runs)
        cells += [f"{greedy[0]:.0%} → {greedy[1]:.0%}", f"{silent:.0%}", f"{clipped:.1%}"]
        cells.append(_verdict(runs))
        yield "| " + " | ".join(cells) + " |"


def _rate(successes: int, trials: int) -> str:
    low, high = wilson_interval(successes, trials)
    return f"{successes / trials:.1%}, {low:.1%} – {high:.1%}"


def _verdict(runs: Sequence[Result]) -> str:
    """Seeds whose own interval afterwards lies above the one before: pooled, a collapsed one would hide."""
    up = sum(wilson_interval(run.after, run.trials)[0] > wilson_interval(run.before, run.trials)[1] for run in runs)
    return "yes" if up == len(runs) else f"{up} of {len(runs)} seeds"


def _end(values: Sequence[float]) -> float:
    return sum(values[-LAST:]) / len(values[-LAST:])


def _curves(results: Sequence[Result]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["method", "loss", "seed", "step", "reward", "silent_groups", "clipped", "validation_success"])
    for run in results:
        about = [run.method, run.loss, run.seed]
        table.writerow([*about, 0, "", "", "", run.validation.get("0", "")])
        for step, numbers in enumerate(zip(run.rewards, run.silent, run.clipped, strict=True), start=1):
            table.writerow([*about, step, *(f"{x:.4f}" for x in numbers), run.validation.get(str(step), "")])
    return text.getvalue()


def _figure(results: Sequence[Result]) -> str:
    """A panel per estimator, a line per loss: the seeds' mean training reward, and from their least to their most."""
    mpl.rcParams["svg.hashsalt"] = "practicum"  # the same numbers give the same file
    figure = Figure(figsize=(10, 8), layout="constrained")
    panels = figure.subplots(3, 3, sharex=True, sharey=True).flat
    for panel, method in zip(panels, METHODS, strict=True):
        for colour, loss in zip(("tab:green", "tab:blue", "tab:orange"), LOSSES, strict=True):
            courses = [run.rewards for run in results if (run.method, run.loss) == (method, loss)]
            if not courses:
                continue
            steps = range(1, len(courses[0]) + 1)
            each = list(zip(*courses, strict=True))
            panel.fill_between(steps, list(map(min, each)), list(map(max, each)), color=colour, alpha=0.15, lw=0)
            panel.plot(steps, [sum(at) / len(at) for at in each], color=colour, lw=1.2, label=loss)
        panel.set(title=method, ylim=(0, 1))
    figure.supxlabel("step")
    figure.supylabel("training reward")
    known = {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}
    figure.legend(handles=list(known.values()), loc="outside upper center", ncols=len(LOSSES), frameon=False)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


if __name__ == "__main__":
    main()
