from typing import Any

from practicum.checks.differences import LINES, first_difference, unified


def transcript(**changed: Any) -> dict[str, Any]:
    result = {"name": "look", "arguments": {"name": "K1"}, "text": '{"a":1,"b":2}', "is_error": False}
    plain = {
        "tools": [{"type": "function", "function": {"name": "look"}}],
        "messages": [{"role": "system", "content": "Look."}, {"role": "user", "content": "K1?"}],
        "results": [result, result],
        "final_state": {"n": 1},
        "fault": None,
    }
    return {**plain, **changed}


def test_equal_transcripts_have_no_difference() -> None:
    assert first_difference(transcript(), transcript()) is None


def test_the_first_result_that_differs_is_named_by_number_and_call() -> None:
    changed = transcript()["results"]
    changed[1] = {**changed[1], "text": '{"a":1,"b":3}'}
    difference = first_difference(transcript(), transcript(results=changed))
    assert difference is not None
    assert difference.kind == ("result", "look")
    assert difference.place == "the result of call 2, look(name='K1')"
    shown = difference.unified("here", "there").splitlines()
    assert shown[:2] == ["--- here", "+++ there"]
    assert '- "b": 2' in shown
    assert '+ "b": 3' in shown


def test_every_part_of_a_transcript_is_compared() -> None:
    fault = {"stage": "look", "type": "KeyError", "message": "'x'", "where": ""}
    other = {
        "system_prompt": transcript(messages=[{"role": "user", "content": "K1?"}]),
        "prompt": transcript(messages=[transcript()["messages"][0], {"role": "user", "content": "K2?"}]),
        "tools": transcript(tools=[]),
        "final_state": transcript(final_state={"n": 2}),
        "fault": transcript(fault=fault),
    }
    found = {name: first_difference(transcript(), changed) for name, changed in other.items()}
    assert {name: difference and difference.part for name, difference in found.items()} == {
        name: name for name in other
    }


def test_the_order_of_keys_in_tool_schemas_counts() -> None:
    ours, theirs = {"type": "function", "name": "a"}, {"name": "a", "type": "function"}
    assert first_difference(transcript(tools=[ours]), transcript(tools=[theirs])) is not None


def test_json_that_differs_only_in_its_spelling_is_shown_as_written() -> None:
    assert '-{"a":1}' in unified('{"a":1}', '{"a": 1}', "x", "y")


def test_long_lines_are_cut_around_what_differs_and_long_diffs_are_cut() -> None:
    shown = unified("a" * 5000 + "left", "a" * 5000 + "right", "x", "y")
    assert "left" in shown
    assert "right" in shown
    assert len(shown) < 800
    many = unified("\n".join(map(str, range(500))), "\n".join(map(str, range(1000, 1500))), "x", "y").splitlines()
    assert len(many) == LINES + 1
    assert "more lines" in many[-1]
