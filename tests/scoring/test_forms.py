"""Ready-made forms of a reward: tiers, milestones, weighted sums, a term for form."""

import asyncio

import pytest

from practicum.errors import RolloutError
from practicum.runs.code_digest import digest_object
from practicum.scoring import (
    called,
    hierarchical,
    judge,
    score_fields,
    score_format,
    tiers,
    weighted,
    with_format,
)
from practicum.scoring.judgement import excuses_of, range_of
from practicum.scoring.milestones import prefixes
from practicum.tasks import Task
from practicum.trajectory import Rollout, ToolCall

LABEL = {"colour": "red"}
RIGHT = '<answer>{"colour":"red"}</answer>'
WRONG = '<answer>{"colour":"blue"}</answer>'
exact = score_fields("answer", exact=True)


def judged(function, rollout):
    return asyncio.run(judge(function, rollout))


def walk(*names, answer=RIGHT, failed=(), ids=None):
    """A rollout of one call a turn, then an answer."""
    messages, calls = [{"role": "user", "content": "do"}], []
    for turn, name in enumerate(names):
        id = ids or f"c{turn}"
        function = {"name": name, "arguments": "{}"}
        messages.append({"role": "assistant", "content": "", "tool_calls": [{"id": id, "function": function}]})
        messages.append({"role": "tool", "tool_call_id": id, "content": "seen"})
        calls.append(ToolCall(id, name, {"n": turn}, "seen", name in failed, turn))
    messages.append({"role": "assistant", "content": answer})
    return Rollout(Task("t", "do", LABEL), messages, calls, {"done": True}, "final")


# Tiers


def test_success_is_above_0_failure_0_and_degenerate_below(finished):
    reward = tiers(exact, degenerate=-0.5)
    assert judged(reward, finished(RIGHT, LABEL)).total == 1.0
    assert judged(reward, finished(WRONG, LABEL)).total == 0.0
    assert judged(reward, finished("  ", LABEL)).total == -0.5
    assert judged(reward, finished(WRONG, LABEL, ending="max_turns")).total == -0.5
    assert range_of(reward) == (-1.0, 1.0)


def test_a_call_made_over_and_over_is_degenerate_but_not_where_it_led_to_success():
    same = [ToolCall(str(n), "look", {"box": 1}, "", False, n) for n in range(5)]
    looped = Rollout(Task("t", "do", LABEL), walk(answer=WRONG).messages, same, {}, "final")
    solved = Rollout(Task("t", "do", LABEL), walk(answer=RIGHT).messages, same, {}, "final")
    fewer = Rollout(Task("t", "do", LABEL), walk(answer=WRONG).messages, same[:4], {}, "final")
    reward = tiers(exact)
    found = [judged(reward, each) for each in (looped, solved, fewer)]
    assert [each.total for each in found] == [-1.0, 1.0, 0.0]
    assert [each.components["tier/degenerate"] for each in found] == [1.0, 0.0, 0.0]


def test_tiers_log_the_tier_and_the_parts_of_the_score(finished):
    assert judged(tiers(exact), finished(WRONG, LABEL)).components == {
        "tier/success": 0.0,
        "tier/degenerate": 0.0,
        "score": 0.0,
        "score/format": 1.0,
        "score/exact": 0.0,
        "score/field/colour": 0.0,
    }


@pytest.mark.parametrize("wrong", [{"success": 0.0}, {"success": 1.5}, {"degenerate": 0.0}, {"degenerate": -1.5}])
def test_a_tier_on_the_wrong_side_of_0_is_refused(wrong):
    with pytest.raises(ValueError, match="tiers need"):
        tiers(exact, **wrong)


# Hierarchical


def test_each_turn_costs_a_little_milestones_pay_where_they_are_reached_and_success_at_the_end():
    reward = hierarchical(exact, {"looked": (0.2, called("look")), "asked": (0.1, called("ask"))}, step_penalty=0.02)
    found = judged(reward, walk("other", "look", "ask"))
    assert found.values == pytest.approx((-0.02, 0.18, 0.08, 0.68))
    assert found.components["milestone/looked"] == 0.2
    assert found.components["success"] == pytest.approx(0.7)
    assert found.components["steps"] == pytest.approx(-0.08)
    assert found.total == pytest.approx(0.2 + 0.1 + 0.7 - 0.08)


