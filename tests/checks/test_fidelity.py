"""An environment and the schema file of its production: every planted difference is found, at its line; none else."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from practicum.checks.environment import run_checks
from practicum.checks.fidelity import check_fidelity, production_file
from practicum.checks.findings import Finding
from practicum.checks.processes.client import Nursery
from practicum.checks.trial import prepare
from practicum.environment.target import load_target
from practicum.errors import EnvironmentFault
from practicum.services.production import document_of, tools_from_json_schema

DESK = '''
from typing import Annotated, Literal

from pydantic import Field

from practicum import Call, Environment, Task, ToolError, score_fields, tool

ROWS = {f"B{n}": {"shelf": "ABCDE"[n % 5], "copies": n % 4} for n in range(30)}


class Desk(Environment):
    id, version = "desk", "1.0.0"

    @tool
    def find(self, book: Annotated[str, Field(max_length=9)]) -> dict:
        """a book's shelf and copies"""
        if book not in ROWS:
            raise ToolError(f"no book {book}")
        return dict(ROWS[book])

    @tool
    def lend(self, book: Annotated[str, Field(max_length=9)], days: Annotated[int, Field(ge=1, le=30)] = 14) -> dict:
        """lend a book for some days"""
        return {"lent": book in ROWS, "days": days}

    def tasks(self, split):
        part = {"train": range(20), "validation": range(20, 25), "test": range(25, 30)}[split]
        return [Task(f"B{n}", f"Where does book B{n} stand?", dict(ROWS[f"B{n}"])) for n in part]

    def oracle(self, task):
        seen = yield Call("find", {"book": task.id})
        yield Call("lend", {"book": task.id})
        return f'<final_output>{{"shelf":"{seen["shelf"]}","copies":{seen["copies"]}}}</final_output>'


