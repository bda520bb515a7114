import math
import random
from dataclasses import replace
from types import MappingProxyType

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from practicum.errors import RunError
from practicum.store import SCHEMA_VERSION, read_trajectories, write_trajectories
from practicum.trajectory import USER, EnvironmentRef, ToolCall, Trajectory, Transition, Turn

CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"key": "ä"}'}}
SCHEMA = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def turn(rng, n_actions, **changes):
    values = {
        "messages": ({"role": "user", "content": "Grüße – 你好 🙂"}, {"role": "system", "content": None}),
        "response": {"role": "assistant", "content": None, "tool_calls": [CALL]},
        "context_ids": tuple(rng.randrange(150_000) for _ in range(rng.randrange(6))),
        "action_ids": tuple(rng.randrange(150_000) for _ in range(n_actions)),
        "logprobs": tuple(-rng.expovariate(1.0) for _ in range(n_actions)),
        "versions": tuple(rng.randrange(50) for _ in range(n_actions)),
        "finish_reason": "tool_calls",
        "latency_s": rng.random(),
    }
    return Turn(**{**values, **changes})


def trajectory(number, **changes):
    rng = random.Random(number)
    values = {
        "id": f"r{number}",
        "task_id": f"task-{number % 2}",
        "group_id": f"g{number % 2}",
        "seed": 2**62 + number,
        "environment": EnvironmentRef("desk", "1.0.0", "ab" * 32),
        "turns": tuple(turn(rng, n) for n in range(rng.randrange(4))),
        "tool_calls": (ToolCall("c1", "look_up", {"key": [1, 2.5, None, {"a": True}]}, "not found", True, 1, 0.25),),
        "ending": "final",
        "tools": (SCHEMA,),
        "rewards": (0.1 + 0.2, -1.0),
        "metrics": {"format": 0.1, "fields": 1 / 3},
        "score": 1.0,
        "score_metrics": {"severity": 0.0},
        "final_state": {"tickets": [{"id": 7, "open": False}]},
        "temperature": 0.7,
        "top_p": 0.95,
        "retries": 2,
        "error": None,
    }
    return Trajectory(**{**values, **changes})


def test_what_is_written_is_read_back_equal_and_in_order(tmp_path):
    written = [trajectory(seed) for seed in range(20)]
    changes = {"extends": False, "break_cause": "template", "sequence": 3, "malformed_calls": ("[look_up(", "é")}
    written.append(trajectory(99, turns=(turn(random.Random(0), 2, **changes),)))
    write_trajectories(tmp_path / "t.parquet", written)
    assert read_trajectories(tmp_path / "t.parquet") == written


def test_files_from_before_sequences_were_numbered_open_with_what_turns_have_by_default(tmp_path):
    path = tmp_path / "t.parquet"
    written = [trajectory(seed) for seed in range(4)]
    write_trajectories(path, written)
    table = pq.read_table(path)
    place, column = table.schema.get_field_index("turns"), table.column("turns").to_pylist()
    old = [pa.field(f.name, f.type) for f in table.schema.field("turns").type.value_type]
    kind = pa.list_(pa.struct([field for field in old if field.name not in ("sequence", "malformed_calls")]))
    rows = [[{k: v for k, v in turn.items() if k in kind.value_type.names} for turn in turns] for turns in column]
    pq.write_table(table.set_column(place, pa.field("turns", kind), pa.array(rows, kind)), path)
    assert read_trajectories(path) == written


def test_a_file_that_lacks_another_column_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    write_trajectories(path, [trajectory(1)])
    pq.write_table(pq.read_table(path).drop_columns(["rewards"]), path)
    with pytest.raises(RunError, match="cannot be read here"):
        read_trajectories(path)


def transition(number, **changes):
    values = {
        "index": number,
        "state": f"{number:064x}",
        "tool": "look_up",
        "arguments": {"key": [1, 2.5, None, {"ä": True}], "deep": {"a": {"b": []}}},
        "result": '{"v":"ä"}',
        "is_error": False,
        "next_state": f"{number + 1:064x}",
        "time": 1767225600.0 + 0.1 * number,
    }
    return Transition(**{**values, **changes})


