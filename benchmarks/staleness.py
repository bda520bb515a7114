"""Asynchronous against synchronous training where tools are slow: `python benchmarks/staleness.py` (ten minutes).

With `slow-desk` or `tied-desk` behind it, at one of its two desks alone.

A tiny model works at a desk whose one tool takes a heavy-tailed time (Pareto, drawn by task and rollout), so that a
synchronous step waits for the slowest of its rollouts; then at one whose tool is slow where it finds what was asked for
(``TiedDesk``), so that whoever leaves slow rollouts behind leaves successes behind. Each is trained at synchronously
(``max_steps_off_policy`` 0), ahead, and ahead with ``stragglers: cut``. Printed for each: seconds per step;
the lower bound max(sampling, training), where sampling is what all rollouts took over the places there are for them,
those left behind or collected again up to their end; their ratio; the same bound for the rollouts that were kept alone,
and its ratio, which says what the others cost; how stale the trained tokens were; the share of rollouts left behind,
and how many were collected again; at the tied desk, how many of the hard tasks' rollouts found it, among all that were
begun and among those that were trained on. A trained token above its bound ends it with exit status 1, and so does a
rollout left behind or collected again by a run that waits.
"""

import asyncio
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tiny
import torch
from pydantic import Field

from practicum import Task, tool
from practicum.store import read_trajectories

SHORTEST_S, TAIL, LONGEST_S = 0.2, 1.3, 8.0
"""A call takes SHORTEST_S · U^(−1/TAIL) seconds, at most LONGEST_S."""
STEPS, CONCURRENCY, PROMPTS, GROUP = 24, 24, 6, 4
SETTLING = 4
"""Steps that fill the pipe and are not timed."""
FAILURE_S, SUCCESS_S, FINDS = 0.25, 1.5, 0.2
"""At the tied desk a hard search that gives up takes about FAILURE_S, one that finds it SUCCESS_S; so many find it."""
WAYS = ((0, "wait"), (1, "wait"), (3, "wait"), (1, "cut"), (3, "cut"))
"""Of training: ``max_steps_off_policy`` and ``stragglers``."""
score, reward = tiny.score, tiny.reward


class SlowDesk(tiny.Desk):
    """The tiny desk with a slow service behind it."""

    id = "slow-desk"

    def start(self, task: Task) -> None:
        """Draw how long this episode's calls take."""
        self.task_id, self.finds = task.id, True
        self.seconds = min(LONGEST_S, SHORTEST_S * self.random.random() ** (-1 / TAIL))

    @tool
    async def find(self, item: Annotated[str, Field(max_length=8)]) -> dict[str, str]:
        """An item's colour, after a while."""
        began = time.monotonic()
        try:
            await asyncio.sleep(self.seconds)
        finally:
            # Those that are left behind too, which no table of trajectories tells.
            with Path(os.environ["CALLS"]).open("a", encoding="utf-8") as log:
                log.write(json.dumps([self.task_id, time.monotonic() - began, self.finds]) + "\n")
        colours = tiny.COLOURS if self.finds else ("none",)
        return {"colour": random.Random(item).choice(colours)}


class TiedDesk(SlowDesk):
    """Every second item is hard to find: most searches give up soon, and those that find it take long."""

    id = "tied-desk"

    def start(self, task: Task) -> None:
        """Draw whether this episode's search finds the item, and how long it takes."""
        self.task_id = task.id
        self.finds = not hard(task.id) or self.random.random() < FINDS
        middle = SUCCESS_S if hard(task.id) and self.finds else FAILURE_S
        self.seconds = middle * self.random.lognormvariate(0, 0.5)


def hard(task_id: str) -> bool:
    """Of the tied desk's tasks, those with an odd number."""
    return int(task_id.removeprefix("i")) % 2 == 1


