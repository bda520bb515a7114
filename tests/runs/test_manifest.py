import json
import subprocess

import pytest

from practicum.digests import digest
from practicum.errors import LedgerError
from practicum.runs.manifest import (
    Manifest,
    data_digests,
    describe_machine,
    git_state,
    read_manifest,
    tool_digests,
    write_manifest,
)
from practicum.tasks import Task, TaskSet
from practicum.trajectory import EnvironmentRef

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def manifest(folder, **changes):
    values = {
        "environment": EnvironmentRef("desk", "1.0.0", "ab"),
        "tools": tool_digests([TOOL]),
        "seeds": {"recipe": 7},
        "data": data_digests({"train": TaskSet([Task("a", "do it")], name="train.jsonl")}),
        "reward": "aa",
        "score": "bb",
        "recipe": {"group_size": 8, "model": {"lora_rank": 32}},
        "model": {"name": "smol", "digest": "cc"},
        "tokenizer": "dd",
        "machine": describe_machine(2, folder),
    }
    return Manifest(**{**values, **changes})


def test_a_manifest_is_read_back_equal(tmp_path):
    written = manifest(tmp_path)
    assert write_manifest(tmp_path, written) == tmp_path / "manifest.json"
    assert read_manifest(tmp_path) == written


def test_the_recipe_is_named_with_its_digest(tmp_path):
    made = manifest(tmp_path)
    assert made.recipe_digest == digest({"group_size": 8, "model": {"lora_rank": 32}})


def test_a_recipe_changed_in_the_file_is_refused(tmp_path):
    path = write_manifest(tmp_path, manifest(tmp_path))
    path.write_text(path.read_text().replace('"group_size": 8', '"group_size": 4'))
    with pytest.raises(LedgerError, match=r"recipe does not have[\s\S]*manifest\.json"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"environment": {}, "machine": {}}'])
def test_a_file_that_is_no_manifest_is_refused_by_name(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(LedgerError, match=r"not a manifest[\s\S]*manifest\.json"):
        read_manifest(tmp_path)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(LedgerError, match=r"manifest\.json"):
        read_manifest(tmp_path)


def test_what_is_not_json_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(LedgerError, match="cannot be written"):
        write_manifest(tmp_path, manifest(tmp_path, seeds={"recipe": object()}))
    assert not (tmp_path / "manifest.json").exists()


def test_the_machine_names_its_packages_and_threads(tmp_path):
    machine = describe_machine(2, tmp_path)
    assert machine.threads == 2
    assert machine.packages["pyarrow"]
    assert list(machine.packages) == sorted(machine.packages, key=str.lower)
    json.dumps(machine.packages)


def test_data_is_known_by_name_size_and_digest():
    tasks = TaskSet([Task("a", "do it"), Task("b", "do that")], name="train.jsonl")
    assert data_digests({"train": tasks}) == {
        "train": {"name": "train.jsonl", "tasks": 2, "digest": tasks.digest},
    }


def test_a_tool_digest_changes_with_its_schema():
    other = {**TOOL, "function": {**TOOL["function"], "description": "Look."}}
    assert tool_digests([TOOL]).keys() == tool_digests([other]).keys() == {"look_up"}
    assert tool_digests([TOOL]) != tool_digests([other])


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.hooksPath=/dev/null"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_is_named_and_changed_files_are_told(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "desk.py").write_text("a = 1\n")
    git(tmp_path, "add", "desk.py")
    git(tmp_path, "commit", "-q", "-m", "desk")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "untracked.txt").write_text("x")
    assert git_state(tmp_path) == {"commit": commit, "changed": False}
    (tmp_path / "desk.py").write_text("a = 2\n")
    assert git_state(tmp_path) == {"commit": commit, "changed": True}


def test_outside_a_repository_there_is_no_commit(tmp_path):
    assert git_state(tmp_path) is None
