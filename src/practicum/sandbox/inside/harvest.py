"""What a program wrote, read back after it and all it started are gone. Nothing is followed, nothing waits.

Also the watch over how much it writes while it runs.
"""

from __future__ import annotations

import errno
import os
import stat

from .kernel import suppress

TYPE_CHECKING = False  # the name type checkers know, without the time that importing typing takes
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ENTRIES, MAX_DEPTH, MAX_REASONS = 100_000, 32, 100


def flooded(folder: str, own_filesystem: bool, max_bytes: int, max_files: int) -> bool:
    """Whether there are too many bytes or files in a folder (or in the small filesystem that it is)."""
    if own_filesystem:
        state = os.statvfs(folder)
        used = (state.f_blocks - state.f_bfree) * state.f_frsize
        return state.f_files - state.f_ffree > max_files + 1 or used > max_bytes
    size = count = 0
    waiting = [folder]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return True
            continue  # closed or gone
        for entry in entries:
            with suppress(OSError):
                size += entry.stat(follow_symlinks=False).st_blocks * 512
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
        count += len(entries)
        if count > max_files or size > max_bytes:
            return True
    return False


def written(folder: str, laid: dict[str, bytes], max_bytes: int) -> tuple[dict[str, bytes], list[str]]:
    """Text files that are new or changed, in the order of their names, and why the others are left out."""
    files: dict[str, bytes] = {}
    left_out: list[str] = []
    room = max_bytes
    for name, entry in _walk(folder, "", 0):
        reason, content = (entry, b"") if isinstance(entry, str) else _read(os.path.join(folder, name), entry, room)
        printed = name.encode("utf-8", "backslashreplace").decode()
        if reason:
            left_out.append(f"{printed}: {reason}")
        elif content is not None and laid.get(name) != content:
            files[printed] = content
            room -= len(content)
    if len(left_out) > MAX_REASONS:
        left_out = [*left_out[:MAX_REASONS], f"… and {len(left_out) - MAX_REASONS} more"]
    return files, left_out


def _read(path: str, entry: os.stat_result, room: int) -> tuple[str, bytes | None]:
    """(why not, content); content None for what is no file and needs no word."""
    if stat.S_ISDIR(entry.st_mode):
        return "", None
    if not stat.S_ISREG(entry.st_mode):
        return ("a symbolic link" if stat.S_ISLNK(entry.st_mode) else "not a regular file"), None
    if entry.st_size > room:
        return "more than the limit of what is handed back", None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return "not readable", None
    try:
        content = _read_all(fd, entry.st_size)
        content.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return "not text", None
    finally:
        os.close(fd)
    return ("not text", None) if b"\0" in content else ("", content)


def _read_all(fd: int, size: int) -> bytes:
    parts = []
    while size > 0 and (part := os.read(fd, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _walk(root: str, inner: str, depth: int) -> Iterator[tuple[str, os.stat_result | str]]:
    """(path relative to root, its state or why it has none), sorted by name within each folder."""
    if depth > MAX_DEPTH:
        yield inner, f"more than {MAX_DEPTH} folders deep"
        return
    try:
        names = sorted(os.listdir(os.path.join(root, inner)))
    except OSError:
        yield inner or ".", "not readable"
        return
    for name in names[:MAX_ENTRIES]:
        path = os.path.join(inner, name)
        try:
            entry = os.lstat(os.path.join(root, path))
        except OSError:  # gone since, or not to be seen
            continue
        yield path, entry
        if stat.S_ISDIR(entry.st_mode):
            yield from _walk(root, path, depth + 1)