def main() -> int:
    """Print the table; returns the exit status."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module in (tiny.__file__, __file__):
            shutil.copy(str(module), folder)
        model = tiny.tiny_model(folder / "models", tiny.Desk)
        wrong = [
            _table({way: _measured(folder, model, desk, *way) for way in WAYS}, desk)
            for desk in (SlowDesk, TiedDesk)
            if desk.id in (sys.argv[1:] or [SlowDesk.id, TiedDesk.id])
        ]
    return int(any(wrong))


def _table(runs: Mapping[tuple[int, str], "Measured"], desk: type[SlowDesk]) -> bool:
    """Print one desk's; returns whether a bound was broken."""
    # Synchronous turns also wait for other rollouts' tools: what the model takes by itself shows where they do not.
    model = min(run.model for run in runs.values())
    tied = desk is TiedDesk
    print(f"\n{desk.id}\n\n| max_steps_off_policy | stragglers | s per step | bound s | ratio ", end="")
    print("| bound of the kept s | ratio | staleness mean | max | left behind | collected again ", end="")
    print("| found, of all begun | of those trained on " if tied else "", end="|\n")
    print("| --- " * (13 if tied else 11) + "|", flush=True)
    for (ahead, stragglers), run in runs.items():
        cells = [str(ahead), stragglers if ahead else "", f"{run.step:.2f}"]
        for tools in (run.tools, run.kept):
            bound = max(tools + model, run.training)
            cells += [f"{bound:.2f}", f"{run.step / bound:.2f}"]
        cells += [f"{run.stale_mean:.2f}", f"{run.stale_max:.0f}", f"{run.left:.1%}", f"{run.again:.0f}"]
        cells += [f"{run.found_begun:.1%}", f"{run.found_trained:.1%}"] if tied else []
        print("| " + " | ".join(cells) + " |", flush=True)
    waiting = [run for (_, stragglers), run in runs.items() if stragglers == "wait"]
    return any(run.stale_max > ahead for (ahead, _), run in runs.items()) or any(r.left or r.again for r in waiting)


@dataclass(frozen=True)
class Measured:
    """Seconds per step, in all and over the places there are for rollouts, and what was stale."""

    step: float
    tools: float
    kept: float
    model: float
    training: float
    stale_mean: float
    stale_max: float
    left: float
    again: float
    found_begun: float
    """Share of the hard tasks' calls that found it, among all that were begun."""
    found_trained: float
    """The same among those of rollouts trained on."""


def _measured(folder: Path, model: Path, desk: type[SlowDesk], ahead: int, stragglers: str) -> Measured:
    keys = {"max_steps": STEPS, "max_steps_off_policy": ahead, "rollout_max_concurrency": CONCURRENCY}
    keys |= {"save_every": STEPS, "global_batch_size": PROMPTS, "group_size": GROUP, "stragglers": stragglers}
    name = f"{desk.id}-{ahead}-{stragglers}"
    recipe = tiny.recipe(folder / f"{name}.yaml", model, f"staleness.py:{desk.__name__}", **keys)
    calls = folder / f"calls-{name}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": "nowhere://", "CALLS": str(calls)}
    command = [sys.executable, "-m", "practicum", "train", recipe.name, "--run", name]
    command += ["--without-gate", "a benchmark"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    run = folder / "runs" / name
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times, metrics = zip(*[(line["time"], line["metrics"]) for line in lines if line["phase"] == "rl"], strict=True)
    rollouts = [t for path in sorted((run / "trajectories").glob("step-*.parquet")) for t in read_trajectories(path)]
    kept = [sum(call.latency_s for call in t.tool_calls) for t in rollouts]
    turns = [sum(turn.latency_s for turn in t.turns) for t in rollouts]
    everyone = [json.loads(line) for line in calls.read_text().splitlines()]
    trained = [(t.task_id, call.result) for t in rollouts for call in t.tool_calls if not call.is_error]
    stale = [m for m in metrics if "training/staleness_max" in m]
    return Measured(
        step=(times[-1] - times[SETTLING]) / (len(times) - 1 - SETTLING),
        tools=sum(seconds for _, seconds, _ in everyone) / STEPS / CONCURRENCY,
        kept=sum(kept) / STEPS / CONCURRENCY,
        model=sum(turns) / STEPS / CONCURRENCY,
        training=statistics.mean(m["timing_s/training"] for m in metrics[SETTLING:]),
        stale_mean=statistics.mean(m["training/staleness_mean"] for m in stale),
        stale_max=max(m["training/staleness_max"] for m in stale),
        left=statistics.mean(m["rollout/cut_frac"] for m in metrics),
        again=sum(m["rollout/discarded_stale"] for m in metrics),
        found_begun=statistics.mean(finds for task, _, finds in everyone if hard(task)),
        found_trained=statistics.mean("none" not in str(result) for task, result in trained if hard(task)),
    )


if __name__ == "__main__":
    sys.exit(main())
