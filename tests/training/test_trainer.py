"""What a step trains on, and at which rate."""

import asyncio
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from practicum.algorithms.advantages import ESTIMATORS
from practicum.algorithms.losses import LOSSES, PolicyLoss, importance_sampling, training_sequences
from practicum.engine.protocol import StepStats
from practicum.errors import ModelError, RecipeError
from practicum.recipe import Recipe, build_recipe
from practicum.recipe.explain import allowed
from practicum.tasks import Task, TaskSet
from practicum.training.shortfall import shortfall
from practicum.training.trainer import (
    Trainer,
    batch_of,
    group_advantages,
    has_signal,
    learning_rate,
    split_evenly,
    too_few,
    total_steps,
    training_data,
)
from practicum.training.validation import pass_estimates, validation_tasks
from practicum.trajectory import EnvironmentRef, Group, Trajectory, Turn


def recipe(**values: Any) -> Recipe:
    return build_recipe({"global_batch_size": 3, "group_size": 2, "sampling_max_tokens": 8, **values})


def tasks(n: int) -> TaskSet:
    return TaskSet([Task(f"t{i}", f"prompt {i}") for i in range(n)])


def rollout(id: str, reward: float, *, tokens: int = 2, error: str | None = None) -> Trajectory:
    turn = Turn((), {"role": "assistant"}, (1, 2), (3,) * tokens, (-1.0,) * tokens, (0,) * tokens, "stop")
    ending = "error" if error else "final"
    ref = EnvironmentRef("e", "1", "d")
    return Trajectory(id, "t", "g", 0, ref, (turn,), (), ending, rewards=(reward,), error=error)


def group(*trajectories: Trajectory) -> Group:
    return Group("g", "t", trajectories)


def test_every_epoch_takes_each_task_at_most_once_and_in_another_order() -> None:
    each = [[task.id for task in batch_of(tasks(10), step, recipe())] for step in range(1, 7)]

    first, second = (Counter(name for batch in epoch for name in batch) for epoch in (each[:3], each[3:]))
    assert set(first.values()) == set(second.values()) == {1}
    assert sum(first.values()) == 9
    assert each[:3] != each[3:]
    assert each == [[task.id for task in batch_of(tasks(10), step, recipe())] for step in range(1, 7)]


def test_training_ends_at_the_steps_or_the_epochs_whichever_is_less() -> None:
    assert total_steps(recipe(max_steps=50, max_epochs=2), 10) == 6
    assert total_steps(recipe(max_steps=4, max_epochs=2), 10) == 4


def test_an_epochs_steps_are_those_its_batches_fill() -> None:
    settings = recipe(max_steps=50, max_epochs=2)

    last = batch_of(tasks(10), total_steps(settings, 10), settings)

    assert len(last) == 3


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1.0, 1.0, 0.853553, 0.5, 0.146447]),
    ],
)
def test_the_rate_warms_up_and_follows_its_schedule(schedule: str, rates: list[float]) -> None:
    settings = recipe(learning_rate=1.0, warmup_steps=2, lr_schedule=schedule)

    assert [learning_rate(settings, step, 6) for step in range(1, 7)] == pytest.approx(rates, abs=1e-6)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_rate_that_falls_to_a_share_stays_there_in_steps_that_are_added(schedule: str) -> None:
    settings = recipe(learning_rate=1.0, warmup_steps=2, lr_schedule=schedule, min_lr_ratio=0.2)

    rates = [learning_rate(settings, step, 6) for step in range(3, 10)]

    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert rates[-3:] == pytest.approx([0.2, 0.2, 0.2])


def test_failed_rollouts_have_no_advantage_and_too_few_survivors_leave_the_group_out() -> None:
    torn = group(rollout("a", 1.0), rollout("b", 0.0, error="gone"))
    whole = group(rollout("c", 1.0), rollout("d", 0.0), rollout("e", 0.0, error="gone"))

    advantages = group_advantages([torn, whole], recipe())

    assert set(advantages) == {"c", "d"}
    assert not has_signal(torn, advantages)
    assert has_signal(whole, advantages)


def crashed(id: str, rewards: tuple[float, ...] = (0.0,)) -> Trajectory:
    return replace(rollout(id, 0.0, error="ValueError: no JSON"), failure="policy", rewards=rewards)


def test_what_the_policy_broke_off_stays_in_its_group_with_its_tokens_and_is_not_paid_for_it() -> None:
    members = group(crashed("a"), rollout("b", 0.3), rollout("c", 0.2))

    advantages = group_advantages([members], recipe(advantage_normalization=False))

    assert float(advantages["a"][0]) == pytest.approx(-1 / 6)
    data = training_data([members], advantages, recipe())
    assert [datum.mask.sum() for datum in data] == [2, 2, 2]


