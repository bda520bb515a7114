"""The recording's file: sorted, strict about what it holds, and an environment of its own."""

import json
import os
from pathlib import Path

import pytest

from practicum.bridges import as_gymnasium
from practicum.environment import ToolError, tool
from practicum.errors import EnvironmentFault
from practicum.services import RecordedEnvironment, Recording
from practicum.tasks import Task

TASK = Task("t1", "look")
REQUEST = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "n": {"type": "integer", "default": 1}},
    "required": ["id"],
}


def document(**changes):
    calls = [
        {"tool": "get", "arguments": {"id": "T1", "n": 1}, "result": {"a": [1, {"b": "é"}]}},
        {"tool": "get", "arguments": {"id": "T20"}, "result": None},
        {"tool": "get", "arguments": {"id": "X"}, "error": "no such thing"},
    ]
    tools = {"get": {"description": "look up", "request": REQUEST}, "idle": {"request": {"type": "object"}}}
    return {"format": "practicum-recording/1", "source": "test", "tools": tools, "calls": calls, **changes}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "things.json"
    file.write_text(json.dumps(document(), indent=1))
    return file


def test_a_file_gives_tools_with_the_recorded_schemas_without_any_code(path):
    things = RecordedEnvironment(path)
    assert things.id == "recorded-things"
    get, idle = (schema["function"] for schema in things.schemas())
    assert (get["name"], get["description"], get["parameters"]) == ("get", "look up", REQUEST)
    assert idle["name"] == "idle"
    things.reset(TASK, 1)
    assert json.loads(things.call("get", {"id": "T1"}).text) == {"a": [1, {"b": "é"}]}
    assert things.call("get", {"id": "T20", "n": 1.0}).text == "null"
    assert json.loads(things.call("get", {"id": "X"}).text) == {"error": "no such thing"}
    assert things.call("get", {"id": "X"}).is_error
    things.close()


def test_an_unrecorded_call_is_a_deterministic_error_that_names_the_nearest(path):
    things = RecordedEnvironment(path)
    things.reset(TASK, 1)
    for arguments, said in [
        ({"id": "T2"}, 'no recorded answer for get({"id":"T2","n":1}); nearest recorded: get({"id":"T1","n":1})'),
        ({"id": "T21"}, 'no recorded answer for get({"id":"T21","n":1}); nearest recorded: get({"id":"T1","n":1})'),
        (
            {"id": "T1", "n": 2},
            'no recorded answer for get({"id":"T1","n":2}); nearest recorded: get({"id":"T1","n":1})',
        ),
    ]:
        results = {things.call("get", arguments) for _ in range(3)}
        assert [json.loads(result.text)["error"] for result in results] == [said]
    assert "nothing is recorded for idle" in things.call("idle", {}).text
    assert "'id' is a required property" in things.call("get", {}).text
    long = json.loads(things.call("get", {"id": "x" * 5000}).text)["error"]
    assert len(long) < 1000
    things.close()


def test_what_is_replayed_cannot_be_changed_by_who_gets_it(path):
    class Adding(RecordedEnvironment):
        id, version = "adding", "1.0.0"

        @tool
        def spoil(self) -> str:
            """try to change an answer"""
            answer = self.answers.answer("get", {"id": "T1"})
            try:
                answer["a"].append(1)
            except (TypeError, AttributeError):
                return "frozen"
            return "changed"

    adding = Adding(path)
    adding.reset(TASK, 1)
    assert adding.call("spoil", {}).text == "frozen"
    adding.close()


def test_a_class_names_its_recording_beside_its_own_file_and_may_replace_tools(path, monkeypatch):
    class Things(RecordedEnvironment):
        id, version = "things", "2.0.0"
        recording = "fixtures/things.json"
        folder = path.parent

        @tool
        def get(self, id: str) -> str:
            """one of its own"""
            return f"own {id}"

    (path.parent / "fixtures").mkdir()
    path.rename(path.parent / "fixtures" / "things.json")
    things = Things()
    things.reset(TASK, 1)
    assert things.call("get", {"id": "T1"}).text == "own T1"
    assert [schema["function"]["name"] for schema in things.schemas()] == ["get", "idle"]
    things.close()
    assert things.ref.id == "things"


