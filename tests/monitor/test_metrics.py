import itertools
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from practicum.monitor.metrics import METRICS, describe, evaluation_metrics, step_metrics
from practicum.trajectory import EnvironmentRef, Group, ToolCall, Trajectory, Transition, Turn

REF = EnvironmentRef("desk", "1.0.0", "ab")
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def turn(actions, context=5, **changes):
    values = {
        "messages": (),
        "response": {"role": "assistant", "content": ""},
        "context_ids": tuple(range(context)),
        "action_ids": tuple(range(actions)),
        "logprobs": (0.0, *(-1.0 for _ in range(actions - 1)))[:actions],
        "versions": (3,) * actions,
        "finish_reason": "stop",
        "latency_s": 0.5,
    }
    return Turn(**{**values, **changes})


ONE_TURN = (turn(4),)


def trajectory(id, group, reward, turns=ONE_TURN, **changes):
    values = {
        "id": id,
        "task_id": group,
        "group_id": group,
        "seed": 0,
        "environment": REF,
        "turns": turns,
        "tool_calls": (),
        "ending": "final",
        "tools": (TOOL,),
        "rewards": (reward,),
    }
    return Trajectory(**{**values, **changes})


def group(id, *trajectories):
    return Group(id, id, trajectories)


def failed(id, group_id):
    return trajectory(id, group_id, 0.0, turns=(), ending="error", rewards=(), retries=3)


BATCH = [
    group(
        "a",
        trajectory("a1", "a", 1.0, (turn(4, 10), turn(2, 3)), metrics={"format": 0.1}),
        trajectory("a2", "a", 0.0, (turn(6, 10),), metrics={"format": 0.0}, ending="max_turns", retries=1),
    ),
    group("b", trajectory("b1", "b", 0.5), trajectory("b2", "b", 0.5)),
    group("c", trajectory("c1", "c", 0.0), failed("c2", "c")),
]
ADVANTAGES = {"a1": [1.0, 1.0], "a2": [-1.0], "b1": [0.0], "b2": [0.0], "c1": [0.0]}


def step(groups=BATCH, advantages=ADVANTAGES, **changes):
    values = {
        "step": 7,
        "epoch": 2,
        "age": lambda version: 4 - version,
        "planned": 6,
        "learner": {"loss": 0.5, "sampler_kl": 0.01, "grad_norm": 1.5},
        "timings": {"step": 12.0, "rollout": 8.0},
    }
    return step_metrics(groups, advantages, **{**values, **changes})


def some(metrics, prefix):
    return {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}


def test_training_counts_speak_of_the_groups_with_signal():
    found = some(step(), "training/")
    assert found == {
        "epoch": 2,
        "global_step": 7,
        "num_groups": 1,
        "num_trajectories": 2,
        "num_datums": 2,
        "datums_per_trajectory": 1.0,
        "total_tokens": 35,
        "action_tokens_mean": 6,
        "obs_tokens_mean": 11.5,
        "trainable_token_positions": 12,
        "nontrainable_token_positions": 23,
        "trainable_token_ratio": 12 / 35,
        "staleness_mean": 1,
        "staleness_max": 1,
        "loss": 0.5,
        "sampler_kl": 0.01,
        "grad_norm": 1.5,
    }


def test_valid_mean_leaves_out_groups_without_signal():
    metrics = step()
    assert metrics["rollout/reward/mean"] == 2.0 / 5
    assert metrics["rollout/reward/valid_mean"] == 0.5
    assert "rollout/reward/valid_mean" not in step(advantages={})


def test_rewards_of_failed_rollouts_are_unknown_not_zero():
    found = some(step(), "rollout/reward/")
    assert found["zero_frac"] == 2 / 5
    assert (found["min"], found["max"]) == (0.0, 1.0)
    assert found["component/format"] == pytest.approx(0.05)


def raised(id, finish, ending="error"):
    at_cap = (turn(4, finish_reason=finish),)
    return trajectory(id, "a", 0.0, at_cap, ending=ending, error="ValueError: no JSON", failure="policy")


def test_an_agent_that_raises_at_the_cap_is_seen_there_as_one_that_returns():
    returned = [trajectory("a1", "a", 0.0, (turn(4, finish_reason="length"),), ending="length")]
    others = [trajectory(f"a{n}", "a", 1.0) for n in (2, 3, 4)]
    for cut in (returned, [raised("a1", "length", "length")]):
        found = step([group("a", *cut, *others)], {}, planned=4)
        assert found["rollout/tokens/at_cap_frac"] == 0.25
        assert found["rollout/tokens/completion_rate"] == 0.75
        assert found["rollout/reward/mean"] == 0.75
        assert found["rollout/failed_frac"] == 0.0


