"""``practicum replay``: a run's recorded tool calls, executed again and told about."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from practicum.commands.app import RunFolder, app, console
from practicum.display import StatusLine, say
from practicum.errors import PracticumError

if TYPE_CHECKING:
    from rich.console import Console

    from practicum.runs.playback import Replay
    from practicum.tasks import Task

DIFFERENCES_SHOWN = 10


@app.command(epilog="Example: practicum replay runs/demo")
def replay(
    run: RunFolder,
    trajectory: Annotated[str | None, typer.Argument(help="One trajectory's id; left out, all are replayed.")] = None,
) -> None:
    """Execute recorded tool calls again, without a model. Exit status 0 only if every result is identical.

    Where nothing can be replayed (an agent had its tools elsewhere, or called none) it says so, and is not 0.
    """
    raise typer.Exit(0 if replay_in_console(run, trajectory, console()) else 1)


def replay_in_console(folder: Path, trajectory: str | None, console: "Console") -> bool:
    """Replay a run; whether something was replayed, and all of it was identical.

    Raises:
        PracticumError: no such run or trajectory, or its environment cannot be loaded.
    """
    from practicum.environment.target import SPLITS, target_of
    from practicum.recipe import load_recipe
    from practicum.runs.folder import require_run
    from practicum.runs.playback import replay_run

    require_run(folder)
    recipe = load_recipe(folder / "recipe.yaml")
    target = target_of(recipe)
    tasks: dict[str, Task] = {}
    for split in SPLITS:
        try:
            tasks |= {task.id: task for task in target.tasks(split)}
        except PracticumError:
            continue  # a split the run did not have
    replays: list[Replay] = []
    with StatusLine(console, "replaying") as status:
        for each in replay_run(folder, target.make, tasks, trajectory):
            replays.append(each)
            status.update(f"replaying: {len(replays)} trajectories, {each.file}")
    return print_replays(replays, console, agent=recipe.agent)


def print_replays(replays: "Sequence[Replay]", console: "Console", *, agent: str = "builtin") -> bool:
    """Say what was replayed and what was not; whether something was, and all of it was identical."""
    from practicum.recipe import BUILTIN
    from practicum.runs.playback import Tally

    tally = Tally.of(replays)
    for each in [each for each in replays if each.difference][:DIFFERENCES_SHOWN]:
        say(console, f"{each.file}: {each.trajectory}", style="bold red")
        say(console, f"  {each.difference}", soft_wrap=True)
    for reason, count in sorted(tally.skipped.items()):
        _print(console, f"{count} not replayed: {reason}", "yellow")
    if tally.idle:
        elsewhere = "" if agent == BUILTIN else f", or the agent at {agent} did not show it to the model"
        _print(console, f"{tally.idle} with nothing to replay: no tool was called{elsewhere}", "yellow")
    counted = f"{tally.replayed} of {tally.trajectories} trajectories, {tally.transitions} transitions"
    if tally.different:
        different = f"{tally.different} of {tally.trajectories} trajectories differ"
        _print(console, f"{different}; replayed: {counted}", "bold red")
    elif tally.identical:
        _print(console, f"identical: {counted}", "green")
    else:
        _print(console, f"nothing was replayed: {counted}", "bold red")
        if agent != BUILTIN:
            _print(console, f"the tools ran behind {agent}, where no transition is recorded", "red")
    return tally.identical


def _print(console: "Console", text: str, style: str) -> None:
    say(console, text, style=style, soft_wrap=True)
