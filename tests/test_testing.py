"""``assert_reproducible`` in a user's own test: passes, or fails with the report; and finds what it is given."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from practicum import Environment
from practicum.environment.target import load_target
from practicum.errors import EnvironmentFault
from practicum.testing import assert_reproducible

SHELF = """
import random
from typing import Annotated

from pydantic import Field

from practicum import Environment, Task, tool


class Shelf(Environment):
    id, version = "shelf", "1"

    def __init__(self, dice: bool = False, sides: int = 1) -> None:
        super().__init__()
        self.dice, self.sides = dice, sides

    def settings(self):
        return {"dice": self.dice}

    @tool
    def look(self, name: Annotated[str, Field(max_length=9)]) -> str:
        return str(random.random()) if self.dice else name

    def tasks(self, split):
        return [Task(split, f"Say {split}.")]
"""
QUICK: dict[str, Any] = {"tasks": 1, "repetitions": 1}


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Environment]:
    """The class, as its file's own loader finds it."""
    file = tmp_path / "shelf_of_mine.py"
    file.write_text(SHELF, encoding="utf-8")
    return load_target(str(file)).environment


def test_a_class_an_instance_and_a_file_pass_alike(shelf: type[Environment], tmp_path: Path) -> None:
    reports = [assert_reproducible(given, **QUICK) for given in (shelf, shelf(), str(tmp_path / "shelf_of_mine.py"))]
    assert len({report.environment for report in reports}) == 1
    assert all(report.ok for report in reports)
    assert "ENV-UNSOLVED" in reports[0].codes, "a warning is no failure"


def test_a_fault_fails_the_test_with_the_whole_report_unless_it_is_allowed(shelf: type[Environment]) -> None:
    with pytest.raises(AssertionError) as failed:
        assert_reproducible(shelf, args={"dice": True}, **QUICK)
    for said in (
        "shelf cannot be trained in",
        "fail  ENV-HERMETIC",
        ":22",
        "self.random",
        "what to do",
    ):
        assert said in str(failed.value)
    with pytest.raises(AssertionError, match="fail  ENV-HERMETIC"):
        assert_reproducible(shelf(dice=True), **QUICK)  # type: ignore[call-arg]


def test_a_class_is_found_by_its_module_where_a_new_process_would_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "shelves_of_mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "names.py").write_text("WORD = 'x'\n")
    (package / "shelf.py").write_text(SHELF.replace("import random\n", "import random\n\nfrom .names import WORD\n"))
    monkeypatch.syspath_prepend(str(tmp_path))
    kind = importlib.import_module("shelves_of_mine.shelf").Shelf
    report = assert_reproducible(kind, **QUICK)
    assert report.target == "shelves_of_mine.shelf:Shelf"
    for name in ("shelves_of_mine.shelf", "shelves_of_mine.names", "shelves_of_mine"):
        assert name in sys.modules
        monkeypatch.delitem(sys.modules, name)


def test_an_instance_that_its_settings_do_not_make_again_is_refused(shelf: type[Environment]) -> None:
    class Narrow(shelf):  # type: ignore[misc, valid-type]
        def settings(self) -> dict[str, Any]:
            return {"dice": self.dice, "sides": self.sides + 1}

    with pytest.raises(EnvironmentFault, match="another one"):
        assert_reproducible(Narrow(), **QUICK)


def test_a_class_inside_a_function_is_refused_with_what_to_do(shelf: type[Environment]) -> None:
    class Inside(shelf):  # type: ignore[misc, valid-type]
        pass

    with pytest.raises(EnvironmentFault, match="move it there"):
        assert_reproducible(Inside, **QUICK)
