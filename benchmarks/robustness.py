"""Does it learn however the processor rounds? Seeds × ways to round, each cell a whole run of a recipe.

    python benchmarks/robustness.py                               # the demo's recipe, 5 seeds × 3 ways to round
    python benchmarks/robustness.py --recipe support_desk_hard --control --ways one-thread one-thread-avx2
    python benchmarks/robustness.py --table                       # print what is on record, run nothing

Rounding is a second seed: limiting the instructions that PyTorch's kernels and oneDNN use, the number of threads or the
number format draws from it on one machine. A finished cell is a line of ``robustness/cells.jsonl`` and is not run
again; one that was interrupted goes on where it stopped. Cells of another recipe, environment or processor stay in the
file and out of the table. Cells of one thread may run side by side; those of two want the machine to themselves. On an
AMD EPYC with AVX512-BF16 one thread and two gave the same digits, so that they are one way to round, not two; there
oneDNN without its bfloat16 instructions takes over four times the processor time, ATen's scalar kernels a third more.
Checks and the untrained model are left out, so a cell takes less than `make demo`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from practicum.commands.control import run_control
from practicum.commands.training_runs import open_pipeline
from practicum.digests import digest
from practicum.engine.local.hardware import choose_device, processor
from practicum.environment.target import target_of
from practicum.recipe import Recipe, load_recipe
from practicum.recipes import shipped
from practicum.runs.checkpoint import newest_step
from practicum.runs.events import read_events

FOLDER = Path(__file__).parent / "robustness"
CELLS = FOLDER / "cells.jsonl"
PRACTICUM = (sys.executable, "-m", "practicum")
AIM_GAIN, AIM_SUCCESS, LEAST_GAIN = 0.40, 0.85, 0.30

WAYS: Mapping[str, tuple[Mapping[str, str], Sequence[str]]] = {
    "default": ({}, ()),
    "one-thread": ({"OMP_NUM_THREADS": "1"}, ("threads=1",)),
    "one-thread-scalar": ({"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default"}, ("threads=1",)),
    "one-thread-float32": ({"OMP_NUM_THREADS": "1"}, ("threads=1", "dtype=float32")),
    "one-thread-avx2": ({"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "avx2"}, ("threads=1",)),
    "aten-avx2": ({"ATEN_CPU_CAPABILITY": "avx2"}, ()),
    "onednn-avx2": ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, ()),
    "onednn-avx512": ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, ()),
    "onednn-bf16": ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, ()),  # without AMX, where the processor has it
    "float32": ({}, ("dtype=float32",)),
}
"""Name → environment variables and recipe keys."""


@dataclass(frozen=True)
class Cell:
    """What a run came to. Rates of held-out tasks, sampled at the recipe's deploy_temperature unless greedy."""

    recipe: str
    digest: str
    """Of the recipe without seed, threads and number format, the environment and the processor."""
    seed: int
    way: str
    processor: str
    instructions: str
    foothold: float
    foothold_greedy: float
    trained: float
    trained_greedy: float
    control: float | None
    steps: int
    silent: str
    """Groups without signal in the last step."""
    minutes: float
    commit: str

    @property
    def gain(self) -> float:
        """Points of success over the foothold."""
        return self.trained - self.foothold


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="support_desk")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument(
        "--ways", nargs="+", choices=list(WAYS), default=["one-thread", "one-thread-avx2", "one-thread-scalar"]
    )
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--control-of", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.control_of:
        with open_pipeline(asked.control_of, Console()) as pipeline:
            run_control(pipeline)
        return
    for seed in asked.seeds if not asked.table else ():
        for way in asked.ways:
            run_cell(asked.recipe, seed, way, control=asked.control)
    print_table(asked.recipe)


def run_cell(name: str, seed: int, way: str, *, control: bool) -> None:
    """Foothold, reinforcement and evaluations of one cell, unless it is on record."""
    variables, keys = WAYS[way]
    recipe = load_recipe(shipped(name), [f"seed={seed}", *keys])
    same = [c for c in recorded() if (c.digest, c.seed, c.way) == (digest_of(recipe), seed, way)]
    if same and (same[0].control is not None or not control):
        return
    folder = Path("runs") / f"robustness-{name}-{digest_of(recipe)}-{way}-{seed}"
    print(f"== {folder.name}", flush=True)
    environment = {**os.environ, **variables}
    if newest_step(folder):
        run("resume", str(folder), environment=environment)
    else:
        run("warmstart", name, f"seed={seed}", *keys, "--run", str(folder), environment=environment)
        why = "a benchmark of many runs: the suite's own checks are made elsewhere"
        train = ("train", name, f"seed={seed}", *keys, "--run", str(folder), "--without-gate", why)
        run(*train, environment=environment)
    if control:
        subprocess.run([sys.executable, __file__, "--control-of", str(folder)], env=environment, check=True)
    record(name, recipe, way, folder)


