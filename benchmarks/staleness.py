"""Asynchronous against synchronous training where tools are slow: `python benchmarks/staleness.py` (five minutes).

A tiny model works at a desk whose one tool takes a heavy-tailed time (Pareto, drawn by task and rollout), so that a
synchronous step waits for the slowest of its rollouts. Printed for each ``max_steps_off_policy``: seconds per step;
the lower bound max(sampling, training), where sampling is what all rollouts took over the places there are for them,
those left behind or collected again up to their end; their ratio; the same bound for the rollouts that were kept alone,
and its ratio, which says what the others cost; how stale the trained tokens were; the share of rollouts left behind,
and how many were collected again. A trained token above its bound ends it with exit status 1.
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
score, reward = tiny.score, tiny.reward


class SlowDesk(tiny.Desk):
    """The tiny desk with a slow service behind it."""

    id = "slow-desk"

    def start(self, task: Task) -> None:
        """Draw how long this episode's calls take."""
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
                log.write(f"{time.monotonic() - began}\n")
        return {"colour": random.Random(item).choice(tiny.COLOURS)}


def main() -> int:
    """Print the table; returns the exit status."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module in (tiny.__file__, __file__):
            shutil.copy(str(module), folder)
        model = tiny.tiny_model(folder / "models", tiny.Desk)
        found = {ahead: _measured(folder, model, ahead) for ahead in (0, 1, 3)}
    # Synchronous turns also wait for other rollouts' tools: what the model takes by itself shows where they do not.
    model = min(each.model for each in found.values())
    print("| max_steps_off_policy | s per step | bound s | ratio | bound of the kept s | ratio ", end="")
    print("| staleness mean | max | left behind | collected again |\n" + "| --- " * 10 + "|")
    for ahead, each in found.items():
        cells = [str(ahead), f"{each.step:.2f}"]
        for tools in (each.tools, each.kept):
            bound = max(tools + model, each.training)
            cells += [f"{bound:.2f}", f"{each.step / bound:.2f}"]
        cells += [f"{each.stale_mean:.2f}", f"{each.stale_max:.0f}", f"{each.left:.1%}", f"{each.again:.0f}"]
        print("| " + " | ".join(cells) + " |")
    return 1 if any(each.stale_max > ahead for ahead, each in found.items()) else 0


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


def _measured(folder: Path, model: Path, ahead: int) -> Measured:
    keys = {"max_steps": STEPS, "max_steps_off_policy": ahead, "rollout_max_concurrency": CONCURRENCY}
    keys |= {"save_every": STEPS, "global_batch_size": PROMPTS, "group_size": GROUP}
    recipe = tiny.recipe(folder / f"slow-{ahead}.yaml", model, "staleness.py:SlowDesk", **keys)
    calls = folder / f"calls-{ahead}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": "nowhere://", "CALLS": str(calls)}
    command = [sys.executable, "-m", "practicum.cli", "train", recipe.name, "--run", f"slow-{ahead}"]
    command += ["--without-gate", "a benchmark"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    run = folder / f"runs/slow-{ahead}"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times, metrics = zip(*[(line["time"], line["metrics"]) for line in lines if line["phase"] == "rl"], strict=True)
    rollouts = [t for path in sorted((run / "trajectories").glob("step-*.parquet")) for t in read_trajectories(path)]
    kept = [sum(call.latency_s for call in t.tool_calls) for t in rollouts]
    turns = [sum(turn.latency_s for turn in t.turns) for t in rollouts]
    everyone = [float(line) for line in calls.read_text().splitlines()]
    stale = [m for m in metrics if "training/staleness_max" in m]
    return Measured(
        step=(times[-1] - times[SETTLING]) / (len(times) - 1 - SETTLING),
        tools=sum(everyone) / STEPS / CONCURRENCY,
        kept=sum(kept) / STEPS / CONCURRENCY,
        model=sum(turns) / STEPS / CONCURRENCY,
        training=statistics.mean(m["timing_s/training"] for m in metrics[SETTLING:]),
        stale_mean=statistics.mean(m["training/staleness_mean"] for m in stale),
        stale_max=max(m["training/staleness_max"] for m in stale),
        left=statistics.mean(m["rollout/cut_frac"] for m in metrics),
        again=sum(m["rollout/discarded_stale"] for m in metrics),
    )


if __name__ == "__main__":
    sys.exit(main())
