"""Files on disk, written so that a crash leaves the old one or the new one; programs, as a user would type them."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    """Flush a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a path beside ``target``; on success it is synced and renamed over it, on failure removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield beside
        sync(beside)
        beside.replace(target)
        sync(target.parent)
    finally:
        beside.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Replace ``target`` with ``text`` atomically."""
    with atomic_path(target) as beside:
        beside.write_text(text, encoding="utf-8")


def write_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Create folder ``target`` atomically: ``fill`` writes into a sibling that is then renamed.

    An existing ``target`` is replaced; until the rename it stays whole. Files that a library made for their owner
    alone get the mode that files of this process have.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        fill(beside)
        # A folder's mode shows the umask, which cannot be read without setting it.
        usual = beside.stat().st_mode & 0o666
        for path in beside.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.chmod(path.stat().st_mode | usual)
            sync(path)
        if target.exists():
            old = target.with_name(f".{target.name}.{os.getpid()}.old")
            target.rename(old)
            try:
                beside.rename(target)
            except OSError:
                old.rename(target)
                raise
            shutil.rmtree(old)
        else:
            beside.rename(target)
        sync(target.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def program(name: str) -> str:
    """How the user's shell finds a program installed beside this interpreter."""
    beside = Path(sys.executable).with_name(name)
    command = shutil.which(name)
    if command and Path(command).resolve() == beside.resolve():
        return name
    if os.path.isfile(beside):  # noqa: PTH113 (False where this user may not look, instead of an error)
        folder = Path.cwd()
        return shlex.quote(str(beside.relative_to(folder) if beside.is_relative_to(folder) else beside))
    return f"{shlex.quote(sys.executable)} -m practicum" if name == "practicum" else name
