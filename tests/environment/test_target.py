import sys
from pathlib import Path

import pytest

from practicum.environment.modules import load_file
from practicum.environment.target import load_target, resolve_target, target_of
from practicum.errors import EnvironmentFault, TaskError
from practicum.recipe import build_recipe
from practicum.services import CallableSource, Recorder
from practicum.suites.support_desk import SupportDesk
from practicum.tasks import Task

DESK = """
from helper_of_desk import NAME
from practicum import Environment, Task

class Desk(Environment):
    id, version = NAME, "1"

    def __init__(self, level=1):
        super().__init__()
        self.level = 10 // level

    def tasks(self, split):
        return [Task("t", "Do it.")]

def score(rollout):
    return 1.0

def strict(rollout):
    return 0.0
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "helper_of_desk.py").write_text('NAME = "desk"\n', encoding="utf-8")
    file = tmp_path / "desk.py"
    file.write_text(DESK, encoding="utf-8")
    return file


def test_a_file_gives_its_only_environment_with_the_score_beside_it(desk: Path) -> None:
    target = load_target(str(desk), {"level": 5})
    environment = target.make()
    assert (environment.id, environment.level) == ("desk", 2)
    assert target.score is target.module.score
    assert target.reward is None
    assert target.source == f"{desk}:Desk"
    assert target.make() is not environment


def test_a_path_gives_one_module_however_it_is_spelled_and_leaves_the_search_path(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(sys.path)
    first = load_target(f"{desk}:Desk").module
    monkeypatch.chdir(desk.parent)
    assert load_target("desk.py").module is first
    assert load_target("./desk.py:Desk").module is first
    assert sys.path == before


def test_a_module_in_the_working_folder_is_found(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.rename(desk.with_name("desk_in_the_working_folder.py")).parent)
    before = list(sys.path)
    target = load_target("desk_in_the_working_folder:Desk")
    assert target.source == "desk_in_the_working_folder:Desk"
    assert target.folder == desk.parent
    assert sys.path == before


@pytest.mark.parametrize("spec", ["support_desk", "practicum.suites.support_desk:SupportDesk"])
def test_a_suite_is_found_by_name_and_by_module(spec: str) -> None:
    target = load_target(spec, {"level": 4})
    assert target.environment is SupportDesk
    assert target.make().ref == SupportDesk(4).ref
    assert target.score is not None
    assert target.reward is not None


def test_a_recipe_gives_environment_arguments_judges_and_datasets(desk: Path) -> None:
    (desk.parent / "rows.jsonl").write_text('{"prompt": "Do that."}\n', encoding="utf-8")
    recipe = desk.with_name("desk.yaml")
    recipe.write_text(
        "environment: desk.py:Desk\nenvironment_args: {level: 2}\nscore: strict\ntraining_dataset: rows.jsonl\n",
        encoding="utf-8",
    )
    target = resolve_target(str(recipe))
    assert target.make().level == 5
    assert target.score is target.module.strict
    assert [task.prompt for task in target.tasks("train")] == ["Do that."]
    assert [task.prompt for task in target.tasks("test")] == ["Do it."]
    with pytest.raises(EnvironmentFault, match="names no environment"):
        target_of(build_recipe({"model_name": "smollm2-135m"}))


def test_a_chat_is_a_prompt_for_the_built_in_agent_and_none_for_an_agent_server(desk: Path) -> None:
    chat = '[{"role": "system", "content": "Hurry."}, {"role": "user", "content": "Do that."}]'
    (desk.parent / "rows.jsonl").write_text(f'{{"prompt": {chat}}}\n', encoding="utf-8")
    recipe = desk.with_name("desk.yaml")
    recipe.write_text("environment: desk.py:Desk\ntraining_dataset: rows.jsonl\n", encoding="utf-8")
    (task,) = resolve_target(str(recipe)).tasks("train")
    assert (task.history, task.prompt) == (({"role": "system", "content": "Hurry."},), "Do that.")
    for environment in ("environment: desk.py:Desk\n", ""):
        recipe.write_text(f"{environment}agent: http://h:1\ntraining_dataset: rows.jsonl\n", encoding="utf-8")
        with pytest.raises(TaskError, match="an agent server is sent one text"):
            resolve_target(str(recipe)).tasks("train")


def test_a_chat_of_an_environments_own_is_none_for_an_agent_server_either(desk: Path) -> None:
    told = 'Task("t", "Do it.", history=({"role": "system", "content": "Hurry."},))'
    desk.write_text(DESK.replace('Task("t", "Do it.")', told), encoding="utf-8")
    recipe = desk.with_name("desk.yaml")
    recipe.write_text("environment: desk.py:Desk\n", encoding="utf-8")
    (task,) = resolve_target(str(recipe)).tasks("train")
    assert task.asked == "system: Hurry.\nDo it."
    recipe.write_text("environment: desk.py:Desk\nagent: http://h:1\n", encoding="utf-8")
    with pytest.raises(TaskError, match="an agent server is sent one text") as caught:
        resolve_target(str(recipe)).tasks("train")
    assert "desk.py" in str(caught.value.where)


def test_a_score_may_lie_in_a_file_of_its_own(desk: Path) -> None:
    (desk.parent / "judge.py").write_text("def right(rollout):\n    return 1.0\n", encoding="utf-8")
    recipe = desk.with_name("desk.yaml")
    recipe.write_text("environment: desk.py:Desk\nenvironment_args: {level: 2}\nscore: judge.py:right\n")
    target = resolve_target(str(recipe))
    assert target.score is not None
    assert target.score.__name__ == "right"
    recipe.write_text("environment: desk.py:Desk\nenvironment_args: {level: 2}\nscore: judge.py:wrong\n")
    with pytest.raises(EnvironmentFault, match=r"there is no 'wrong' in judge\.py"):
        resolve_target(str(recipe))


def test_columns_of_the_datasets_can_be_chosen(desk: Path) -> None:
    (desk.parent / "rows.csv").write_text("key,prompt,ask,gold\n7,no,Do that.,5\n", encoding="utf-8")
    recipe = desk.with_name("desk.yaml")
    recipe.write_text(
        "environment: desk.py:Desk\nenvironment_args: {level: 2}\ntest_dataset: rows.csv\n"
        "prompt_column: ask\nid_column: key\nanswer_column: gold\n"
    )
    assert resolve_target(str(recipe)).tasks("test") == [Task("7", "Do that.", {"answer": "5"}, {"prompt": "no"})]


def test_a_recording_named_from_the_working_folder_answers_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stock(shelf: str) -> int:
        """what is left"""
        return len(shelf)

    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with Recorder(CallableSource([stock]), Path("stock.json")) as record:
        record.calls([("stock", {"shelf": "A"})])
    target = load_target("practicum.services:RecordedEnvironment", {"recording": "stock.json"})
    told = []
    for folder in ("here", "there"):
        monkeypatch.chdir(tmp_path / folder)
        environment = target.make()
        environment.reset(Task("t", "Count."), 0)
        told.append([environment.digest, *(environment.call("stock", {"shelf": shelf}).text for shelf in "AB")])
        environment.close()
    assert told[0] == told[1]
    assert str(tmp_path) not in "".join(told[0])


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nowhere.py", "no such environment file"),
        ("suport_desk", "did you mean support_desk"),
        ("no_such_module_here:Desk", "no module named 'no_such_module_here'"),
        ("practicum.suites.support_desk:Desk", "allowed: SupportDesk"),
        ("practicum.suites.support_desk:score", "is not a subclass of practicum.Environment"),
        ("practicum.suites.support_desk", "package.module:Class"),
        ("support_desk:", "is not the name of a class"),
    ],
)
def test_what_cannot_be_found_says_what_is_there(spec: str, says: str) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        load_target(spec)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\ndef broken(:\n", "broken.py:2"),
        ("x = 1\n\ny = x / 0\n", "broken.py:3"),
        ("import sys\nsys.exit(3)\n", "broken.py:2"),
        ("import no_such_library_anywhere\n", "install 'no_such_library_anywhere'"),
        ("from .sibling import x\n", "package.module:Class"),
        ("x = 1\n", "no environment is defined here"),
        (
            "from practicum import Environment\n"
            "class A(Environment):\n    id, version = 'a', '1'\n"
            "class B(A):\n    pass\n",
            "broken.py:A, ",
        ),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_is_not_kept(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "broken.py"
    file.write_text(text, encoding="utf-8")
    before = list(sys.path)
    with pytest.raises(EnvironmentFault) as caught:
        load_target(str(file))
    assert says in str(caught.value)
    assert sys.path == before


def test_a_file_can_be_loaded_again_after_its_error_was_mended(tmp_path: Path) -> None:
    file = tmp_path / "mended.py"
    file.write_text("raise RuntimeError('not yet')\n", encoding="utf-8")
    with pytest.raises(EnvironmentFault, match="not yet"):
        load_file(file)
    file.write_text("VALUE = 'mended now'\n", encoding="utf-8")
    assert load_file(file).VALUE == "mended now"


def test_a_judge_that_is_asked_for_must_be_there(desk: Path) -> None:
    with pytest.raises(EnvironmentFault, match="no 'generous'"):
        load_target(str(desk), reward="generous")


def test_arguments_a_constructor_refuses_are_named(desk: Path) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        load_target(str(desk), {"depth": 3}).make()
    assert "Desk(level=1)" in str(caught.value)
    with pytest.raises(EnvironmentFault) as caught:
        load_target(str(desk), {"level": 0}).make()
    assert "desk.py:10" in str(caught.value)


def test_instances_do_not_share_their_arguments(tmp_path: Path) -> None:
    file = tmp_path / "listed.py"
    file.write_text(
        "from practicum import Environment\n"
        "class Listed(Environment):\n"
        "    id, version = 'listed', '1'\n"
        "    def __init__(self, names):\n"
        "        super().__init__()\n"
        "        self.names = names\n",
        encoding="utf-8",
    )
    target = load_target(str(file), {"names": ["a"]})
    target.make().names.append("b")
    assert target.make().names == ["a"]