def test_a_milestone_passed_twice_pays_once_and_a_failed_call_is_none():
    reward = hierarchical(exact, {"looked": (0.2, called("look"))}, step_penalty=0.0)
    once, thrice = walk("look", answer=WRONG), walk("look", "look", "look", answer=WRONG)
    assert judged(reward, once).total == judged(reward, thrice).total == pytest.approx(0.2)
    assert judged(reward, walk("look", answer=WRONG, failed=["look"])).total == 0.0


def test_arguments_of_a_milestones_call_are_compared_by_type():
    rollout = walk("look")
    assert called("look", n=0)(rollout)
    assert not called("look", n="0")(rollout)
    assert not called("look", m=0)(rollout)


def test_penalties_have_a_limit_so_that_a_long_way_to_success_still_pays():
    reward = hierarchical(exact, step_penalty=0.05, most_penalty=0.1)
    assert judged(reward, walk(*["look"] * 10)).total == pytest.approx(0.9)


def test_beginnings_know_their_calls_even_where_ids_begin_anew_and_only_the_end_knows_the_state():
    rollout = walk("a", "b", ids="call_0")
    beginnings = prefixes(rollout)
    assert [len(each.tool_calls) for each in beginnings] == [1, 2, 2]
    assert [each.final_state for each in beginnings] == [{}, {}, {"done": True}]
    assert [len(each.messages) for each in beginnings] == [3, 5, 6]
    assert prefixes(Rollout(rollout.task, [], [], {}, "error")) == []


def test_a_rollout_without_a_turn_is_judged_too():
    rollout = Rollout(Task("t", "do", LABEL), [], [], {}, "error")
    assert judged(hierarchical(exact), rollout).values == (0.0,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"milestones": {"a": (0.0, called("a"))}},
        {"milestones": {"a": (0.3, called("a")), "b": (0.3, called("b"))}},
        {"step_penalty": -0.1},
        {"step_penalty": 0.3},
        {"most_penalty": 1.5},
    ],
)
def test_milestones_that_pay_like_success_and_negative_penalties_are_refused(wrong):
    with pytest.raises(ValueError, match=r"milestones must|step_penalty"):
        hierarchical(exact, **wrong)


# Weighted sums


def test_a_sum_logs_every_part_and_its_parts(finished):
    reward = weighted(form=(0.1, score_format("answer")), fields=(0.9, exact))
    found = judged(reward, finished(WRONG, LABEL))
    assert found.total == pytest.approx(0.1)
    assert found.components == {
        "form": 1.0,
        "fields": 0.0,
        "fields/format": 1.0,
        "fields/exact": 0.0,
        "fields/field/colour": 0.0,
    }


def test_the_term_for_form_is_a_tenth_unless_said_otherwise(finished):
    assert judged(with_format(exact, "answer"), finished(WRONG, LABEL)).total == pytest.approx(0.1)
    assert judged(with_format(exact, "answer"), finished(RIGHT, LABEL)).total == pytest.approx(1.0)
    assert judged(with_format(exact, "answer", 0.05), finished(WRONG, LABEL)).total == pytest.approx(0.05)


@pytest.mark.parametrize("answer", ["red", '<answer>{"colour":1,"more":2}</answer>', f"{RIGHT}.", RIGHT + RIGHT])
def test_what_is_not_the_form_has_no_term_for_form(finished, answer):
    assert judged(score_format("answer"), finished(answer, LABEL)).total == 0.0


def test_a_part_per_turn_and_a_part_in_one_number_are_added_turn_by_turn():
    async def later(rollout):
        await asyncio.sleep(0)
        return [0.0, 0.5, 0.5]

    found = judged(weighted(steps=(0.4, later), right=(0.6, exact)), walk("a", "b"))
    assert found.values == pytest.approx((0.0, 0.2, 0.8))


