"""A live service is recorded once: canonical, without secrets, and never with two answers to one call."""

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import practicum
from practicum.environment import Call, ToolError
from practicum.errors import EnvironmentFault
from practicum.services import (
    CallableSource,
    OpenApiSource,
    RecordedEnvironment,
    Recorder,
    Recording,
    Rule,
    recorder,
)
from practicum.tasks import Task


def stock(shelf: str, detailed: bool = False) -> dict[str, int]:
    """What lies on a shelf."""
    if shelf == "Z":
        raise ToolError("no shelf Z")
    if shelf == "Y":
        raise KeyError("Y")
    return {"pears": len(shelf), **({"figs": 2} if detailed else {})}


async def close(shelf: str) -> None:
    """Close a shelf."""


def source(*more, **named):
    return CallableSource({"stock": stock, "close": close, **{each.__name__: each for each in more}, **named})


def test_what_was_answered_is_replayed_errors_too(tmp_path):
    with Recorder(source(), tmp_path / "stock.json") as record:
        made = record.calls(
            [Call("stock", {"shelf": "AB"}), ("stock", {"shelf": "Z"}), {"tool": "close", "arguments": {"shelf": "A"}}]
        )
    assert made == 3
    assert (record.saved.calls, record.saved.tools, record.saved.unreachable) == (3, 2, ())
    replayed = Recording.load(tmp_path / "stock.json")
    assert dict(replayed.answer("stock", {"shelf": "AB"})) == {"pears": 2}
    assert replayed.answer("stock", {"shelf": "AB", "detailed": False}) == {"pears": 2}
    assert replayed.answer("close", {"shelf": "A"}) is None
    with pytest.raises(ToolError, match=r"^no shelf Z$"):
        replayed.answer("stock", {"shelf": "Z"})
    assert {tool.name: tool.description for tool in replayed.tools} == {
        "close": "Close a shelf.",
        "stock": "What lies on a shelf.",
    }


def test_the_file_is_the_same_whatever_the_order_of_calls(tmp_path):
    tokens = {"a": "tok-91a", "b": "tok-17b"}

    def login(user: str) -> dict[str, str]:
        return {"session_token": f"{tokens[user]}-0001"}

    def mine(session: str) -> str:
        return f"seen by {session}"

    calls = [("login", {"user": "a"}), ("login", {"user": "b"}), ("mine", {"session": "tok-91a-0001"})]
    calls += [("mine", {"session": "tok-17b-0001"}), ("stock", {"shelf": "A"})]
    texts = set()
    for number, order in enumerate([calls, calls[::-1], calls[2:] + calls[:2], calls + calls]):
        path = tmp_path / f"{number}.json"
        with Recorder(source(login, mine), path) as record:
            record.calls(order)
        texts.add(path.read_text())
    assert len(texts) == 1
    assert "tok-" not in texts.pop()


def test_a_fresh_token_at_every_login_is_one_secret_and_its_calls_are_found_again(tmp_path):
    numbers = itertools.count(1)

    def login(user: str, password: str) -> dict[str, str]:
        return {"access_token": f"tok{next(numbers):04d}abc", "for": user}

    def mine(session: str) -> str:
        return "T1, T2"

    path = tmp_path / "x.json"
    with Recorder(source(login, mine), path) as record:
        for _ in range(3):
            token = record.answer("login", {"user": "ann", "password": "correct-horse-1"})["access_token"]
            record.answer("mine", {"session": token})
    assert record.saved.calls == 2
    assert "tok0" not in path.read_text()
    assert "horse" not in path.read_text()
    replayed = Recording.load(path)
    token = replayed.answer("login", {"user": "ann", "password": "<password-1>"})["access_token"]
    assert token == "<token-1>"
    assert replayed.answer("mine", {"session": token}) == "T1, T2"


def test_two_answers_to_one_call_are_an_error_that_names_both(tmp_path):
    ticks = itertools.count(1)

    def now(zone: str = "UTC") -> dict[str, object]:
        return {"before": "x" * 1000, "tick": next(ticks)}

    path = tmp_path / "x.json"
    with (
        pytest.raises(EnvironmentFault, match=r"(?s)now\(\{\"zone\":\"UTC\"\}\).*two ways.*\"tick\":1.*\"tick\":2"),
        Recorder(source(now), path) as record,
    ):
        record.calls([("stock", {"shelf": "A"}), ("now", {})], repeat=2)
    assert not path.exists()
    kept = Recording.load(tmp_path / "x.partial.json")
    assert kept.answer("now", {})["tick"] == 1
    assert len(kept) == 2


def test_what_only_changes_can_be_hidden_by_a_rule(tmp_path):
    ticks = itertools.count(1)

    def now() -> dict[str, object]:
        return {"tick": next(ticks), "zone": "UTC"}

    with Recorder(source(now), tmp_path / "x.json", rules=[Rule("time", key="tick")]) as record:
        record.calls([("now", {})], repeat=3)
    assert dict(Recording.load(tmp_path / "x.json").answer("now", {})) == {"tick": 1, "zone": "UTC"}


