"""The caller's side: keeps the warm processes, orders stages and asks for work."""

import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Client, Connection
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import practicum
from practicum.checks.processes.fork_server import Gone, Late, end_group, receive
from practicum.checks.processes.stage import Loaded, StageOrder
from practicum.checks.processes.work import LONGEST_S, Trouble, interrupted, receive_patiently, told_by
from practicum.checks.processes.world import HOME, Surroundings
from practicum.environment.target import EnvironmentTarget
from practicum.errors import EnvironmentFault

T = TypeVar("T")

DEADLINE_S = 20.0
"""Seconds one piece of work may take before it is looked at whether it still works."""


_START_S = 60.0
_LONGEST = 40


class NoEnd(Exception):
    """A piece of work came to no end; ``trouble`` says why."""

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        super().__init__(trouble.reason)


class Nursery:
    """The processes of one or many checks. Close it, or use it as a context manager: all of them end with it."""

    def __init__(self) -> None:
        # A socket's path has to be short.
        folder = "/tmp" if len(tempfile.gettempdir()) > _LONGEST else None
        self._folder = tempfile.TemporaryDirectory(prefix="practicum-check-", dir=folder, ignore_cleanup_errors=True)
        self._warm: dict[str, _Warm] = {}
        self._lock = threading.Lock()
        self._count = 0
        self.pool = ThreadPoolExecutor(max(2, min(4, len(os.sched_getaffinity(0)))), "practicum-check")

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove what they wrote."""
        for warm in self._warm.values():
            warm.close()
        self.pool.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()

    def warm(self, *worlds: Surroundings) -> None:
        """Begin to start the processes of some worlds; ``stage`` waits for them."""
        for world in worlds:
            self._warmed(world)

    def stage(
        self,
        target: EnvironmentTarget,
        world: Surroundings = HOME,
        *,
        clock_s: float = 0.0,
        variables: Mapping[str, str | None] | None = None,
        blamed: tuple[str, ...] = (),
    ) -> "StageHandle":
        """Load an environment in a world.

        ``clock_s`` and ``variables`` (None: not set) differ from the world's; ``blamed`` as of ``StageOrder``.
        """
        with self._lock:
            self._count += 1
            root = Path(self._folder.name) / f"stage-{self._count}"
        root.mkdir()
        values = {**world.environment(), **(variables or {})}
        order = StageOrder(
            source=target.source,
            folder=target.folder,
            home=target.home,
            args=dict(target.args),
            judges=target.judges,
            datasets={split: path.absolute() for split, path in target.datasets.items()},
            reading=target.reading,
            working_folder=Path.cwd() if world.name == HOME.name else None,
            paths=(*(str(Path(entry).absolute()) for entry in sys.path), str(target.folder)),
            variables={name: value for name, value in values.items() if value is not None},
            root=root,
            world=replace(world, clock_s=world.clock_s + clock_s),
            blamed=blamed,
            # The same elsewhere: what counts there is what comes of it.
            recorded=world.name == HOME.name and not clock_s and not variables,
        )
        return StageHandle(self._warmed(world).connect(), order, target.home, self.pool)

    def _warmed(self, world: Surroundings) -> "_Warm":
        with self._lock:
            if world.name not in self._warm:
                self._warm[world.name] = _Warm(world, Path(self._folder.name))
            return self._warm[world.name]


class StageHandle:
    """A loaded environment in another process."""

    def __init__(self, keeper: Connection, order: StageOrder, home: Path, pool: ThreadPoolExecutor) -> None:
        self._keeper, self._order, self._home, self._pool = keeper, order, home, pool
        try:
            keeper.send(order)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            keeper.close()
            raise EnvironmentFault(
                f"the environment's arguments cannot be given to another process: {error}",
                where=order.source,
                allowed="text, numbers, lists, dicts",
            ) from error
        try:
            self.loaded: Loaded = receive(keeper, LONGEST_S)
        except Gone:
            trouble = told_by(order.root / "log", home)
            self.loaded = Loaded(EnvironmentFault(trouble.reason, where=trouble.where))

    def close(self) -> None:
        """End the process and all of its forks."""
        self._keeper.close()

    def ask(self, work: Callable[..., T], *args: Any, deadline_s: float = DEADLINE_S) -> "Future[T]":
        """Have a piece of work done in a fork. The future raises ``NoEnd`` where it gave no answer."""
        return self._pool.submit(self._finish, work, args, deadline_s)

    def _finish(self, work: Callable[..., T], args: tuple[Any, ...], deadline_s: float) -> T:
        log, pid = self._order.root / "log", 0
        try:
            with Client(str(self._order.root / "work.socket"), "AF_UNIX") as connection:
                try:
                    pid, log = receive(connection, _START_S)
                    connection.send((work, args))
                    answer = receive_patiently(connection, pid, deadline_s)
                except Late as error:
                    trouble = interrupted(pid, log, self._home, deadline_s)
                    end_group(pid)
                    raise NoEnd(trouble) from error
        except (Gone, OSError) as error:
            raise NoEnd(told_by(log, self._home)) from error
        if isinstance(answer, Trouble):
            raise NoEnd(answer)
        result: T = answer
        return result


class _Warm:
    """A process of one world that knows Practicum and nobody's environment."""

    def __init__(self, world: Surroundings, folder: Path) -> None:
        self._path = folder / f"{world.name}.socket"
        self._keeper, theirs = Pipe()
        source = str(Path(practicum.__file__).parents[1])
        paths = [str(Path(entry).absolute()) for entry in sys.path]
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "practicum.checks.ways",
                str(self._path),
                str(theirs.fileno()),
                pickle.dumps(world).hex(),
            ],
            env={**world.environment(), "PYTHONPATH": os.pathsep.join([source, *paths])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        self._ready = False
        self._lock = threading.Lock()

    def connect(self) -> Connection:
        """A connection for one stage."""
        with self._lock:
            if not self._ready:
                try:
                    receive(self._keeper, _START_S)
                except Gone as error:
                    log = self._path.with_suffix(".log")
                    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
                    raise EnvironmentFault(f"no process can be started to play in: {error}\n{said[-2000:]}") from error
                self._ready = True
        return Client(str(self._path), "AF_UNIX")

    def close(self) -> None:
        """End it; its forks end with it."""
        self._keeper.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
