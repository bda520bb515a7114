"""``practicum record``: OpenAPI services, MCP servers and Python modules, with their errors."""

import json
import sys
from pathlib import Path

import pytest

from practicum.commands.record import read_calls, record_command
from practicum.errors import EnvironmentFault
from practicum.services import EMAILS, Recording

PLAIN = Path(__file__).parents[1] / "bridges" / "plain_server.py"


@pytest.fixture
def calls(tmp_path):
    def write(*listed):
        path = tmp_path / "calls.jsonl"
        path.write_text("\n".join(json.dumps({"tool": tool, "arguments": arguments}) for tool, arguments in listed))
        return path

    return write


def test_a_service_over_http(desk, calls, tmp_path, monkeypatch):
    monkeypatch.setenv("DESK_KEY", desk.headers["Authorization"].removeprefix("Bearer "))
    told = []
    saved = record_command(
        "openapi",
        desk.url,
        calls(("get_ticket", {"ticket_id": "T1"}), ("login", {"user": "ann", "password": "correct-horse-1"})),
        tmp_path / "desk.json",
        headers=["Authorization: Bearer ${DESK_KEY}"],
        only=["get_ticket", "login"],
        repeat=2,
        keys=["person=user"],
        emails=True,
        progress=lambda done, of: told.append((done, of)),
    )
    assert (saved.calls, saved.tools) == (2, 2)
    assert told == [(1, 2), (2, 2)]
    recording = Recording.load(tmp_path / "desk.json")
    assert dict(recording.answer("login", {"user": "<person-1>", "password": "<password-1>"})) == {
        "access_token": "<token-1>",
        "mail": "<email-1>",
    }
    assert {"person", EMAILS.name} < set(recording.redaction)
    assert desk.state.asked["/tickets/T1"] == 2


def test_an_mcp_server(calls, tmp_path, monkeypatch):
    monkeypatch.setenv("NOTES_KEY", "key-5566")
    command = f"{sys.executable} -I -S {PLAIN} 7"
    listed = calls(("link", {}), ("seed", {}))
    saved = record_command("mcp", command, listed, tmp_path / "x.json", only=["link", "seed"], inherit=["NOTES_KEY"])
    assert (saved.calls, saved.tools) == (2, 2)
    recording = Recording.load(tmp_path / "x.json")
    assert recording.answer("seed", {}).startswith("seed 7 key <secret-1> home")
    assert recording.answer("link", {}) == "[resource file:///notes.txt]"


def test_python_functions(calls, tmp_path, monkeypatch):
    (tmp_path / "stocks.py").write_text(
        "import json\ndef pears(shelf: str) -> int:\n    return len(shelf)\ndef _own(): ...\nclass Odd: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    listed = calls(("pears", {"shelf": "AB"}))
    assert record_command("python", "stocks", listed, tmp_path / "a.json").tools == 1
    assert record_command("python", "stocks:pears", listed, tmp_path / "b.json").calls == 1
    assert (tmp_path / "a.json").read_text().replace("python: stocks", "python: stocks:pears") == (
        tmp_path / "b.json"
    ).read_text()


@pytest.mark.parametrize(
    ("raised", "message"),
    [("ConnectionError('gone')", "late got no answer"), ("KeyboardInterrupt", "interrupted")],
)
def test_what_stops_a_recording_is_told_with_the_place_where_it_is_kept(calls, tmp_path, monkeypatch, raised, message):
    (tmp_path / "lateness.py").write_text(
        f"def late(n: int) -> int:\n    if n > 1:\n        raise {raised}\n    return n\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lateness", raising=False)
    listed = calls(*(("late", {"n": n}) for n in range(4)))
    with pytest.raises(EnvironmentFault, match=message) as fault:
        record_command("python", "lateness", listed, tmp_path / "x.json")
    assert f"2 calls are kept in {tmp_path / 'x.partial.json'}" in fault.value.fix
    assert len(Recording.load(tmp_path / "x.partial.json")) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"headers": ["no colon"]}, "has no name"),
        ({"headers": ["A: ${NOT_SET_HERE}"]}, "needs the environment variable NOT_SET_HERE"),
        ({"inherit": ["NOT_SET_HERE"]}, "needs the environment variable NOT_SET_HERE"),
        ({"keys": ["token"]}, "is no rule"),
        ({"keys": ["token=("]}, "no regular expression"),
        ({"kind": "soap"}, "'soap' cannot be recorded"),
        ({"kind": "python", "target": "no_such_module"}, "cannot be imported"),
        ({"kind": "python", "target": "json:nothing"}, "has no function 'nothing'"),
        ({"only": ["put_ticket"]}, "no tool 'put_ticket'"),
    ],
)
def test_wrong_options_are_clear_errors_before_anything_is_asked(desk, calls, tmp_path, change, message):
    given = {"kind": "openapi", "target": desk.url, "calls": calls(("now", {})), "out": tmp_path / "x.json", **change}
    with pytest.raises(EnvironmentFault, match=message):
        record_command(given.pop("kind"), given.pop("target"), given.pop("calls"), given.pop("out"), **given)
    assert desk.state.asked["/now"] == 0


def test_a_header_that_is_no_header_is_not_repeated_in_the_error(calls, tmp_path):
    with pytest.raises(EnvironmentFault) as fault:
        record_command("openapi", "http://x", calls(("a", {})), tmp_path / "x.json", headers=["Bearer s3cret55"])
    assert "s3cret55" not in str(fault.value)


def test_an_existing_file_is_replaced_only_by_force(desk, calls, tmp_path):
    out = tmp_path / "x.json"
    out.write_text("mine")
    headers = [f"Authorization: {desk.headers['Authorization']}"]
    listed = calls(("get_ticket", {"ticket_id": "T1"}))
    with pytest.raises(EnvironmentFault, match="--force"):
        record_command("openapi", desk.url, listed, out, headers=headers)
    assert sum(desk.state.asked.values()) == 0
    record_command("openapi", desk.url, listed, out, headers=headers, force=True)
    assert len(Recording.load(out)) == 1


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ('{"tool": "a", "arguments": {}}\n\n{', "broken JSON", 3),
        ('{"tool": "a"}', "this line is no call", 1),
        ("[1]", "this line is no call", 1),
        ("\n", "there are no calls", None),
    ],
)
def test_broken_files_of_calls_name_the_line(tmp_path, text, message, line):
    path = tmp_path / "calls.jsonl"
    path.write_text(text)
    with pytest.raises(EnvironmentFault, match=message) as fault:
        read_calls(path)
    assert fault.value.where == (f"{path}:{line}" if line else str(path))
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        read_calls(tmp_path / "none.jsonl")
