"""A crash leaves the old file or the new one."""

import os
import stat
from pathlib import Path

import pytest

from practicum.files import atomic_path, write_folder, write_text


class Crash(Exception):
    """The power goes off."""


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_text_is_written_and_replaced_and_nothing_else_is_left(tmp_path):
    target = tmp_path / "deep" / "er" / "note.txt"
    write_text(target, "old")
    write_text(target, "nëw\n")
    assert target.read_bytes() == "nëw\n".encode()
    assert names(target.parent) == ["note.txt"]


def test_a_crash_while_writing_keeps_the_old_file(tmp_path):
    target = tmp_path / "note.txt"
    write_text(target, "old")
    with pytest.raises(Crash), atomic_path(target) as beside:
        beside.write_text("half of the ne")
        raise Crash
    assert target.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_text_that_cannot_be_encoded_keeps_the_old_file(tmp_path):
    write_text(tmp_path / "note.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "note.txt", "half a pair: \ud800")
    assert (tmp_path / "note.txt").read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "note.txt"
    write_text(target, "old")
    with atomic_path(target) as beside:
        beside.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_a_folder_is_written_and_replaced_whole(tmp_path):
    target = tmp_path / "run" / "step"

    def fill_first(folder):
        (folder / "a").write_text("1")
        (folder / "sub").mkdir()
        (folder / "sub" / "b").write_text("2")

    write_folder(target, fill_first)
    assert names(target) == ["a", "sub", "sub/b"]
    write_folder(target, lambda folder: (folder / "c").write_text("3"))
    assert names(target.parent) == ["step", "step/c"]


@pytest.mark.parametrize("existing", [True, False])
def test_a_crash_while_filling_keeps_the_old_folder(tmp_path, existing):
    target = tmp_path / "step"
    if existing:
        write_folder(target, lambda folder: (folder / "a").write_text("old"))

    def crash(folder):
        (folder / "a").write_text("new")
        assert names(tmp_path).count("step") == existing
        raise Crash

    with pytest.raises(Crash):
        write_folder(target, crash)
    assert names(tmp_path) == (["step", "step/a"] if existing else [])
    if existing:
        assert (target / "a").read_text() == "old"


def test_a_failed_last_rename_puts_the_old_folder_back(tmp_path, monkeypatch):
    target = tmp_path / "step"
    write_folder(target, lambda folder: (folder / "a").write_text("old"))
    rename = Path.rename

    def failing(self, other):
        if self.name.endswith(".part"):
            raise OSError("no space left on device")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no space"):
        write_folder(target, lambda folder: (folder / "a").write_text("new"))
    assert (target / "a").read_text() == "old"
    assert names(tmp_path) == ["step", "step/a"]


def test_files_in_a_folder_get_the_usual_mode_whatever_a_library_gave_them(tmp_path):
    def fill(folder):
        (folder / "weights").write_text("1")
        (folder / "weights").chmod(0o600)
        (folder / "script").write_text("2")
        (folder / "script").chmod(0o755)

    before = os.umask(0o027)
    try:
        write_folder(tmp_path / "model", fill)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "model").iterdir()}
    assert modes == {"weights": 0o640, "script": 0o755}
