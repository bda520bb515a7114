"""What an episode owns: a virtual clock, counted ids, a temporary folder, a database, and their teardown."""

import contextlib
import hashlib
import inspect
import os
import shutil
import sqlite3
import stat
import tempfile
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from practicum.environment.calling import OwnLoop
from practicum.environment.canonical import image_digest, schemas
from practicum.errors import EnvironmentFault

T = TypeVar("T")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""Where every episode's clock begins."""

SETTLED_NS = 100_000_000
"""Age at which a file's times can be trusted: what is written within one tick of the kernel's clock shares a time."""


class VirtualClock:
    """Time that passes only when the environment says so, the same in every run."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        """Seconds since ``EPOCH``."""

    def now(self) -> datetime:
        """Date and time, in UTC."""
        return EPOCH + timedelta(seconds=self.elapsed)

    def time(self) -> float:
        """Seconds since 1970, as ``time.time`` would say."""
        return EPOCH.timestamp() + self.elapsed

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: ``seconds`` is negative or no number: time does not run backwards, nor past the year 9999.
        """
        if not seconds >= 0:
            raise ValueError(f"time cannot advance by {seconds!r} seconds")
        try:
            EPOCH + timedelta(seconds=self.elapsed + seconds)
        except OverflowError:
            raise ValueError(f"time cannot advance by {seconds!r} seconds: the calendar ends") from None
        self.elapsed += seconds


class Database(sqlite3.Connection):
    """A connection that counts what SQLite's own counters leave out."""

    replaced = 0

    def deserialize(self, *args: Any, **kwargs: Any) -> None:
        """Replace the content."""
        super().deserialize(*args, **kwargs)
        self.replaced += 1

    def blobopen(self, *args: Any, **kwargs: Any) -> sqlite3.Blob:
        """Open a value for writing in place; from here on nothing tells when it is written."""
        self.replaced = -1
        return super().blobopen(*args, **kwargs)


class Resources:
    """One episode's resources. Nothing is made before it is asked for; ``close`` tears down all of it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.ids: Counter[str] = Counter()
        self.loop = OwnLoop()
        self.process = os.getpid()
        self._stack = ExitStack()
        self._scratch: Path | None = None
        self._remove: Callable[[], object] = bool
        self._files: dict[str, tuple[tuple[int, ...], str]] = {}
        self._database: Database | None = None
        self._image: tuple[tuple[Any, ...], str] = ((), "")

    def new_id(self, prefix: str) -> str:
        """``prefix`` and a number that counts from 1."""
        self.ids[prefix] += 1
        return f"{prefix}{self.ids[prefix]}"

    @property
    def scratch(self) -> Path:
        """The episode's own temporary folder."""
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="practicum-episode-")).resolve()
            # Also when the episode is garbage, and when the process ends.
            self._remove = weakref.finalize(self, _remove, self._scratch, self.process)
        return self._scratch

    @property
    def database(self) -> sqlite3.Connection:
        """The episode's own database, in memory and in autocommit mode."""
        if self._database is None:
            self._database = sqlite3.connect(
                ":memory:", isolation_level=None, check_same_thread=False, factory=Database
            )
            # Builds of SQLite differ in what they leave behind in freed space; empty, it is the same everywhere.
            self._database.execute("PRAGMA secure_delete = ON")
        return self._database

    def register(self, function: Callable[..., object], *args: Any) -> None:
        """Run ``function(*args)`` at teardown; what was registered last runs first.

        Raises:
            EnvironmentFault: the function is async; nobody could wait for it at teardown.
        """
        if inspect.iscoroutinefunction(function):
            raise EnvironmentFault(
                f"{getattr(function, '__qualname__', function)} is async, and cannot be registered",
                allowed="a plain function: teardown also happens where nothing can be awaited",
                fix="register one that closes without waiting",
            )
        self._stack.callback(function, *args)

    def enter(self, manager: AbstractContextManager[T]) -> T:
        """Enter a context manager, leave it at teardown; its value."""
        return self._stack.enter_context(manager)

    def close(self) -> None:
        """Tear everything down, what was registered first; every part even where one of them raises."""
        with ExitStack() as last:
            last.callback(self._remove_scratch)
            last.callback(self._close_database)
            last.callback(self.loop.close)
            last.callback(self._stack.close)

    def named_objects(self) -> dict[int, str]:
        """By ``id``, the objects whose state ``digest`` tells."""
        return {id(self.clock): "clock", **({} if self._database is None else {id(self._database): "database"})}

    @property
    def hidden(self) -> str:
        """The temporary folder's path, which differs from run to run; empty where there is none."""
        return "" if self._scratch is None else str(self._scratch)

    def digest(self) -> list[Any]:
        """JSON that is equal when clock, ids, files and database are."""
        files = [] if self._scratch is None else list(self._listing(str(self._scratch), ""))
        return [self.clock.elapsed, sorted(self.ids.items()), files, self._tables()]

    def _listing(self, folder: str, inner: str) -> Iterator[list[str]]:
        """Every file below a folder, in order of name: relative path, and content or kind."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield [inner, f"folder: {type(error).__name__}"]
            return
        for entry in entries:
            name = f"{inner}{entry.name}"
            with contextlib.suppress(FileNotFoundError):
                if entry.is_symlink():
                    yield [name, f"-> {Path(entry.path).readlink()}".replace(self.hidden, "")]
                elif entry.is_dir():
                    yield [f"{name}/", "folder"]
                    yield from self._listing(entry.path, f"{name}/")
                else:
                    yield [name, self._content(entry)]

    def _content(self, entry: "os.DirEntry[str]") -> str:
        status = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            return "special"
        # Nothing can set the time of the last change but a change.
        stamp = (status.st_ino, status.st_size, status.st_ctime_ns)
        known = self._files.get(entry.path)
        if known is not None and known[0] == stamp:
            return known[1]
        try:
            with open(entry.path, "rb") as stream:  # noqa: PTH123 (thousands of files: a Path each would show)
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except PermissionError:
            return "unreadable"
        if time.time_ns() - status.st_ctime_ns > SETTLED_NS:
            self._files[entry.path] = (stamp, content)
        return content

    def _tables(self) -> str:
        database = self._database
        if database is None:
            return ""
        try:
            cursor = database.cursor()
            cursor.row_factory = None
            pragmas = [f"{schema}.schema_version" for schema in schemas(cursor)] + ["main.user_version"]
            versions = [cursor.execute(f"PRAGMA {name}").fetchone() for name in pragmas]
        except sqlite3.Error:  # an authorizer that allows nothing
            return image_digest(database)
        # Rows changed and the version of the schema are counted by SQLite itself; most calls only read.
        counters = (database.total_changes, database.replaced, versions)
        # A rollback undoes changes without counting.
        settled = database.replaced >= 0 and not database.in_transaction
        if not settled or self._image[0] != counters:
            self._image = (counters if settled else (), image_digest(database, settled=settled))
        return self._image[1]

    def _remove_scratch(self) -> None:
        self._remove()
        self._scratch, self._remove = None, bool

    def _close_database(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _remove(folder: Path, process: int) -> None:
    if os.getpid() != process:
        return  # a forked child; the episode is its parent's
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():  # a tool took itself the right to change a folder
        folder.chmod(stat.S_IRWXU)
        for path, inner, _ in os.walk(folder):
            for name in inner:
                if not os.path.islink(below := os.path.join(path, name)):  # noqa: PTH114, PTH118
                    os.chmod(below, stat.S_IRWXU)  # noqa: PTH101
        shutil.rmtree(folder, ignore_errors=True)
