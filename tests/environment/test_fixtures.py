"""Recorded tables are read-only, and clear about what was never recorded."""

import json

import pytest

from practicum.environment import Fixture, ToolError
from practicum.environment.fixtures import thawed
from practicum.errors import EnvironmentFault

ROWS = {"T101": {"account": "A1", "tags": ["x", {"y": 1}]}, "T205": 7, "T999": None}


@pytest.fixture
def table():
    return Fixture("tickets", ROWS)


def test_a_table_is_a_mapping_of_what_was_recorded(table):
    assert table["T205"] == 7
    assert list(table) == ["T101", "T205", "T999"]
    assert (len(table), "T101" in table, "T1" in table) == (3, True, False)
    assert thawed(table) == ROWS
    assert (table.get("T205"), table.get("T999", 5), table.get("T1"), table.get("T1", 5)) == (7, None, None, 5)


def test_an_unrecorded_key_is_a_deterministic_tool_error_with_the_nearest_one(table):
    for _ in range(2):
        with pytest.raises(ToolError) as caught:
            table["T110"]
        assert str(caught.value) == "no record 'T110' in tickets; nearest recorded: T101"
    with pytest.raises(ToolError, match=r"^no record 'x' in nothing$"):
        Fixture("nothing", {})["x"]


def test_a_record_cannot_be_changed_at_any_depth(table):
    row = table["T101"]
    with pytest.raises(TypeError):
        row["account"] = "A2"
    with pytest.raises(TypeError):
        row["tags"][0] = "z"
    with pytest.raises(TypeError):
        row["tags"][1]["y"] = 2
    with pytest.raises(TypeError):
        table["T300"] = 1
    assert thawed(table) == ROWS


def test_the_data_it_was_made_from_may_change_afterwards():
    rows = {"k": {"v": [1]}}
    table = Fixture("t", rows)
    rows["k"]["v"].append(2)
    assert thawed(table["k"]) == {"v": [1]}


def test_a_file_is_loaded_under_its_name(tmp_path):
    (tmp_path / "tickets.json").write_text(json.dumps(ROWS))
    table = Fixture.load(tmp_path / "tickets.json")
    assert (table.name, thawed(table)) == ("tickets", ROWS)


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        (None, "no such fixture", ""),
        ('{"a": 1,\n"b": }', "broken fixture", ":2"),
        ("[1, 2]", "must be a JSON object", ""),
    ],
)
def test_a_fixture_that_cannot_be_used_names_the_file_and_the_line(tmp_path, text, problem, line):
    path = tmp_path / "tickets.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(EnvironmentFault, match=problem) as caught:
        Fixture.load(path)
    assert f"{path}{line}" in str(caught.value)
