"""Plays episodes in a process of its own: ``python -m practicum.checks.worker``, JSON in and out.

Started by ``practicum.checks.worlds`` under another hash seed, time zone, locale, user and working folder.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from practicum.checks.episodes import Plan, play
from practicum.checks.leftovers import Leftover, Watch, collected
from practicum.checks.target import EnvironmentTarget, load_target, task_digest, task_record
from practicum.errors import PracticumError
from practicum.tasks import Task


def main() -> None:
    """Answer the request on stdin. Whatever user code prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    request = json.loads(sys.stdin.buffer.read())
    shift_clock(request["clock_s"])
    try:
        answer = _answer(request)
    except PracticumError as error:
        answer = {"error": str(error)}
    json.dump(answer, answers)
    answers.close()
    sys.stderr.flush()
    # A thread that the environment left running would keep the interpreter from ending.
    os._exit(0)


def shift_clock(seconds: float) -> None:
    """Let ``time`` tell another time; ``datetime`` reads the clock through C, only the zone shifts that."""
    wall, wall_ns = time.time, time.time_ns
    time.time = lambda: wall() + seconds
    time.time_ns = lambda: wall_ns() + int(seconds * 1e9)
    for name in ("localtime", "gmtime", "ctime"):
        setattr(time, name, _given(getattr(time, name), time.time))
    formatted, local = time.strftime, time.localtime
    time.strftime = lambda format, when=None, /: formatted(format, local() if when is None else when)


def _given(function: Callable[[float], Any], now: Callable[[], float]) -> Callable[..., Any]:
    return lambda seconds=None, /: function(now() if seconds is None else seconds)


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    found = load_target(request["source"], request["args"])
    datasets = {split: Path(path) for split, path in request["datasets"].items()}
    target = replace(found, datasets=datasets)
    tasks = {split: target.tasks(split) for split in request["tasks"]}
    strange = _first_strange(request["tasks"], tasks)
    if strange is not None:
        return {"strange_task": strange, "transcripts": {}, "leftovers": []}
    plans = [Plan.from_dict(data, tasks[data["split"]][data["index"]]) for data in request["plans"]]
    return {"strange_task": None, **_played(target, plans, request["order_seed"])}


def _first_strange(expected: Mapping[str, list[str]], tasks: Mapping[str, list[Task]]) -> dict[str, Any] | None:
    """The first task that is another one here than there."""
    for split, digests in expected.items():
        ours = [task_digest(task) for task in tasks[split]]
        if ours != digests:
            pairs = enumerate(zip(ours, digests, strict=False))
            index = next((i for i, (a, b) in pairs if a != b), min(len(ours), len(digests)))
            record = repr(task_record(tasks[split][index])) if index < len(ours) else "no such task"
            return {"split": split, "index": index, "record": record}
    return None


def _played(target: EnvironmentTarget, plans: list[Plan], order_seed: int) -> dict[str, Any]:
    watch = Watch(target.home, (Path.cwd(), Path(os.environ["TMPDIR"])))
    order = list(range(len(plans)))
    random.Random(order_seed).shuffle(order)
    first = watch.snapshot()
    transcripts: dict[int, Any] = {}
    left: dict[Leftover, str] = {}
    for number in order:
        environment = target.make()
        before = watch.snapshot()
        transcripts[number] = play(environment, plans[number], target.home)
        for leftover in watch.left(before):
            left.setdefault(leftover, plans[number].label)
        del environment
    known = {leftover.kind for leftover in left}
    for leftover in collected(watch, first):
        if leftover.kind not in known:
            left.setdefault(leftover, "all episodes")
    leftovers = [{**leftover.to_dict(), "episode": episode} for leftover, episode in left.items()]
    return {"transcripts": transcripts, "leftovers": leftovers}


if __name__ == "__main__":
    main()
