"""Field scores are strict: exactly one block, exactly the fields, equal types and values."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from practicum.errors import RolloutError
from practicum.scoring import FieldScore, judge, score_fields
from practicum.scoring.fields import same, tagged_object
from practicum.tasks import Task
from practicum.trajectory import Rollout

LABEL = {"queue": "billing", "hours": 4, "urgent": True}
RIGHT = '<final_output>{"queue":"billing","hours":4,"urgent":true}</final_output>'

exact = score_fields(tag="final_output", exact=True)
partial = score_fields(tag="final_output", partial=True)


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        f"  \n{RIGHT}\n",
        '<final_output>\n{ "urgent": true, "hours": 4.0,\n "queue": "billing" }\n</final_output>',
        '<final_output>{"queue":"bill\\u0069ng","hours":4e0,"urgent":true}</final_output>',
    ],
)
def test_right_answers(finished, answer):
    value, components = exact(finished(answer, LABEL))
    assert value == 1.0
    assert components == {"format": 1, "exact": 1, "field/queue": 1, "field/hours": 1, "field/urgent": 1}
    assert partial(finished(answer, LABEL))[0] == 1.0


WRONG_FORM = [
    "",
    "billing",
    "<final_output></final_output>",
    "<final_output>{}</final_output>",
    '{"queue":"billing","hours":4,"urgent":true}',
    f"The answer is {RIGHT}",
    f"{RIGHT} I hope this helps.",
    RIGHT + RIGHT,
    RIGHT.replace("</final_output>", ""),
    RIGHT.replace("final_output", "FINAL_OUTPUT"),
    RIGHT.replace("<final_output>", "<final_output attr='1'>"),
    f"<final_output>{RIGHT}</final_output>",
    RIGHT + "</final_output>",
    RIGHT.replace("{", "[{").replace("}", "}]"),
    RIGHT.replace("true}", "true,}"),
    RIGHT.replace("true", "True"),
    RIGHT.replace('"hours":4', '"hours":4,"hours":4'),
    RIGHT.replace('"hours":4', '"hours":5,"hours":4'),
    RIGHT.replace("4", "NaN"),
    RIGHT.replace("4", "Infinity"),
    RIGHT.replace('"urgent":true', '"urgent":true,"extra":1'),
    RIGHT.replace(',"urgent":true', ""),
    RIGHT.replace('"queue"', '"Queue"'),
    "<final_output>" + "[" * 100_000 + "</final_output>",
    "<final_output>" + '{"a":' * 100_000 + "</final_output>",
    "<final_output>" + "9" * 5_000 + "</final_output>",
]


@pytest.mark.parametrize("answer", WRONG_FORM, ids=range(len(WRONG_FORM)))
def test_an_answer_of_the_wrong_form_earns_nothing(finished, answer):
    for rule in (exact, partial):
        value, components = rule(finished(answer, LABEL))
        assert (value, components["format"], components["exact"]) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("field", "written"),
    [
        ("queue", '"Billing"'),
        ("queue", '"billing "'),
        ("queue", '"bill"'),
        ("queue", '["billing"]'),
        ("queue", "null"),
        ("queue", '""'),
        ("hours", '"4"'),
        ("hours", "4.5"),
        ("hours", "[4]"),
        ("hours", "true"),
        ("urgent", "1"),
        ("urgent", '"true"'),
        ("urgent", "false"),
        ("urgent", "null"),
    ],
)
def test_a_field_of_another_type_or_value_is_wrong(finished, field, written):
    fields = {key: json.dumps(value) for key, value in LABEL.items()} | {field: written}
    body = ",".join(f'"{key}":{value}' for key, value in fields.items())
    rollout = finished(f"<final_output>{{{body}}}</final_output>", LABEL)
    value, components = exact(rollout)
    assert value == 0.0
    assert {name: components[f"field/{name}"] for name in LABEL} == {name: float(name != field) for name in LABEL}
    # 0.1 for the form, two thirds of the 0.4 for fields, none of the 0.5 for all of them
    assert partial(rollout)[0] == pytest.approx(0.1 + 0.4 * 2 / 3)


SAME = [(1, 1.0), ("a", "a"), (None, None), ([1, "a"], [1.0, "a"]), ({"a": [True]}, {"a": [True]}), (0, 0.0)]
DIFFERENT = [
    (True, 1),
    (1, True),
    (False, 0),
    (0, False),
    (None, "null"),
    (None, False),
    (None, 0),
    ("", None),
    ("1", 1),
    ([], None),
    ([1, 2], [2, 1]),
    ([1], 1),
    ([[1]], [1]),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": 1, "b": 2}, {"a": 1}),
    ({"a": {"b": True}}, {"a": {"b": 1}}),
    ([True], [1]),
    ("a", ["a"]),
    ({}, []),
    (float("nan"), float("nan")),
]


@pytest.mark.parametrize(("given_", "label"), SAME)
def test_equal_values(given_, label):
    assert same(given_, label)
    assert same(label, given_)


@pytest.mark.parametrize(("given_", "label"), DIFFERENT)
def test_values_that_are_not_equal(given_, label):
    assert not same(given_, label)
    assert not same(label, given_)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(min_size=1, max_size=5), values, min_size=1, max_size=4), st.data())
@settings(max_examples=80, deadline=None)
def test_any_label_written_as_json_is_right_and_partial_credit_counts_fields(label, data):
    if any("<final_output>" in text for text in map(str, [*label, *label.values()])):
        return
    spoilt = data.draw(st.sets(st.sampled_from(sorted(label))))
    answer = {key: {"another": value} if key in spoilt else value for key, value in label.items()}
    text = f"<final_output>{json.dumps(answer)}</final_output>"
    rollout = Rollout(Task("t", "p", label), [{"role": "assistant", "content": text}], [], {}, "final")
    right = len(label) - len(spoilt)
    assert exact(rollout)[0] == float(not spoilt)
    assert partial(rollout)[0] == pytest.approx(0.1 + 0.5 * (not spoilt) + 0.4 * right / len(label))
    assert 0.0 <= partial(rollout)[0] <= 1.0


def test_only_the_assistants_last_message_counts(finished):
    final = {"role": "assistant", "content": RIGHT}
    asked = {"role": "user", "content": RIGHT}
    with_call = {**final, "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}
    for messages in ([], [asked], [final, asked], [with_call], [final, {"role": "assistant", "content": "bye"}]):
        assert exact(finished("", LABEL, messages=messages))[0] == 0.0
    blocks = {"role": "assistant", "content": [{"type": "text", "text": RIGHT[:20]}, {"text": RIGHT[20:]}]}
    assert exact(finished("", LABEL, messages=[asked, blocks]))[0] == 1.0


@pytest.mark.parametrize("label", [None, {}])
def test_a_task_without_an_answer_cannot_be_scored(finished, label):
    rollout = finished("<final_output>{}</final_output>", label)
    with pytest.raises(RolloutError, match="task 't1' has no answer to compare with"):
        asyncio.run(judge(exact, rollout))


@pytest.mark.parametrize("how", [{}, {"exact": True, "partial": True}])
def test_exactly_one_kind_is_asked_for(how):
    with pytest.raises(ValueError, match="either exact=True or partial=True"):
        score_fields(tag="x", **how)


@pytest.mark.parametrize("tag", ["", "a b", "a|b", ".*", "1a", "<x>"])
def test_a_tag_is_a_name(tag):
    with pytest.raises(ValueError, match="the tag must be a name"):
        score_fields(tag=tag, exact=True)


def test_the_digest_follows_the_rule():
    rules = [exact, partial, score_fields(tag="answer", exact=True), FieldScore("final_output", True, 0.2)]
    assert len({rule.digest for rule in rules}) == 4
    assert score_fields(tag="final_output", exact=True).digest == exact.digest


def test_the_object_in_a_tag():
    assert tagged_object('<t>{"a": 1}</t>', "t") == {"a": 1}
    assert tagged_object('<t>{"a": 1}</t>', "u") is None
