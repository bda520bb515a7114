"""The training loop: collect, judge, compare within groups, take a gradient step, look, save.

Synchronous: a step's rollouts come from the newest weights, so no token is older than the step that trains on it,
whatever ``max_steps_off_policy`` would allow (within a step, minibatches after the first are one or more updates
behind; their ratios say so).
"""

import itertools
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from practicum.algorithms.advantages import compute_advantages
from practicum.algorithms.returns import TrajectoryRewards
from practicum.algorithms.sequences import TrainingSequence, aggregation_weights, training_sequences
from practicum.engine.protocol import AdamParams, Datum, StepStats
from practicum.errors import RunError
from practicum.ledger.verify import file_digests
from practicum.monitor.metrics import evaluation_metrics, step_metrics
from practicum.monitor.progress import TrainingView
from practicum.recipe import Recipe
from practicum.rollout.dispatcher import RolloutRequest
from practicum.seeds import derive
from practicum.store import write_trajectories
from practicum.tasks import Task, TaskSet
from practicum.training.checkpoint import save_checkpoint
from practicum.training.run import Run
from practicum.training.workbench import Workbench
from practicum.trajectory import Group, Trajectory, group_by_task

FAILURE_LIMIT = 0.5
"""A step in which more rollouts than this share fail for good says the environment or agent is down."""


