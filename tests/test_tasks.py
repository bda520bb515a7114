"""Datasets of every format, and what is said of broken ones."""

import csv
import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from practicum.errors import TaskError
from practicum.tasks import Task, TaskSet, load_tasks

ROWS = [
    {"id": "a", "prompt": "Handle ticket T1.", "answer": {"queue": "billing", "hours": 4}, "level": 2},
    {"id": "b", "prompt": "Zeile 2: „Grüße“ 漢字\nsecond line", "answer": None, "level": 4},
]
EXPECTED = [
    Task("a", ROWS[0]["prompt"], {"queue": "billing", "hours": 4}, {"level": 2}),
    Task("b", ROWS[1]["prompt"], None, {"level": 4}),
]


def written(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def jsonl(path, rows, **how):
    return written(path, "".join(json.dumps(row, **how) + "\n" for row in rows))


@pytest.mark.parametrize("ascii_only", [True, False])
def test_jsonl_and_json(tmp_path, ascii_only):
    assert list(load_tasks(jsonl(tmp_path / "d.jsonl", ROWS, ensure_ascii=ascii_only))) == EXPECTED
    text = json.dumps(ROWS, ensure_ascii=ascii_only, indent=1)
    assert list(load_tasks(written(tmp_path / "d.json", text))) == EXPECTED


def test_parquet(tmp_path):
    table = pa.Table.from_pylist([{**row, "answer": json.dumps(row["answer"])} for row in ROWS[:1]])
    pq.write_table(table, tmp_path / "d.parquet")
    assert list(load_tasks(tmp_path / "d.parquet")) == EXPECTED[:1]


def test_csv_with_quoted_line_breaks(tmp_path):
    with (tmp_path / "d.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "prompt", "answer", "level"])
        writer.writerow(["a", ROWS[0]["prompt"], '{"queue": "billing", "hours": 4}', "2"])
        writer.writerow(["b", ROWS[1]["prompt"], "plain, text", "4"])
    first, second = load_tasks(tmp_path / "d.csv")
    assert first == Task("a", ROWS[0]["prompt"], {"queue": "billing", "hours": 4}, {"level": "2"})
    assert second == Task("b", ROWS[1]["prompt"], {"answer": "plain, text"}, {"level": "4"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("d.csv", "prompt,level\nsay hi,2\n"),
        ("d.jsonl", '{"prompt": "say hi", "level": "2"}\n'),
        ("d.json", '[{"prompt": "say hi", "level": "2"}]'),
    ],
)
def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path, name, text):
    (task,) = load_tasks(written(tmp_path / name, text, "utf-8-sig"))
    assert (task.prompt, task.metadata) == ("say hi", {"level": "2"})


def test_the_prompt_column_else_the_first_one(tmp_path):
    assert load_tasks(written(tmp_path / "a.csv", "question,prompt\nq,p\n"))[0].prompt == "p"
    task = load_tasks(written(tmp_path / "b.csv", "question,other\nq,p\n"))[0]
    assert (task.prompt, task.metadata) == ("q", {"other": "p"})
    assert load_tasks(written(tmp_path / "c.json", '["just text"]'))[0].prompt == "just text"


def test_tasks_without_an_id_are_named_by_file_and_row(tmp_path):
    tasks = load_tasks(written(tmp_path / "desk.jsonl", '{"prompt": "x"}\n\n{"prompt": "y"}\n'))
    assert [task.id for task in tasks] == ["desk-1", "desk-3"]
    assert load_tasks(written(tmp_path / "n.json", '[{"prompt": "x", "id": 0}]'))[0].id == "0"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (42, {"answer": 42}),
        ("42", {"answer": "42"}),
        ([1, 2], {"answer": [1, 2]}),
        (False, {"answer": False}),
        ({"x": 1}, {"x": 1}),
        ('{"x": 1}', {"x": 1}),
        (None, None),
    ],
)
def test_an_answer_of_any_kind_becomes_named_fields(tmp_path, answer, expected):
    task = load_tasks(jsonl(tmp_path / "d.jsonl", [{"prompt": "p", "answer": answer}]))[0]
    assert task.answer == expected
    assert task.to_dict()["answer"] == expected


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5, unique=True), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_prompt_survives_jsonl_whatever_line_separators_it_holds(tmp_path, prompts, ascii_only):
    path = tmp_path / "d.jsonl"
    try:
        jsonl(path, [{"prompt": prompt} for prompt in prompts], ensure_ascii=ascii_only)
    except UnicodeEncodeError:
        return
    assert [task.prompt for task in load_tasks(path)] == prompts


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("d.jsonl", '{"prompt": "a"}\n\n{"prompt": b}\n', "line 3, column 12"),
        ("d.json", '[\n {"prompt": "a"},\n {"prompt" "b"}\n]', "line 3, column 12"),
        ("d.csv", 'prompt\na\n"b', "line 3"),
        ("d.csv", "prompt,level\na,1\nb,2,3\n", "line 3"),
        ("d.csv", "prompt,level\na,1\nb\n", "line 3"),
        ("d.jsonl", '{"prompt": "a"}\n7\n', "row 2"),
        ("d.jsonl", '{"prompt": "a"}\n{"prompt": ""}\n', "row 2"),
        ("d.jsonl", '{"prompt": "a"}\n{"prompt": null}\n', "row 2"),
        ("d.jsonl", '{"prompt": "a"}\n{}\n', "row 2"),
        ("d.jsonl", '{"prompt": "a"}\n{"prompt": "b", "answer": "{broken"}\n', "line 2"),
        ("d.jsonl", '{"prompt": "a"}\n{"prompt": "b", "weight": NaN}\n', "row 2"),
        ("d.jsonl", '{"prompt": "a"}\n{"prompt": "b", "weight": 1e999}\n', "row 2"),
    ],
)
def test_a_broken_row_is_named_by_file_and_line(tmp_path, name, text, place):
    path = written(tmp_path / name, text)
    with pytest.raises(TaskError) as caught:
        load_tasks(path)
    assert f"{path}, {place}" in str(caught.value)