def test_where_the_recipe_drops_them_what_is_left_of_their_group_is_shown() -> None:
    dropped = group(crashed("a", ()), rollout("b", 1.0), replace(rollout("c", 0.0, error="gone"), failure="judge"))
    whole = replace(group(rollout("d", 1.0), rollout("e", 0.0)), id="h")

    left_out = too_few([dropped, whole], recipe())

    assert left_out == [dropped]
    assert set(group_advantages([dropped, whole], recipe())) == {"d", "e"}
    assert shortfall([dropped, whole], left_out, recipe()) == [
        "failed 2 of 5 rollouts: 1 policy, 1 judge",
        "  1 × policy: ValueError: no JSON",
        "  1 × judge: gone",
        "left out 1 of 2 groups, with 1 rollouts that did not fail: fewer than min_group_survivors = 2 in each",
    ]
    assert shortfall([whole], [], recipe()) == []


def test_a_group_of_equal_rewards_has_no_signal() -> None:
    equal = group(rollout("a", 0.5), rollout("b", 0.5))

    assert not has_signal(equal, group_advantages([equal], recipe()))


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "constant"])
def test_weights_make_token_losses_sum_to_the_aggregate(aggregation: str) -> None:
    members = [rollout("a", 1.0, tokens=2), rollout("b", 0.0, tokens=6)]
    advantages = {"a": np.array([1.0]), "b": np.array([-1.0])}

    data = training_data([group(*members)], advantages, recipe(loss_aggregation=aggregation))

    sequences = [training_sequences(t, advantages[t.id])[0] for t in members]
    assert [datum.tokens.tolist() for datum in data] == [s.tokens.tolist() for s in sequences]
    total = sum(float((datum.mask * datum.advantages).sum()) * datum.weight for datum in data)
    expected = {"token_mean": (2 - 6) / 8, "sequence_mean": 0.0, "constant": (2 - 6) / 8 / 2}
    assert total == pytest.approx(expected[aggregation])


def test_minibatches_are_as_equal_as_can_be_and_never_empty() -> None:
    groups = [group(rollout(str(n), 0.0)) for n in range(5)]

    assert [len(part) for part in split_evenly(groups, 2)] in ([2, 3], [3, 2])
    assert [len(part) for part in split_evenly(groups[:1], 4)] == [1]
    assert split_evenly([], 4) == []


def test_validation_takes_the_first_tasks_or_draws_them_anew() -> None:
    fixed = recipe(val_batch_size=2)
    drawn = recipe(val_batch_size=4, val_random_sample=True)

    assert [task.id for task in validation_tasks(tasks(9), 3, fixed)] == ["t0", "t1"]
    draws = [[task.id for task in validation_tasks(tasks(9), step, drawn)] for step in (1, 2, 1)]
    assert draws[0] == draws[2] != draws[1]


def test_no_step_goes_beyond_the_last_epoch() -> None:
    settings = build_recipe({"global_batch_size": 4, "group_size": 2, "sampling_max_tokens": 8, "max_epochs": 2})

    assert total_steps(settings, 10) == 4


def scored(id: str, score: float | None) -> Trajectory:
    return replace(rollout(id, 1.0, error="gone" if score is None else None), score=score, group_id=id[0])


def test_validation_tells_how_often_one_or_all_of_k_succeed(tmp_path: Any) -> None:
    settings = recipe(val_group_size=4, pass_k_values=[1, 2, 8], success_threshold=0.5)
    scores = {"a": [1.0, 0.5, 0.4, None], "b": [0.0, None, None, 0.0]}
    members = [scored(f"{name}{n}", value) for name, values in scores.items() for n, value in enumerate(values)]
    recorded: dict[str, float] = {}

    async def rollouts(requests: Any) -> list[Trajectory]:
        assert len(requests) == 8
        return members

    bench = SimpleNamespace(
        recipe=settings,
        held_out_params=lambda temperature: temperature,
        dispatcher=lambda params, scored, free: SimpleNamespace(run=rollouts),
    )
    run = SimpleNamespace(folder=tmp_path, record_metrics=lambda phase, step, metrics: recorded.update(metrics))
    view = SimpleNamespace(phase=lambda name: None)
    trainer: Any = Trainer(bench, run, tasks(2), tasks(2), view)  # type: ignore[arg-type]

    asyncio.run(trainer.validated(3))

    found = {name: value for name, value in recorded.items() if "pass" in name}
    assert found == pytest.approx(
        {
            "val/reward/pass_at_1": (2 / 4 + 0) / 2,
            "val/reward/pass_at_2": (5 / 6 + 0) / 2,
            "val/reward/pass_power_1": (2 / 4 + 0) / 2,
            "val/reward/pass_power_2": (1 / 6 + 0) / 2,
        }
    )


