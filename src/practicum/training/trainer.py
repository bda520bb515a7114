"""The training loop: collect, judge, compare within groups, learn, record; then look, and save.

With ``max_steps_off_policy: 0`` each step's rollouts come from the newest weights and nothing else happens meanwhile
(within a step, minibatches after the first are one or more updates behind; their ratios say so). Above 0, sampling
runs ahead of training: see ``async_trainer``.
"""

import itertools
import math
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from practicum.algorithms.advantages import TrajectoryRewards, compute_advantages
from practicum.algorithms.losses import TrainingSequence, aggregation_weights, training_sequences
from practicum.algorithms.repetition import degenerate_rollouts
from practicum.engine.protocol import AdamParams, StepStats
from practicum.errors import naming
from practicum.monitor.progress import TrainingView
from practicum.recipe import Recipe
from practicum.rollout.dispatcher import RolloutRequest
from practicum.runs.checkpoint import OpenGroups, first_checkpoint, save_checkpoint
from practicum.runs.folder import Run
from practicum.seeds import derive
from practicum.tasks import Task, TaskSet
from practicum.training.components import Workbench
from practicum.training.course import Course, goes_on
from practicum.training.listeners import (
    RunRecorder,
    StepOutcome,
    StepTimes,
    TrainingListener,
    show_step,
    step_table,
)
from practicum.training.shortfall import refuse_shortfall, shortfall
from practicum.training.validation import validate
from practicum.trajectory import Group, Trajectory, group_by_task, survivors

Advantages = Mapping[str, np.ndarray]
"""Trajectory id → one advantage per turn."""


