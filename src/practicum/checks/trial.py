"""What all checks look at: the tasks, the episodes to play, and each one's first transcript."""

import os
import random
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from practicum.checks.actions import random_calls, values_in
from practicum.checks.episodes import Demonstration, Plan, Transcript, demonstrate, fault, parsed, play
from practicum.checks.places import place_of_method
from practicum.checks.target import SPLITS, EnvironmentTarget
from practicum.environment import Environment
from practicum.errors import EnvironmentFault, PracticumError
from practicum.seeds import derive
from practicum.tasks import Task


@dataclass(frozen=True)
class Trial:
    """One environment about to be checked.

    Attributes:
        tasks: All tasks of every split there is.
        sampled: Tasks played, per split.
        plans: Episodes, each with its calls.
        transcripts: What each plan gave when played first, on a fresh instance.
        demonstrations: The oracle's episodes; empty where the environment has no oracle.
        faults: Exceptions outside episodes.
    """

    target: EnvironmentTarget
    tasks: Mapping[str, list[Task]]
    sampled: Mapping[str, int]
    plans: tuple[Plan, ...]
    transcripts: tuple[Transcript, ...]
    demonstrations: tuple[Demonstration, ...]
    faults: tuple[Mapping[str, str], ...]

    @property
    def home(self) -> Path:
        """Folder of the environment's file."""
        return self.target.home

    def place(self, method: str) -> str:
        """``file:line`` of a method of the environment."""
        return place_of_method(self.target.environment, method)


def prepare(target: EnvironmentTarget, tasks_per_split: int, seed: int) -> Trial:
    """Sample tasks, let the oracle play them, draw random episodes, and play all of them once.

    Raises:
        EnvironmentFault: the environment cannot be made, or gives no training tasks.
    """
    home = target.home
    tasks, faults = _tasks(target)
    plans: list[Plan] = []
    demonstrations: list[Demonstration] = []
    sampled: dict[str, int] = {}
    for split, listed in tasks.items():
        rng = random.Random(derive(seed, "tasks", split))
        chosen = sorted(rng.sample(range(len(listed)), min(tasks_per_split, len(listed))))
        sampled[split] = len(chosen)
        for index in chosen:
            task, own = listed[index], derive(seed, "episode", split, index)
            idle = Plan(split, index, task, own, (), "random")
            if has_oracle(target.environment):
                demonstration = demonstrate(target.make(), task, own, home)
                demonstrations.append(demonstration)
                plans.append(replace(idle, calls=demonstration.calls, origin="oracle"))
                seen = demonstration.transcript
            else:
                seen = play(target.make(), idle, home)
            calls = random_calls(seen["tools"], _known(seen), random.Random(derive(own, "calls")))
            plans.append(replace(idle, calls=calls))
    transcripts = tuple(play(target.make(), plan, home) for plan in plans)
    return Trial(target, tasks, sampled, tuple(plans), transcripts, tuple(demonstrations), faults)


def has_oracle(environment: type[Environment]) -> bool:
    """Whether the class, or a base of the user's, defines an oracle."""
    return environment.oracle is not Environment.oracle


@contextmanager
def undisturbed() -> Iterator[None]:
    """Give this process a private temporary folder for a while, and put back what environments change.

    What they print goes to stderr: stdout may carry the report.
    """
    folder, variables, filters = Path.cwd(), dict(os.environ), list(warnings.filters)
    temporary = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="practicum-check-", ignore_cleanup_errors=True) as private:
        os.environ["TMPDIR"] = tempfile.tempdir = private
        try:
            with redirect_stdout(sys.stderr):
                yield
        finally:
            tempfile.tempdir = temporary
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(variables)
            vars(warnings)["filters"][:] = filters


def _tasks(target: EnvironmentTarget) -> tuple[dict[str, list[Task]], tuple[Mapping[str, str], ...]]:
    tasks, faults = {}, []
    for split in SPLITS:
        try:
            listed = target.tasks(split)
        except PracticumError:
            # A split an environment does not have; without training tasks there is nothing to check.
            if split == "train":
                raise
            continue
        except Exception as error:
            faults.append(fault(error, "tasks", target.home))
            continue
        if listed:
            tasks[split] = listed
    if not tasks and not faults:
        raise EnvironmentFault(
            "the environment has no tasks",
            where=place_of_method(target.environment, "tasks"),
            fix="return at least one",
        )
    return tasks, tuple(faults)


def _known(transcript: Transcript) -> list[Any]:
    """Values an agent has come across by the end of an episode."""
    return values_in([[result["arguments"], parsed(result["text"])] for result in transcript["results"]])
