"""Killed again and again, it comes to the same: `python benchmarks/resume.py [--kills 20] [--seed 0]` (three minutes).

Trains a tiny model once undisturbed. Then trains it again, killing the process (kill -9) after a random time until it
was killed so often, resuming after each, and compares the final weights and every trajectory. Prints a line for each
kill, with what the process was doing. Exit status 1 where anything differs.

``--lora 8`` trains an adapter instead of all weights. ``--ahead 2`` trains asynchronously (``max_steps_off_policy``):
two such runs are never the same bit for bit, so what is looked at is that every task was trained on once, that nothing
was too old, and that the ledger is whole.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import tiny
import torch

from practicum.digests import digest, digest_folder
from practicum.store import read_trajectories

STEPS = 24
LIMIT_S = 600


def main() -> int:
    """Print every kill and the verdict; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("kills", 20), ("seed", 0), ("lora", 0), ("ahead", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keys = {"max_steps": STEPS, "val_every": 3, "save_every": 1, "max_steps_off_policy": asked.ahead}
    keys |= {"lora_rank": asked.lora, "train_embeddings": not asked.lora}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(tiny.__file__, folder / "tiny.py")
        model = tiny.tiny_model(folder / "models", tiny.Desk)
        recipe = tiny.recipe(folder / "tiny.yaml", model, "tiny.py:Desk", **keys)
        began = time.monotonic()
        _finish(_start(folder, "train", recipe.name, "--run", "whole", "--without-gate", "a benchmark"))
        print(f"undisturbed: {STEPS} steps in {time.monotonic() - began:.1f} s\n", flush=True)
        done = _torn(folder, recipe.name, asked.kills, random.Random(asked.seed))
        print(f"\nkills by what was going on: {dict(done)}")
        if asked.ahead:
            return _bounded(folder, asked.ahead)
        same = _outcome(folder / "runs/whole") == _outcome(folder / "runs/torn")
        print(f"{sum(done.values())} kills: weights and trajectories are {'the same' if same else 'NOT the same'}")
        return 0 if same else 1


def _bounded(folder: Path, ahead: int) -> int:
    """Print what an asynchronous run that was killed came to; returns the exit status."""
    run = folder / "runs/torn"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    oldest = max(line["metrics"].get("training/staleness_max", 0.0) for line in lines if line["phase"] == "rl")
    tables = [run / f"trajectories/step-{step:06d}.parquet" for step in range(1, STEPS + 1)]
    groups = Counter(task for path in tables for task in {t.task_id for t in read_trajectories(path)})
    once = set(groups.values()) == {1}
    _finish(_start(folder, "verify", "runs/torn"))
    print(f"{len(groups)} tasks, {'each trained on once' if once else 'NOT each trained on once'}; the ledger is whole")
    print(f"largest staleness {oldest:g}, the bound {ahead}")
    return 0 if once and oldest <= ahead else 1


def _torn(folder: Path, recipe: str, kills: int, rng: random.Random) -> Counter[str]:
    """Run to the end, killed on the way as often as asked, at random times from the run's first event on."""
    moments = Counter[str]()
    run = folder / "runs/torn"
    while True:
        begun = run.exists()
        command = (
            ("resume", "runs/torn") if begun else ("train", recipe, "--run", "torn", "--without-gate", "a benchmark")
        )
        if sum(moments.values()) == kills:
            _finish(_start(folder, *command))
            return moments
        process = _start(folder, *command)
        before = _size(run)
        while process.poll() is None and _size(run) == before:
            time.sleep(0.005)  # starting Python is no part of what is tried
        time.sleep(rng.expovariate(1 / 0.5))
        if process.poll() is not None:
            # It came to its end first (or failed, which ends all): take what it wrote last away and go on trying.
            _finish(process)
            _shorten(run)
            continue
        moment = _doing(run)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        moments[moment] += 1
        print(f"kill {sum(moments.values()):2}: {moment}", flush=True)


def _start(folder: Path, *command: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": "nowhere://"}
    return subprocess.Popen(
        [sys.executable, "-m", "practicum", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: "subprocess.Popen[str]") -> None:
    _, said = process.communicate(timeout=LIMIT_S)
    if process.returncode:
        raise SystemExit(f"a command failed: {said}")


def _shorten(run: Path) -> None:
    """Take the run's output and its newest checkpoint away, as if it had been killed before they were written."""
    shutil.rmtree(run / "output", ignore_errors=True)
    newest = max((run / "checkpoints").iterdir())
    shutil.rmtree(newest)


def _size(run: Path) -> int:
    events = run / "events.jsonl"
    return events.stat().st_size if events.exists() else 0


def _doing(run: Path) -> str:
    """What the run was at: writing a checkpoint, or what follows its last event."""
    if any(path.name.endswith((".part", ".old")) for path in (run / "checkpoints").glob(".*")):
        return "writing a checkpoint"
    lines = (run / "events.jsonl").read_text().splitlines() if (run / "events.jsonl").exists() else []
    try:
        last = json.loads(lines[-1])["kind"] if lines else "nothing"
    except ValueError:
        return "writing an event"
    # A step's rollouts are written before its gradients are computed.
    written = len(list((run / "trajectories").glob("step-*.parquet")))
    saved = [event["data"]["step"] for event in map(json.loads, lines) if event["kind"] == "checkpoint"]
    within = "computing gradients" if written > (saved or [0])[-1] else "sampling"
    return {"step": "after a step", "checkpoint": within, "resume": within}.get(last, f"after {last}")


def _outcome(run: Path) -> dict[str, str]:
    tables = sorted((run / "trajectories").glob("step-*.parquet"))
    return {"output": digest_folder(run / "output"), **{path.name: digest(_told(path)) for path in tables}}


def _told(path: Path) -> list[object]:
    """The trajectories without the times they took."""
    return [
        asdict(
            replace(
                trajectory,
                turns=tuple(replace(turn, latency_s=0.0) for turn in trajectory.turns),
                tool_calls=tuple(replace(call, latency_s=0.0) for call in trajectory.tool_calls),
            )
        )
        for trajectory in read_trajectories(path)
    ]


if __name__ == "__main__":
    sys.exit(main())
