"""One environment, loaded in a process of one world; every piece of work is done in a fork of it."""

import gc
import importlib.util
import inspect
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from practicum.checks.episodes import Plan, Transcript, fault, play, unplayed
from practicum.checks.processes.world import Surroundings, set_clock
from practicum.checks.watch.access_recorder import RECORDER
from practicum.checks.watch.line_blame import Blamer, is_import
from practicum.checks.watch.outside_access import CONSTRUCTOR, Touch
from practicum.checks.watch.patches import fixtures, named, patched
from practicum.checks.watch.settings import SETTINGS, Leftover, left_by_import, same, settings_now
from practicum.environment import Environment
from practicum.environment.modules import imported_later
from practicum.environment.places import origin, place_of_method
from practicum.environment.target import SPLITS, EnvironmentTarget, Reading, load_target, task_digest
from practicum.errors import EnvironmentFault, PracticumError
from practicum.tasks import Task


@dataclass(frozen=True)
class StageOrder:
    """What to load, and where.

    Attributes:
        source, folder, home, args, judges, datasets, reading: As of ``EnvironmentTarget``.
        working_folder: None for a private one.
        paths: Where modules are looked for.
        variables: All environment variables.
        root: A private folder, for temporary files and logs.
        blamed: Kinds of settings, and names of functions, whose change at import is to be traced to its line.
        recorded: Whether what loading touches and leaves is recorded, which takes its time.
    """

    source: str
    folder: Path
    home: Path
    args: Mapping[str, Any]
    judges: tuple[str, str]
    datasets: Mapping[str, Path]
    working_folder: Path | None
    paths: tuple[str, ...]
    variables: Mapping[str, str]
    root: Path
    world: Surroundings
    blamed: tuple[str, ...] = ()
    recorded: bool = True
    reading: Reading = field(default_factory=Reading)


@dataclass(frozen=True)
class Loaded:
    """What came of loading an environment.

    Attributes:
        error: Why it cannot be played; None where it can.
        digests: Of every task, by split.
        faults: Exceptions from ``tasks``.
        touches: What import, constructor and ``tasks`` touched.
        leftovers: What the import changed in the process; with its line where ``StageOrder.blamed`` asks for it.
    """

    error: PracticumError | None = None
    digests: Mapping[str, list[str]] = field(default_factory=dict)
    faults: tuple[Mapping[str, str], ...] = ()
    touches: tuple[Touch, ...] = ()
    leftovers: tuple[Leftover, ...] = ()


@dataclass
class Stage:
    """The environment of this process, ready to be played."""

    target: EnvironmentTarget
    tasks: Mapping[str, list[Task]]
    root: Path
    world: Surroundings

    @property
    def home(self) -> Path:
        """Folder of the environment's file."""
        return self.target.home

    def make(self) -> Environment:
        """A fresh instance."""
        return self.target.make()

    def task(self, plan: Plan) -> Task:
        """This process's own task of a plan."""
        return self.tasks[plan.split][plan.index]

    def play(self, plan: Plan, environment: Environment | None = None) -> Transcript:
        """Play a plan, on a fresh instance if none is given."""
        try:
            return play(environment or self.make(), self.task(plan), plan, self.home)
        except PracticumError as error:  # the constructor's: an episode's own stand in its transcript
            return unplayed(fault(error, "the constructor", self.home))


_stage: Stage | None = None


def stage() -> Stage:
    """The one stage of this process.

    Raises:
        RuntimeError: none was loaded.
    """
    if _stage is None:
        raise RuntimeError("no environment was loaded in this process")
    return _stage


