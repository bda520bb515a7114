import ast
import io
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

import practicum
from practicum.commands import main
from practicum.display import COMMANDS, StatusLine, VisibleFormatter, say, say_line, visible, visible_within
from practicum.errors import EnvironmentFault, RecipeError
from practicum.report.sections import esc

SOURCE = Path(practicum.__file__).parent
HOSTILE = {
    "the title of a terminal": "\x1b]0;owned\x07",
    "its clipboard": "\x1b]52;c;cm0gLXJmIH4=\x1b\\",
    "a link that hides where it goes": "\x1b]8;;http://elsewhere\x1b\\bank\x1b]8;;\x1b\\",
    "a cleared screen": "\x1b[2J\x1b[H",
    "the same in one byte": "\x9b2J",
    "a device's answer typed for the user": "\x1bP$q\x1b\\",
    "a line written over": "all is well\rit is not",
    "a character taken back": "rm -rf /\x08\x08",
    "an end of text": "a\x00b",
    "an override of direction": "user\u202egnp.exe",
    "an isolate": "\u2066 }\u2069",
    "a mark of direction": "a\u200fb\u061cc",
    "an end of line for some": "a\u2028b\u2029c",
    "words in tags": "hello\U000e0069\U000e0067",
    "half a character": "\ud83d",
    "delete": "\x7f",
}


def raw(text: str) -> list[str]:
    """What in a text would still command a terminal."""
    return COMMANDS.findall(text)


@pytest.fixture
def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=60, color_system=None)


def shown_on(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_commands_a_terminal_is_shown_and_has_no_effect(text: str, terminal: Console) -> None:
    say(terminal, text, soft_wrap=True)
    assert not raw(shown_on(terminal).replace("\n", ""))
    assert "\\u" in shown_on(terminal)


@pytest.mark.parametrize("text", ["naïve – 12 €", "שלום", "مرحبا", "日本語", "👩‍🔬 🏳️‍🌈", "a\tb\nc", "", "می‌خواهم"])
def test_letters_of_any_script_emoji_tabs_and_lines_stay(text: str) -> None:
    assert visible(text) == text


@given(st.text(st.characters(codec=None)))
def test_no_text_at_all_has_power_left_and_showing_it_twice_changes_nothing(text: str) -> None:
    once = visible(text)
    assert not raw(once)
    assert visible(once) == once
    once.encode()


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_a_json_document_stays_one_and_means_the_same(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert json.loads(visible(text)) == value
    assert not raw(json.dumps(visible_within(value), ensure_ascii=False).replace("\\", ""))


def test_brackets_and_colons_of_foreign_text_are_no_markup(terminal: Console) -> None:
    say(terminal, "[bold red]a[/] [link=file:///etc/passwd]b[/link] :skull:")
    assert shown_on(terminal) == "[bold red]a[/] [link=file:///etc/passwd]b[/link] :skull:\n"


def test_tables_and_panels_are_shown_as_text_is(terminal: Console) -> None:
    table = Table(title=Text("\x1b]0;t\x07"))
    table.add_column(Text("\x9bhead"))
    table.add_row(Text("cell\u202e"))
    say(terminal, Panel(table, title=Text("\x1b[2J")))
    assert not raw(shown_on(terminal).replace("\n", ""))
    assert shown_on(terminal).count("\\u") >= 3


def test_what_is_going_on_is_shown_as_text_is(terminal: Console) -> None:
    with StatusLine(terminal, "loading \x1b]0;model\x07 [red]") as status:
        status.update("step\x9b2J [blue]")
        status._status._live.refresh()
    out = shown_on(terminal)
    assert "\x1b]0" not in out
    assert "\x9b" not in out
    assert "[blue]" in out


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_page_gets_it_without_power_too(text: str) -> None:
    assert not raw(esc(text))


def test_an_error_is_for_people_and_says_foreign_text_without_its_power() -> None:
    error = EnvironmentFault("the agent said \x1b[2J", where="http://\u202ehost", fix="ask \x07 it")
    assert not raw(str(error).replace("\n", ""))
    assert error.what == "the agent said \x1b[2J"


def test_a_recipes_own_text_does_not_reach_the_terminal_raw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text('"group\\e]0;owned\\a": 8\n')
    monkeypatch.setattr("sys.argv", ["practicum", "recipe", "explain", str(recipe)])
    with pytest.raises(SystemExit, match="1"):
        main()
    out, err = capsys.readouterr()
    assert not raw((out + err).replace("\n", ""))
    assert "owned" in err


def test_an_error_nobody_expected_is_shown_without_power(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing() -> None:
        raise ValueError("the server said \x1b]0;owned\x07")

    monkeypatch.setattr("practicum.commands.app", failing)
    with pytest.raises(SystemExit, match="1"):
        main()
    err = capsys.readouterr().err
    assert "ValueError: the server said" in err
    assert not raw(err.replace("\n", ""))


def test_log_records_are_shown_without_power() -> None:
    record = logging.LogRecord("x", logging.WARNING, "file", 1, "said %s", ("\x1b[2J",), None)
    assert VisibleFormatter().format(record) == "said \\u001b[2J"


def test_a_plain_line_has_no_width_and_no_power(capsys: pytest.CaptureFixture[str]) -> None:
    say_line("x" * 300 + "\x1b")
    assert capsys.readouterr().out == "x" * 300 + "\\u001b\n"


def test_recipe_errors_name_a_key_without_its_power() -> None:
    assert not raw(str(RecipeError("unknown key 'a\x1b[2J'", where="x\u2067")).replace("\n", ""))


def test_nothing_is_printed_or_escaped_past_the_one_way() -> None:
    """The alternatives: print, a console of one's own, its verbs, escaping for pages, writing to streams."""
    own = {SOURCE / "display.py"}
    past = [
        f"{path.relative_to(SOURCE)}:{line} {what}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path not in own and "inside" not in path.parts
        for line, what in _alternatives(ast.parse(path.read_text(encoding="utf-8")))
    ]
    allowed = {
        # For pages: the one place that escapes.
        "report/sections.py": "html.escape",
        # A report as text, for pytest's assertion: printed through say.
        "testing.py": "Console",
        # What user code wrote, in a process whose streams are a file.
        "checks/processes/work.py": "traceback.print_exc",
        # A process that starts with nothing of ours imported.
        "checks/processes/fork_server.py": "traceback.print_exc",
    }
    assert [each for each in past if not _is_allowed(each, allowed)] == []


def _is_allowed(place: str, allowed: dict[str, str]) -> bool:
    file, what = place.split(":", maxsplit=1)[0], place.split(" ")[1]
    return allowed.get(file) == what


def _alternatives(tree: ast.Module) -> list[tuple[int, str]]:
    verbs = {"print", "log", "rule", "status", "out", "print_json", "print_exception", "input"}
    named = {
        *("print", "Console", "html.escape", "rich.print", "typer.echo", "typer.secho", "click.echo", "Markup"),
        *("sys.stdout.write", "sys.stderr.write", "traceback.print_exc", "traceback.print_exception", "pprint"),
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            what = ast.unparse(node.func)
            owner, _, verb = what.rpartition(".")
            if what in named or (verb in verbs and "console" in owner.lower()):
                found.append((node.lineno, what))
    return found
