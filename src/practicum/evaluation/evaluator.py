"""Held-out evaluation: what share of tasks the agent gets right, by a score that never sees the reward.

Every rollout counts: one that failed for good is a rollout without success, not a missing one. The reward is
computed beside the score only to show where the two disagree.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from practicum.digests import digest_file
from practicum.evaluation.statistics import pass_at_k, pass_power_k, wilson_interval
from practicum.files import write_text
from practicum.rollout.dispatcher import Dispatcher, RolloutRequest
from practicum.seeds import derive
from practicum.store import write_trajectories
from practicum.tasks import TaskSet
from practicum.trajectory import Trajectory, group_by_task

Mode = Literal["sampled", "greedy"]


@dataclass(frozen=True)
class Evaluation:
    """One model on one split under one sampling setting. Rates are shares of rollouts."""

    label: str
    mode: Mode
    split: str
    split_digest: str
    n_tasks: int
    n_rollouts: int
    successes: int
    success_rate: float
    interval: tuple[float, float]
    """95% Wilson interval of ``success_rate``."""
    field_accuracy: Mapping[str, float]
    completion_rate: float
    pass_at: Mapping[str, float]
    pass_power: Mapping[str, float]
    reward_mean: float
    failed: int
    max_turns_frac: float
    at_cap_frac: float
    tool_calls: Mapping[str, int]
    tokens_per_rollout: float
    temperature: float
    seed: int
    version: int
    seconds: float
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """``label-mode``, as files are called."""
        return f"{self.label}-{self.mode}"

    @property
    def estimates(self) -> dict[str, float]:
        """The statistics under their metric names (below ``eval/``)."""
        low, high = self.interval
        return {
            "score/interval_low": low,
            "score/interval_high": high,
            **{f"field_accuracy/{name}": value for name, value in self.field_accuracy.items()},
            **{f"reward/pass_at_{k}": value for k, value in self.pass_at.items()},
            **{f"reward/pass_power_{k}": value for k, value in self.pass_power.items()},
        }


@dataclass(frozen=True)
class EvaluationPlan:
    """What to evaluate on: the tasks, how many rollouts each, and which k to report."""

    split: str
    tasks: TaskSet
    rollouts_per_task: int
    success_threshold: float
    pass_k: tuple[int, ...]
    seed: int


async def evaluate(dispatcher: Dispatcher, plan: EvaluationPlan, label: str) -> tuple[Evaluation, list[Trajectory]]:
    """Run the plan with a dispatcher that has a score.

    The same seed gives the same random numbers to every label, so that models are compared on equal draws.
    """
    mode: Mode = "greedy" if dispatcher.params.temperature == 0 else "sampled"
    began = time.monotonic()
    trajectories = await dispatcher.run(_requests(plan, f"{label}-{mode}", mode))
    seconds = time.monotonic() - began
    return _summary(plan, label, mode, dispatcher, trajectories, seconds), trajectories


def write_evaluation(run_folder: Path, evaluation: Evaluation, trajectories: Sequence[Trajectory]) -> dict[str, str]:
    """Write ``evaluations/NAME.json`` and ``trajectories/eval-NAME.parquet``; returns the files' digests."""
    table = run_folder / "trajectories" / f"eval-{evaluation.name}.parquet"
    write_trajectories(table, trajectories)
    page = run_folder / "evaluations" / f"{evaluation.name}.json"
    write_text(page, json.dumps(asdict(evaluation), indent=2) + "\n")
    return {path.relative_to(run_folder).as_posix(): digest_file(path) for path in (page, table)}


def read_evaluation(path: Path) -> Evaluation:
    """Read what ``write_evaluation`` wrote."""
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return replace(Evaluation(**values), interval=tuple(values["interval"]))


def _requests(plan: EvaluationPlan, name: str, mode: Mode) -> list[RolloutRequest]:
    return [
        RolloutRequest(
            id=f"{name}/{task.id}/{number}",
            group_id=f"{name}/{task.id}",
            task=task,
            seed=derive(plan.seed, "evaluation", mode, task.id, number),
        )
        for task in plan.tasks
        for number in range(plan.rollouts_per_task)
    ]


def _summary(
    plan: EvaluationPlan,
    label: str,
    mode: Mode,
    dispatcher: Dispatcher,
    trajectories: Sequence[Trajectory],
    seconds: float,
) -> Evaluation:
    n = len(trajectories)
    right = [_succeeded(t, plan.success_threshold) for t in trajectories]
    by_task = [
        sum(_succeeded(t, plan.success_threshold) for t in group.trajectories) for group in group_by_task(trajectories)
    ]
    ks = [k for k in plan.pass_k if k <= plan.rollouts_per_task]
    return Evaluation(
        label=label,
        mode=mode,
        split=plan.split,
        split_digest=plan.tasks.digest,
        n_tasks=len(plan.tasks),
        n_rollouts=n,
        successes=sum(right),
        success_rate=sum(right) / n,
        interval=wilson_interval(sum(right), n),
        field_accuracy=_fields(trajectories),
        completion_rate=_mean(t.ending == "final" for t in trajectories),
        pass_at={str(k): _mean(pass_at_k(plan.rollouts_per_task, c, k) for c in by_task) for k in ks},
        pass_power={str(k): _mean(pass_power_k(plan.rollouts_per_task, c, k) for c in by_task) for k in ks},
        reward_mean=_mean(t.reward for t in trajectories),
        failed=sum(t.ending == "error" for t in trajectories),
        max_turns_frac=_mean(t.ending == "max_turns" for t in trajectories),
        at_cap_frac=_mean(any(turn.finish_reason == "length" for turn in t.turns) for t in trajectories),
        tool_calls=dict(sorted(Counter(call.name for t in trajectories for call in t.tool_calls).items())),
        tokens_per_rollout=_mean(t.n_action_tokens for t in trajectories),
        temperature=dispatcher.params.temperature,
        seed=plan.seed,
        version=dispatcher.sampler.version,
        seconds=seconds,
        environment=asdict(dispatcher.environment),
    )


def _succeeded(trajectory: Trajectory, threshold: float) -> bool:
    return trajectory.ending != "error" and trajectory.score is not None and trajectory.score >= threshold


def _fields(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    names = sorted({key for t in trajectories for key in t.score_metrics if key.startswith("field/")})
    return {name.removeprefix("field/"): _mean(t.score_metrics.get(name, 0.0) for t in trajectories) for name in names}


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return float(sum(numbers) / len(numbers)) if numbers else 0.0
