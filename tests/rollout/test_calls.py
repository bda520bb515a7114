"""Tool calls as text: what is written is read back, and whatever else a model writes is met calmly."""

import json
import keyword

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from renderers.base import ToolCallParseStatus

from practicum.rollout.calls import MAX_CALL_TEXT, call_text, parse_calls, tools_text

OK = ToolCallParseStatus.OK

texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))


@st.composite
def calls_and_tools(draw):
    """Calls to declared and undeclared tools, some with arguments beside their schema."""
    tools = []
    for name in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        fields = draw(st.lists(names, max_size=3, unique=True))
        schema = {"type": "object", "properties": {field: {"type": "string"} for field in fields}}
        tools.append({"type": "function", "function": {"name": name, "parameters": schema}})
    calls = []
    for _ in range(draw(st.integers(1, 3))):
        tool = draw(st.sampled_from(tools))["function"]
        name = draw(st.just(tool["name"]) | names)
        declared = list(tool["parameters"]["properties"])
        keys = draw(st.lists(st.sampled_from(declared), unique=True)) if declared else []
        keys += draw(st.lists(names.filter(lambda key, taken=tuple(keys): key not in taken), max_size=1))
        calls.append((name, {key: draw(json_values) for key in keys}))
    return calls, tools


def as_messages(calls):
    return [
        {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for i, (name, arguments) in enumerate(calls)
    ]


@pytest.mark.parametrize("style", ["pythonic", "hermes"])
@given(calls_and_tools())
@settings(max_examples=80, deadline=None)
def test_a_written_call_is_read_back(style, drawn):
    calls, tools = drawn
    text = call_text(as_messages(calls), style)
    if len(text) > MAX_CALL_TEXT:
        return
    prose, parsed = parse_calls(text, tools, style)
    assert prose == ""
    assert [(call.name, call.arguments, call.status) for call in parsed] == [(*call, OK) for call in calls]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[get_ticket("T1")]', [("get_ticket", {"ticket_id": "T1"})]),
        (" \n[ get_ticket( 'T1' ) ]\n", [("get_ticket", {"ticket_id": "T1"})]),
        ('[get_ticket(ticket_id="T1")]', [("get_ticket", {"ticket_id": "T1"})]),
        (
            '[get_ticket("T1"), search("a", 3)]',
            [("get_ticket", {"ticket_id": "T1"}), ("search", {"text": "a", "limit": 3})],
        ),
        ('[search("a", limit=-2.5)]', [("search", {"text": "a", "limit": -2.5})]),
        ("[get_ticket()]", [("get_ticket", {})]),
        ('[get_ticket("T1",)]', [("get_ticket", {"ticket_id": "T1"})]),
        ('[get_ticket("T1", "T2")]', [("get_ticket", {"ticket_id": "T1", "argument_2": "T2"})]),
        (
            "[unknown(1, [True, None], {'a': 2})]",
            [("unknown", {"argument_1": 1, "argument_2": [True, None], "argument_3": {"a": 2}})],
        ),
        ('[get_ticket("Grüße 漢字 \\n")]', [("get_ticket", {"ticket_id": "Grüße 漢字 \n"})]),
        ('[get_ticket("a" "b")]', [("get_ticket", {"ticket_id": "ab"})]),
    ],
)
def test_pythonic_calls(lookup_tools, text, expected):
    prose, parsed = parse_calls(text, lookup_tools, "pythonic")
    assert prose == ""
    assert [(call.name, call.arguments) for call in parsed] == expected
    assert {call.status for call in parsed} == {OK}


