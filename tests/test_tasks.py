"""Datasets of every format, and what is said of broken ones."""

import csv
import datetime
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from practicum.errors import TaskError
from practicum.tasks import Columns, Task, TaskSet, load_tasks

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
        ("{1, 2, 3}", {"answer": "{1, 2, 3}"}),
        (r"{\frac{1}{2}}", {"answer": r"{\frac{1}{2}}"}),
        ('{"x": NaN}', {"answer": '{"x": NaN}'}),
        ('{"x": 1e999}', {"answer": '{"x": 1e999}'}),
        ('{"x": "\\ud800"}', {"answer": '{"x": "\\ud800"}'}),
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
        ("d.jsonl", '{"prompt": "a"}\n{"question": "b"}\n', "row 2"),
        ("d.jsonl", '{"prompt": "a"}\n{"prompt": "b", "weight": -Infinity}\n', "row 2"),
        ("d.jsonl", '{"prompt": "a", "answer": 1}\n{"prompt": "b", "answer": NaN}\n', "row 2"),
        ("d.jsonl", '{"prompt": "a", "id": 1}\n{"prompt": "b", "id": NaN}\n', "row 2"),
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
    with pytest.raises(TaskError, match="datetime is not JSON serializable") as caught:
        load_tasks(tmp_path / "d.parquet")
    assert "row 1, column 'when'" in caught.value.where
    assert "as text, such as '2026-07-02 00:00:00'" in caught.value.fix


@pytest.mark.parametrize(
    ("value", "type_", "mend"),
    [
        (b"\x89PNG", pa.binary(), "base64"),
        (datetime.time(9, 30), pa.time64("us"), "'09:30:00'"),
        (float("inf"), pa.float64(), "write null"),
        (1, pa.timestamp("ns"), "as text"),
    ],
)
def test_a_cell_that_no_task_can_hold_is_named_with_its_mend(tmp_path, value, type_, mend):
    table = pa.table({"prompt": ["a"], "extra": pa.array([value], type_)})
    pq.write_table(table, tmp_path / "d.parquet")
    with pytest.raises(TaskError) as caught:
        load_tasks(tmp_path / "d.parquet")
    assert "'extra'" in str(caught.value)
    assert mend in str(caught.value)
    assert len(caught.value.what) < 200


def test_nan_in_a_column_of_metadata_is_null_as_what_is_missing_is(tmp_path):
    text = '{"prompt": "a", "weight": NaN, "parts": [{"seconds": NaN}, 2]}\n{"prompt": "b", "weight": null}\n'
    first, second = load_tasks(written(tmp_path / "d.jsonl", text))
    assert first.metadata == {"weight": None, "parts": [{"seconds": None}, 2]}
    assert second.metadata == {"weight": None}
    table = pa.table({"prompt": ["a", "b"], "weight": pa.array([float("nan"), 0.5], pa.float64())})
    pq.write_table(table, tmp_path / "d.parquet")
    assert [task.metadata["weight"] for task in load_tasks(tmp_path / "d.parquet")] == [None, 0.5]


def test_half_a_character_is_named_by_row_and_column(tmp_path):
    text = '{"prompt": "a"}\n{"prompt": "b", "note": ["Box \\ud800"]}\n'
    with pytest.raises(TaskError, match="half a character") as caught:
        load_tasks(written(tmp_path / "d.jsonl", text))
    assert caught.value.where == f"{tmp_path}/d.jsonl, row 2, column 'note'"


def test_a_cell_that_is_too_long_for_csv_is_named_by_row_and_column(tmp_path):
    text = "id,prompt,answer\n1,short,a\n2,b," + "x" * 140_000 + "\n"
    with pytest.raises(TaskError, match="140,000 characters") as caught:
        load_tasks(written(tmp_path / "d.csv", text))
    assert caught.value.where == f"{tmp_path}/d.csv, row 3, column 'answer'"
    assert ".jsonl" in caught.value.fix
    assert csv.field_size_limit() == 131_072


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("prompt;answer\na;1\n", "separated by ';'"),
        ("prompt,a,a\nx,1,2\n", "two columns are called 'a'"),
        ("id,answer\n1,2\n", "no column is left for the prompt"),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused(tmp_path, text, problem):
    with pytest.raises(TaskError, match=problem):
        load_tasks(written(tmp_path / "d.csv", text))


# Which column is which


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("prompt,answer", Columns("prompt", None, "answer")),
        ("id,question,answer", Columns("question", "id", "answer")),
        (",question,level", Columns("question")),
        ("id, prompt, answer", Columns("prompt", "id", "answer")),
    ],
)
def test_what_was_taken_for_what_is_known_afterwards(tmp_path, header, columns):
    cells = ",".join(f"cell {n}" for n in range(header.count(",") + 1))
    assert load_tasks(written(tmp_path / "d.csv", f"{header}\n{cells}\n")).columns == columns


def test_columns_can_be_chosen(tmp_path):
    path = jsonl(tmp_path / "d.jsonl", [{"prompt": "old", "q": "Add 2 and 3.", "key": 7, "gold": "5", "answer": "no"}])
    (task,) = load_tasks(path, Columns("q", "key", "gold"))
    assert task == Task("7", "Add 2 and 3.", {"answer": "5"}, {"prompt": "old", "answer": "no"})


def test_a_chosen_column_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    path = written(tmp_path / "d.csv", "question,gold\nq,5\n")
    with pytest.raises(TaskError, match="no column 'prompts'") as caught:
        load_tasks(path, Columns("prompts"))
    assert (caught.value.allowed, caught.value.fix) == ("'question', 'gold'", "mend prompt_column")