@dataclass
class Trainer:
    """Trains the policy of a workbench; every step is recorded in the run before the next begins.

    Args:
        bench: Model, environment, agent.
        run: Where everything is recorded.
        train: Tasks to train on.
        validation: Held-out tasks for the score shown while training, if it is; nothing learns from them.
        view: The terminal.
    """

    bench: Workbench
    run: Run
    train: TaskSet
    validation: Sequence[Task]
    view: TrainingView
    last: int = 0
    """The last step, as far as is decided."""
    listener: TrainingListener = field(init=False)
    _shortfall: list[str] = field(default_factory=list)
    """What the last step could not use, and why, for the terminal."""
    _held_out_shortfall: list[str] = field(default_factory=list)
    """The same of the last validation, until it is shown."""

    def __post_init__(self) -> None:
        self.listener = RunRecorder(self.run, self.train, self.view)

    def step(self, step: int) -> dict[str, float]:
        """One step by the newest weights; returns its metrics."""
        self.listener.phase("rollouts")
        began, version = time.monotonic(), self.bench.sampler.version
        tasks = batch_of(self.train, step, self.bench.recipe)
        requests = [request for task in tasks for request in self.requests(step, task)]
        dispatcher = self.bench.dispatcher(self.bench.training_params())
        with naming(f"the rollouts of step {step}"):
            groups = group_by_task(self.bench.collect(dispatcher, requests))  # each was judged as it ended
        return self.train_on(step, groups, lambda token: version - token, began=began)

    def train_on(
        self,
        step: int,
        groups: Sequence[Group],
        age: Callable[[int], int],
        *,
        began: float,
        discarded: int = 0,
        untrained: Sequence[Trajectory] = (),
    ) -> dict[str, float]:
        """Compare and learn from what was collected for a step; returns the step's metrics.

        Args:
            step: Number of the step, from 1.
            groups: What was collected for it.
            age: Policy version of a token → its staleness in this step.
            began: When collecting began (``time.monotonic``).
            discarded: Rollouts thrown away as too old before this step.
            untrained: Rollouts that ended before this step and that none trains on.

        Raises:
            RunError: too many rollouts failed.
        """
        recipe, collected = self.bench.recipe, time.monotonic()
        trajectories = [t for group in groups for t in group.trajectories]
        self.listener.collected(step, trajectories)
        table = str(step_table(self.run.folder, step))
        refuse_shortfall(f"step {step}", trajectories, recipe, self.run, where=table)
        self.listener.phase("gradient step")
        repetitive = filtered(groups, recipe)
        advantages = group_advantages(groups, recipe, repetitive)
        trained = trained_groups(groups, advantages, recipe)
        with naming(f"the gradient of step {step}"):
            learned = self._learn(trained, advantages, step)
        times = StepTimes(began, collected, learned=time.monotonic())
        outcome = StepOutcome(step, groups, advantages, trained, learned, repetitive, age, discarded, untrained, times)
        metrics = outcome.metrics(recipe, len(self.train))
        self._shortfall = shortfall(groups, too_few(groups, recipe, repetitive), recipe)
        self.listener.learned(step, trajectories, metrics)
        return metrics

    def _learn(self, trained: Sequence[Group], advantages: Advantages, step: int) -> dict[str, float]:
        """Gradient steps on groups; the rate alone where there are none.

        ``policy_update`` beside the learner's numbers: seconds it took to bring the new weights to the sampler.
        """
        recipe, learner = self.bench.recipe, self.bench.learner
        rate = learning_rate(recipe, step, total_steps(recipe, len(self.train)))
        adam = AdamParams(
            rate, recipe.adam_beta1, recipe.adam_beta2, recipe.adam_eps, recipe.weight_decay, recipe.grad_clip_norm
        )
        stats, norms, updated = list[StepStats](), list[float](), 0.0
        for part in split_evenly(trained, recipe.minibatches_per_step):
            data = training_data(part, advantages, recipe)
            stats.append(learner.forward_backward(data, recipe.loss_fn, loss_config(recipe)))
            update = learner.optim_step(adam)
            norms.append(update["grad_norm"])
            updated += update.get("publish_s", 0.0)
        if not stats:
            return {"learning_rate": rate}
        numbers = {"grad_norm": sum(norms) / len(norms), "learning_rate": rate, "policy_update": updated}
        return {**_averaged(stats), **numbers}

    def requests(self, step: int, task: Task, attempt: int = 0) -> list[RolloutRequest]:
        """The rollouts of one group; a group collected again has other seeds."""
        again = ("again", attempt) if attempt else ()
        group = f"step-{step}/{task.id}" + (f"/again-{attempt}" if attempt else "")
        return [
            RolloutRequest(
                id=f"{group}/{n}",
                group_id=group,
                task=task,
                seed=derive(self.bench.recipe.seed, "rollout", step, task.id, n, *again),
            )
            for n in range(self.bench.recipe.group_size)
        ]

    def fit(self, first_step: int) -> int:
        """Train from step ``first_step + 1`` to the recipe's end, or beyond it where the recipe allows.

        Returns:
            The last step.
        """
        recipe = self.bench.recipe
        last = total_steps(recipe, len(self.train))
        if recipe.kl_coef:
            self.bench.learner.keep_reference(first_checkpoint(self.run.folder).folder)
        if first_step == 0 and recipe.val_at_start:
            self.validate(0)
        self.last = last + _begun(first_step - last, recipe.val_every)
        return self._steps(first_step, last)

    def _steps(self, first_step: int, last: int) -> int:
        """The steps themselves, one after the other; returns the last one."""
        step = first_step
        while step < self.last or self._goes_on(step, step - last):
            step += 1
            metrics = self.step(step)
            self.show(step, metrics, self.validate(step) if self.validation_due(step) else None)
            if self.checkpoint_due(step):
                self.save(step)
        return step

    def _goes_on(self, step: int, extra: int) -> bool:
        """Whether steps are added to the recipe's, until the next validation."""
        recipe, run = self.bench.recipe, self.run
        if not recipe.extend_steps or not goes_on(Course.of(run.folder), recipe, extra=extra, seconds=run.seconds):
            return False
        self.last = (step // recipe.val_every + 1) * recipe.val_every
        self.view.extend(self.last)
        self.view.message(f"it still learns: on to step {self.last}")
        return True

    def validation_due(self, step: int) -> bool:
        """Whether a validation follows the step."""
        every = self.bench.recipe.val_every
        return bool(every) and step % every == 0

    def checkpoint_due(self, step: int) -> bool:
        """Whether a checkpoint follows the step."""
        every = self.bench.recipe.save_every
        return bool(every and step % every == 0) or step == self.last

    def validate(self, step: int) -> float:
        """Mean success on validation tasks; recorded under ``val/``. Training never sees the number."""
        return self.bench.run(self.validated(step))

    async def validated(self, step: int) -> float:
        """``validate``, for callers that wait."""
        self.listener.phase("validation")
        metrics, self._held_out_shortfall = await validate(self.bench, self.run, self.validation, step)
        self.listener.validated(step, metrics)
        return metrics.get("val/score/mean", 0.0)

    def save(self, step: int, open_groups: OpenGroups | None = None) -> None:
        """Write the checkpoint of a finished step."""
        self.listener.phase("checkpoint")
        began, recipe = time.monotonic(), self.bench.recipe
        checkpoint = save_checkpoint(
            self.run.folder,
            step,
            self.bench.learner,
            open_groups,
            keep=recipe.keep_checkpoints,
            keep_first=bool(recipe.kl_coef),
        )
        self.listener.saved(step, checkpoint, time.monotonic() - began)

    def show(self, step: int, metrics: Mapping[str, float], held_out: float | None) -> None:
        """Tell the terminal about a finished step."""
        lines = [*self._shortfall, *self._held_out_shortfall]
        show_step(self.view, self.bench.recipe, step, metrics, held_out, lines)
        self._held_out_shortfall = []


def _begun(extra: int, every: int) -> int:
    """Steps beyond the recipe's that were decided on, ``every`` at a time, when ``extra`` of them had been done."""
    return -(-extra // every) * every if extra > 0 and every else 0


def total_steps(recipe: Recipe, n_tasks: int) -> int:
    """Steps until max_steps or max_epochs, whichever comes first."""
    return min(recipe.max_steps, recipe.max_epochs * (n_tasks // recipe.global_batch_size))


def batch_of(tasks: TaskSet, step: int, recipe: Recipe) -> list[Task]:
    """The tasks of a step (from 1): every epoch in its own seeded order, an epoch's remainder left out."""
    per_epoch = len(tasks) // recipe.global_batch_size
    epoch, place = divmod(step - 1, per_epoch)
    order = list(tasks)
    random.Random(derive(recipe.seed, "order", epoch)).shuffle(order)
    return order[place * recipe.global_batch_size : (place + 1) * recipe.global_batch_size]


def learning_rate(recipe: Recipe, step: int, last: int) -> float:
    """The rate of a step (from 1): linear warmup, then constant, or linear or cosine down to its least after the last.

    Steps beyond the last, which ``extend_steps`` adds, go on at the least.
    """
    if step <= recipe.warmup_steps:
        return recipe.learning_rate * step / recipe.warmup_steps
    if recipe.lr_schedule == "constant":
        return recipe.learning_rate
    progress = min((step - 1 - recipe.warmup_steps) / max(last - recipe.warmup_steps, 1), 1.0)
    share = 1 - progress if recipe.lr_schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return recipe.learning_rate * (recipe.min_lr_ratio + (1 - recipe.min_lr_ratio) * share)


def filtered(groups: Sequence[Group], recipe: Recipe) -> list[str]:
    """Ids of the rollouts that the recipe's repetition filter leaves out."""
    if recipe.max_repeated_tokens is None:
        return []
    return degenerate_rollouts(
        [t for group in groups for t in group.trajectories],
        max_repeated_tokens=recipe.max_repeated_tokens,
        max_ngram_size=recipe.max_ngram_size,
        max_filter_rate=recipe.max_filter_rate,
    )


def too_few(groups: Sequence[Group], recipe: Recipe, repetitive: Collection[str] = ()) -> list[Group]:
    """Groups of which fewer than ``min_group_survivors`` rollouts can be trained on."""
    return [g for g in groups if len(filtered_members(g, recipe, repetitive)) < recipe.min_group_survivors]


def group_advantages(
    groups: Sequence[Group], recipe: Recipe, repetitive: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Trajectory id → one advantage per turn; groups with too few survivors are left out.

    Trajectories named in ``repetitive`` are no members of their group, as if they had failed; or, where the recipe has
    a ``filter_reward``, they are members with that reward.
    """
    members_of = (filtered_members(group, recipe, repetitive) for group in groups)
    usable = [members for members in members_of if len(members) >= recipe.min_group_survivors]
    computed = compute_advantages(
        recipe.advantage_method,
        [[TrajectoryRewards.of(t) for t in members] for members in usable],
        normalize=recipe.advantage_normalization,
        gamma=recipe.gamma,
        deviation=recipe.advantage_std,
    )
    return {
        t.id: value
        for members, values in zip(usable, computed, strict=True)
        for t, value in zip(members, values, strict=True)
    }


def filtered_members(group: Group, recipe: Recipe, repetitive: Collection[str]) -> list[Trajectory]:
    """The group's survivors as they are compared: without those that repeat themselves, or with these punished."""
    members = survivors(group.trajectories)
    if recipe.filter_reward is None:
        return [t for t in members if t.id not in repetitive]
    return [replace(t, rewards=(recipe.filter_reward,)) if t.id in repetitive else t for t in members]


def trained_groups(groups: Sequence[Group], advantages: Advantages, recipe: Recipe) -> list[Group]:
    """The groups with a signal; where none has one, all, as far as a penalty goes on without it.

    The terms of ``kl_coef`` and ``entropy_coef`` need no reward: a step of silent groups is one in which they alone
    move the policy, back to the reference or away from being sure of itself.
    """
    signal = [group for group in groups if has_signal(group, advantages)]
    if signal or not (recipe.kl_coef or recipe.entropy_coef):
        return signal
    return [group for group in groups if any(t.id in advantages for t in group.trajectories)]


def has_signal(group: Group, advantages: Advantages) -> bool:
    """Whether any member's advantage is not zero."""
    return any(np.any(advantages[t.id]) for t in group.trajectories if t.id in advantages)


def training_data(groups: Sequence[Group], advantages: Advantages, recipe: Recipe) -> list[TrainingSequence]:
    """The groups' training sequences, weighted so that their losses sum to the recipe's aggregate."""
    members = [t for group in groups for t in group.trajectories if t.id in advantages]
    owned = [(t.id, s) for t in members for s in training_sequences(t, advantages[t.id], recipe.temperature)]
    sequences = [sequence for _, sequence in owned]
    length = float(recipe.sampling_max_tokens) if recipe.loss_aggregation == "constant" else None
    weights = aggregation_weights(
        sequences, recipe.loss_aggregation, length=length, trajectories=[id for id, _ in owned]
    )
    return [replace(sequence, weight=float(weight)) for sequence, weight in zip(sequences, weights, strict=True)]


def loss_config(recipe: Recipe) -> dict[str, float]:
    """The recipe's bounds and penalties as the losses take them."""
    return {
        "clip_low_threshold": recipe.clip_low_threshold,
        "clip_high_threshold": recipe.clip_high_threshold,
        "importance_cap": recipe.importance_cap or 0.0,
        "kl_coef": recipe.kl_coef,
        "entropy_coef": recipe.entropy_coef,
    }


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
