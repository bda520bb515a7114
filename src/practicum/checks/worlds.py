"""The same episodes elsewhere: fresh processes that differ in all that an environment may not depend on."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from practicum.checks.episodes import Plan, Transcript
from practicum.checks.target import EnvironmentTarget, task_digest
from practicum.errors import EnvironmentFault
from practicum.tasks import Task

TIMEOUT_S = 300.0
"""Seconds a world may take for all its episodes."""

_DAY_S = 86_400.0


@dataclass(frozen=True)
class World:
    """One set of circumstances. ``time_zone`` is in POSIX form, where ``-14`` lies east of Greenwich."""

    hash_seed: int
    time_zone: str
    locale: str
    user: str
    clock_s: float
    order_seed: int

    @property
    def description(self) -> str:
        """What is different there, in words."""
        return (
            f"PYTHONHASHSEED={self.hash_seed}, TZ={self.time_zone}, LC_ALL={self.locale}, USER={self.user}, "
            f"clock {self.clock_s / _DAY_S:+.0f} days, other working and temporary folders, another order"
        )


@dataclass(frozen=True)
class Visit:
    """What came of playing in a world.

    Attributes:
        problem: Why nothing could be played there; empty otherwise.
        strange_task: The first task that is another one there: split, index, record.
        transcripts: By the plan's number.
        leftovers: kind, name, where, episode.
    """

    world: World
    problem: str = ""
    strange_task: Mapping[str, Any] | None = None
    transcripts: Mapping[int, Transcript] | None = None
    leftovers: Sequence[Mapping[str, str]] = ()

    @property
    def played(self) -> bool:
        """Whether the episodes took place."""
        return not self.problem and self.strange_task is None


def other_worlds() -> tuple[World, World]:
    """Two worlds unlike this process: the local date differs in at least one of them, and the hour."""
    seeds = [seed for seed in (1031, 4057, 9901) if str(seed) != os.environ.get("PYTHONHASHSEED")]
    return (
        World(seeds[0], "EAST-14", "C", "somebody", 400.25 * _DAY_S, 1),
        World(seeds[1], "WEST+12", "C.UTF-8", "another", -40.75 * _DAY_S, 2),
    )


class Journey:
    """Episodes under way in another world; ``visit()`` waits for them.

    The process has a private folder, which ``close`` removes with all that was left in it.
    """

    def __init__(
        self,
        world: World,
        target: EnvironmentTarget,
        tasks: Mapping[str, Sequence[Task]],
        plans: Sequence[Plan],
    ) -> None:
        self._world = world
        self._folder = tempfile.TemporaryDirectory(prefix="practicum-check-", ignore_cleanup_errors=True)
        root = Path(self._folder.name)
        for name in ("work", "tmp"):
            (root / name).mkdir()
        self._files = {name: (root / name).open("w+b") for name in ("stdin", "stdout", "stderr")}
        self._files["stdin"].write(_request(world, target, tasks, plans))
        self._files["stdin"].seek(0)
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "practicum.checks.worker"],
            cwd=root / "work",
            env=_variables(world, root / "tmp", target.folder),
            start_new_session=True,
            stdin=self._files["stdin"],
            stdout=self._files["stdout"],
            stderr=self._files["stderr"],
        )

    def visit(self) -> Visit:
        """What came of it."""
        try:
            self._process.wait(max(0.0, TIMEOUT_S - (time.monotonic() - self._began)))
        except subprocess.TimeoutExpired:
            return Visit(self._world, f"it took more than {TIMEOUT_S:.0f} s")
        if self._process.returncode:
            last = self._read("stderr").strip().splitlines()[-12:]
            return Visit(self._world, "\n".join([f"it ended with status {self._process.returncode}", *last]))
        answer = json.loads(self._read("stdout"))
        if "error" in answer:
            return Visit(self._world, answer["error"])
        transcripts = {int(number): transcript for number, transcript in answer["transcripts"].items()}
        return Visit(self._world, "", answer["strange_task"], transcripts, answer["leftovers"])

    def close(self) -> None:
        """End the process and those it left running, and remove its folder."""
        # It leads a group of its own, in which what the environment started stays.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for file in self._files.values():
            file.close()
        self._folder.cleanup()

    def _read(self, name: str) -> str:
        self._files[name].seek(0)
        return self._files[name].read().decode(errors="replace")


def _variables(world: World, temporary: Path, folder: Path) -> dict[str, str]:
    # The same modules must be found from another working folder.
    paths = [str(Path(entry).absolute()) for entry in sys.path]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*paths, str(folder)]),
        "PYTHONHASHSEED": str(world.hash_seed),
        "TZ": world.time_zone,
        "LC_ALL": world.locale,
        "LANG": world.locale,
        "USER": world.user,
        "LOGNAME": world.user,
        "TMPDIR": str(temporary),
    }


def _request(
    world: World, target: EnvironmentTarget, tasks: Mapping[str, Sequence[Task]], plans: Sequence[Plan]
) -> bytes:
    request = {
        "source": target.source,
        "args": dict(target.args),
        "datasets": {split: str(path.absolute()) for split, path in target.datasets.items()},
        "tasks": {split: [task_digest(task) for task in listed] for split, listed in tasks.items()},
        "plans": [plan.to_dict() for plan in plans],
        "clock_s": world.clock_s,
        "order_seed": world.order_seed,
    }
    try:
        return json.dumps(request).encode()
    except (TypeError, ValueError) as error:
        raise EnvironmentFault(
            f"the environment's arguments are not JSON: {error}",
            where=target.name,
            allowed="text, numbers, lists, dicts",
        ) from error
