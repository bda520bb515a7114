"""What an environment's digest is made of: its own code wherever it lies in its project, and nothing else."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import practicum
from practicum.environment import Environment, tool
from practicum.environment.parts import TEXT_LIMIT, code_files
from practicum.errors import EnvironmentFault
from practicum.suites.support_desk import SupportDesk
from practicum.tasks import Task

DESK = """
from practicum.environment import Environment, tool
IMPORTS

class Desk(Environment):
    id, version = "desk", "1.0.0"

    @tool
    def look(self, key: str) -> dict:
        "a record"
        INSIDE
        return {"key": key}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder of files, imported from its top; ``load`` gives the class afresh, as a new process would see it."""

    class Project:
        root = tmp_path / "project"

        def write(self, **files):
            for name, text in files.items():
                path = self.root / name.replace("__", "/").replace("//init//", "/__init__")
                path = path if path.suffix else path.with_suffix(".py")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(dedent(text))
            return self

        def desk(self, imports="", inside="pass"):
            return DESK.replace("IMPORTS", imports).replace("INSIDE", inside)

        def load(self, module, path=None, name="Desk"):
            path = str(path or self.root)
            for known in [known for known in sys.modules if known.partition(".")[0] in tops]:
                del sys.modules[known]
            importlib.invalidate_caches()
            with monkeypatch.context() as patch:
                patch.syspath_prepend(path)
                before = set(sys.modules)
                try:
                    return getattr(importlib.import_module(module), name)
                finally:
                    tops.update(known.partition(".")[0] for known in set(sys.modules) - before)

        def names(self, module, **more):
            return set(code_files(self.load(module, **more)))

    tops = set()
    yield Project()
    for known in [known for known in sys.modules if known.partition(".")[0] in tops]:
        del sys.modules[known]


# Which files -------------------------------------------------------------------------------------------------


def test_modules_beside_the_file_are_followed_all_the_way_also_from_within_functions(project):
    project.write(
        desk=project.desk("import helper", "from deep.inner import value"),
        helper="from other import thing\nimport json, numpy",
        other="import helper\nthing = 1",  # round in a circle
        deep__inner="value = 1",
        unused="1 / 0",
        deep__unused="1 / 0",
    )
    assert project.names("desk") == {"desk.py", "helper.py", "other.py", "deep/inner.py"}


def test_a_package_is_followed_up_down_and_sideways(project):
    project.write(
        **{
            "lab__//init//": "from lab import everything",
            "lab__everything": "",
            "lab__common": "from .tools import clean",
            "lab__tools__//init//": "from .wash import clean",
            "lab__tools__wash": "clean = 1\ndef far():\n    from .... import nowhere",
            "lab__envs__//init//": "",
            "lab__envs__desk": project.desk(
                "from ..common import clean\nfrom . import near\nfrom lab.data import rows"
            ),
            "lab__envs__near": "import lab.plain",
            "lab__data": "rows = []",
            "lab__plain": "",
            "lab__unused": "",
        }
    )
    assert {name.replace("../", "") for name in project.names("lab.envs.desk")} == {
        "desk.py",
        "near.py",
        "common.py",
        "tools/__init__.py",
        "tools/wash.py",
        "data.py",
        "plain.py",
    }


def test_what_a_package_defines_itself_brings_the_package_in(project):
    project.write(
        **{
            "lab__//init//": "from .all import *\nLIMIT = 3",
            "lab__all": "",
            "lab__desk": project.desk("from lab import LIMIT"),
        }
    )
    assert project.names("lab.desk") == {"desk.py", "__init__.py", "all.py"}


def test_namespace_packages_have_files_too(project):
    project.write(
        space__envs__desk=project.desk("from space.tools import helper\nimport space.other.more"),
        space__tools__helper="",
        space__other__more="from space import tools",
    )
    assert project.names("space.envs.desk") == {"desk.py", "../tools/helper.py", "../other/more.py"}


@pytest.mark.parametrize("mark", [".git", "pyproject.toml"])
def test_a_project_is_known_by_its_top_and_its_src_folder(project, mark):
    project.write(
        envs__desk=project.desk("import shared.tools\nimport lab"),
        shared__tools="",
        **{"src__lab__//init//": "", "src__lab__unused": ""},
    )
    path = f"{project.root / 'envs'}"
    sys.path[:0] = [str(project.root), str(project.root / "src")]
    try:
        assert project.names("desk", path=path) == {"desk.py"}  # no project to be seen: its own folder
        (project.root / mark).mkdir()
        assert project.names("desk", path=path) == {"desk.py", "../shared/tools.py", "../src/lab/__init__.py"}
    finally:
        del sys.path[:2]


def test_a_large_repository_is_not_walked(project, monkeypatch):
    project.write(desk=project.desk("import helper"), helper="")
    (project.root / ".git").mkdir()
    for number in range(30):
        project.write(**{f"package_{number}__module": ""})
    kind = project.load("desk")
    monkeypatch.setattr(os, "walk", None)
    monkeypatch.setattr(os, "scandir", None)
    monkeypatch.setattr(os, "listdir", None)
    assert set(code_files(kind)) == {"desk.py", "helper.py"}


@pytest.mark.parametrize("inside", ["", "project/.venv/lib/python3.11/"])
def test_installed_packages_are_other_peoples_code(project, tmp_path, inside):
    (project.root / ".git").mkdir(parents=True)
    site = tmp_path / inside / "site-packages"
    (site / "gamelib").mkdir(parents=True)
    (site / "gamelib" / "__init__.py").write_text("from .core import Base")
    (site / "gamelib" / "core.py").write_text("class Base:\n    pass\n")
    (site / "gamelib" / "desk.py").write_text(project.desk("import gamelib.core\nimport lonely"))
    (site / "lonely.py").write_text("")
    project.write(desk=project.desk("from gamelib import Base").replace("(Environment)", "(Base, Environment)"))
    sys.path.insert(0, str(site))
    try:
        assert project.names("desk") == {"desk.py"}
        # An environment that is itself installed is its own package, and nobody else's.
        assert project.names("gamelib.desk", path=site) == {"desk.py", "core.py"}
    finally:
        sys.path.remove(str(site))


def test_bases_of_the_standard_library_and_the_core_are_left_out(project):
    project.write(
        desk=project.desk("from abc import ABC\nfrom base import Base\nfrom typing import Generic, TypeVar").replace(
            "(Environment)", '(Base, Generic[TypeVar("T")], ABC, Environment)'
        ),
        base="class Base(dict):\n    pass\n",
    )
    assert project.names("desk") == {"desk.py", "base.py"}
    assert code_files(Environment) == {}


def test_a_suite_is_its_modules_and_none_of_the_core(project):
    suite = set(code_files(SupportDesk))
    assert "practicum/suites/support_desk/environment.py" in suite
    assert {name.rpartition("/")[0] for name in suite} == {"practicum/suites/support_desk"}
    project.write(
        desk=project.desk("from practicum.suites.support_desk import SupportDesk\nimport practicum.seeds").replace(
            "(Environment)", "(SupportDesk)"
        )
    )
    assert project.names("desk") == {"desk.py", "practicum/suites/support_desk/__init__.py", *suite}


def test_two_files_of_one_name_are_both_there(project):
    project.write(
        desk=project.desk("from inner.desk import Base").replace("(Environment)", "(Base, Environment)"),
        inner__desk="class Base:\n    pass\n",
    )
    files = code_files(project.load("desk"))
    assert set(files) == {"desk.py", "inner/desk.py"} or set(files) == {"desk.py", "desk.py#2"}
    assert len(set(files.values())) == 2


def test_code_that_cannot_be_read_names_the_file(project):
    project.write(desk=project.desk(), helper="")
    kind = project.load("desk")
    project.write(desk=project.desk("import helper"), helper="def (:")
    with pytest.raises(EnvironmentFault, match="the code cannot be read") as caught:
        code_files(kind)
    assert caught.value.where == str(project.root / "helper.py")


# Classes without a file --------------------------------------------------------------------------------------


def executed(**names):
    exec(DESK.replace("IMPORTS", "").replace("INSIDE", "pass"), names)
    return names["Desk"]


@pytest.mark.parametrize("names", [{}, {"__name__": "notebook"}, {"__name__": __name__}, {"__name__": "json"}])
def test_a_class_that_was_typed_in_is_told_to_go_into_a_file(names):
    kind = executed(**names)
    for ask in (lambda: kind().digest, lambda: kind().folder, lambda: code_files(kind)):
        with pytest.raises(EnvironmentFault, match="the code of Desk lies in no file") as caught:
            ask()
        assert "put it into a file" in caught.value.fix


def test_it_can_be_played_all_the_same():
    environment = executed()()
    environment.reset(Task("t", "x"), 0)
    assert environment.call("look", {"key": "k"}).text == '{"key":"k"}'
    environment.close()


@pytest.fixture
def script():
    """Runs Python in a fresh process."""

    def run(*command, **more):
        path = str(Path(practicum.__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, check=False, **more
        )

    return run


def test_a_script_has_the_digest_of_the_module_it_is_wherever_it_lies_and_runs(project, script, tmp_path):
    last = '\nif __name__ == "__main__":\n    print(Desk().digest)\n'
    project.write(desk=project.desk("import helper") + last, helper="")
    here = project.load("desk")().digest
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("desk.py", "helper.py"):
        (elsewhere / name).write_bytes((project.root / name).read_bytes())
    done = script("desk.py", cwd=elsewhere)
    assert (done.stdout.strip(), done.stderr) == (here, "")


def test_a_class_typed_at_a_prompt_is_a_clear_error(script):
    code = DESK.replace("IMPORTS", "").replace("INSIDE", "pass") + "\nprint(Desk().digest)"
    for done in (script("-c", code), script("-", input=code)):
        assert done.returncode == 1
        assert "the code of Desk lies in no file" in done.stderr


# Digest ------------------------------------------------------------------------------------------------------


def test_what_changes_the_digest_and_what_does_not(project):
    def digest(**files):
        return project.write(**files).load("lab.desk")().digest

    files = {
        "lab__desk": project.desk("from .helper import value"),
        "lab__helper": "value = 1",
        "lab__unused": "",
        "lab__fixtures__rows.json": "{}",
    }
    first = digest(**files)
    assert digest(**files) == first
    assert digest(**{"lab__unused": "value = 2"}) == first
    for name in (".hidden", "rows.json~", "__pycache__/rows.pyc", ".cache/x"):
        path = project.root / "lab" / "fixtures" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("left by an editor")
    assert digest() == first
    changes = [
        {"lab__helper": "value = 1  # a comment"},
        {"lab__desk": project.desk("from .helper import value") + "\n"},
        {"lab__fixtures__rows.json": "{ }"},
        {"lab__fixtures__more__rows.json": "{}"},
    ]
    assert len({first, *(digest(**change) for change in changes)}) == 5
    (project.root / "lab" / "fixtures" / "more" / "rows.json").unlink()
    assert digest(**files) == first


def test_parts_are_named_and_keep_their_text_up_to_a_size(project):
    project.write(desk=project.desk(), **{"fixtures__small.json": '{"é": 1}'})
    (project.root / "fixtures" / "large.json").write_text(f'"{"x" * TEXT_LIMIT}"')
    (project.root / "fixtures" / "image.bin").write_bytes(b"\xff\xfe")
    parts = project.load("desk")().parts
    assert set(parts) == {
        "code/desk.py",
        "fixtures/small.json",
        "fixtures/large.json",
        "fixtures/image.bin",
        "class",
        "schemas",
        "settings",
        "state",
        "transform",
    }
    assert parts["code/desk.py"].text == (project.root / "desk.py").read_text()
    assert parts["fixtures/small.json"].text == '{"é": 1}'
    assert (parts["fixtures/large.json"].text, parts["fixtures/image.bin"].text) == (None, None)
    assert json.loads(parts["schemas"].text)[0]["function"]["name"] == "look"


def test_a_subclass_finds_the_recorded_tables_of_its_base_and_has_them_in_its_digest(project):
    project.write(
        desk="from inner.base import Base\n\nclass Desk(Base):\n    id = 'desk'\n",
        inner__base="""
        from practicum.environment import Environment, tool

        class Base(Environment):
            id, version = "base", "1"

            @tool
            def look(self, table: str) -> dict:
                "a record"
                return self.fixture(table)["k"]
        """,
        **{"inner__fixtures__rows.json": '{"k": {"v": 1}}', "inner__fixtures__both.json": '{"k": "inner"}'},
        **{"fixtures__both.json": '{"k": "outer"}'},
    )
    desk = project.load("desk")()
    desk.reset(Task("t", "x"), 0)
    assert desk.call("look", {"table": "rows"}).text == '{"v":1}'
    assert desk.call("look", {"table": "both"}).text == "outer"
    with pytest.raises(EnvironmentFault, match="no such fixture") as caught:
        desk.call("look", {"table": "none"})
    assert caught.value.where == str(project.root / "fixtures" / "none.json")
    assert {"fixtures/rows.json", "fixtures/both.json", "fixtures/both.json#2"} < set(desk.parts)
    desk.close()


def test_settings_that_are_no_json_name_the_class():
    class Odd(Environment):
        id, version = "odd", "1"

        def settings(self):
            return {"when": object()}

        @tool
        def look(self) -> str:
            """nothing"""

    with pytest.raises(EnvironmentFault, match="settings of Odd is not JSON"):
        _ = Odd().digest


def test_a_users_digest_is_what_it_was_before_practicums_own_files_moved(project):
    project.write(
        pinned='''
        from practicum import Environment, Task, reset, tool
        from practicum.environment import Call


        class Desk(Environment):
            """Counts what is asked."""

            id, version = "pinned-desk", "1.0.0"
            asked = reset(int)

            @tool
            def look(self, box: int) -> dict:
                """a box's colour"""
                self.asked += 1
                return {"colour": "red", "asked": self.asked}

            def oracle(self, task: Task):
                yield Call("look", {"box": 1})
                return "red"
        '''.lstrip("\n")
    )
    desk = project.load("pinned")()
    assert set(desk.parts) == {"code/pinned.py", "class", "schemas", "settings", "state", "transform"}
    assert desk.digest == "426659721ba899e151a1f6b4d4b9ee269c98a29e60af9b81d4ad07098ece5167"