def test_a_part_that_speaks_of_another_number_of_turns_fails_the_rollout():
    reward = weighted(a=(0.5, lambda r: [0.1, 0.1]), b=(0.5, lambda r: [0.1, 0.1, 0.1]))
    with pytest.raises(RolloutError, match="3 numbers for a rollout of turns: 2"):
        judged(reward, walk("a"))


def test_a_part_that_raises_or_leaves_its_range_fails_the_rollout_by_name(finished):
    def too_much(rollout):
        return 2.0

    with pytest.raises(RolloutError, match=r"too_much gave 2\.0"):
        judged(weighted(a=(0.1, too_much)), finished(RIGHT, LABEL))


def test_a_negative_weight_declares_the_signed_range(finished):
    reward = weighted(right=(0.5, exact), form=(-0.5, score_format("answer")))
    assert range_of(reward) == (-1.0, 1.0)
    assert judged(reward, finished(WRONG, LABEL)).total == -0.5
    assert range_of(weighted(inner=(1.0, tiers(exact)))) == (-1.0, 1.0)
    assert range_of(weighted(inner=(1.0, exact))) == (0.0, 1.0)


@pytest.mark.parametrize(
    "parts", [{}, {"a": (0.0, exact)}, {"a": (float("nan"), exact)}, {"a": (0.6, exact), "b": (-0.6, exact)}]
)
def test_weights_that_could_leave_the_range_are_refused(parts):
    with pytest.raises(ValueError, match="weight"):
        weighted(parts)


# What all of them are


def test_forms_hold_together_and_their_digests_tell_them_apart(finished):
    nested = weighted(deep=(0.5, tiers(weighted(in_it=(1.0, exact)))), more=(0.25, hierarchical(exact)))
    assert judged(nested, finished(RIGHT, LABEL)).total == pytest.approx(0.5 + 0.25 * 0.99)
    digests = {
        digest_object(each)
        for each in (
            nested,
            tiers(exact),
            tiers(exact, success=0.5),
            hierarchical(exact),
            hierarchical(exact, {"a": (0.1, called("a"))}),
            weighted(a=(0.5, exact)),
            weighted(a=(0.6, exact)),
            weighted(b=(0.5, exact)),
        )
    }
    assert len(digests) == 8


def test_forms_that_pay_for_parts_say_so_and_an_excuse_needs_a_reason():
    assert "0.5" in excuses_of(score_fields("answer", partial=True))["above-score"]
    assert excuses_of(exact) == {}
    assert "above-score" in excuses_of(with_format(exact, "answer"))

    def reward(rollout):
        return 0.0

    reward.excuses = {"above-score": " "}
    with pytest.raises(ValueError, match="without a reason"):
        excuses_of(reward)


def test_reward_code_that_leaves_the_program_fails_its_rollout_only(finished):
    def reward(rollout):
        raise SystemExit(3)

    with pytest.raises(RolloutError, match="reward raised SystemExit: 3"):
        judged(reward, finished())


def test_a_component_without_a_name_is_refused(finished):
    with pytest.raises(RolloutError, match="component 3"):
        judged(lambda rollout: (0.5, {3: 0.5}), finished())


@pytest.mark.parametrize(
    "weights", [(0.8, 0.05, 0.05, 0.1), (0.55, 0.3, 0.05, 0.1), (0.05,) * 20, (0.7, 0.2, 0.1), (0.6, 0.3, 0.1)]
)
def test_weights_that_are_one_on_paper_pay_a_perfect_rollout_one(finished, weights):
    reward = weighted({f"part {n}": (weight, lambda rollout: 1.0) for n, weight in enumerate(weights)})
    assert judged(reward, finished(RIGHT, LABEL)).total == 1.0


def test_a_tier_is_reached_by_a_score_that_is_its_threshold_but_for_rounding(finished):
    assert 0.1 + 0.2 > 0.3 > 0.7 - 0.4
    for score in (0.1 + 0.2, 0.3, 0.7 - 0.4):
        assert judged(tiers(lambda rollout, score=score: score, threshold=0.3), finished(RIGHT, LABEL)).total == 1.0
