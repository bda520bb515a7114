"""Asynchronous against synchronous training where tools are slow: `python benchmarks/staleness.py` (five minutes).

A tiny model works at a desk whose one tool takes a heavy-tailed time (Pareto, drawn by task and rollout), so that a
synchronous step waits for the slowest of its rollouts. Printed for each ``max_steps_off_policy``: seconds per step;
the lower bound max(sampling, training), where sampling is the rollouts' own seconds over the places there are for them;
their ratio; how stale the trained tokens were; and how many rollouts were collected again. A trained token above the
bound ends it with exit status 1.
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
        await asyncio.sleep(self.seconds)
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
    # Synchronous rollouts also wait for each other: what they take by themselves shows where they do not.
    sampling = min(each.sampling for each in found.values())
    print("| max_steps_off_policy | s per step | bound s | ratio | staleness mean | max | collected again |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for ahead, each in found.items():
        bound = max(sampling, each.training)
        cells = [f"{each.step:.2f}", f"{bound:.2f}", f"{each.step / bound:.2f}", f"{each.stale_mean:.2f}"]
        print("| " + " | ".join([str(ahead), *cells, f"{each.stale_max:.0f}", f"{each.again:.0f}"]) + " |")
    return 1 if any(each.stale_max > ahead for ahead, each in found.items()) else 0


@dataclass(frozen=True)
class Measured:
    """Seconds per step, the two bounds below it, and what was stale."""

    step: float
    sampling: float
    training: float
    stale_mean: float
    stale_max: float
    again: float


def _measured(folder: Path, model: Path, ahead: int) -> Measured:
    keys = {"max_steps": STEPS, "max_steps_off_policy": ahead, "rollout_max_concurrency": CONCURRENCY}
    keys |= {"save_every": STEPS, "global_batch_size": PROMPTS, "group_size": GROUP}
    recipe = tiny.recipe(folder / f"slow-{ahead}.yaml", model, "staleness.py:SlowDesk", **keys)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": "nowhere://"}
    command = [sys.executable, "-m", "practicum.cli", "train", recipe.name, "--run", f"slow-{ahead}"]
    command += ["--without-gate", "a benchmark"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    run = folder / f"runs/slow-{ahead}"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times, metrics = zip(*[(line["time"], line["metrics"]) for line in lines if line["phase"] == "rl"], strict=True)
    rollouts = [t for path in sorted((run / "trajectories").glob("step-*.parquet")) for t in read_trajectories(path)]
    own = [sum(turn.latency_s for turn in t.turns) + sum(call.latency_s for call in t.tool_calls) for t in rollouts]
    stale = [m for m in metrics if "training/staleness_max" in m]
    return Measured(
        step=(times[-1] - times[SETTLING]) / (len(times) - 1 - SETTLING),
        sampling=statistics.mean(own) * PROMPTS * GROUP / CONCURRENCY,
        training=statistics.mean(m["timing_s/training"] for m in metrics[SETTLING:]),
        stale_mean=statistics.mean(m["training/staleness_mean"] for m in stale),
        stale_max=max(m["training/staleness_max"] for m in stale),
        again=sum(m["rollout/discarded_stale"] for m in metrics),
    )


if __name__ == "__main__":
    sys.exit(main())
