"""What checking costs, and how surely it finds races: `python benchmarks/checks.py` (about five minutes on two cores).

Prints tables and writes nothing: seconds from the start of the check of each suite until each check had its result;
and for environments with a race planted in them, how often threads showed it against how often every eight episodes
were run in eight threads, and what that took. `REPETITIONS` of `practicum.checks.catalogue` is chosen from that
curve. `--trials N`, `--only suites` or `--only races` for less.
"""

import argparse
import importlib.util
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

from practicum.checks.catalogue import CHECKS, REPETITIONS
from practicum.checks.differences import first_difference
from practicum.checks.environment import run_checks
from practicum.checks.processes.client import Nursery
from practicum.checks.trial import prepare
from practicum.checks.ways.threaded import thread
from practicum.environment.target import EnvironmentTarget, load_target

SUITES = ("support_desk", "warehouse", "sql_analyst", "code_repair")
RACES = ("OutputCaptured", "FolderForAMoment", "PatchedForAMoment", "CheckedThenTaken", "BufferOfAll")
"""Environments of the zoo whose fault shows only in threads: each call puts everything back before it returns."""
WINDOWS = (10, 100, 1000)
"""Environments made here, which race only where two episodes of other tasks come to one line at the same time: a line
that each reaches after some steps of its own, fewer than so many."""
COUNTS = (1, 2, 4, 8)
TASKS = 2
"""Of each split, in a trial."""
PATIENCE_S = 120.0
MEETING = '''
import zlib
from typing import ClassVar

from practicum import Call, Environment, Task, tool


class WindowWIDTH(Environment):
    id, version = "window-WIDTH", "1"
    current: ClassVar[str] = ""

    @tool
    def ask(self) -> str:
        """who asks"""
        steps = zlib.crc32(self.task.id.encode()) % WIDTH
        while steps:
            steps -= 1
        WindowWIDTH.current = self.task.id
        return WindowWIDTH.current

    def stop(self):
        WindowWIDTH.current = ""

    def tasks(self, split):
        return [Task(f"{split}-{n}", f"Ask {n} of {split}.") for n in range(100)]

    def oracle(self, task):
        yield Call("ask", {})
        return "done"
'''
ZOO = Path(__file__).resolve().parents[1] / "tests" / "checks"


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20, help="of each race")
    parser.add_argument("--only", choices=("suites", "races"))
    given = parser.parse_args()
    print(
        f"python {sys.version.split()[0]}, {len(os.sched_getaffinity(0))} cores, {REPETITIONS} repetitions by default\n"
    )
    if given.only != "races":
        suites()
    if given.only != "suites":
        races(given.trials)


def suites() -> None:
    """Seconds until each check of each suite had its result."""
    print("| seconds until the result of | " + " | ".join(SUITES) + " |")
    print("| --- |" + " --- |" * len(SUITES))
    columns = [timed(load_target(name)) for name in SUITES]
    for title in dict.fromkeys(title for column in columns for title in column):
        code = next((code for code, check in CHECKS.items() if check.title == title), title)
        print(
            f"| {code} | " + " | ".join(f"{column[title]:.1f}" if title in column else "" for column in columns) + " |"
        )
    print(flush=True)


def timed(target: EnvironmentTarget) -> dict[str, float]:
    """Title of each check → seconds from the start until its result was there; and the whole under ``in all``."""
    began = time.monotonic()
    found: dict[str, float] = {}
    report = run_checks(target, progress=lambda title: found.update({title: time.monotonic() - began}))
    return {**found, "in all": report.seconds}


def races(trials: int) -> None:
    """How often threads showed each race, by repetitions, and what these took."""
    planted = module(ZOO / "planted.py")
    print(f"| race, shown in {trials} trials | " + " | ".join(f"{count}×" for count in COUNTS) + " |")
    print("| --- |" + " --- |" * len(COUNTS))
    seconds: dict[int, list[float]] = {count: [] for count in COUNTS}
    totals = dict.fromkeys(COUNTS, 0)
    with tempfile.TemporaryDirectory(prefix="races-") as folder, Nursery() as nursery:
        files = {each.name: each.write_into(Path(folder)) for each in planted.planted("zoo_together.py")}
        files |= {f"Window{width}": window(width, Path(folder)) for width in WINDOWS}
        for name in (*RACES, *(f"Window{width}" for width in WINDOWS)):
            target = load_target(f"{files[name]}:{name}")
            first = [shown(target, seed, nursery, seconds) for seed in range(trials)]
            row = {count: sum(repetition <= count for repetition in first) for count in COUNTS}
            totals = {count: totals[count] + row[count] for count in COUNTS}
            print(f"| {name} | " + " | ".join(map(str, row.values())) + " |", flush=True)
    of = trials * (len(RACES) + len(WINDOWS))
    print("| all, 95% interval | " + " | ".join(interval(totals[count], of) for count in COUNTS) + " |")
    medians = (f"{statistics.median(seconds[count]):.2f}" for count in COUNTS)
    print("| seconds, median | " + " | ".join(medians) + " |")


def window(width: int, folder: Path) -> Path:
    """A file with an environment whose race needs a meeting; see ``WINDOWS``."""
    path = folder / f"window{width}.py"
    path.write_text(MEETING.replace("WIDTH", str(width)), encoding="utf-8")
    return path


def shown(target: EnvironmentTarget, seed: int, nursery: Nursery, seconds: dict[int, list[float]]) -> float:
    """The first repetition in which an episode differs from itself alone; infinity where none does.

    The tasks, and with them who meets whom, are drawn by ``seed``; ``seconds`` gets what each count took.
    """
    home = nursery.stage(target)
    try:
        trial = prepare(target, home, {}, TASKS, seed, None)
        for count in COUNTS:
            began = time.monotonic()
            played = home.ask(thread, list(trial.plans), count, deadline_s=PATIENCE_S).result()
            seconds[count].append(time.monotonic() - began)
        differ = (how for number, how, after in played if first_difference(trial.transcripts[number], after))
        return min((float(how.rpartition(" ")[2]) for how in differ), default=math.inf)
    finally:
        home.close()


def interval(hits: int, of: int) -> str:
    """The share and its Wilson interval."""
    z, share = 1.96, hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return f"{share:.0%} ({max(0.0, middle - half):.0%}–{min(1.0, middle + half):.0%})"


def module(path: Path) -> ModuleType:
    """A Python file as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = made
    spec.loader.exec_module(made)
    return made


if __name__ == "__main__":
    main()