def test_calls_that_only_their_secrets_told_apart_and_that_are_answered_otherwise_are_an_error(tmp_path):
    sessions = itertools.count(1)

    def login() -> dict[str, str]:
        return {"token": f"tok{next(sessions):04d}abc"}

    def balance(session: str) -> int:
        return int(session[3:7])

    path = tmp_path / "x.json"
    record = Recorder(source(login, balance), path)
    with (
        pytest.raises(EnvironmentFault, match=r"balance\(\{\"session\":\"<token-1>\"\}\) was answered in two ways"),
        record,
    ):
        for _ in range(2):
            record.answer("balance", {"session": record.answer("login", {})["token"]})
    assert not path.exists()
    assert len(Recording.load(tmp_path / "x.partial.json")) == 2


def test_an_error_keeps_what_was_recorded_and_lets_go_of_the_service(tmp_path):
    closed = []
    kept = source()
    kept.close = lambda: closed.append(True)
    with pytest.raises(ZeroDivisionError), Recorder(kept, tmp_path / "x.json") as record:
        record.calls([("stock", {"shelf": "A"})])
        1 / 0  # noqa: B018
    assert closed == [True]
    assert not (tmp_path / "x.json").exists()
    assert len(Recording.load(tmp_path / "x.partial.json")) == 1
    with Recorder(source(), tmp_path / "x.json") as record:
        record.calls([("stock", {"shelf": "A"})])
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_ctrl_c_keeps_what_was_recorded_and_leaves_an_older_recording_alone(tmp_path):
    (tmp_path / "x.json").write_text("the older one")
    script = textwrap.dedent(f"""
        import signal, time
        from practicum.services import CallableSource
        from practicum.services import Recorder
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell's children ignore it
        def slow(n: int) -> int:
            print(n, flush=True)
            time.sleep(0 if n < 3 else 60)
            return n
        with Recorder(CallableSource([slow]), {str(tmp_path / "x.json")!r}, overwrite=True) as record:
            record.calls([("slow", {{"n": n}}) for n in range(10)])
    """)
    env = {**os.environ, "PYTHONPATH": str(Path(practicum.__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.stdout.readline() != b"3\n":
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert b"KeyboardInterrupt" in err
    assert (tmp_path / "x.json").read_text() == "the older one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.json", "x.partial.json"]
    kept = Recording.load(tmp_path / "x.partial.json")
    assert [kept.answer("slow", {"n": n}) for n in range(3)] == [0, 1, 2]


def test_a_long_recording_is_kept_from_time_to_time(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "KEEP_S", 0.0)
    with Recorder(source(), tmp_path / "x.json") as record:
        record.calls([("stock", {"shelf": "A"})])
        time.sleep(0.001)
        record.calls([("stock", {"shelf": "AB"})])
        assert len(Recording.load(tmp_path / "x.partial.json")) == 2
    assert not (tmp_path / "x.partial.json").exists()


def test_a_recording_that_is_there_is_not_replaced_unasked(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("mine")
    with pytest.raises(EnvironmentFault, match="there is a recording already"):
        Recorder(source(), path)
    with Recorder(source(), path, overwrite=True) as record:
        record.calls([("stock", {"shelf": "A"})])
    assert len(Recording.load(path)) == 1


def test_a_place_that_cannot_be_written_is_refused_before_the_service_is_asked(tmp_path):
    (tmp_path / "file").write_text("")
    for out, message in [(tmp_path, "already"), (tmp_path / "file" / "x.json", "nothing can be written")]:
        with pytest.raises(EnvironmentFault, match=message):
            Recorder(source(), out, overwrite=True)
    with Recorder(source(), tmp_path / "new" / "folder" / "x.json") as record:
        record.calls([("stock", {"shelf": "A"})])
    assert (tmp_path / "new" / "folder" / "x.json").exists()


def test_a_known_secret_that_is_too_short_is_refused():
    with pytest.raises(EnvironmentFault, match="a known secret has 2 characters"):
        Recorder(source(), secrets=["ab"])


def test_calls_that_no_agent_could_repeat_are_reported(tmp_path):
    def echo(code: str) -> str:
        return code

    lenient = source(echo)
    strict = {"type": "object", "properties": {"code": {"type": "string", "maxLength": 4}}}
    lenient.tools = tuple(type(t)(t.name, t.description, strict) if t.name == "echo" else t for t in lenient.tools)
    with Recorder(lenient, tmp_path / "x.json") as record:
        record.calls([("echo", {"code": "1234"}), ("echo", {"code": "12345"})])
    assert record.saved.unreachable == ('echo({"code":"12345"})',)


class Desk(RecordedEnvironment):
    """Answers from the desk's recording, or live."""

    id, version = "recorded-desk", "1.0.0"

    def tasks(self, split):
        return [Task(f"T{n}", f"How severe is T{n}?", {"severity": "high" if n % 2 else "low"}) for n in (1, 2, 3)]

    def oracle(self, task):
        ticket = yield Call("get_ticket", {"ticket_id": task.id})
        reply = yield f"I look at {ticket['account_id']}"
        return f"{ticket['severity']} {reply}"

    def start(self, task):
        self.left = 1

    def next_user(self, answer):
        self.left -= 1
        return "go on" if self.left == 0 else None


def test_an_oracle_plays_live_is_recorded_and_plays_again_without_the_service(desk, tmp_path):
    with Recorder(OpenApiSource(desk.url, headers=desk.headers), tmp_path / "desk.json", only=["get_ticket"]) as record:
        live = Desk(record)
        assert record.play(live, live.tasks("train"), seed=1) == 3
    asked = dict(desk.state.asked)
    replayed = Desk(tmp_path / "desk.json")
    for task in replayed.tasks("train"):
        replayed.reset(task, 1)
        result = replayed.call("get_ticket", {"ticket_id": task.id})
        assert json.loads(result.text)["severity"] == task.answer["severity"]
        replayed.close()
    assert dict(desk.state.asked) == asked


def test_an_agent_that_plays_live_is_recorded_too(desk, tmp_path):
    with Recorder(OpenApiSource(desk.url, headers=desk.headers), tmp_path / "desk.json") as record:
        live = Desk(record)
        live.reset(live.tasks("train")[0], 1)
        assert "high" in live.call("get_ticket", {"ticket_id": "T1"}).text
        assert live.call("get_ticket", {"ticket_id": "T9"}).is_error
        assert "invalid arguments" in live.call("get_ticket", {}).text
        live.close()
    assert record.saved.calls == 2


def test_an_oracle_whose_call_fails_or_that_never_ends_stops_the_recording(tmp_path):
    class Lost(RecordedEnvironment):
        id, version = "lost", "1.0.0"

        def oracle(self, task):
            while True:
                yield Call("stock", {"shelf": task.id})

    record = Recorder(source())
    with pytest.raises(EnvironmentFault, match=r"(?s)oracle's call stock.*no shelf Z.*task Z"):
        record.play(Lost(record), [Task("Z", "x")])
    with pytest.raises(EnvironmentFault, match="more than 1000 calls"):
        record.play(Lost(record), [Task("A", "x")])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("stok", {}), "no tool 'stok'"),
        (("stock", {"shelf": float("nan")}), "not JSON"),
        ({"tool": "stock"}, "is no call"),
        ({"tool": "stock", "arguments": []}, "is no call"),
    ],
)
def test_calls_that_make_no_sense_are_refused(call, message):
    with pytest.raises(EnvironmentFault, match=message):
        Recorder(source()).calls([call])


