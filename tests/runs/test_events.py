import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from practicum.digests import digest
from practicum.errors import LedgerError
from practicum.runs.events import GENESIS, EventLog, read_events


def filled(path, n=4):
    with EventLog(path) as log:
        log.append("start", {"recipe": "desk.yaml", "Ümlaut": [1, 2.5, None]})
        for step in range(n - 1):
            log.append("step", {"step": step, "reward": step / 10})
    return path


def test_events_are_read_back_in_order_and_chained(tmp_path):
    events = read_events(filled(tmp_path / "events.jsonl"))
    assert [event.seq for event in events] == [0, 1, 2, 3]
    assert [event.kind for event in events] == ["start", "step", "step", "step"]
    assert events[0].prev == GENESIS
    assert [event.prev for event in events[1:]] == [event.hash for event in events[:-1]]
    assert events[0].data == {"recipe": "desk.yaml", "Ümlaut": [1, 2.5, None]}


def test_the_hash_can_be_recomputed_from_the_line_alone(tmp_path):
    line = json.loads(filled(tmp_path / "events.jsonl").read_text().splitlines()[1])
    assert line.pop("hash") == digest(line)


def test_reopening_goes_on_with_the_chain(tmp_path):
    path = filled(tmp_path / "events.jsonl")
    with EventLog(path) as log:
        assert len(log) == 4
        event = log.append("resume", {"step": 3})
        assert log.head == event.hash
    assert [event.kind for event in read_events(path)][-1] == "resume"


@given(st.integers(0, 3), st.integers(0, 10_000), st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_any_changed_character_inside_a_line_is_noticed_and_the_line_named(tmp_path_factory, line, place, choice):
    path = filled(tmp_path_factory.mktemp("ledger") / "events.jsonl")
    lines = path.read_text().splitlines()
    place %= len(lines[line])  # drawn without a look at the line, whose time is another at every call
    new = "0af5}{,x"[choice]
    if new == lines[line][place]:
        new = "y"
    lines[line] = lines[line][:place] + new + lines[line][place + 1 :]
    path.write_text("".join(text + "\n" for text in lines))
    with pytest.raises(LedgerError) as caught:
        read_events(path)
    assert f"line {line + 1}" in caught.value.where


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], *lines[2:]], 2),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], 2),
        (lambda lines: [lines[0], lines[0], *lines[1:]], 2),
        (lambda lines: [lines[0], "", *lines[1:]], 2),
        (lambda lines: [*lines, "[]"], 5),
    ],
    ids=["first removed", "one removed", "two swapped", "one doubled", "empty line", "not an object"],
)
def test_lines_removed_moved_or_inserted_are_refused(tmp_path, edit, named):
    path = filled(tmp_path / "events.jsonl")
    path.write_text("".join(line + "\n" for line in edit(path.read_text().splitlines())))
    with pytest.raises(LedgerError, match=f"line {named}\n"):
        EventLog(path)