def test_failures_are_counted_by_whose_they_are_and_add_up():
    lost = [
        trajectory(f"b{n}", "b", 0.0, turns=(), ending="error", rewards=(), error="x", failure=whose, retries=2)
        for n, whose in enumerate(["infrastructure", "judge", "judge", "environment", None])
    ]
    groups = [group("a", raised("a1", "stop"), trajectory("a2", "a", 1.0)), group("b", *lost)]
    found = step(groups, {}, planned=7)
    kinds = some(found, "rollout/failed/")
    assert kinds == {"policy": 1, "infrastructure": 1, "judge": 2, "environment": 1, "unknown": 1}
    assert found["rollout/retried"] == 10
    assert found["rollout/failed_frac"] == pytest.approx(5 / 7)
    assert (found["analysis/groups_left_out"], found["analysis/rollouts_left_out"]) == (2, 2)  # nobody has an advantage
    held_out = evaluation_metrics("eval", groups, success_threshold=1.0, estimates={})
    assert some(held_out, "eval/failed/") == kinds
    assert held_out["eval/retried"] == 10


def test_groups_without_signal_are_counted_by_their_rewards():
    found = some(step(), "analysis/")
    assert found["zero_adv_groups"] == 2
    assert found["zero_adv_nonzero_reward"] == 1
    assert found["zero_adv_zero_reward"] == 1
    assert found["batch_valid_ratio"] == 1 / 3
    assert found["batch_completion_ratio"] == 5 / 6
    assert found["mean_group_reward_spread"] == 1 / 3
    assert found["reward_variance_across_groups"] == pytest.approx(0.5**2 * 2 / 9)


def test_rollouts_that_never_came_back_count_as_failed():
    assert step()["rollout/failed_frac"] == pytest.approx(1 / 6)
    assert step(planned=10)["rollout/failed_frac"] == pytest.approx(0.5)
    assert step()["rollout/retried"] == 4


def test_rollouts_that_were_left_behind_are_counted_and_are_no_failures():
    left = trajectory("d2", "d", 0.0, turns=(), ending="cancelled", rewards=())
    metrics = step([*BATCH, group("d", trajectory("d1", "d", 1.0), left)], planned=8)
    assert metrics["rollout/cut_frac"] == 1 / 8
    assert metrics["rollout/failed_frac"] == pytest.approx(1 / 8)
    assert step()["rollout/cut_frac"] == 0.0


def test_the_reward_of_all_that_was_begun_counts_those_that_no_step_trains_on() -> None:
    late = [
        trajectory("x1", "x", 1.0),
        trajectory("x2", "x", 1.0),
        trajectory("x3", "x", 0.0, ending="error", rewards=()),
    ]
    assert step()["rollout/reward/begun_mean"] == step()["rollout/reward/mean"] == 2.0 / 5
    assert step(untrained=late)["rollout/reward/begun_mean"] == 4.0 / 7
    assert step(untrained=late)["rollout/reward/mean"] == 2.0 / 5


def test_log_probabilities_of_exactly_zero_are_set_apart():
    found = some(step(), "rollout/logprob/")
    tokens, zeros = 4 + 2 + 6 + 3 * 4, 6
    assert found["zero_count"] == zeros
    assert found["zero_frac"] == zeros / tokens
    assert found["zero_per_group"] == zeros / 3
    assert (found["nz_mean"], found["nz_std"], found["nz_min"], found["nz_max"]) == (-1.0, 0.0, -1.0, -1.0)


def test_action_entropy_is_known_only_where_sampling_was_not_truncated():
    assert step()["rollout/action_entropy"] == pytest.approx(18 / 24)
    cut = [group("a", trajectory("a1", "a", 1.0, top_p=0.9))]
    assert "rollout/action_entropy" not in step(cut)
    greedy = [group("a", trajectory("a1", "a", 1.0, temperature=0.0))]
    assert "rollout/action_entropy" not in step(greedy)


def test_advantages_count_once_per_turn_given():
    found = some(step(), "rollout/advantage/")
    assert (found["n_positive"], found["n_negative"]) == (2, 1)
    assert (found["min"], found["max"]) == (-1.0, 1.0)
    assert found["mean"] == pytest.approx(1 / 6)


def test_a_broken_extension_makes_another_sequence_and_is_counted_by_cause():
    broken = (turn(3), turn(2), turn(2, extends=False, break_cause="template"), turn(0, extends=False))
    metrics = step([group("a", trajectory("a1", "a", 1.0, broken))], {"a1": [1.0]})
    assert metrics["training/num_datums"] == 2
    assert some(metrics, "rollout/extension_breaks/") == {
        "template": 1,
        "retokenization": 0,
        "rewritten_history": 0,
        "tools_changed": 0,
        "sub_agent": 0,
        "parallel_branch": 0,
        "other": 1,
    }