@dataclass
class Trainer:
    """Trains the policy of a workbench; every step is recorded in the run before the next begins.

    Args:
        bench: Model, environment, agent.
        run: Where everything is recorded.
        train: Tasks to train on.
        validation: Held-out tasks for the score shown while training; nothing learns from them.
        view: The terminal.
    """

    bench: Workbench
    run: Run
    train: TaskSet
    validation: TaskSet
    view: TrainingView

    def fit(self, first_step: int) -> None:
        """Train from step ``first_step + 1`` to the recipe's end."""
        recipe = self.bench.recipe
        last = total_steps(recipe, len(self.train))
        if first_step == 0 and recipe.val_at_start:
            self.validate(0)
        for step in range(first_step + 1, last + 1):
            metrics = self.step(step)
            due = recipe.val_every and step % recipe.val_every == 0
            self._show(step, metrics, self.validate(step) if due else None)
            if step % recipe.save_every == 0 or step == last:
                self.save(step)

    def step(self, step: int) -> dict[str, float]:
        """One step: rollouts, advantages, gradient, record; returns its metrics."""
        recipe, began = self.bench.recipe, time.monotonic()
        self.view.phase("rollouts")
        version = self.bench.sampler.version
        tasks = batch_of(self.train, step, recipe)
        groups = self._collect(step, tasks)
        collected = time.monotonic()
        self.view.phase("gradient step")
        advantages = group_advantages(groups, recipe)
        learned = self._learn(groups, advantages, step)
        trained = time.monotonic()
        trajectories = [t for group in groups for t in group.trajectories]
        table = self.run.folder / "trajectories" / f"step-{step:06d}.parquet"
        write_trajectories(table, trajectories)
        metrics = step_metrics(
            groups,
            {key: list(value) for key, value in advantages.items()},
            step=step,
            epoch=(step - 1) * recipe.global_batch_size / len(self.train),
            version=version,
            planned=recipe.global_batch_size * recipe.group_size,
            learner=learned,
            timings={
                "rollout": collected - began,
                "training": trained - collected,
                "step": time.monotonic() - began,
            },
        )
        self.run.record_metrics("rl", step, metrics)
        self.run.record_trajectories(trajectories, {task.id: task.prompt for task in tasks})
        names = ("rollout/reward/mean", "training/loss", "training/grad_norm")
        numbers = {name: metrics[name] for name in names if name in metrics}
        self.run.events.append("step", {"step": step, **numbers, "files": file_digests(self.run.folder, [table])})
        return metrics

    def validate(self, step: int) -> float:
        """Mean success on validation tasks; recorded under ``val/``. Training never sees the number."""
        self.view.phase("validation")
        recipe, began = self.bench.recipe, time.monotonic()
        tasks = validation_tasks(self.validation, step, recipe)
        requests = [
            RolloutRequest(
                f"val-{step}/{task.id}/{n}", f"val-{step}/{task.id}", task, derive(recipe.seed, "val", step, task.id, n)
            )
            for task in tasks
            for n in range(recipe.val_group_size)
        ]
        dispatcher = self.bench.dispatcher(self.bench.held_out_params(recipe.val_temperature), scored=True)
        groups = group_by_task(self.bench.collect(dispatcher, requests))
        metrics = evaluation_metrics("val", groups, success_threshold=recipe.success_threshold, estimates={})
        metrics["timing_s/eval"] = time.monotonic() - began
        self.run.record_metrics("validation", step, metrics)
        return metrics.get("val/score/mean", 0.0)

    def save(self, step: int) -> None:
        """Write the checkpoint of a finished step and enter it in the ledger."""
        self.view.phase("checkpoint")
        began = time.monotonic()
        checkpoint = save_checkpoint(self.run.folder, step, self.bench.learner)
        self.run.record_metrics("checkpoint", step, {"timing_s/save_checkpoint": time.monotonic() - began})
        self.run.events.append("checkpoint", {"step": step, "digest": checkpoint.digest})

    def _collect(self, step: int, tasks: Sequence[Task]) -> list[Group]:
        recipe = self.bench.recipe
        requests = [
            RolloutRequest(
                id=f"step-{step}/{task.id}/{n}",
                group_id=f"step-{step}/{task.id}",
                task=task,
                seed=derive(recipe.seed, "rollout", step, task.id, n),
            )
            for task in tasks
            for n in range(recipe.group_size)
        ]
        dispatcher = self.bench.dispatcher(self.bench.training_params())
        trajectories = self.bench.collect(dispatcher, requests)
        failed = [t for t in trajectories if t.error is not None]
        if len(failed) > FAILURE_LIMIT * len(trajectories):
            raise RunError(
                f"{len(failed)} of {len(trajectories)} rollouts of step {step} failed for good; "
                f"the first: {failed[0].error}",
                fix=f"mend the cause, then: practicum resume {self.run.folder}",
            )
        return group_by_task(trajectories)

    def _learn(self, groups: Sequence[Group], advantages: Mapping[str, np.ndarray], step: int) -> dict[str, float]:
        """Gradient steps on the groups that say something; empty where none does."""
        recipe, learner = self.bench.recipe, self.bench.learner
        signal = [group for group in groups if has_signal(group, advantages)]
        rate = learning_rate(recipe, step, total_steps(recipe, len(self.train)))
        adam = AdamParams(
            rate, recipe.adam_beta1, recipe.adam_beta2, recipe.adam_eps, recipe.weight_decay, recipe.grad_clip_norm
        )
        stats, norms = list[StepStats](), list[float]()
        for part in split_evenly(signal, recipe.minibatches_per_step):
            data = training_data(part, advantages, recipe)
            stats.append(learner.forward_backward(data, recipe.loss_fn, loss_config(recipe)))
            norms.append(learner.optim_step(adam)["grad_norm"])
        if not stats:
            return {"learning_rate": rate}
        return {**_averaged(stats), "grad_norm": sum(norms) / len(norms), "learning_rate": rate}

    def _show(self, step: int, metrics: Mapping[str, float], held_out: float | None) -> None:
        tokens = sum(metrics.get(f"rollout/tokens/{part}_mean", 0.0) for part in ("prompt", "response"))
        n = self.bench.recipe.global_batch_size * self.bench.recipe.group_size
        self.view.step(
            step,
            reward=metrics.get("rollout/reward/mean"),
            held_out=held_out,
            groups_without_signal=int(metrics["analysis/zero_adv_groups"]),
            groups=self.bench.recipe.global_batch_size,
            tokens_per_s=tokens * n / max(metrics["timing_s/step"], 1e-9),
        )