def test_the_digest_is_the_recordings_and_not_its_files_place(path):
    first = RecordedEnvironment(path, id="mine", version="1.0.0").digest
    moved = path.rename(path.parent / "moved.json")
    assert RecordedEnvironment(moved, id="mine", version="1.0.0").digest == first
    changed = document()
    changed["calls"][0]["result"] = 2
    moved.write_text(json.dumps(changed))
    os.utime(moved, (1, 1))
    assert RecordedEnvironment(moved, id="mine", version="1.0.0").digest != first


def test_writing_what_was_read_gives_the_same_file_again_one_call_a_line(path, tmp_path):
    Recording.load(path).write(tmp_path / "a.json")
    Recording.load(tmp_path / "a.json").write(tmp_path / "b.json")
    text = (tmp_path / "a.json").read_text()
    assert text == (tmp_path / "b.json").read_text()
    calls = [line for line in text.splitlines() if line.lstrip().startswith('{"tool"')]
    assert [json.loads(line.rstrip(","))["arguments"]["id"] for line in calls] == ["T1", "T20", "X"]
    assert Recording.load(path).digest == Recording.load(tmp_path / "b.json").digest
    empty = Recording.load(path).tools
    Recording(empty, {}).write(tmp_path / "none.json")
    assert len(Recording.load(tmp_path / "none.json")) == 0


def test_a_recorded_environment_is_a_gymnasium_environment_too(path):
    class Things(RecordedEnvironment):
        id, version = "things", "2.0.0"

        def tasks(self, split):
            return [TASK]

    env = as_gymnasium(Things(path))
    env.reset(seed=1)
    assert "no such thing" in env.step('{"name": "get", "arguments": {"id": "X"}}')[0]
    env.close()


def broken(**changes):
    return json.dumps(document(**changes), indent=1)


GOOD = {"tool": "get", "arguments": {"id": "A"}, "result": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "broken JSON"),
        ("[]", "this is no recording"),
        (broken(format="practicum-recording/2"), "format 'practicum-recording/2' is not one"),
        (broken(tools={}), "there are no tools"),
        (broken(tools={"get": {"request": {"type": "oject"}}}), "not a JSON Schema"),
        (broken(calls={}), "calls is dict"),
        (broken(calls=[{"tool": "get"}]), "no recorded call"),
        (broken(calls=[{**GOOD, "error": "both"}]), "no recorded call"),
        (broken(calls=[{**GOOD, "tool": "put"}]), "no tool 'put'"),
        (broken(calls=[{**GOOD, "arguments": []}]), "arguments are no object"),
        (broken(calls=[{"tool": "get", "arguments": {}, "error": 3}]), "an error is no text"),
        (broken(calls=[GOOD, {**GOOD, "arguments": {"id": "A", "n": 1}, "result": 2}]), "is recorded twice"),
    ],
)
def test_broken_recordings_name_file_and_line(tmp_path, text, message):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(EnvironmentFault, match=message) as fault:
        RecordedEnvironment(path)
    assert fault.value.where.startswith(f"{path}:")


def test_the_line_is_that_of_the_call(tmp_path):
    path = tmp_path / "broken.json"
    lines = [
        '{"format": "practicum-recording/1", "tools": {"a": {"request": {"type": "object"}}}, "calls": [',
        '{"tool": "a", "arguments": {}, "result": 1},',
        '{"tool": "a", "arguments": {"x": 1}, "result": 1},',
        '{"tool": "b", "arguments": {}, "result": 1}]}',
    ]
    path.write_text("\n".join(lines))
    with pytest.raises(EnvironmentFault) as fault:
        Recording.load(path)
    assert fault.value.where.startswith(f"{path}:4")


def test_a_missing_recording_is_a_clear_error(tmp_path):
    with pytest.raises(EnvironmentFault, match="no such file"):
        RecordedEnvironment(tmp_path / "none.json")
    with pytest.raises(EnvironmentFault, match="has no recording"):
        RecordedEnvironment()


def test_one_file_is_read_once_for_all_instances(path):
    assert RecordedEnvironment(path).answers is RecordedEnvironment(str(path)).answers
    assert Path(path).exists()


def test_arguments_that_json_cannot_say_are_an_error_the_agent_sees(path):
    with pytest.raises(ToolError, match="invalid arguments for get"):
        Recording.load(path).answer("get", {"id": float("inf")})
    with pytest.raises(ToolError, match="unknown tool 'put'; recorded: get, idle"):
        Recording.load(path).answer("put", {})
