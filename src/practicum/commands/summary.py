"""What a person reads at the end: the models side by side, two rollouts of one task, and how to go on."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from practicum.display import say, visible
from practicum.evaluation.evaluator import Evaluation
from practicum.evaluation.summary import failures_told
from practicum.files import program
from practicum.rollout.failures import Cause
from practicum.store import read_trajectories
from practicum.trajectory import Trajectory, text_of

CAUSES_SHOWN = 3
PLAIN: dict[str, Any] = {"style": "yellow", "soft_wrap": True}


def print_evaluations(evaluations: Sequence[Evaluation], console: Console) -> None:
    """One row per model and sampling mode: success with its 95% interval, fields, completion, tokens."""
    if not evaluations:
        return
    first = evaluations[0]
    fields = list(dict.fromkeys(name for evaluation in evaluations for name in evaluation.field_accuracy))
    exact = all(evaluation.exact for evaluation in evaluations)
    means = "every field exactly right" if exact else f"score of {first.success_threshold:g} or more"
    title = f"Held-out success: {first.n_tasks} tasks of split {first.split}, {means}"
    title += "" if first.independent else f", not independent: {first.doubt}"
    table = Table(
        title=Text(visible(title), style="italic"), title_justify="left", box=None, header_style="bold", pad_edge=False
    )
    for name in ("model", "sampling", "success", "95% interval"):
        table.add_column(name, justify="left" if name in ("model", "sampling") else "right")
    for name in (*fields, "completed", "tokens", "rollouts", "attempts", "failed"):
        table.add_column(Text(visible(name)), justify="right")
    for evaluation in evaluations:
        low, high = evaluation.interval
        table.add_row(
            Text(visible(evaluation.label if evaluation.independent else f"{evaluation.label} *")),
            "greedy" if evaluation.mode == "greedy" else f"temperature {evaluation.temperature:g}",
            f"{evaluation.success_rate:.1%}",
            f"{low:.1%} – {high:.1%}",
            *(f"{evaluation.field_accuracy.get(name, 0.0):.0%}" for name in fields),
            f"{evaluation.completion_rate:.0%}",
            f"{evaluation.tokens_per_rollout:.0f}",
            str(evaluation.n_rollouts),
            str(evaluation.attempts or "–"),
            Text(visible(failures_told(evaluation.failures) or "0")),
        )
    say(console, table)
    if not all(evaluation.independent for evaluation in evaluations):
        say(console, "* not independent: these figures are no proof of a gain", style="yellow")
    for evaluation in evaluations:
        if evaluation.failed:
            text = (
                f"{evaluation.name}: {evaluation.failed} of {evaluation.n_rollouts} rollouts failed and count as missed"
            )
            causes = "".join(f"\n  {cause}" for cause in _causes(evaluation))
            say(console, text + (f", most often with:{causes}" if causes else ""), **PLAIN)
        if evaluation.retried:
            say(
                console,
                f"{evaluation.name}: {evaluation.retried} attempts were made again, with the same seed",
                **PLAIN,
            )


def _causes(evaluation: Evaluation) -> list[str]:
    """Why rollouts failed, the commonest first; evaluations of earlier versions know the commonest alone."""
    if evaluation.causes:
        return [str(Cause(**cause)) for cause in evaluation.causes[:CAUSES_SHOWN]]
    return [evaluation.commonest_error] if evaluation.commonest_error else []


def print_examples(run_folder: Path, console: Console) -> None:
    """A held-out task before and after training: one that was missed and is now right, where there is one."""
    pair = _example(run_folder / "trajectories")
    for label, trajectory in pair:
        score = f"score {trajectory.score:g}" if trajectory.score is not None else "no score"
        title = Text(visible(f"{label}: {trajectory.task_id}, reward {trajectory.reward:.2f}, {score}"))
        say(console, Panel(_conversation(trajectory), title=title, title_align="left", border_style="dim", width=100))


def print_next(run_folder: Path, page: Path, console: Console) -> None:
    """The exact commands to go on with."""
    store = shlex.quote(f"sqlite:///{run_folder}/mlflow.db")
    lines = [
        ("read the report", str(page)),
        ("browse metrics and traces", f"{program('mlflow')} ui --backend-store-uri {store}"),
        *next_commands(run_folder),
    ]
    width = max(len(purpose) for purpose, _ in lines) + 2
    for purpose, command in lines:
        # Not a table: a command cut into lines cannot be copied.
        say(console, Text.assemble((purpose.ljust(width), "dim"), command), soft_wrap=True)


def next_commands(run_folder: Path) -> list[tuple[str, str]]:
    """What a user can do with a run, and how."""
    practicum, folder = program("practicum"), shlex.quote(str(run_folder))
    return [
        ("prove that nothing on record was altered", f"{practicum} verify {folder}"),
        ("go on with it, should it have been interrupted", f"{practicum} resume {folder}"),
        ("serve the trained model to any OpenAI client", f"{practicum} serve {folder}/output"),
        ("see every knob it was trained with", f"{practicum} recipe explain {folder}/recipe.yaml"),
        ("check an environment of your own", f"{practicum} check my_desk.py"),
    ]


def _example(tables: Path) -> list[tuple[str, Trajectory]]:
    befores = [(label, mode) for mode in ("sampled", "greedy") for label in ("foothold", "base")]
    for label, mode in befores:
        pair = tables / f"eval-{label}-{mode}.parquet", tables / f"eval-trained-{mode}.parquet"
        if all(table.exists() for table in pair):
            before, after = ({t.task_id: t for t in read_trajectories(table)} for table in pair)
            shared = [task for task in before if task in after]
            task = max(shared, key=lambda task: (after[task].score or 0) - (before[task].score or 0))
            return [(f"{label}, {mode}", before[task]), (f"trained, {mode}", after[task])]
    return []


def _conversation(trajectory: Trajectory) -> Text:
    text = Text()
    for message in trajectory.messages:
        role = visible(message["role"])
        if role == "system":
            continue
        words = text_of(message)
        for call in message.get("tool_calls", ()):
            words += f"{call['function']['name']}({call['function']['arguments']})"
        text.append(f"{role:>9}  ", style="bold" if role == "assistant" else "dim")
        text.append(visible(words[:400]) + "\n")
    text.rstrip()
    return text
