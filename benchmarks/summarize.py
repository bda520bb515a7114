"""Markdown rows from finished run folders: `python benchmarks/summarize.py runs/seed0 runs/seed1 …`

Reads only what the runs wrote: evaluations/*.json, metrics.jsonl and manifest.json.
"""

import json
import sys
from pathlib import Path

LABELS = ("base", "foothold", "control", "trained")
MODES = ("sampled", "greedy")


def main(folders: list[Path]) -> None:
    """Print one table of success rates and one of times."""
    print("| run | seed | model | sampling | success | 95% interval | rollouts |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for folder in folders:
        for label in LABELS:
            for mode in MODES:
                print_row(folder, label, mode)
    print("\n| run | RL steps | foothold s | RL s | s per step | whole run min |")
    print("| --- | --- | --- | --- | --- | --- |")
    for folder in folders:
        print_times(folder)


def print_row(folder: Path, label: str, mode: str) -> None:
    """One model under one sampling setting, if it was evaluated."""
    path = folder / "evaluations" / f"{label}-{mode}.json"
    if not path.exists():
        return
    found = json.loads(path.read_text())
    low, high = found["interval"]
    seed = json.loads((folder / "manifest.json").read_text())["seeds"]["seed"]
    cells = [folder.name, seed, label, mode, f"{found['success_rate']:.1%}", f"{low:.1%} – {high:.1%}"]
    print("| " + " | ".join(map(str, [*cells, found["n_rollouts"]])) + " |")


def print_times(folder: Path) -> None:
    """Where a run's minutes went."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line["metrics"]["timing_s/step"] for line in lines if line["phase"] == "rl"]
    foothold = sum(line["metrics"]["timing_s/training"] for line in lines if line["phase"] == "foothold")
    finished = [line["time"] for line in lines if line["phase"] == "evaluation trained-greedy"]
    whole = f"{finished[-1] / 60:.1f}" if finished else "–"
    median = sorted(steps)[len(steps) // 2] if steps else 0.0
    print(f"| {folder.name} | {len(steps)} | {foothold:.0f} | {sum(steps):.0f} | {median:.1f} | {whole} |")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