def test_a_column_that_is_not_json_is_refused_when_it_is_read(tmp_path):
    rows = [{"prompt": "a", "when": datetime.datetime(2026, 7, 2)}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    with pytest.raises(TaskError, match="datetime is not JSON serializable"):
        load_tasks(tmp_path / "d.parquet")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("d.json", b'{"prompt": "a"}', "must be a list of rows"),
        ("d.json", b"[]", "has no tasks"),
        ("d.jsonl", b"\n", "has no tasks"),
        ("d.csv", b"prompt\n", "has no tasks"),
        ("d.csv", b"", "has no tasks"),
        ("d.parquet", b"PAR1 no PAR1", "not a Parquet file"),
        ("d.jsonl", b'{"prompt": "\xff"}', "the dataset is not UTF-8"),
        ("d.txt", b"hello", "cannot read a dataset of type '.txt'"),
        ("d", b"hello", "without suffix"),
    ],
)
def test_an_unusable_file_is_named(tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=problem) as caught:
        load_tasks(tmp_path / name)
    assert name in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TaskError, match="no such dataset file") as caught:
        load_tasks(tmp_path / "gone.jsonl")
    assert "gone.jsonl" in str(caught.value)


def test_duplicates_are_refused():
    with pytest.raises(TaskError, match="task id 'a' is used twice"):
        TaskSet([Task("a", "x"), Task("a", "y")])
    with pytest.raises(TaskError, match="'a' and 'b' have the same prompt"):
        TaskSet([Task("a", "x", {"k": 1}), Task("b", "x", {"k": 2})])


def test_overlap_names_shared_prompts_in_order():
    train = TaskSet([Task(str(i), f"p{i}") for i in range(6)])
    test = TaskSet([Task(f"t{i}", f"p{i}") for i in (4, 9, 2)])
    assert train.overlap(test) == ["p2", "p4"]
    assert test.overlap(train) == ["p4", "p2"]
    assert train.overlap(TaskSet([Task("z", "other")])) == []


def test_the_digest_follows_content_and_order():
    def tasks():
        return [Task("a", "x", {"k": 1}), Task("b", "y")]

    base = TaskSet(tasks()).digest
    assert TaskSet(tasks(), name="other").digest == base
    assert TaskSet(reversed(tasks())).digest != base
    assert TaskSet([Task("a", "x", {"k": 2}), Task("b", "y")]).digest != base
    assert TaskSet([Task("a", "x", {"k": 1}, {"m": 1}), Task("b", "y")]).digest != base