def test_a_line_written_in_another_manner_is_refused_though_it_means_the_same(tmp_path):
    path = filled(tmp_path / "events.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"seq": 2', b'"seq":2'))
    with pytest.raises(LedgerError, match=r"rewritten[\s\S]*line 3\n"):
        read_events(path)


def test_a_forged_event_with_its_own_hash_mended_breaks_the_next_link(tmp_path):
    path = filled(tmp_path / "events.jsonl")
    lines = path.read_text().splitlines()
    forged = json.loads(lines[1])
    forged.pop("hash")
    forged["data"]["reward"] = 1.0
    lines[1] = json.dumps({**forged, "hash": digest(forged)})
    path.write_text("".join(line + "\n" for line in lines))
    with pytest.raises(LedgerError, match=r"chain is broken[\s\S]*line 3\n"):
        read_events(path)


@pytest.mark.parametrize("torn", [b"{", b'{"seq": 4, "ti', b"\x00\x00\x00", b"\xc3"])
def test_a_torn_last_line_is_cut_off_and_the_cut_is_recorded(tmp_path, torn):
    path = filled(tmp_path / "events.jsonl")
    path.write_bytes(path.read_bytes() + torn)
    with EventLog(path) as log:
        log.append("resume", {})
    kinds = [(event.kind, event.data.get("bytes")) for event in read_events(path)]
    assert kinds[4:] == [("error", len(torn)), ("resume", None)]
    assert torn not in path.read_bytes().split(b"\n")


def test_a_whole_line_that_lacks_only_its_end_counts_as_torn(tmp_path):
    path = filled(tmp_path / "events.jsonl")
    path.write_bytes(path.read_bytes()[:-1])
    with EventLog(path) as log:
        assert len(log) == 4
    last = read_events(path)[-1]
    assert last.kind == "error"
    assert json.loads(last.data["text"])["data"] == {"step": 2, "reward": 0.2}


def test_a_broken_file_is_left_as_it_was(tmp_path):
    path = filled(tmp_path / "events.jsonl")
    broken = path.read_bytes().replace(b"0.1", b"0.9") + b'{"torn'
    path.write_bytes(broken)
    with pytest.raises(LedgerError, match="altered"):
        EventLog(path)
    assert path.read_bytes() == broken


def test_what_was_appended_survives_a_kill(tmp_path):
    script = """
        import os, signal, sys
        from pathlib import Path
        from practicum.runs.events import EventLog
        log = EventLog(Path(sys.argv[1]))
        for step in range(5):
            log.append("step", {"step": step})
        os.kill(os.getpid(), signal.SIGKILL)
    """
    path = tmp_path / "events.jsonl"
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(path)], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    with EventLog(path) as log:
        assert len(log) == 5


@contextlib.contextmanager
def no_more_than(size):
    """A process that may not make a file larger than so many bytes, as where the disk is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)


@pytest.mark.parametrize("room", [0, 1, 60])
def test_an_event_for_which_there_is_no_room_leaves_the_file_as_it_was_and_the_next_is_chained(tmp_path, room):
    path = filled(tmp_path / "events.jsonl")
    before = path.read_bytes()
    with EventLog(path) as log:
        with no_more_than(len(before) + room):
            for kind in ("step", "error"):
                with pytest.raises(OSError, match="too large"):
                    log.append(kind, {"what": "x" * 200})
                assert path.read_bytes() == before
                assert (len(log), log.head) == (4, read_events(path)[-1].hash)
        assert log.append("resume").seq == 4
    assert [event.kind for event in read_events(path)] == ["start", "step", "step", "step", "resume"]


def test_an_event_that_never_finds_room_is_not_written_when_the_file_is_closed(tmp_path):
    path = filled(tmp_path / "events.jsonl")
    log = EventLog(path)
    with no_more_than(path.stat().st_size), pytest.raises(OSError, match="too large"):
        log.append("step", {"step": 9})
    log.close()
    assert len(read_events(path)) == 4


def test_a_second_writer_is_refused_while_the_first_is_open(tmp_path):
    path = tmp_path / "events.jsonl"
    with EventLog(path), pytest.raises(LedgerError, match="another process"):
        EventLog(path)
    EventLog(path).close()


@pytest.mark.parametrize("data", [{"x": float("nan")}, {"x": object()}])
def test_data_that_is_not_json_is_refused_and_nothing_written(tmp_path, data):
    with EventLog(tmp_path / "events.jsonl") as log:
        with pytest.raises(LedgerError, match="cannot be written"):
            log.append("step", data)
        assert log.append("step", {}).seq == 0
    assert len(read_events(tmp_path / "events.jsonl")) == 1


def test_an_unknown_kind_is_refused(tmp_path):
    with EventLog(tmp_path / "events.jsonl") as log, pytest.raises(LedgerError, match="party"):
        log.append("party", {})


def test_events_are_plain_data(tmp_path):
    event = read_events(filled(tmp_path / "events.jsonl"))[0]
    assert set(asdict(event)) == {"seq", "time", "kind", "data", "prev", "hash"}