MALFORMED = [
    "[get_ticket(",
    "[get_ticket('T1')",
    "[get_ticket('T1')] and then",
    "[get_ticket('T1'), 5]",
    "[get_ticket('T1'), not a call]",
    "[get_ticket(x)]",
    "[get_ticket(open('/etc/passwd'))]",
    "[get_ticket(__import__('os').system('true'))]",
    "[get_ticket(*['T1'])]",
    "[get_ticket(**{'ticket_id': 'T1'})]",
    "[get_ticket('T1', ticket_id='T2')]",
    "[get_ticket(ticket_id='T1', ticket_id='T2')]",
    "[get_ticket({1, 2})]",
    "[get_ticket(b'T1')]",
    "[get_ticket(...)]",
    "[get_ticket(1e999)]",
    "[get_ticket(2j)]",
    "[get_ticket({(1, 2): 3})]",
    "[get_ticket('\\ud800')]",
    "[get_ticket(f'{1}')]",
    "[get_ticket('T1') for x in y]",
    "[get_ticket('T1') if x else y]",
    "[get_ticket('a\x00b')]",
    "[get_ticket(" + "[" * 500 + "]" * 500 + ")]",
    "[get_ticket(" + "-" * 4000 + "1)]",
    "[get_ticket(" + "9" * 5000 + ")]",
    "[get_ticket('" + "x" * MAX_CALL_TEXT + "')]",
    "[a(" * 200,
]


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_a_malformed_pythonic_attempt_stays_text_and_is_reported(lookup_tools, text):
    prose, parsed = parse_calls(text, lookup_tools, "pythonic")
    assert prose == text
    assert [call.status for call in parsed] == [ToolCallParseStatus.MALFORMED_STRUCTURE]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "billing",
        "[]",
        "[1, 2]",
        "[see below](link)",
        "get_ticket('T1')",
        "I call [get_ticket('T1')]",
        "[]()",
        "[get_ticket]",
    ],
)
def test_text_that_is_no_call_is_text(lookup_tools, text):
    assert parse_calls(text, lookup_tools, "pythonic") == (text, [])
    assert parse_calls(text, lookup_tools, "hermes") == (text, [])


@pytest.mark.parametrize("text", ['[get_ticket("T1")]', '<tool_call>{"name": "get_ticket"}</tool_call>'])
def test_without_tools_nothing_is_a_call(text):
    for style in ("pythonic", "hermes"):
        assert parse_calls(text, [], style) == (text, [])


def test_hermes_calls_between_prose(lookup_tools):
    text = (
        'Let me look.\n<tool_call>\n{"name": "get_ticket", "arguments": {"ticket_id": "T1"}}\n</tool_call>\n'
        '<tool_call>{"name": "search"}</tool_call> Done.'
    )
    prose, parsed = parse_calls(text, lookup_tools, "hermes")
    assert prose == "Let me look.\n\n Done."
    assert [(c.name, c.arguments, c.status) for c in parsed] == [
        ("get_ticket", {"ticket_id": "T1"}, OK),
        ("search", {}, OK),
    ]


@pytest.mark.parametrize(
    ("inside", "status"),
    [
        ("", "INVALID_JSON"),
        ("{", "INVALID_JSON"),
        ("not json", "INVALID_JSON"),
        ("[" * 100_000, "INVALID_JSON"),
        ("[]", "MISSING_NAME"),
        ("7", "MISSING_NAME"),
        ('{"arguments": {}}', "MISSING_NAME"),
        ('{"name": 7, "arguments": {}}', "MISSING_NAME"),
        ('{"name": "search", "arguments": "text"}', "MALFORMED_STRUCTURE"),
        ('{"name": "search", "arguments": [1]}', "MALFORMED_STRUCTURE"),
        ('{"name": "search", "arguments": null}', "MALFORMED_STRUCTURE"),
        ('{"name": "search", "arguments": {"limit": NaN}}', "MALFORMED_STRUCTURE"),
        ('{"name": "search", "arguments": {"limit": 1e999}}', "MALFORMED_STRUCTURE"),
        ('{"name": "search", "arguments": {"text": "\\ud800"}}', "MALFORMED_STRUCTURE"),
    ],
    ids=range(14),
)
def test_a_malformed_hermes_attempt_is_reported_beside_a_good_one(lookup_tools, inside, status):
    good = '<tool_call>{"name": "search", "arguments": {"text": "x"}}</tool_call>'
    _, parsed = parse_calls(f"<tool_call>{inside}</tool_call>{good}", lookup_tools, "hermes")
    assert [call.status for call in parsed] == [ToolCallParseStatus[status], OK]


