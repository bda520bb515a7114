import json
import sys
from pathlib import Path

import pytest

from practicum.environment.target import load_target
from practicum.errors import LedgerError
from practicum.runs.versions import (
    LINES_SHOWN,
    certificate_folder,
    enter_version,
    read_certificates,
    write_certificate,
)

DESK = '''
from practicum import Environment, Task, tool

from helper import GREETING


class Desk(Environment):
    id, version = "a/desk", "1.0.0"

    def __init__(self, level: int = 1) -> None:
        super().__init__()
        self.level = level

    def settings(self):
        return {"level": self.level}

    @tool
    def greet(self) -> str:
        """say hello"""
        return GREETING

    def tasks(self, split):
        return [Task(split, "Say hello.", {"word": "hello"})]
'''


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """Writes the environment's files anew and loads it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("sys.dont_write_bytecode", True)  # files change faster than their time stamps tell
    (tmp_path / "fixtures").mkdir()

    def load(source=DESK, greeting="hello", table=None, **args):
        (tmp_path / "desk.py").write_text(source)
        (tmp_path / "helper.py").write_text(f"GREETING = {greeting!r}\n")
        if table is not None:
            (tmp_path / "fixtures" / "table.json").write_text(json.dumps(table))
        own = str(tmp_path / "desk.py")  # never another test's
        for name in [name for name, module in sys.modules.items() if getattr(module, "__file__", "") == own]:
            del sys.modules[name]  # as a new process would load it
        return load_target(f"{tmp_path / 'desk.py'}:Desk", args).make()

    return load


def test_an_unchanged_environment_enters_again_and_again(desk, tmp_path):
    for _ in range(3):
        enter_version(tmp_path / "runs", desk())
    assert len(list((tmp_path / "runs").rglob("*.json"))) == 1


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"source": DESK.replace("say hello", "say good day")}, '+        """say good day"""'),
        ({"greeting": "good day"}, "+GREETING = 'good day'"),
        ({"table": {"a": 1}}, "fixtures/table.json: new"),
    ],
)
def test_a_change_under_the_same_version_is_refused_and_shown(desk, tmp_path, changed, shown):
    enter_version(tmp_path / "runs", desk())
    with pytest.raises(LedgerError, match=r"still called version 1\.0\.0") as refused:
        enter_version(tmp_path / "runs", desk(**changed))
    assert shown in str(refused.value)


def test_a_new_version_is_welcome_and_the_old_one_may_come_back(desk, tmp_path):
    enter_version(tmp_path / "runs", desk())
    enter_version(tmp_path / "runs", desk(DESK.replace("1.0.0", "1.1.0"), "good day"))
    enter_version(tmp_path / "runs", desk())


def test_other_settings_are_the_same_version_unless_the_code_changed(desk, tmp_path):
    enter_version(tmp_path / "runs", desk(level=1))
    enter_version(tmp_path / "runs", desk(level=2))
    with pytest.raises(LedgerError, match="GREETING"):
        enter_version(tmp_path / "runs", desk(greeting="good day", level=3))


def test_a_long_difference_is_cut(desk, tmp_path):
    enter_version(tmp_path / "runs", desk())
    with pytest.raises(LedgerError) as refused:
        enter_version(tmp_path / "runs", desk(DESK + "\n".join(f"x{n} = {n}" for n in range(500))))
    assert len(str(refused.value).splitlines()) < LINES_SHOWN + 8
    assert "more lines" in str(refused.value)


def test_a_broken_entry_is_named(desk, tmp_path):
    enter_version(tmp_path / "runs", desk())
    (entry,) = (tmp_path / "runs").rglob("*.json")
    entry.write_text("{")
    with pytest.raises(LedgerError, match=entry.name):
        enter_version(tmp_path / "runs", desk())


def test_a_later_check_of_the_same_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    for ok in (True, False):
        path = write_certificate(tmp_path / "runs", "d" * 64, "key", {"ok": ok, "b": 1})
    write_certificate(tmp_path / "runs", "d" * 64, "other", {"ok": True})
    write_certificate(tmp_path / "runs", "e" * 64, "key", {"ok": True})
    assert path == tmp_path / "runs/.environments/certificates" / ("d" * 64) / "key.json"
    assert path.read_text(encoding="utf-8") == '{"b":1,"ok":false}\n'
    assert [content["ok"] for _, content in read_certificates(tmp_path / "runs", "d" * 64)] == [False, True]


def test_there_are_none_where_nothing_was_checked(tmp_path: Path) -> None:
    assert list(read_certificates(tmp_path / "runs", "d" * 64)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_broken_one_is_named(tmp_path: Path, text: str) -> None:
    path = write_certificate(tmp_path, "d", "key", {})
    path.write_text(text, encoding="latin-1")
    with pytest.raises(LedgerError, match=r"key\.json"):
        list(read_certificates(tmp_path, "d"))


def test_what_cannot_be_written_is_said_and_leaves_the_old_one_whole(tmp_path: Path) -> None:
    path = write_certificate(tmp_path, "d", "key", {"ok": True})
    with pytest.raises(LedgerError, match="cannot be written"):
        write_certificate(tmp_path, "d", "key", {"ok": float("nan")})
    assert json.loads(path.read_text()) == {"ok": True}
    assert list(certificate_folder(tmp_path, "d").iterdir()) == [path]
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="where you can write"):
        write_certificate(tmp_path / "file", "d", "key", {})
