"""Attacks are made from the task's own labels, and none earns more than chance from a strict judge."""

import asyncio
import json
from collections import Counter

import pytest

from practicum.checks.attacks import FAMILIES, PlayedTask, attack, material_of, search
from practicum.checks.attacks.material import AnswerForm, agreement, answered
from practicum.scoring import score_fields, score_state
from practicum.tasks import Task
from practicum.trajectory import Rollout, ToolCall

COLOURS = ["red"] * 6 + ["green"] * 3 + ["blue"]
exact = score_fields("answer", exact=True)
partial = score_fields("answer", partial=True)


def written(label):
    return f"<answer>{json.dumps(label)}</answer>"


def case_of(n, label, answer=None, state=None):
    task = Task(f"t{n}", f"What of box {n}?", label)
    opening = [{"role": "system", "content": "Answer in <answer>"}, {"role": "user", "content": task.prompt}]
    idle = answered(Rollout(task, opening, [], {}, "final"), "")
    calls = [ToolCall("c", "look", {"box": n}, json.dumps(label))]
    function = {"name": "look", "arguments": "{}"}
    worked = [
        *opening,
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": function}]},
        {"role": "tool", "tool_call_id": "c", "content": json.dumps(label)},
    ]
    solved = answered(Rollout(task, worked, calls, state or {}, "final"), written(label) if answer is None else answer)
    return PlayedTask(idle, solved)


def boxes():
    return material_of([case_of(n, {"colour": colour, "n": n % 2, "big": n < 5}) for n, colour in enumerate(COLOURS)])


def run(function, material, purpose="score", **more):
    return asyncio.run(attack(function, material, purpose=purpose, **more))


def test_there_are_more_than_20_families_and_each_has_its_name():
    assert len(FAMILIES) >= 30
    assert max(Counter(family.name for family in FAMILIES).values()) == 1
    assert all(family.tries for family in FAMILIES)


def test_a_strict_score_and_its_partial_reward_give_no_attack_more_than_chance():
    for purpose, function in (("score", exact), ("reward", partial)):
        report = run(function, boxes(), purpose)
        assert report.beaten == ()
        assert report.raising == ()
        assert set(report.oracle) == {1.0}


def test_chance_is_the_share_of_tasks_that_have_the_label():
    material = material_of([case_of(n, {"colour": colour}) for n, colour in enumerate(COLOURS)])
    results = {(r.family, r.variant): r for r in run(exact, material).results}
    for n, share in enumerate((0.6, 0.3, 0.1), start=1):
        found = results["constant", f"label {n}"]
        assert found.earned == pytest.approx(share)
        assert found.allowed == pytest.approx(share)
        assert found.full_allowed == pytest.approx(share)
    rewards = {(r.family, r.variant): r for r in run(partial, material, "reward").results}
    # A reward may pay a tenth more for form.
    assert rewards["constant", "label 1"].allowed == pytest.approx(0.1 + 0.9 * 0.6)
    assert rewards["most-frequent", ""].allowed == pytest.approx(0.1 + 0.9 * 0.6)


def test_the_benchmarks_comparator_is_beaten_and_the_answers_that_beat_it_are_shown():
    def lenient(rollout):
        def plain(value):
            text = str(value).strip().lower()
            return "" if text in ("null", "none", "unknown") else text

        given = AnswerForm("<answer>", "</answer>", True).read(rollout.answer)
        pairs = [(plain((given or {}).get(name)), plain(value)) for name, value in rollout.task.answer.items()]
        return float(given is not None and all(one in other or other in one for one, other in pairs))

    report = run(lenient, boxes())
    beaten = {result.family: result for result in report.beaten}
    assert beaten["null-like"].full == 1.0
    assert beaten["null-like"].full_allowed == 0.0
    assert "null" in beaten["null-like"].example.answer or '""' in beaten["null-like"].example.answer
    assert {"all-labels", "other-case", "padded"} <= set(beaten)
    assert beaten["null-like"].example.earned == 1.0


def test_a_score_that_raises_is_reported_beside_what_earned():
    def score(rollout):
        return float(
            json.loads(rollout.answer.removeprefix("<answer>").removesuffix("</answer>")) == rollout.task.answer
        )

    report = run(score, boxes())
    assert "empty" in {result.family for result in report.raising}
    assert not report.raising[0].out_of_range
    ranged = run(lambda rollout: 3.0, boxes())
    assert all(result.out_of_range for result in ranged.raising)


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ('<a>{"c": 1}</a>', AnswerForm("<a>", "</a>", True)),
        ('{"c": 1}', AnswerForm("", "", True)),
        ('ANSWER: {"c": 1}', AnswerForm("ANSWER: ", "", True)),
        ("<sql>select 1</sql>", AnswerForm("<sql>", "</sql>", False)),
        ("done", AnswerForm("", "", False)),
        ('<a>{"other": 1}</a>', AnswerForm("<a>", "</a>", False)),
    ],
)
def test_the_form_is_learned_from_the_oracles_answer(answer, form):
    assert material_of([case_of(0, {"c": 1}, answer)]).form == form


def test_without_an_oracle_the_form_is_guessed_from_what_the_agent_is_told():
    case = case_of(0, {"c": 1})
    assert material_of([PlayedTask(case.idle)]).form == AnswerForm("<answer>", "</answer>", True)
    report = run(exact, material_of([PlayedTask(case.idle)]))
    assert {"constant", "null-like", "injection"} <= set(report.families)
    assert report.beaten == ()