def test_an_unclosed_hermes_call_is_reported(lookup_tools):
    _, parsed = parse_calls('<tool_call>{"name": "search", "arguments": {}}', lookup_tools, "hermes")
    assert [call.status for call in parsed] == [ToolCallParseStatus.UNCLOSED_BLOCK]


def test_a_mark_within_a_string_neither_opens_nor_closes_a_hermes_call(lookup_tools):
    arguments = {"text": "</tool_call> ' <tool_call>"}
    text = "<tool_call>" + json.dumps({"name": "search", "arguments": arguments}) + "</tool_call> Done."
    prose, (call,) = parse_calls(text, lookup_tools, "hermes")
    assert (prose, call.arguments, call.status) == ("Done.", arguments, OK)


@pytest.mark.parametrize("inside", ["", "{", '{"name": "search", "arguments": [1]}', '{"name": "search"} and more'])
def test_a_malformed_hermes_attempt_stays_in_the_prose(lookup_tools, inside):
    text = f"Let me look. <tool_call>{inside}</tool_call> Done."
    prose, (call,) = parse_calls(text, lookup_tools, "hermes")
    assert prose == text
    assert call.raw == f"<tool_call>{inside}</tool_call>"


PIECES = [
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    '"',
    "'",
    ",",
    "=",
    ":",
    "-",
    "1",
    "\\",
    "\\u",
    "\\x",
    "é",
    "\n",
    "\x00",
    "\ud800",
]
PIECES += ["get_ticket", "search", "ticket_id", "lambda", "NaN"]
PIECES += ["<tool_call>", "</tool_call>", '{"name": "search", "arguments": ']
pieces = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


@pytest.mark.parametrize("style", ["pythonic", "hermes"])
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
@given(text=st.text(max_size=60) | pieces | pieces.map("[get_ticket({}".format))
@settings(max_examples=150, deadline=None)
def test_no_text_makes_reading_fail(style, text):
    schema = {"properties": {"ticket_id": {}}}
    tools = [{"type": "function", "function": {"name": "get_ticket", "parameters": schema}}]
    prose, parsed = parse_calls(text, tools, style)
    assert isinstance(prose, str)
    for call in parsed:
        if call.status == OK:
            assert isinstance(call.name, str)
            json.dumps(call.arguments, allow_nan=False, ensure_ascii=False).encode()
        else:
            assert call.raw


def test_the_tools_are_told_in_few_words_or_as_schemas(lookup_tools):
    assert tools_text(lookup_tools, "pythonic").splitlines() == [
        "Tools:",
        "get_ticket(ticket_id): the get_ticket",
        "search(text, limit): the search",
        'To call one, reply only with [name(parameter="value")].',
    ]
    told = tools_text(lookup_tools, "hermes")
    inside = told.split("<tools>\n")[1].split("\n</tools>")[0]
    assert [json.loads(line) for line in inside.splitlines()] == lookup_tools


def test_arguments_a_client_sends_in_odd_forms_are_still_written():
    def written(arguments):
        return call_text([{"function": {"name": "get_ticket", "arguments": arguments}}], "pythonic")

    assert written({"from": "a", "x-y": 1, "limit": 2}) == '[get_ticket(limit=2, **{"from": "a", "x-y": 1})]'
    assert written({"ticket_id": "T1"}) == '[get_ticket(ticket_id="T1")]'
    assert written('{"ticket_id": "T1"}') == '[get_ticket(ticket_id="T1")]'
    assert written("") == "[get_ticket()]"
    assert written("not json") == '[get_ticket(arguments="not json")]'


@pytest.mark.parametrize("name", ["get-ticket", "import", "1st", "a b"])
def test_a_tool_that_could_never_be_called_is_refused_by_name(name):
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}]
    with pytest.raises(ValueError, match="Rename the tool"):
        tools_text(tools, "pythonic")
    assert name in tools_text(tools, "hermes")


def test_an_argument_whose_name_python_would_write_otherwise_arrives_under_its_own():
    calls = [{"function": {"name": "get", "arguments": {"\u00b5": 1}}}]
    (parsed,) = parse_calls(call_text(calls, "pythonic"), [{"function": {"name": "get"}}], "pythonic")[1]
    assert parsed.arguments == {"\u00b5": 1}
