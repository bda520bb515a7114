"""Digests of users' environments stay what they were, whichever of Practicum's own files move.

The expected values were written on 2026-11-30, before the rooms were rearranged; a run made then must still know its
environment. The environments import what they subclass by the names of that day.
"""

import importlib
import json
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from practicum.environment.parts import parts_of

PLAIN_SERVER = Path(__file__).parents[1] / "bridges" / "plain_server.py"

FILES = {
    "desks/helper.py": "LIMIT = 3\n",
    "desks/fixtures/tickets.json": '{"T1": {"state": "open"}}\n',
    "desks/one_file.py": """
        from practicum import Environment, Transform, persist, read_only, tool

        class Desk(Environment):
            id, version = "desk", "1.0.0"
            transform = Transform("plain", "2", lambda data: data)
            seen, rules = persist(list, "1"), read_only(dict)

            @tool
            def look(self, key: str) -> dict:
                "a record"
                return {"key": key}
        """,
    "desks/packaged.py": """
        from practicum.environment import Environment, tool
        from .helper import LIMIT

        class Desk(Environment):
            id, version = "packaged", "1.0.0"

            @tool
            def look(self, key: str, most: int = LIMIT) -> dict:
                "a record"
                return {"key": key}
        """,
    "desks/answers.json": json.dumps(
        {
            "format": "practicum-recording/1",
            "source": "test",
            "tools": {"get": {"description": "look up", "request": {"type": "object"}}},
            "calls": [{"tool": "get", "arguments": {}, "result": {"a": [1, 2.5]}}],
        }
    ),
    "desks/recorded.py": """
        from practicum.environment.recording import RecordedEnvironment

        class Desk(RecordedEnvironment):
            id, version = "recorded", "1.0.0"
            recording = "answers.json"
        """,
    "desks/lake.py": """
        from practicum.environment.faces import GymnasiumEnvironment

        class Desk(GymnasiumEnvironment):
            def __init__(self):
                super().__init__("FrozenLake-v1", game_args={"render_mode": "ansi"}, id="lake", version="1.0.0",
                                 actions=["left", "down", "right", "up"],
                                 sizes={"train": 6, "validation": 3, "test": 3})
        """,
    "desks/notes.py": """
        import os
        import sys
        from practicum.environment.faces import McpEnvironment

        class Desk(McpEnvironment):
            id, version = "notes", "1.2.0"
            command = (sys.executable, "-I", "-S", os.environ["PLAIN_SERVER"], "{seed}")
        """,
}


@pytest.fixture
def load(tmp_path, monkeypatch):
    """The class ``Desk`` of one of the files, in a package of its own."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    (tmp_path / "desks" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PLAIN_SERVER", str(PLAIN_SERVER))
    yield lambda module: importlib.import_module(f"desks.{module}").Desk
    for name in [name for name in sys.modules if name.partition(".")[0] == "desks"]:
        del sys.modules[name]


@pytest.mark.filterwarnings("ignore:practicum:DeprecationWarning")
@pytest.mark.parametrize(
    ("module", "digest"),
    [
        ("one_file", "034ff029350dff4de33577bd2bb103e89ec90134ea9397d33a8ad918851993df"),
        ("packaged", "29bcfc421baa46aedf5fefcc76408973f750e3107b69b0337220e2b65e7e033d"),
        ("recorded", "3bad44d6405c00fcd5ec3dfbd3584037dbd180c7ac1615b150e75273b38967c6"),
        ("lake", "c0e06d7493c0efa2eaa01df744e944452d4ecb224b56f9ff41e4406c2a42b90b"),
    ],
)
def test_an_environment_has_the_digest_it_had(load, module, digest):
    assert load(module)().digest == digest


@pytest.mark.filterwarnings("ignore:practicum:DeprecationWarning")
def test_an_environment_behind_a_server_has_the_parts_it_had(load):
    notes = load("notes")()
    try:
        parts = {name: part.digest[:12] for name, part in parts_of(notes).items() if name != "settings"}
    finally:
        notes.close()
    assert parts == {
        "class": "b5094c3cab07",
        "code/notes.py": "4523b8dbcfd4",
        "fixtures/tickets.json": "d957318912c6",
        "schemas": "33fd7623cbb8",
        "state": "4f53cda18c2b",
        "transform": "74234e98afe7",
    }