def test_a_chat_of_one_message_is_that_messages_text(tmp_path):
    rows = [{"prompt": [{"role": "user", "content": "Add 2 and 3."}]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    assert load_tasks(tmp_path / "d.parquet")[0].prompt == "Add 2 and 3."


SYSTEM, BEFORE, LAST = (
    {"role": role, "content": text}
    for role, text in (("system", "Be brief."), ("user", "I have 2."), ("user", "Add 3."))
)


def test_a_chat_of_the_systems_and_the_users_messages_is_what_the_episode_begins_with(tmp_path):
    blocks = {**BEFORE, "content": [{"type": "text", "text": "I have "}, {"type": "text", "text": "2."}]}
    (task,) = load_tasks(jsonl(tmp_path / "d.jsonl", [{"prompt": [SYSTEM, blocks, LAST], "answer": "5"}]))
    assert (task.history, task.prompt) == ((SYSTEM, BEFORE), "Add 3.")
    assert task.asked == "system: Be brief.\nuser: I have 2.\nAdd 3."


def test_tasks_of_one_last_message_are_told_apart_by_what_was_said_before(tmp_path):
    chats = [[{**BEFORE, "content": f"I have {n}."}, LAST] for n in (2, 4)]
    train = load_tasks(jsonl(tmp_path / "d.jsonl", [{"prompt": chat} for chat in chats]))
    assert len(train) == 2
    assert train.overlap(load_tasks(jsonl(tmp_path / "v.jsonl", [{"prompt": [LAST]}]))) == []
    with pytest.raises(TaskError, match="have the same prompt"):
        load_tasks(jsonl(tmp_path / "twice.jsonl", [{"prompt": chats[0]}] * 2))
    alone = load_tasks(jsonl(tmp_path / "v.jsonl", [{"prompt": "Add 3."}]))
    assert "history" not in alone[0].to_dict()  # digests of datasets without chats stay what they were


@pytest.mark.parametrize(
    ("chat", "problem"),
    [
        ([BEFORE, {"role": "assistant", "content": "And?" * 2000}, LAST], "message 2 is of role 'assistant'"),
        ([BEFORE, SYSTEM, LAST], "a system message stands first"),
        ([SYSTEM], "the last message is not the user's"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "something beside text"),
        ([SYSTEM, {"role": "user", "content": " "}], "message 2 of role 'user' has no text"),
        ([{"role": "x" * 5000, "content": "Add 3."}], "message 1 is of role 'xxxx"),
    ],
)
def test_a_chat_that_no_episode_can_begin_with_is_refused_in_few_words(tmp_path, chat, problem):
    with pytest.raises(TaskError, match=problem) as caught:
        load_tasks(jsonl(tmp_path / "d.jsonl", [{"prompt": chat}]))
    assert caught.value.where == f"{tmp_path}/d.jsonl, row 1, column 'prompt'"
    assert len(str(caught.value)) < 600


def test_what_is_no_text_is_refused_in_few_words(tmp_path):
    with pytest.raises(TaskError, match="non-empty text") as caught:
        load_tasks(jsonl(tmp_path / "d.jsonl", [{"prompt": ["x" * 5000]}]))
    assert len(str(caught.value)) < 500


def test_a_game_with_one_prompt_loads_where_its_tasks_have_ids(tmp_path):
    rows = [{"prompt": "Guess the word.", "answer": word} for word in ("crane", "plumb")]
    with pytest.raises(TaskError, match="a column of ids"):
        load_tasks(jsonl(tmp_path / "bare.jsonl", rows))
    named = [{"id": f"w{n}", **row} for n, row in enumerate(rows)]
    train = load_tasks(jsonl(tmp_path / "d.jsonl", named))
    assert [(task.id, task.answer) for task in train] == [("w0", {"answer": "crane"}), ("w1", {"answer": "plumb"})]
    with pytest.raises(TaskError, match=r"same prompt 'Guess the word\.', label and metadata"):
        load_tasks(jsonl(tmp_path / "twice.jsonl", [*named, {**named[0], "id": "w9"}]))

    held_out = [{"id": "v0", "prompt": "Guess the word.", "answer": "other"}]
    assert train.overlap(load_tasks(jsonl(tmp_path / "v.jsonl", held_out))) == []
    held_out.append({"id": "v1", "prompt": "Guess the word.", "answer": "crane"})
    assert load_tasks(jsonl(tmp_path / "v.jsonl", held_out)).overlap(train) == ["Guess the word."]


def test_a_dataset_on_s3_is_refused_with_what_to_do():
    with pytest.raises(TaskError, match="on S3 is not fetched") as caught:
        load_tasks(Path("s3://bucket/rows.jsonl"))
    assert caught.value.where == "s3://bucket/rows.jsonl"


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


def test_tasks_of_an_environment_have_a_digest_though_their_labels_are_no_json():
    def tasks(day, weight):
        return TaskSet([Task("a", "x", {"day": datetime.date(2026, 7, day)}, {"weight": weight})])

    assert tasks(2, float("nan")).digest == tasks(2, float("nan")).digest
    assert len({tasks(2, 1.0).digest, tasks(3, 1.0).digest, tasks(2, float("nan")).digest}) == 3


def test_a_whole_number_that_python_does_not_read_is_named_by_its_line(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"prompt": "a"}\n{"prompt": "b", "answer": ' + "9" * 5_000 + "}\n")
    with pytest.raises(TaskError, match=r"broken JSON(.|\n)*line 2"):
        load_tasks(path)