def total_steps(recipe: Recipe, n_tasks: int) -> int:
    """Steps until max_steps or max_epochs, whichever comes first."""
    return min(recipe.max_steps, recipe.max_epochs * n_tasks // recipe.global_batch_size)


def batch_of(tasks: TaskSet, step: int, recipe: Recipe) -> list[Task]:
    """The tasks of a step (from 1): every epoch in its own seeded order, an epoch's remainder left out."""
    per_epoch = len(tasks) // recipe.global_batch_size
    epoch, place = divmod(step - 1, per_epoch)
    order = list(tasks)
    random.Random(derive(recipe.seed, "order", epoch)).shuffle(order)
    return order[place * recipe.global_batch_size : (place + 1) * recipe.global_batch_size]


def validation_tasks(tasks: TaskSet, step: int, recipe: Recipe) -> list[Task]:
    """The tasks of one validation: the first ``val_batch_size``, or as many drawn anew each time."""
    n = min(recipe.val_batch_size or len(tasks), len(tasks))
    if recipe.val_random_sample:
        return random.Random(derive(recipe.seed, "validation", step)).sample(list(tasks), n)
    return list(tasks[:n])


def survivors(group: Group) -> list[Trajectory]:
    """Members that did not fail and sampled something."""
    return [t for t in group.trajectories if t.error is None and t.n_action_tokens]


def group_advantages(groups: Sequence[Group], recipe: Recipe) -> dict[str, np.ndarray]:
    """Trajectory id → one advantage per turn; groups with too few survivors are left out."""
    usable = [members for group in groups if len(members := survivors(group)) >= recipe.min_group_survivors]
    computed = compute_advantages(
        recipe.advantage_method,
        [[TrajectoryRewards.of(t) for t in members] for members in usable],
        normalize=recipe.advantage_normalization,
        gamma=recipe.gamma,
    )
    return {
        t.id: value
        for members, values in zip(usable, computed, strict=True)
        for t, value in zip(members, values, strict=True)
    }


def has_signal(group: Group, advantages: Mapping[str, np.ndarray]) -> bool:
    """Whether any member's advantage is not zero."""
    return any(np.any(advantages[t.id]) for t in group.trajectories if t.id in advantages)


def training_data(groups: Sequence[Group], advantages: Mapping[str, np.ndarray], recipe: Recipe) -> list[Datum]:
    """The groups' training sequences, weighted so that their losses sum to the recipe's aggregate."""
    sequences: list[TrainingSequence] = [
        sequence
        for group in groups
        for t in group.trajectories
        if t.id in advantages
        for sequence in training_sequences(t, advantages[t.id])
    ]
    length = float(recipe.sampling_max_tokens) if recipe.loss_aggregation == "constant" else None
    weights = aggregation_weights(sequences, recipe.loss_aggregation, length=length)
    return [
        Datum(s.tokens, s.mask, s.advantages, s.logprobs, recipe.temperature, float(weight))
        for s, weight in zip(sequences, weights, strict=True)
    ]


def loss_config(recipe: Recipe) -> dict[str, float]:
    """The recipe's bounds as the losses take them."""
    return {
        "clip_low_threshold": recipe.clip_low_threshold,
        "clip_high_threshold": recipe.clip_high_threshold,
        "importance_cap": recipe.importance_cap or 0.0,
    }


def learning_rate(recipe: Recipe, step: int, last: int) -> float:
    """The rate of a step (from 1): linear warmup, then constant, or linear or cosine down to 0 after the last."""
    if step <= recipe.warmup_steps:
        return recipe.learning_rate * step / recipe.warmup_steps
    if recipe.lr_schedule == "constant":
        return recipe.learning_rate
    done = (step - 1 - recipe.warmup_steps) / max(last - recipe.warmup_steps, 1)
    share = 1 - done if recipe.lr_schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return recipe.learning_rate * share


def split_evenly(groups: Sequence[Group], parts: int) -> list[Sequence[Group]]:
    """At most ``parts`` non-empty runs of groups, as equal as can be."""
    cuts = [round(i * len(groups) / parts) for i in range(parts + 1)]
    return [groups[a:b] for a, b in itertools.pairwise(cuts) if b > a]


def _averaged(stats: Sequence[StepStats]) -> dict[str, float]:
    """Minibatches weighted by tokens; loss and maxima as what they are."""
    tokens = sum(s.tokens for s in stats)
    names = stats[0].metrics
    out = {"loss": sum(s.loss for s in stats) / len(stats)}
    for name in names:
        values = [s.metrics[name] for s in stats]
        worst = name.endswith("_max")
        out[name] = max(values) if worst else sum(v * s.tokens for v, s in zip(values, stats, strict=True)) / tokens
    return out
