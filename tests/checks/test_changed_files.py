"""Which environments changed files belong to: theirs, those that import them, and nothing that merely looks alike."""

import sys
from pathlib import Path

import pytest

from practicum.checks.changed_files import environments_of, looks_like_one
from practicum.errors import EnvironmentFault

DESK = """
from practicum import Environment, Task
from {helper} import WORD

class Base(Environment):
    pass

class {name}(Base):
    id, version = "{name}", "1"
    def tasks(self, split):
        return [Task(split, f"Say {{WORD}} {{split}}.")]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two environments in one folder, one more below, and files of all kinds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "helper_a.py").write_text("WORD = 'a'\n")
    (tmp_path / "helper_b.py").write_text("WORD = 'b'\n")
    (tmp_path / "first.py").write_text(DESK.format(helper="helper_a", name="First"))
    (tmp_path / "second.py").write_text(DESK.format(helper="helper_b", name="Second"))
    (tmp_path / "fixtures/deep").mkdir(parents=True)
    (tmp_path / "fixtures/deep/rows.csv").write_text("a,b\n")
    (tmp_path / "production.json").write_text("{}")
    (tmp_path / "notes.md").write_text("# practicum Environment\n")
    (tmp_path / "recipe.yaml").write_text("model_name: none\nenvironment: first.py:First\n")
    (tmp_path / "compose.yaml").write_text("environment:\n  A: 1\n")
    (tmp_path / "wild.py").write_text("import sys\nsys.imported_wild = True\nclass A(dict):\n    id = 1\n")
    (tmp_path / "torn.py").write_text("class A(B:\n")
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        (["first.py"], ["First"]),
        (["first.py", "first.py", "second.py"], ["First", "Second"]),
        (["helper_b.py"], ["Second"]),
        (["helper_a.py", "first.py"], ["First"]),
        (["fixtures/deep/rows.csv"], ["First", "Second"]),
        (["production.json"], ["First", "Second"]),
        (["recipe.yaml"], ["First"]),
        (["notes.md", "compose.yaml", "wild.py", "torn.py", "gone.py", "pyproject.toml"], []),
    ],
)
def test_files_lead_to_the_environments_they_belong_to(project: Path, changed: list[str], found: list[str]) -> None:
    targets = environments_of(map(Path, changed))
    assert [target.environment.__name__ for target in targets] == found
    assert not hasattr(sys, "imported_wild"), "a file without an environment was executed"


def test_they_are_named_as_the_files_were(project: Path) -> None:
    assert [target.name for target in environments_of([Path("first.py")])] == ["first.py:First"]
    assert [target.name for target in environments_of([project / "fixtures/deep/rows.csv"])] != []


def test_an_environment_that_cannot_be_imported_is_said(project: Path) -> None:
    (project / "broken.py").write_text("import nothing_there\n" + DESK.format(helper="helper_a", name="Broken"))
    with pytest.raises(EnvironmentFault, match="nothing_there"):
        environments_of([Path("broken.py")])


def test_a_class_that_derives_from_someone_elses_environment_is_one_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from desks import Desk\nclass Mine(Desk):\n    id = 'mine'\n    version: str = '1'\n")
    assert looks_like_one(file)
    file.write_text("from desks import Desk\nclass Mine(Desk):\n    id = 'mine'\n")
    assert not looks_like_one(file)