def test_transitions_are_read_back_equal_and_in_order(tmp_path):
    steps = tuple(transition(number) for number in range(12))
    told = (transition(0, tool=USER, arguments={"answer": "Grüße 🙂"}, result="", time=0.1 + 0.2), transition(1))
    failed = (transition(0, arguments={}, is_error=True, result='{"error":"no"}'),)
    written = [trajectory(n, transitions=each) for n, each in enumerate((steps, (), told, failed))]
    write_trajectories(tmp_path / "t.parquet", written)
    assert [each.transitions for each in read_trajectories(tmp_path / "t.parquet")] == [steps, (), told, failed]
    assert read_trajectories(tmp_path / "t.parquet") == written


def test_transitions_of_what_a_model_may_utter_are_stored(tmp_path):
    steps = (transition(0, tool="to\ud800ol", arguments={"x": float("inf"), "y": "\udc00"}, result="echo \ud83d \x00"),)
    write_trajectories(tmp_path / "t.parquet", [trajectory(1, transitions=steps)])
    (step,) = read_trajectories(tmp_path / "t.parquet")[0].transitions
    assert (step.tool, step.result) == ("to\ufffdol", "echo \ufffd \x00")
    assert step.arguments == {"x": float("inf"), "y": "\udc00"}


def test_a_transition_whose_arguments_are_no_json_names_the_trajectory(tmp_path):
    steps = (transition(0, arguments={"when": object()}),)
    with pytest.raises(RunError, match=r"tool arguments cannot be stored[\s\S]*'r5'"):
        write_trajectories(tmp_path / "t.parquet", [trajectory(5, transitions=steps)])


def test_duckdb_reads_transitions(tmp_path):
    path = tmp_path / "t.parquet"
    write_trajectories(path, [trajectory(1, transitions=tuple(transition(number) for number in range(3)))])
    rows = duckdb.sql(f"select len(transitions), transitions[3].state, transitions[3].time from '{path}'").fetchall()
    assert rows == [(3, f"{2:064x}", 1767225600.0 + 0.1 * 2)]


def test_the_bare_minimum_round_trips_with_its_defaults(tmp_path):
    bare = Trajectory("r", "t", "g", 0, EnvironmentRef("e", "1", ""), (), (), "error", error="the server went away")
    write_trajectories(tmp_path / "t.parquet", [bare])
    (read,) = read_trajectories(tmp_path / "t.parquet")
    assert read == bare
    assert read.score is None
    assert read.rewards == ()


def test_no_trajectories_make_a_readable_empty_file(tmp_path):
    write_trajectories(tmp_path / "t.parquet", [])
    assert read_trajectories(tmp_path / "t.parquet") == []


def test_floats_keep_every_bit(tmp_path):
    numbers = (0.1, 1e-308, -1.7976931348623157e308, math.pi, -0.0)
    exact = turn(random.Random(1), len(numbers), logprobs=numbers)
    write_trajectories(tmp_path / "t.parquet", [trajectory(1, turns=(exact,), rewards=numbers)])
    (read,) = read_trajectories(tmp_path / "t.parquet")
    assert [x.hex() for x in read.turns[0].logprobs] == [x.hex() for x in numbers]
    assert [x.hex() for x in read.rewards] == [x.hex() for x in numbers]


def test_nonsense_that_a_model_may_utter_does_not_stop_the_writing(tmp_path):
    calls = (ToolCall("c", "to\ud800ol", {"x": float("inf"), "y": "\udc00"}, "echo \ud83d 🙂\x00"),)
    write_trajectories(tmp_path / "t.parquet", [trajectory(1, tool_calls=calls)])
    (call,) = read_trajectories(tmp_path / "t.parquet")[0].tool_calls
    assert call.arguments == {"x": float("inf"), "y": "\udc00"}
    assert call.name == "to\ufffdol"
    assert call.result == "echo \ufffd 🙂\x00"


