"""``python keeper.py FOLDER KEY…``: checks planted environments, and prints a line of data for each.

In a process of its own: what the environments do when they are imported stays out of the tests' process.
"""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from planted import Planted, planted

from practicum.checks.environment import run_checks
from practicum.checks.processes.client import Nursery
from practicum.environment.target import EnvironmentTarget, load_target

JOBS = 3
"""Environments under check at once: on two processors, because some of them only wait."""

TASKS = 1
"""Tasks of each split."""

_own = threading.local()


def checked(each: Planted, target: EnvironmentTarget) -> dict[str, Any]:
    """What a check says of one environment."""
    if not hasattr(_own, "nursery"):
        _own.nursery = Nursery()
        _nurseries.append(_own.nursery)
    try:
        report = run_checks(target, tasks_per_split=TASKS, nursery=_own.nursery)
    except Exception as error:
        return {"key": each.key, "error": f"{type(error).__name__}: {error}"}
    return {"key": each.key, "file": str(target.home / each.file.name), **report.to_dict()}


def main(folder: Path, keys: list[str]) -> Iterator[dict[str, Any]]:
    """The report on each environment, in the order they are done."""
    known = {each.key: each for each in planted("*.py")}
    every = [known[key] for key in keys]
    # Imported here, in the main thread: only there may signals be dealt with.
    targets = [load_target(f"{each.write_into(folder)}:{each.name}", score=each.score) for each in every]
    with ThreadPoolExecutor(JOBS) as jobs:
        under_way = [jobs.submit(checked, each, target) for each, target in zip(every, targets, strict=True)]
        for done in as_completed(under_way):
            yield done.result()


_nurseries: list[Nursery] = []

if __name__ == "__main__":
    out = sys.stdout
    try:
        for report in main(Path(sys.argv[1]), sys.argv[2:]):
            print(repr(report), file=out, flush=True)  # not as JSON: some of them patch that
    finally:
        for nursery in _nurseries:
            nursery.close()
