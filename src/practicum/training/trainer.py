"""The training loop: collect, judge, compare within groups, take a gradient step, look, save.

With ``max_steps_off_policy: 0`` each step's rollouts come from the newest weights and nothing else happens meanwhile
(within a step, minibatches after the first are one or more updates behind; their ratios say so). Above 0, sampling
runs ahead of training: see ``training.overlap``.
"""

import itertools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from practicum.algorithms.advantages import compute_advantages
from practicum.algorithms.repetition import degenerate_rollouts
from practicum.algorithms.returns import TrajectoryRewards
from practicum.algorithms.sequences import TrainingSequence, aggregation_weights, training_sequences
from practicum.engine.protocol import AdamParams, Datum, StepStats
from practicum.errors import naming
from practicum.evaluation.statistics import pass_at_k, pass_power_k
from practicum.monitor.metrics import evaluation_metrics, step_metrics
from practicum.monitor.progress import TrainingView
from practicum.recipe import Recipe
from practicum.rollout.dispatcher import RolloutRequest
from practicum.runs.checkpoint import OpenGroups, first_checkpoint, save_checkpoint
from practicum.runs.folder import Run
from practicum.runs.manifest import file_digests
from practicum.seeds import derive
from practicum.store import write_trajectories
from practicum.tasks import Task, TaskSet
from practicum.training.async_trainer import fit_overlapped
from practicum.training.components import Workbench
from practicum.training.course import Course, divergence, goes_on
from practicum.training.schedule import batch_of, learning_rate, total_steps, validation_tasks
from practicum.training.shortfall import refuse_shortfall, shortfall
from practicum.trajectory import Group, Trajectory, group_by_task, survivors


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
    _shortfall: list[str] = field(default_factory=list)
    """What the last step could not use, and why, for the terminal."""
    _held_out_shortfall: list[str] = field(default_factory=list)
    """The same of the last validation, until it is shown."""

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
        if recipe.max_steps_off_policy and first_step < last:
            self.bench.run(fit_overlapped(self, first_step))
            return last
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

    def step(self, step: int) -> dict[str, float]:
        """One step: rollouts, advantages, gradient, record; returns its metrics."""
        self.view.phase("rollouts")
        began, version = time.monotonic(), self.bench.sampler.version
        requests = [
            request for task in batch_of(self.train, step, self.bench.recipe) for request in self.requests(step, task)
        ]
        dispatcher = self.bench.dispatcher(self.bench.training_params())
        with naming(f"the rollouts of step {step}"):
            groups = group_by_task(self.bench.collect(dispatcher, requests))
        return self.train_on(step, groups, lambda token: version - token, began=began)

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
        """Advantages, gradient and record of one step's groups; returns the step's metrics.

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
        # Before anything can refuse them: what went wrong is in them.
        table = self.run.folder / "trajectories" / f"step-{step:06d}.parquet"
        write_trajectories(table, trajectories)
        refuse_shortfall(f"step {step}", trajectories, recipe, self.run, where=str(table))
        self.view.phase("gradient step")
        repetitive = filtered(groups, recipe)
        self._shortfall = shortfall(groups, too_few(groups, recipe, repetitive), recipe)
        advantages = group_advantages(groups, recipe, repetitive)
        with naming(f"the gradient of step {step}"):
            learned = self._learn(groups, advantages, step)
        updated, trained = learned.pop("policy_update", 0.0), time.monotonic()
        metrics = step_metrics(
            groups,
            {key: list(value) for key, value in advantages.items()},
            step=step,
            epoch=(step - 1) / (len(self.train) // recipe.global_batch_size),
            age=age,
            discarded_stale=discarded,
            untrained=untrained,
            trained=trained_groups(groups, advantages, recipe),
            planned=recipe.global_batch_size * recipe.group_size,
            learner=learned,
            timings={
                "rollout": collected - began,
                "wait": collected - began,
                "training": trained - collected,
                "policy_update": updated,
                "step": time.monotonic() - began,
            },
        )
        if recipe.max_repeated_tokens is not None:
            metrics["rollout/filtered"] = float(len(repetitive))
        self.run.record_metrics("rl", step, metrics)
        self.run.record_trajectories(trajectories, {task.id: task.prompt for task in self.train})
        names = ("rollout/reward/mean", "training/loss", "training/grad_norm")
        numbers = {name: metrics[name] for name in names if name in metrics}
        self.run.events.append("step", {"step": step, **numbers, "files": file_digests(self.run.folder, [table])})
        return metrics

    def validate(self, step: int) -> float:
        """Mean success on validation tasks; recorded under ``val/``. Training never sees the number."""
        return self.bench.run(self.validated(step))

    async def validated(self, step: int) -> float:
        """``validate``, for callers that wait."""
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
        # Where training rollouts go on meanwhile, none of them may wait for one of these.
        free, params = bool(recipe.max_steps_off_policy), self.bench.held_out_params(recipe.val_temperature)
        dispatcher = self.bench.dispatcher(params, scored=True, free=free)
        with naming(f"the validation after step {step}"):
            trajectories = await dispatcher.run(requests)
        refuse_shortfall(f"the validation after step {step}", trajectories, recipe, self.run)
        groups = group_by_task(trajectories)
        self._held_out_shortfall = [f"validation {line}" for line in shortfall(groups, (), recipe)]
        estimates = pass_estimates(groups, recipe)
        metrics = evaluation_metrics("val", groups, success_threshold=recipe.success_threshold, estimates=estimates)
        metrics["timing_s/eval"] = time.monotonic() - began
        metrics |= divergence(self.run.folder, metrics, "val")
        self.run.record_metrics("validation", step, metrics)
        return metrics.get("val/score/mean", 0.0)

    def save(self, step: int, open_groups: OpenGroups | None = None) -> None:
        """Write the checkpoint of a finished step and enter it in the ledger."""
        self.view.phase("checkpoint")
        began = time.monotonic()
        keep_first = bool(self.bench.recipe.kl_coef)
        checkpoint = save_checkpoint(
            self.run.folder,
            step,
            self.bench.learner,
            open_groups,
            keep=self.bench.recipe.keep_checkpoints,
            keep_first=keep_first,
        )
        self.run.record_metrics("checkpoint", step, {"timing_s/save_checkpoint": time.monotonic() - began})
        self.run.events.append("checkpoint", {"step": step, "digest": checkpoint.digest})

    def _learn(self, groups: Sequence[Group], advantages: Mapping[str, np.ndarray], step: int) -> dict[str, float]:
        """Gradient steps on the groups that say something; the rate alone where none does and no penalty is set.

        ``policy_update`` beside the learner's numbers: seconds it took to bring the new weights to the sampler.
        """
        recipe, learner = self.bench.recipe, self.bench.learner
        signal = trained_groups(groups, advantages, recipe)
        rate = learning_rate(recipe, step, total_steps(recipe, len(self.train)))
        adam = AdamParams(
            rate, recipe.adam_beta1, recipe.adam_beta2, recipe.adam_eps, recipe.weight_decay, recipe.grad_clip_norm
        )
        stats, norms, updated = list[StepStats](), list[float](), 0.0
        for part in split_evenly(signal, recipe.minibatches_per_step):
            data = training_data(part, advantages, recipe)
            stats.append(learner.forward_backward(data, recipe.loss_fn, loss_config(recipe)))
            done = learner.optim_step(adam)
            norms.append(done["grad_norm"])
            updated += done.get("publish_s", 0.0)
        if not stats:
            return {"learning_rate": rate}
        numbers = {"grad_norm": sum(norms) / len(norms), "learning_rate": rate, "policy_update": updated}
        return {**_averaged(stats), **numbers}

    def show(self, step: int, metrics: Mapping[str, float], held_out: float | None) -> None:
        """Tell the terminal about a finished step."""
        tokens = sum(metrics.get(f"rollout/tokens/{part}_mean", 0.0) for part in ("prompt", "response"))
        n = self.bench.recipe.global_batch_size * self.bench.recipe.group_size
        self.view.step(
            step,
            reward=metrics.get("rollout/reward/mean"),
            begun=metrics.get("rollout/reward/begun_mean"),
            held_out=held_out,
            groups_without_signal=int(metrics["analysis/zero_adv_groups"]),
            groups=self.bench.recipe.global_batch_size,
            tokens_per_s=tokens * n / max(metrics["timing_s/step"], 1e-9),
            shortfall=[*self._shortfall, *self._held_out_shortfall],
        )
        self._held_out_shortfall = []


def _begun(extra: int, every: int) -> int:
    """Steps beyond the recipe's that were decided on, ``every`` at a time, when ``extra`` of them had been done."""
    return -(-extra // every) * every if extra > 0 and every else 0


def pass_estimates(groups: Sequence[Group], recipe: Recipe) -> dict[str, float]:
    """Of validation rollouts, ``reward/pass_at_{k}`` and ``reward/pass_power_{k}``, counted as the evaluation counts.

    Empty where each task was played once.
    """
    n, threshold = recipe.val_group_size, recipe.success_threshold
    if n == 1 or not groups:
        return {}
    wins = [sum(t.succeeded(threshold) for t in group.trajectories) for group in groups]
    estimators = {"pass_at": pass_at_k, "pass_power": pass_power_k}
    return {
        f"reward/{name}_{k}": float(np.mean([estimate(n, won, k) for won in wins]))
        for name, estimate in estimators.items()
        for k in recipe.pass_k_values
        if k <= n
    }


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


def trained_groups(groups: Sequence[Group], advantages: Mapping[str, np.ndarray], recipe: Recipe) -> list[Group]:
    """The groups with a signal; where none has one, all, as far as a penalty goes on without it.

    The terms of ``kl_coef`` and ``entropy_coef`` need no reward: a step of silent groups is one in which they alone
    move the policy, back to the reference or away from being sure of itself.
    """
    signal = [group for group in groups if has_signal(group, advantages)]
    if signal or not (recipe.kl_coef or recipe.entropy_coef):
        return signal
    return [group for group in groups if any(t.id in advantages for t in group.trajectories)]


def has_signal(group: Group, advantages: Mapping[str, np.ndarray]) -> bool:
    """Whether any member's advantage is not zero."""
    return any(np.any(advantages[t.id]) for t in group.trajectories if t.id in advantages)


def training_data(groups: Sequence[Group], advantages: Mapping[str, np.ndarray], recipe: Recipe) -> list[Datum]:
    """The groups' training sequences, weighted so that their losses sum to the recipe's aggregate."""
    members = [t for group in groups for t in group.trajectories if t.id in advantages]
    owned = [(t.id, sequence) for t in members for sequence in training_sequences(t, advantages[t.id])]
    sequences: list[TrainingSequence] = [sequence for _, sequence in owned]
    length = float(recipe.sampling_max_tokens) if recipe.loss_aggregation == "constant" else None
    weights = aggregation_weights(
        sequences, recipe.loss_aggregation, length=length, trajectories=[id for id, _ in owned]
    )
    return [
        Datum(s.tokens, s.mask, s.advantages, s.logprobs, recipe.temperature, float(weight))
        for s, weight in zip(sequences, weights, strict=True)
    ]


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