def run(*arguments: str, environment: Mapping[str, str]) -> None:
    """One command of the product."""
    subprocess.run([*PRACTICUM, *arguments], env=dict(environment), check=True)


def record(name: str, recipe: Recipe, way: str, folder: Path) -> None:
    """Add a cell to the record."""
    manifest = json.loads((folder / "manifest.json").read_text())
    rates = {
        path.stem: json.loads(path.read_text())["success_rate"] for path in (folder / "evaluations").glob("*.json")
    }
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["phase"] == "rl"][-1]
    stop = [event for event in read_events(folder / "events.jsonl") if event.kind == "stop"][-1]
    cell = Cell(
        recipe=name,
        digest=digest_of(recipe),
        seed=recipe.seed,
        way=way,
        processor=manifest["machine"]["processor"],
        instructions=manifest["machine"]["instructions"],
        foothold=rates["foothold-sampled"],
        foothold_greedy=rates["foothold-greedy"],
        trained=rates["trained-sampled"],
        trained_greedy=rates["trained-greedy"],
        control=rates.get("control-sampled"),
        steps=last["step"],
        silent=f"{last['metrics']['analysis/zero_adv_groups']:.0f}/{recipe.global_batch_size}",
        minutes=round(stop.data["seconds"] / 60, 1),
        commit=str((manifest["machine"]["git"] or {}).get("commit", ""))[:7],
    )
    FOLDER.mkdir(exist_ok=True)
    with CELLS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(cell)) + "\n")


def recorded() -> list[Cell]:
    """All cells on record; of two with one name the later."""
    lines = CELLS.read_text(encoding="utf-8").splitlines() if CELLS.exists() else []
    cells = [Cell(**json.loads(line)) for line in lines]
    return list({(c.recipe, c.digest, c.seed, c.way): c for c in cells}.values())


def digest_of(recipe: Recipe) -> str:
    """What two cells of one table have in common."""
    varied = {"seed", "threads", "dtype", "name"}
    keys = {key: value for key, value in recipe.to_dict().items() if key not in varied}
    return digest([keys, target_of(recipe).make().ref.digest, processor(choose_device(recipe.device))])[:12]


def print_table(name: str) -> None:
    """The cells of the recipe as it is now, and how many reach the aims."""
    current = digest_of(load_recipe(shipped(name)))
    cells = sorted((c for c in recorded() if c.digest == current), key=lambda c: (c.way, c.seed))
    if not cells:
        print(f"no cell of {name} as it is now")
        return
    print("\n| rounding | seed | foothold (greedy) | trained (greedy) | gain | control | steps | silent | minutes |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for c in cells:
        control = "–" if c.control is None else f"{c.control:.1%}"
        print(
            f"| {c.way} | {c.seed} | {c.foothold:.1%} ({c.foothold_greedy:.1%}) | {c.trained:.1%} "
            f"({c.trained_greedy:.1%}) | {c.gain * 100:+.1f} | {control} | {c.steps} | {c.silent} | {c.minutes:g} |"
        )
    for what, values in (("success", [c.trained for c in cells]), ("gain", [c.gain for c in cells])):
        print(f"{what}: worst {min(values):.1%}, median {statistics.median(values):.1%}, best {max(values):.1%}")
    good = sum(c.gain >= AIM_GAIN and c.trained >= AIM_SUCCESS for c in cells)
    print(
        f"{good} of {len(cells)} cells gain {AIM_GAIN:.0%} and reach {AIM_SUCCESS:.0%}; "
        f"{sum(c.gain < LEAST_GAIN for c in cells)} gain less than {LEAST_GAIN:.0%}"
    )
    both = [c for c in cells if c.control is not None]
    if both:
        print(f"{sum(c.trained > (c.control or 0) for c in both)} of {len(both)} beat their control")


if __name__ == "__main__":
    main()
