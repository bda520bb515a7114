"""Held-out evaluation: what share of tasks the agent gets right, by a score that never sees the reward.

Every rollout counts: one that failed for good is a rollout without success, not a missing one. The reward is
computed beside the score only to show where the two disagree.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from practicum.digests import digest_file
from practicum.errors import RunError
from practicum.evaluation.summary import Circumstances, Evaluation, Mode, summarize
from practicum.files import write_text
from practicum.rollout.dispatcher import Dispatcher, RolloutRequest
from practicum.scoring import Judge
from practicum.scoring.endpoint import Endpoint
from practicum.scoring.judgement import CAVEAT, reported_reward
from practicum.scoring.model_judge import bears_name, is_independent, models_within
from practicum.seeds import derive
from practicum.store import write_trajectories
from practicum.tasks import TaskSet
from practicum.trajectory import Trajectory

__all__ = ["Evaluation", "EvaluationPlan", "Mode", "evaluate", "read_evaluation", "requests_of", "write_evaluation"]


@dataclass(frozen=True)
class EvaluationPlan:
    """What to evaluate on: the tasks, how many rollouts each, and which k to report."""

    split: str
    tasks: TaskSet
    rollouts_per_task: int
    success_threshold: float
    pass_k: tuple[int, ...]
    seed: int
    policy: Endpoint | None = None
    """Where the evaluated model is served, if it is: a score that asks it for its opinion is marked."""
    model_name: str = ""
    """What the recipe calls the evaluated model: a score that asks one of that name is marked too."""


async def evaluate(dispatcher: Dispatcher, plan: EvaluationPlan, label: str) -> tuple[Evaluation, list[Trajectory]]:
    """Run the plan with a dispatcher that has a score.

    The same seed gives the same random numbers to every label, so that models are compared on equal draws.
    """
    mode: Mode = "greedy" if dispatcher.params.temperature == 0 else "sampled"
    began = time.monotonic()
    trajectories = await dispatcher.run(requests_of(plan, f"{label}-{mode}", mode))
    how = circumstances(
        plan,
        label,
        mode,
        temperature=dispatcher.params.temperature,
        version=dispatcher.sampler.version,
        environment=asdict(dispatcher.environment),
        seconds=time.monotonic() - began,
        **judged_by(dispatcher.score, plan.policy, plan.model_name),
    )
    return summarize(trajectories, how), trajectories


def write_evaluation(run_folder: Path, evaluation: Evaluation, trajectories: Sequence[Trajectory]) -> dict[str, str]:
    """Write ``evaluations/NAME.json`` and ``trajectories/eval-NAME.parquet``; returns the files' digests."""
    table = run_folder / "trajectories" / f"eval-{evaluation.name}.parquet"
    write_trajectories(table, trajectories)
    page = run_folder / "evaluations" / f"{evaluation.name}.json"
    write_text(page, json.dumps(asdict(evaluation), indent=2) + "\n")
    return {path.relative_to(run_folder).as_posix(): digest_file(path) for path in (page, table)}


def read_evaluation(path: Path) -> Evaluation:
    """Read what ``write_evaluation`` wrote, this version's or an earlier one's.

    Raises:
        RunError: it cannot be read.
    """
    names = {each.name for each in fields(Evaluation)}
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = Evaluation(**{key: value for key, value in values.items() if key in names})
        return replace(found, interval=_pair(found.interval), bootstrap=_pair(found.bootstrap))
    except (ValueError, TypeError, AttributeError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise RunError(
            f"an evaluation cannot be read: {error}",
            where=f"{path}{line}",
            fix="put the file back as it was, or take it away: then practicum eval makes the evaluation again",
        ) from error


def requests_of(plan: EvaluationPlan, name: str, mode: Mode) -> list[RolloutRequest]:
    """Each rollout of the plan, with its seed."""
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


def circumstances(plan: EvaluationPlan, label: str, mode: Mode, **more: Any) -> Circumstances:
    """The plan as ``summarize`` wants it."""
    return Circumstances(
        label=label,
        mode=mode,
        split=plan.split,
        split_digest=plan.tasks.digest,
        n_tasks=len(plan.tasks),
        rollouts_per_task=plan.rollouts_per_task,
        success_threshold=plan.success_threshold,
        pass_k=plan.pass_k,
        seed=plan.seed,
        **more,
    )


def judged_by(score: Judge | None, policy: Endpoint | None, model_name: str = "") -> dict[str, Any]:
    """Which models' opinion a score is made of, and whether it is independent of policy and agent."""
    models = sorted(f"{each.model} at {each.base_url}" for each in models_within(score))
    itself = bears_name(score, model_name) or (policy is not None and not is_independent(score, policy))
    if score is reported_reward:
        return {"judge_models": models, "independent": False, "caveat": CAVEAT}
    return {"judge_models": models, "independent": not itself}


def _pair(interval: Sequence[float]) -> tuple[float, float]:
    low, high = interval
    return low, high