def test_duckdb_reads_counts_and_nested_columns(tmp_path):
    path = tmp_path / "t.parquet"
    written = [trajectory(seed) for seed in range(8)]
    write_trajectories(path, written)
    assert duckdb.sql(f"select count(*) from '{path}'").fetchall() == [(8,)]
    rows = duckdb.sql(
        f"""select id, list_sum(rewards), len(turns), tool_calls[1].name, metrics['format'], environment.id,
        turns[2].action_ids from '{path}' order by seed"""
    ).fetchall()
    for row, t in zip(rows, written, strict=True):
        ids = list(t.turns[1].action_ids) if len(t.turns) > 1 else None
        assert row == (t.id, t.reward, len(t.turns), "look_up", 0.1, "desk", ids)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunError, match=r"gone\.parquet"):
        read_trajectories(tmp_path / "gone.parquet")


def test_a_parquet_file_of_something_else_is_refused(tmp_path):
    pq.write_table(pa.table({"prompt": ["a"]}), tmp_path / "data.parquet")
    with pytest.raises(RunError, match="not one of trajectories"):
        read_trajectories(tmp_path / "data.parquet")


def test_another_schema_version_is_refused_by_number(tmp_path):
    path = tmp_path / "t.parquet"
    write_trajectories(path, [trajectory(1)])
    later = {b"practicum.trajectories": str(SCHEMA_VERSION + 1).encode()}
    pq.write_table(pq.read_table(path).replace_schema_metadata(later), path)
    with pytest.raises(RunError, match=f"schema version {SCHEMA_VERSION + 1}"):
        read_trajectories(path)


def test_a_file_from_before_failures_had_owners_still_opens(tmp_path):
    path = tmp_path / "t.parquet"
    written = [trajectory(1), trajectory(2, ending="error", error="gone", failure="judge")]
    write_trajectories(path, written)
    assert [t.failure for t in read_trajectories(path)] == [None, "judge"]
    pq.write_table(pq.read_table(path).drop_columns(["failure"]), path)
    assert read_trajectories(path) == [written[0], replace(written[1], failure="unknown")]


@pytest.mark.parametrize("keep", [0, 3, 200, -1, -8])
def test_a_file_cut_short_is_refused(tmp_path, keep):
    path = tmp_path / "t.parquet"
    write_trajectories(path, [trajectory(seed) for seed in range(4)])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunError, match="not a whole Parquet file"):
        read_trajectories(path)


def test_a_changed_byte_in_the_data_is_noticed(tmp_path):
    path = tmp_path / "t.parquet"
    write_trajectories(path, [trajectory(seed) for seed in range(4)])
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    content[column.data_page_offset + column.total_compressed_size - 3] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(RunError, match="not a whole Parquet file"):
        read_trajectories(path)


def test_state_that_is_not_json_is_refused_with_the_trajectory_named_and_no_file_left(tmp_path):
    with pytest.raises(RunError, match=r"final_state cannot be stored[\s\S]*'r5'"):
        write_trajectories(tmp_path / "t.parquet", [trajectory(5, final_state={"when": object()})])
    assert list(tmp_path.iterdir()) == []


def test_a_seed_beyond_64_bits_is_refused(tmp_path):
    with pytest.raises(RunError, match="cannot hold"):
        write_trajectories(tmp_path / "t.parquet", [trajectory(5, seed=2**64)])


def test_read_only_mappings_are_stored_as_plain_objects(tmp_path):
    written = trajectory(1, final_state=MappingProxyType({"a": MappingProxyType({"b": 1})}))
    write_trajectories(tmp_path / "t.parquet", [written])
    assert read_trajectories(tmp_path / "t.parquet")[0].final_state == {"a": {"b": 1}}


def test_a_failed_write_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "t.parquet"
    write_trajectories(path, [trajectory(1)])
    with pytest.raises(RunError):
        write_trajectories(path, [trajectory(2, seed=2**64)])
    assert read_trajectories(path) == [trajectory(1)]