def load(order: StageOrder) -> Loaded:
    """Load an environment and its tasks into this process; what that touches is recorded."""
    global _stage  # noqa: PLW0603 (one process, one stage)
    _settle(order)
    RECORDER.start(order.home, (*order.datasets.values(), *_given_paths(order.args)))
    try:
        found, leftovers = _import(order)
        target = replace(found, folder=order.folder, datasets=dict(order.datasets), reading=order.reading)
        with _recorded(order, CONSTRUCTOR):
            target.make()
        with _recorded(order, "tasks"):
            tasks, faults = _tasks(target)
    except PracticumError as error:
        return Loaded(error)
    finally:
        touches = RECORDER.take_touches()
    _stage = Stage(target, tasks, order.root, order.world)
    _load_libraries(target)
    # What is there now is no longer looked at by the garbage collector, and its memory stays shared between forks.
    gc.freeze()
    digests = {split: [task_digest(task) for task in listed] for split, listed in tasks.items()}
    return Loaded(None, digests, faults, touches, tuple(leftovers))


def _given_paths(args: Mapping[str, Any]) -> list[Path]:
    """Files and folders that the environment was told to use."""
    named = [Path(value).absolute() for value in args.values() if isinstance(value, str | os.PathLike) and str(value)]
    return [path for path in named if path.exists()]


def _recorded(order: StageOrder, phase: str) -> AbstractContextManager[None]:
    return RECORDER.during(phase) if order.recorded else nullcontext()


def _load_libraries(target: EnvironmentTarget) -> None:
    """Load what the environment's tools import when they run, once instead of in every fork: others' libraries only."""
    for name in dict.fromkeys(imported_later(Path(inspect.getfile(target.environment)))):
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            continue
        if spec is not None and spec.origin and origin(spec.origin, target.home) in ("library", "standard"):
            with suppress(Exception):
                importlib.import_module(name)


def private_temporary_folder(folder: Path) -> None:
    """Let temporary files of this process lie in ``folder``."""
    folder.mkdir(parents=True)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None


def _settle(order: StageOrder) -> None:
    os.environ.clear()
    os.environ.update(order.variables)
    sys.path[:] = list(order.paths)
    private_temporary_folder(order.root / "tmp")
    work = order.working_folder or order.root / "work"
    work.mkdir(exist_ok=True)
    os.chdir(work)
    set_clock(order.world.clock_s)


def _import(order: StageOrder) -> tuple[EnvironmentTarget, list[Leftover]]:
    """The environment, and what importing it changed for everyone in the process."""

    def loaded() -> EnvironmentTarget:
        return load_target(order.source, order.args, score=order.judges[0], reward=order.judges[1])

    if not order.recorded:
        return loaded(), []
    before, modules_before = settings_now(), fixtures(order.home)
    if not order.blamed:
        with RECORDER.during("import"):
            target = loaded()
        seeded = RECORDER.numpy_seeded
        drawn = [Leftover("state of numpy's global random generator", "", seeded)] if seeded else []
        return target, [*left_by_import(before, order.home), *drawn, *patched(modules_before, order.home)]
    settings = {setting.kind: setting for setting in SETTINGS}
    probes = {name: settings[name].read if name in settings else partial(named, name) for name in order.blamed}

    def changed(name: str, was: Any, now: Any) -> bool:
        # A function that was not there has come with its module.
        return not same(was, now) if name in settings else was is not None and was is not now

    blamer = Blamer(order.home, probes, changed)
    with blamer.watching():
        target = loaded()
    left = [*left_by_import(before, order.home), *patched(modules_before, order.home)]
    places = [(each, blamer.found.get(each.kind) or blamer.found.get(each.name) or "") for each in left]
    # What a library sets up when it is imported is the library's doing.
    return target, [replace(each, where=place) for each, place in places if place and not is_import(place)]


def _tasks(target: EnvironmentTarget) -> tuple[dict[str, list[Task]], tuple[Mapping[str, str], ...]]:
    tasks, faults = {}, []
    missing: PracticumError | None = None
    for split in SPLITS:
        try:
            listed = target.tasks(split)
        except PracticumError as error:
            # A split an environment does not have: what it has is played.
            missing = missing or error
            continue
        except Exception as error:
            faults.append(fault(error, "tasks", target.home))
            continue
        if listed:
            tasks[split] = listed
    if not tasks and missing is not None:
        raise missing
    if not tasks and not faults:
        raise EnvironmentFault(
            "the environment has no tasks",
            where=place_of_method(target.environment, "tasks"),
            fix="return at least one",
        )
    return tasks, tuple(faults)