def test_a_selection_of_tools_that_do_not_exist_is_refused():
    with pytest.raises(EnvironmentFault, match="no tool 'stok'"):
        Recorder(source(), only=["stok"])


def test_errors_of_functions_are_answers_and_lost_connections_are_none():
    def gone() -> int:
        raise ConnectionResetError("peer")

    def odd() -> object:
        return object()

    def not_a_number() -> float:
        return float("nan")

    record = Recorder(source(gone, odd, not_a_number))
    record.calls([("stock", {"shelf": "Y"}), ("stock", {"shelf": 3})])
    recording = record.recording()
    with pytest.raises(ToolError, match="KeyError: 'Y'"):
        recording.answer("stock", {"shelf": "Y"})
    with pytest.raises(ToolError, match="invalid arguments"):
        recording.answer("stock", {"shelf": 3})
    for name, message in [("gone", "got no answer"), ("odd", "not JSON"), ("not_a_number", "not JSON")]:
        with pytest.raises(EnvironmentFault, match=message):
            record.calls([(name, {})])


def test_an_error_names_no_folder_of_the_machine_it_was_recorded_on(tmp_path, monkeypatch):
    def read(name: str) -> str:
        beside = Path(__file__).with_name(name)
        return beside.read_text() + Path(name).absolute().read_text()

    monkeypatch.chdir(tmp_path)
    Path("shelf.py").write_text("x")
    record = Recorder(source(read))
    record.calls([("read", {"name": "gone.txt"}), ("read", {"name": "conftest.py"})])
    for name in ("gone.txt", "conftest.py"):
        with pytest.raises(ToolError, match=f"No such file or directory: '{name}'"):
            record.recording().answer("read", {"name": name})


def test_functions_without_types_or_with_equal_names_are_refused():
    def untyped(a) -> int:
        return a

    def many(*a: int) -> int:
        return len(a)

    def strange(a: "Nowhere") -> int:  # noqa: F821
        return 1

    def hidden(_a: int) -> int:
        return _a

    refused = [
        (hidden, "'_a' of 'hidden' begins with an underscore"),
        (untyped, "has no type"),
        (many, "variable"),
        (strange, "cannot be found"),
    ]
    for function, message in refused:
        with pytest.raises(EnvironmentFault, match=message) as fault:
            CallableSource([function])
        assert fault.value.where.startswith(f"{__file__}:")
    with pytest.raises(EnvironmentFault, match="two functions are called 'stock'"):
        CallableSource([stock, stock])