def test_of_one_rollout_for_each_validation_task_nothing_is_estimated() -> None:
    assert pass_estimates([group(scored("a0", 1.0))], recipe(pass_k_values=[1])) == {}


class RecordingLearner:
    """Takes a step on whatever it is given, and remembers it."""

    def __init__(self, broken: bool = False) -> None:
        self.broken, self.trained, self.losses = broken, list[Any](), list[str]()

    def forward_backward(self, data: Any, loss: str, config: Any) -> StepStats:
        if self.broken:
            raise ModelError("the model's logits are NaN or infinite", where="the weights after 6 optimizer steps")
        self.trained.append(data)
        self.losses.append(loss)
        return StepStats(0.5, 4, {"entropy": 1.0})

    def optim_step(self, adam: Any) -> dict[str, float]:
        return {"grad_norm": 1.0}


def trainer_with(learner: RecordingLearner, tmp_path: Any, **values: Any) -> Trainer:
    bench = SimpleNamespace(recipe=recipe(**values), learner=learner)
    run = SimpleNamespace(
        folder=tmp_path,
        record_metrics=lambda phase, step, metrics: None,
        record_trajectories=lambda trajectories, prompts: None,
        events=SimpleNamespace(append=lambda kind, data: None),
    )
    return Trainer(bench, run, tasks(6), [], SimpleNamespace(phase=lambda name: None))  # type: ignore[arg-type]


def step_of(trainer: Trainer, *rewards: float) -> dict[str, float]:
    members = [rollout(f"r{n}", reward) for n, reward in enumerate(rewards)]
    return trainer.train_on(2, [group(*members)], lambda version: 0, began=0.0)


@pytest.mark.parametrize("penalty", [{}, {"kl_coef": 0.1}, {"entropy_coef": 0.01}])
def test_in_a_step_whose_groups_are_all_silent_a_penalty_goes_on_and_nothing_else_does(
    penalty: dict[str, float], tmp_path: Any
) -> None:
    learner = RecordingLearner()
    metrics = step_of(trainer_with(learner, tmp_path, **penalty), 1.0, 1.0)
    assert metrics["analysis/zero_adv_groups"] == 1.0
    assert ("training/grad_norm" in metrics) == bool(penalty)
    assert metrics["training/num_trajectories"] == (2.0 if penalty else 0.0)
    assert metrics["timing_s/policy_update"] >= 0.0
    advantages = [float(np.abs(datum.advantages).max()) for data in learner.trained for datum in data]
    assert advantages == ([0.0, 0.0] if penalty else [])


def test_a_model_that_computes_no_numbers_stops_the_training_at_a_step_that_is_named(tmp_path: Any) -> None:
    with pytest.raises(ModelError) as failure:
        step_of(trainer_with(RecordingLearner(broken=True), tmp_path), 1.0, 0.0)
    assert failure.value.where == "the gradient of step 2; the weights after 6 optimizer steps"


def test_groups_that_failures_have_emptied_or_left_in_pairs_are_counted(tmp_path: Any) -> None:
    trainer = trainer_with(RecordingLearner(), tmp_path, group_size=3)
    lost, pair, whole = (
        [rollout(f"{name}{n}", 0.5 * n, error="gone" if n >= left else None) for n in range(3)]
        for name, left in (("a", 1), ("b", 2), ("c", 3))
    )
    groups = [Group(name, name, tuple(members)) for name, members in (("a", lost), ("b", pair), ("c", whole))]
    metrics = trainer.train_on(1, groups, lambda version: 0, began=0.0)
    assert (metrics["analysis/groups_left_out"], metrics["analysis/groups_of_two"]) == (1.0, 1.0)


def test_a_row_in_a_table_makes_its_name_allowed_and_a_step_trains_by_it(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecipeError, match=r"allowed: one of .*max_rl$"):
        recipe(advantage_method="best_only")

    def best_only(groups: Any, *_: Any) -> Any:
        return [[np.full(m.n_turns, float(m.total == max(n.total for n in group))) for m in group] for group in groups]

    monkeypatch.setitem(ESTIMATORS, "best_only", best_only)
    monkeypatch.setitem(LOSSES, "plain", PolicyLoss(importance_sampling))
    trainer = trainer_with(learner := RecordingLearner(), tmp_path, advantage_method="best_only", loss_fn="plain")

    step_of(trainer, 1.0, 0.25)

    assert allowed("advantage_method").endswith("max_rl, best_only")
    assert learner.losses == ["plain"]
    assert [float(sequence.advantages.max()) for sequence in learner.trained[0]] == [1.0, 0.0]