def test_malformed_calls_are_counted_of_failed_rollouts_too():
    odd = (turn(3, malformed_calls=("[look_up(", "[look_up(1")),)
    batch = [group("a", trajectory("a1", "a", 1.0, odd), replace(failed("a2", "a"), turns=odd))]
    assert step(batch, {"a1": [1.0]})["rollout/malformed_calls"] == 4


def test_tool_calls_are_counted_per_rollout_and_invented_tools_together():
    calls = (
        ToolCall("1", "look_up", {}, "ok", latency_s=0.1),
        ToolCall("2", "look_up", {}, "ok", latency_s=0.1),
        ToolCall("3", "loook_up", {}, "no such tool", is_error=True),
        ToolCall("4", "grep", {}, "no such tool", is_error=True),
    )
    batch = [group("a", trajectory("a1", "a", 1.0, tool_calls=calls), trajectory("a2", "a", 0.0))]
    metrics = step(batch)
    assert some(metrics, "rollout/tool_calls/") == {"look_up": 1.0, "undeclared": 1.0}
    assert metrics["rollout/tool_error_frac"] == 0.5
    assert 0.0 < metrics["timing_s/tool_latency_p95"] <= 0.1


def test_endings_and_caps_are_shares_of_finished_rollouts():
    cut = trajectory("b1", "b", 0.5, (turn(4), turn(3, finish_reason="length")), ending="length")
    found = some(step([*BATCH, group("d", cut)]), "rollout/tokens/")
    assert found["at_cap_frac"] == 1 / 6
    assert found["max_turns_frac"] == 1 / 6
    assert found["completion_rate"] == 4 / 6
    assert found["prompt_mean"] == pytest.approx((10 + 10 + 5 * 4) / 6)
    assert (found["response_min"], found["response_max"]) == (4, 7)


def test_what_cannot_be_known_is_absent():
    metrics = step([group("a", failed("a1", "a"))], {}, planned=1, learner={}, timings={})
    assert metrics["rollout/failed_frac"] == 1.0
    assert metrics["analysis/zero_adv_groups"] == 1
    assert metrics["analysis/zero_adv_zero_reward"] == 0
    unknown = (
        "rollout/reward",
        "rollout/turns",
        "rollout/tokens",
        "rollout/logprob",
        "rollout/advantage",
        "timing_s",
    )
    assert [name for name in metrics if name.startswith(unknown)] == []
    assert "rollout/tool_error_frac" not in metrics


def test_no_groups_at_all_is_not_an_error():
    metrics = step([], {}, planned=0, learner={}, timings={})
    assert metrics["training/num_groups"] == 0
    assert "rollout/failed_frac" not in metrics


@pytest.mark.parametrize("where", ["learner", "timings"])
def test_a_number_without_a_definition_is_refused(where):
    with pytest.raises(ValueError, match="surprise is not defined"):
        step(**{where: {"surprise": 1.0}})


def graded(id, group_id, reward, score):
    return trajectory(id, group_id, reward, score=score)