score = score_fields(tag="final_output", exact=True)
'''

BOOK = {"type": "string", "maxLength": 9}
ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
FOUND = {
    "type": "object",
    "properties": {"shelf": {"type": "string"}, "copies": {"type": "integer", "minimum": 0}},
    "required": ["shelf", "copies"],
}
PRODUCTION: dict[str, Any] = {
    "tools": {
        "find": {
            "description": "a book's shelf and copies",
            "request": {"type": "object", "properties": {"book": BOOK}, "required": ["book"]},
            "response": FOUND,
            "error": ERROR,
        },
        "lend": {
            "description": "lend a book\n for some days",
            "request": {
                "type": "object",
                "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 30}, "book": BOOK},
                "required": ["book"],
            },
            "response": {
                "type": "object",
                "properties": {"lent": {"type": "boolean"}, "days": {"type": "integer"}},
                "required": ["lent"],
            },
            "error": ERROR,
        },
    }
}

Checked = Callable[..., list[Finding]]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as made:
        yield made


@pytest.fixture
def fidelity(tmp_path: Path, nursery: Nursery) -> Checked:
    """Findings of the one check on the desk, its source or production's file changed."""

    def check(*changes: tuple[str, str], production: Any = PRODUCTION) -> list[Finding]:
        source = DESK
        for old, new in changes:
            assert old in source
            source = source.replace(old, new)
        (tmp_path / "desk.py").write_text(source, encoding="utf-8")
        file = tmp_path / "production.json"
        file.write_text(json.dumps(production), encoding="utf-8")
        target = load_target(str(tmp_path / "desk.py"))
        home = nursery.stage(target)
        try:
            return check_fidelity(prepare(target, home, {}, 1, 0, None), file)
        finally:
            home.close()

    return check


def changed(change: Callable[[Any], object]) -> Any:
    """Production's document after a change of its tools."""
    doc = copy.deepcopy(PRODUCTION)
    change(doc["tools"])
    return doc


def test_an_environment_like_its_production_passes_in_every_form_of_the_file(fidelity: Checked) -> None:
    tools = tools_from_json_schema(PRODUCTION)
    for form in ("json-schema", "openapi", "mcp"):
        assert fidelity(production=document_of(tools, form)) == []  # type: ignore[arg-type]


RETURNED = "return dict(ROWS[book])"
LINE = {"find": "    def find(", "lend": "    def lend(", "class": "class Desk("}

FAULTS = {
    "renamed tool": (("def find(", "def find_book("), ('Call("find"', 'Call("find_book"')),
    "missing tool": (
        ("    @tool\n    def lend", "    def lend"),
        ('        yield Call("lend", {"book": task.id})\n', ""),
    ),
    "extra tool": (("    def tasks", "    @tool\n    def burn(self) -> dict:\n        return {}\n\n    def tasks"),),
    "extra required argument": (
        ("days: Annotated[int, Field(ge=1, le=30)] = 14", "days: Annotated[int, Field(ge=1, le=30)]"),
        ('yield Call("lend", {"book": task.id})', 'yield Call("lend", {"book": task.id, "days": 3})'),
    ),
    "extra argument": (("] = 14) -> dict", "] = 14, note: str = '') -> dict"),),
    "type differs": (("days: Annotated[int, Field(ge=1, le=30)]", "days: Annotated[float, Field(ge=1, le=30)]"),),
    "values differ": (("days: Annotated[int, Field(ge=1, le=30)]", "days: Literal[7, 14]"),),
    "bound differs": (("Field(ge=1, le=30)", "Field(ge=1, le=60)"),),
    "bound missing": (("find(self, book: Annotated[str, Field(max_length=9)])", "find(self, book: str)"),),
    "response misses a key": (
        (RETURNED, "return {'shelf': ROWS[book]['shelf']}"),
        ('seen["copies"]', 'seen.get("copies", 0)'),
    ),
    "response of wrong type": ((RETURNED, "return {**ROWS[book], 'copies': str(ROWS[book]['copies'])}"),),
    "response out of bounds": ((RETURNED, "return {**ROWS[book], 'copies': -1 - ROWS[book]['copies']}"),),
    "response is text": (
        (RETURNED, "return f'shelf {ROWS[book]}'"),
        ('{seen["shelf"]}', "{seen}"),
        ('{seen["copies"]}', "0"),
    ),
    "response is a list": ((RETURNED, "return [ROWS[book]]"), ('seen["', 'seen[0]["')),
    "error shape differs": (
        (
            '    id, version = "desk", "1.0.0"',
            '    id, version = "desk", "1.0.0"\n    transform = Transform("e", "1", lambda tool, value: '
            '{"detail": value["error"]} if "error" in value else value)',
        ),
        ("ToolError, score", "ToolError, Transform, score"),
    ),
}
NAMED = {"missing tool": "class", "extra tool": "    def burn(", "renamed tool": "    def find_book("}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_difference_is_found_at_the_line_of_its_tool(name: str, fidelity: Checked, tmp_path: Path) -> None:
    findings = fidelity(*FAULTS[name])
    assert findings
    assert {finding.code for finding in findings} == {"ENV-FIDELITY"}
    assert any(finding.severity == "fail" for finding in findings)
    lines = (tmp_path / "desk.py").read_text(encoding="utf-8").splitlines()
    expected = NAMED.get(name)
    for finding in findings:
        file, _, number = finding.where.rpartition(":")
        line = lines[int(number) - 1]
        assert Path(file) == tmp_path / "desk.py"
        assert line.startswith(LINE.get(expected, expected) if expected else tuple(LINE.values())[:2])
        assert finding.difference
        assert finding.fix
        assert finding.why


def test_a_renamed_tool_is_one_finding_that_names_both(fidelity: Checked) -> None:
    (finding,) = fidelity(*FAULTS["renamed tool"])
    assert finding.what == "production's tool 'find' is called 'find_book' here"
    assert "- find\n+ find_book" in finding.difference


def test_what_the_agent_was_told_and_what_came_stands_in_the_finding(fidelity: Checked) -> None:
    (finding,) = fidelity(*FAULTS["response of wrong type"])
    assert "is not of type 'integer'" in finding.difference
    assert "find(book='B" in finding.difference
    assert '{"shelf":"' in finding.difference


def test_every_gap_of_a_tool_stands_in_one_finding_production_first(fidelity: Checked) -> None:
    (finding,) = fidelity(("Field(ge=1, le=30)] = 14", "Field(ge=1, le=60)] = 14, note: str = ''"))
    assert finding.difference.splitlines() == [
        "--- production.json",
        "+++ environment",
        "- days: maximum 30",
        "+ days: maximum 60",
        "- note: not there",
        "+ note: optional, string",
    ]


def test_another_description_is_a_warning_and_spaces_are_none(fidelity: Checked) -> None:
    (finding,) = fidelity(production=changed(lambda tools: tools["find"].update(description="where a book stands")))
    assert (finding.severity, finding.fix) == ("warn", "Take production's text: the agent reads it.")


def test_an_answer_with_more_than_the_schema_names_is_a_warning_where_it_may_be_more(fidelity: Checked) -> None:
    more = (RETURNED, "return {**ROWS[book], 'row': 3}")
    (finding,) = fidelity(more)
    assert finding.severity == "warn"
    assert "'row' was unexpected" in finding.difference
    (finding,) = fidelity(
        more, production=changed(lambda tools: tools["find"]["response"].update(additionalProperties=False))
    )
    assert finding.severity == "fail"
    said = changed(lambda tools: tools["find"]["response"].update(additionalProperties=True))
    assert fidelity(more, production=said) == []


def test_an_error_that_is_returned_is_as_good_as_one_that_is_raised(fidelity: Checked) -> None:
    returned = ('raise ToolError(f"no book {book}")', 'return {"error": f"no book {book}"}')
    assert fidelity(returned) == []
    other = ('raise ToolError(f"no book {book}")', 'return {"wrong": f"no book {book}"}')
    assert any("another form" in finding.what for finding in fidelity(other))


def test_a_tool_that_declared_settings_leave_out_is_not_missing_but_must_be_right(fidelity: Checked) -> None:
    shown = '\n    def tool_specs(self):\n        return {"find": self._tools["find"]}\n\n    def tasks'
    left_out = (("\n    def tasks", shown), ('        yield Call("lend", {"book": task.id})\n', ""))
    settings = ("\n    def tasks", '\n    def settings(self):\n        return {"lending": False}\n\n    def tasks')
    (missing,) = fidelity(*left_out)
    assert missing.what == "production's tool 'lend' is not there"
    assert fidelity(settings, *left_out) == []
    (wrong,) = fidelity(settings, *left_out, ("Field(ge=1, le=30)", "Field(ge=1, le=60)"))
    assert "takes other arguments" in wrong.what


def test_nothing_is_said_where_no_episode_comes_as_far_as_its_tools(fidelity: Checked) -> None:
    assert (
        fidelity(("\n    def tasks", "\n    def start(self, task):\n        raise OSError('no')\n\n    def tasks"))
        == []
    )


def test_nothing_is_said_of_answers_that_production_does_not_publish(fidelity: Checked) -> None:
    def silent(tools: Any) -> None:
        for tool in tools.values():
            del tool["response"], tool["error"]

    assert fidelity(*FAULTS["response of wrong type"], production=changed(silent)) == []


def test_the_file_is_looked_for_beside_the_environment_unless_one_is_given(tmp_path: Path) -> None:
    assert production_file(tmp_path) is None
    (tmp_path / "production.yaml").write_text("tools: {}")
    assert production_file(tmp_path) == tmp_path / "production.yaml"
    assert production_file(tmp_path, Path("other.json")) == Path("other.json")


def test_the_whole_check_compares_where_there_is_a_file_and_says_where_it_is_broken(
    tmp_path: Path, nursery: Nursery
) -> None:
    (tmp_path / "desk.py").write_text(DESK.replace("Field(ge=1, le=30)", "Field(ge=1, le=60)"), encoding="utf-8")
    target = load_target(str(tmp_path / "desk.py"))
    file = tmp_path / "published.json"
    file.write_text(json.dumps(PRODUCTION), encoding="utf-8")
    assert "ENV-FIDELITY" not in run_checks(target, tasks_per_split=1, nursery=nursery).checks
    report = run_checks(target, tasks_per_split=1, production=file, nursery=nursery)
    assert report.codes == {"ENV-FIDELITY"}
    file.write_text('{"tools": {"find": {}}}', encoding="utf-8")
    with pytest.raises(EnvironmentFault, match=r"published\.json:1"):
        run_checks(target, tasks_per_split=1, production=file, nursery=nursery)