@pytest.mark.parametrize(
    "answer",
    [
        *("", "red", '<answer>{"c": 1}', '<answer>{"c": 1, "c": 1}</answer>', "<answer>[1]</answer>"),
        *("<answer>{</answer>", '<answer>{"c": NaN}</answer>', 'x<answer>{"c": 1}</answer>'),
    ],
)
def test_what_is_not_in_the_form_agrees_with_nothing(answer):
    case = case_of(0, {"c": 1})
    assert agreement(case, answered(case.solved, answer), AnswerForm("<answer>", "</answer>", True)) == (0.0, False)


def test_agreement_with_a_final_state_counts_only_what_was_changed():
    state = {"orders": {"O1": {"open": False, "paid": 3}, "O2": {"open": True}}}
    before = {"orders": {"O1": {"open": True, "paid": 3}, "O2": {"open": True}}}
    case = case_of(0, state, "done", state)
    idle = PlayedTask(Rollout(case.idle.task, case.idle.messages, [], before, "final"), case.solved)
    form = AnswerForm("", "", False)
    assert agreement(idle, idle.idle, form)[0] == 0.0
    assert agreement(idle, case.solved, form)[0] == 1.0


def test_where_the_work_leaves_its_mark_the_oracles_words_without_the_work_are_tried():
    label = {"orders": {"O7": {"cancelled": True}}}
    material = material_of([case_of(0, label, "done", label)])
    assert material.by_state
    report = run(score_state(exact=True), material)
    assert report.beaten == ()
    assert "wrong-tag" not in report.families
    talks = run(lambda rollout: float(rollout.answer == "done"), material)
    assert "claims" in {result.family for result in talks.beaten}


def texts(*, form="{}"):
    return material_of([case_of(n, {"colour": colour}, form.format(colour)) for n, colour in enumerate(COLOURS)])


@pytest.mark.parametrize("form", ["{}", "<a>{}</a>"])
def test_a_text_as_the_answer_is_judged_and_guessed_like_any_other(form):
    def strict(rollout):
        return float(rollout.answer.strip() == form.format(rollout.task.answer["colour"]))

    report = run(strict, texts(form=form))
    assert report.beaten == ()
    constant = next(result for result in report.results if (result.family, result.variant) == ("constant", "answer 1"))
    assert constant.earned == constant.allowed == pytest.approx(0.6)
    assert {"all-labels", "null-like", "one-letter"} <= set(report.families)


def test_a_text_that_holds_the_answer_among_all_others_is_no_answer():
    def holds(rollout):
        return float(rollout.task.answer["colour"] in rollout.answer)

    beaten = {result.family: result for result in run(holds, texts()).beaten}
    assert beaten["all-labels"].full == 1.0
    assert beaten["all-labels"].example.answer == "red, green, blue"

    def within(rollout):
        return float(rollout.answer.strip() in rollout.task.answer["colour"])

    assert {"one-letter", "empty"} <= {result.family for result in run(within, texts()).beaten}


def test_letters_and_nulls_that_are_answers_are_no_guesses_beyond_chance():
    def strict(rollout):
        return float(rollout.answer.strip().casefold() == rollout.task.answer["option"].casefold())

    letters = material_of([case_of(n, {"option": "AE"[n % 2]}, "AE"[n % 2]) for n in range(4)])
    assert "one-letter" not in run(strict, letters).families
    nulls = material_of([case_of(n, {"option": ("none", "some")[n % 2]}, ("none", "some")[n % 2]) for n in range(4)])
    assert run(strict, letters).beaten == run(strict, nulls).beaten == ()


def test_an_excuse_covers_what_is_paid_but_not_full_marks():
    def reward(rollout):
        return 0.2 * bool(rollout.tool_calls) + 0.8 * exact(rollout)[0]

    def bribed(rollout):
        return float(bool(rollout.tool_calls))

    for function in (reward, bribed):
        function.excuses = {"work-only": "calls pay a little"}
    kept = run(reward, boxes(), "reward")
    assert "work-only" in {result.family for result in kept.excused}
    assert "work-only" not in {result.family for result in kept.beaten}
    assert "work-only" in {result.family for result in run(bribed, boxes(), "reward").beaten}


def test_there_must_be_a_task():
    with pytest.raises(ValueError, match="at least one task"):
        material_of([])


# The search


def found(reward, **more):
    return asyncio.run(search(reward, exact, boxes(), seed=0, budget=200, **more))


def test_the_search_finds_nothing_in_a_strict_reward():
    assert found(exact) == []
    assert found(partial) == []


def test_the_search_finds_what_no_family_tries():
    def reward(rollout):
        """Pays for the right colour with the tool called twice, whatever else is said."""
        right = f'"colour": "{rollout.task.answer["colour"]}"' in rollout.answer
        return float(right and len(rollout.tool_calls) > 1) if not exact(rollout)[0] else 1.0

    assert run(reward, boxes(), "reward").beaten == ()
    gaps = found(reward)
    assert gaps
    assert "calls repeated" in gaps[0].changes
    assert (gaps[0].reward, gaps[0].score) == (1.0, 0.0)
    assert [gap.changes for gap in found(reward)] == [gap.changes for gap in gaps]


def test_a_documented_reward_is_beaten_only_by_what_earns_like_a_success():
    def reward(rollout):
        return 0.5 * bool(rollout.tool_calls) + 0.5 * exact(rollout)[0]

    assert found(reward)
    reward.excuses = {"above-score": "half for a call"}
    assert found(reward) == []

    def bribed(rollout):
        return max(exact(rollout)[0], float("success" in rollout.answer))

    bribed.excuses = {"above-score": "words"}
    assert "success claimed" in found(bribed)[0].changes