def test_an_evaluation_reports_rewards_within_groups_and_the_gap_to_the_score():
    groups = [
        group("a", graded("a1", "a", 1.0, 1.0), graded("a2", "a", 0.5, 0.0)),
        group("b", graded("b1", "b", 0.25, 0.0), failed("b2", "b")),
    ]
    estimates = {"reward/pass_at_2": 0.5, "score/interval_low": 0.1, "field_accuracy/severity": 0.9}
    metrics = evaluation_metrics("eval", groups, success_threshold=1.0, estimates=estimates)
    expected = {
        "eval/reward/mean": 1.75 / 3,
        "eval/reward/min_within_groups": (0.5 + 0.25) / 2,
        "eval/reward/mean_within_groups": (0.75 + 0.25) / 2,
        "eval/reward/max_within_groups": (1.0 + 0.25) / 2,
        "eval/reward/std_within_groups": 0.125,
        "eval/reward/rollouts_per_prompt": 1.5,
        "eval/reward/num_prompts": 2,
        "eval/reward/succeeded_rollouts": 1,
        "eval/reward/failed_rollouts": 1,
        "eval/reward/success_threshold": 1.0,
        "eval/reward/pass_at_2": 0.5,
        "eval/completion_rate": 1.0,
        "eval/score/mean": 1 / 4,
        "eval/score/interval_low": 0.1,
        "eval/reward_minus_score": 0.25,
        "eval/field_accuracy/severity": 0.9,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_a_rollout_that_failed_counts_as_a_score_of_nothing():
    groups = [group("a", graded("a1", "a", 1.0, 1.0), failed("a2", "a"))]
    assert evaluation_metrics("val", groups, success_threshold=1.0, estimates={})["val/score/mean"] == 0.5
    dead = [group("a", failed("a1", "a"), failed("a2", "a"))]
    assert evaluation_metrics("val", dead, success_threshold=1.0, estimates={})["val/score/mean"] == 0.0


def test_an_unscored_evaluation_has_no_score():
    metrics = evaluation_metrics("val", [BATCH[1]], success_threshold=0.5, estimates={})
    assert metrics["val/reward/succeeded_rollouts"] == 2
    assert not [name for name in metrics if "score" in name]


def test_an_estimate_without_a_definition_is_refused():
    with pytest.raises(ValueError, match="eval/luck is not defined"):
        evaluation_metrics("eval", BATCH, success_threshold=1.0, estimates={"luck": 1.0})


turns = st.builds(turn, st.integers(0, 3), st.integers(0, 4), extends=st.booleans())
members = st.builds(
    lambda reward, made, ending, tool, score: (reward, tuple(made), ending, tool, score),
    st.floats(-1, 1),
    st.lists(turns, max_size=3),
    st.sampled_from(["final", "max_turns", "length", "error", "cancelled"]),
    st.sampled_from(["look_up", "x/y z", ""]),
    st.none() | st.floats(0, 1),
)


@given(st.lists(st.lists(members, max_size=4), max_size=3), st.data())
@settings(max_examples=80, deadline=None)
def test_every_emitted_name_is_defined_and_every_value_finite(batch, data):
    groups, advantages = [], {}
    for g, made in enumerate(batch):
        rollouts = []
        for i, (reward, played, ending, tool, score) in enumerate(made):
            id = f"{g}-{i}"
            lost = ending in ("error", "cancelled")
            calls = (ToolCall("1", tool, {}, ""),)
            changes = {"ending": ending, "tool_calls": calls, "score": score, "metrics": {"a/b c": reward}}
            rewards = () if lost else (reward,)
            rollouts.append(trajectory(id, str(g), reward, played, **{**changes, "rewards": rewards}))
            if not lost:
                advantages[id] = [data.draw(st.sampled_from([0.0, 0.5, -2.0]))]
        groups.append(group(str(g), *rollouts))
    metrics = {
        **step(groups, advantages, planned=sum(map(len, batch))),
        **evaluation_metrics("val", groups, success_threshold=0.5, estimates={"reward/pass_power_4": 0.1}),
    }
    assert [name for name in metrics if describe(name) is None] == []
    assert [name for name, value in metrics.items() if type(value) is not float or not math.isfinite(value)] == []


def test_every_definition_is_a_sentence_worth_of_text_and_unknown_names_have_none():
    assert all(len(text) > 8 for text in METRICS.values())
    assert describe("rollout/tool_calls/look_up") == METRICS["rollout/tool_calls/{tool}"]
    assert describe("val/reward/pass_at_16") == METRICS["val/reward/pass_at_{k}"]
    assert describe("rollout/nonsense") is None
    assert describe("rollout/tool_calls/") is None


def test_names_are_used_where_they_are_defined():
    source = Path(step_metrics.__code__.co_filename).read_text()
    full = re.findall(r'"((?:training|rollout|analysis|timing_s)/[\w/]+)"', source)
    assert len(full) > 20
    assert [name for name in full if describe(name) is None and not any(m.startswith(name) for m in METRICS)] == []


def test_states_are_counted_by_the_environments_own_digests() -> None:
    def walk(id: str, *states: str):
        moves = itertools.pairwise(states)
        steps = tuple(Transition(n, a, "go", {}, "", False, b, 0.0) for n, (a, b) in enumerate(moves))
        return replace(trajectory(id, "a", 1.0), transitions=steps)

    metrics = step([group("a", walk("a1", "s0", "s1", "s0"), walk("a2", "s0", "s2", "s3"), trajectory("a3", "a", 0.0))])

    assert metrics["rollout/state_visits"] == pytest.approx((2 + 3) / 2)
    assert metrics["rollout/state_coverage"] == pytest.approx(4 / 5)


def test_without_transitions_no_states_are_claimed() -> None:
    assert not {name for name in step() if "state_" in name}


def test_rollouts_thrown_away_as_too_old_are_counted() -> None:
    assert step()["rollout/discarded_stale"] == 0.0
    assert step(discarded_stale=5)["rollout/discarded_stale"] == 5.0
