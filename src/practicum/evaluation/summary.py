"""What a set of judged rollouts comes to: the numbers of one evaluation."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Literal

from practicum.evaluation.statistics import bootstrap_interval, clustered_interval, pass_at_k, pass_power_k
from practicum.ranges import reaches
from practicum.rollout.failures import causes
from practicum.seeds import derive
from practicum.trajectory import Trajectory, failure_counts, group_by_task

Mode = Literal["sampled", "greedy"]
Interval = tuple[float, float]

LABELS = ("base", "foothold", "trained", "control", "reference")
"""Models evaluated, in the order of a run's stages; others follow by name."""
MODES: tuple[Mode, ...] = ("sampled", "greedy")

FORMAT = ("format", "score/format", "task/format")
"""Components, of score or reward, that say whether an answer keeps to its form."""
SELF_JUDGED = "the model judges itself"
HIDDEN = ("tier/", "milestone/")
"""Families of components that are no fields."""
CAUSES_KEPT = 10
"""Causes of failures that an evaluation holds."""


def stage_order(label: str, mode: str) -> tuple[int, str, int]:
    """What evaluations are sorted by: a run's stages, then others by name; sampled before greedy."""
    stage = LABELS.index(label) if label in LABELS else len(LABELS)
    return stage, label, MODES.index(mode) if mode in MODES else len(MODES)


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
    interval: Interval
    """95% interval of ``success_rate``: Wilson's, for as many rollouts as those of one task, which go together, are
    worth. Of evaluations older than this version: for one rollout per task."""
    field_accuracy: Mapping[str, float]
    """Means of the score's components with a ``/`` in their name; ``field/`` is left out."""
    completion_rate: float
    """Share that ended by itself with an answer."""
    pass_at: Mapping[str, float]
    pass_power: Mapping[str, float]
    reward_mean: float
    failed: int
    """Rollouts that broke off; none of them counts as a success."""
    max_turns_frac: float
    at_cap_frac: float
    tool_calls: Mapping[str, int]
    tokens_per_rollout: float
    temperature: float
    seed: int
    version: int
    seconds: float
    environment: Mapping[str, str]
    bootstrap: Interval = (0.0, 1.0)
    """The same by resampling tasks, to compare with; at 0% and 100% it is a point, and no interval."""
    correctness: float = 0.0
    """Share of successes among the rollouts that ended by themselves with an answer."""
    format_rate: float | None = None
    """Share of well-formed answers; None where neither score nor reward says."""
    score_mean: float = 0.0
    turns_per_rollout: float = 0.0
    tool_error_frac: float = 0.0
    """Share of tool calls that failed."""
    calls_by_count: Mapping[str, int] = field(default_factory=dict)
    """Number of tool calls → rollouts that made so many."""
    seconds_per_rollout: float = 0.0
    """Sum over turns of waiting for the model, and over calls of waiting for tools."""
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Task → score of each of its rollouts, in order; 0 for one that failed."""
    rewards: Mapping[str, Sequence[float]] = field(default_factory=dict)
    success_threshold: float = 1.0
    model: Mapping[str, Any] = field(default_factory=dict)
    """Of a reference model: where it was asked, and how."""
    judge_models: Sequence[str] = ()
    """Models whose opinion the score is made of."""
    independent: bool = True
    """Whether neither the evaluated model nor its agent judged itself."""
    caveat: str = ""
    """Why it is not independent, where it is something else than a model that judges itself."""
    commonest_error: str = ""
    """What ended most of the rollouts that failed."""
    exact: bool = False
    """Whether a success is an answer with every field right, by the score's own component ``exact``."""
    attempts: int = 0
    """Rollouts that were begun; 0 in evaluations of earlier versions, which did not count them."""
    retried: int = 0
    """Those of them that began a rollout again, with the same seed, because infrastructure had failed it."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Whose failure it was → rollouts: ``policy``, ``infrastructure``, ``environment``, ``judge`` or ``unknown``."""
    causes: Sequence[Mapping[str, Any]] = ()
    """Why rollouts broke off, the commonest first: ``whose``, ``text`` and ``count`` of each cause."""

    @property
    def doubt(self) -> str:
        """Why it is not independent; empty where it is."""
        return "" if self.independent else self.caveat or SELF_JUDGED

    @property
    def name(self) -> str:
        """``label-mode``, as files are called."""
        return f"{self.label}-{self.mode}"

    @property
    def says_nothing(self) -> bool:
        """Whether every rollout failed by other doing than the policy's."""
        return sum(count for whose, count in self.failures.items() if whose != "policy") == self.n_rollouts

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

    def succeeded(self, task: str) -> list[bool]:
        """Whether each rollout of a task was a success."""
        return [reaches(score, self.success_threshold) for score in self.scores[task]]


@dataclass(frozen=True)
class Circumstances:
    """What an evaluation's rollouts do not say themselves."""

    label: str
    mode: Mode
    split: str
    split_digest: str
    n_tasks: int
    rollouts_per_task: int
    success_threshold: float
    pass_k: Sequence[int]
    seed: int
    temperature: float
    version: int
    environment: Mapping[str, str]
    seconds: float
    tokens: Mapping[str, int] = field(default_factory=dict)
    """Rollout → tokens its model wrote, where the trajectory does not hold them."""
    model: Mapping[str, Any] = field(default_factory=dict)
    judge_models: Sequence[str] = ()
    independent: bool = True
    caveat: str = ""


def summarize(trajectories: Sequence[Trajectory], how: Circumstances) -> Evaluation:
    """The numbers of one evaluation. Every rollout counts, by its first attempt that infrastructure did not fail: one
    that failed is one without success.

    Raises:
        ValueError: there are no rollouts.
    """
    if not trajectories:
        raise ValueError("an evaluation needs at least one rollout")
    n = len(trajectories)
    right = [t.succeeded(how.success_threshold) for t in trajectories]
    groups = group_by_task(trajectories)
    scores = {group.task_id: [t.held_out_score or 0.0 for t in group.trajectories] for group in groups}
    by_task = [[t.succeeded(how.success_threshold) for t in group.trajectories] for group in groups]
    wins = [sum(task) for task in by_task]
    finished = [t.ending == "final" for t in trajectories]
    ks = [k for k in how.pass_k if k <= how.rollouts_per_task]
    calls = [call for t in trajectories for call in t.tool_calls]
    retried = sum(t.retries for t in trajectories)
    reasons = causes(trajectories)
    return Evaluation(
        label=how.label,
        mode=how.mode,
        split=how.split,
        split_digest=how.split_digest,
        n_tasks=how.n_tasks,
        n_rollouts=n,
        successes=sum(right),
        success_rate=sum(right) / n,
        interval=clustered_interval(by_task),
        bootstrap=bootstrap_interval(by_task, seed=derive(how.seed, "bootstrap", how.label, how.mode)),
        field_accuracy=_fields(trajectories),
        completion_rate=_mean(finished),
        correctness=_mean(good for good, done in zip(right, finished, strict=True) if done),
        format_rate=_format(trajectories),
        pass_at={str(k): _mean(pass_at_k(how.rollouts_per_task, c, k) for c in wins) for k in ks},
        pass_power={str(k): _mean(pass_power_k(how.rollouts_per_task, c, k) for c in wins) for k in ks},
        score_mean=_mean(t.held_out_score or 0.0 for t in trajectories),
        reward_mean=_mean(t.reward for t in trajectories),
        failed=sum(t.broke_off for t in trajectories),
        max_turns_frac=_mean(t.ending == "max_turns" for t in trajectories),
        at_cap_frac=_mean(any(turn.finish_reason == "length" for turn in t.turns) for t in trajectories),
        tool_calls=dict(sorted(Counter(call.name for call in calls).items())),
        tool_error_frac=_mean(call.is_error for call in calls),
        calls_by_count={str(k): v for k, v in sorted(Counter(len(t.tool_calls) for t in trajectories).items())},
        turns_per_rollout=_mean(len(t.turns) for t in trajectories),
        tokens_per_rollout=_mean(how.tokens.get(t.id, t.n_action_tokens) for t in trajectories),
        seconds_per_rollout=_mean(_waited(t) for t in trajectories),
        temperature=how.temperature,
        seed=how.seed,
        version=how.version,
        seconds=how.seconds,
        environment=how.environment,
        scores=scores,
        rewards={group.task_id: [t.reward for t in group.trajectories] for group in groups},
        success_threshold=how.success_threshold,
        model=how.model,
        judge_models=list(how.judge_models),
        independent=how.independent,
        caveat=how.caveat,
        commonest_error=reasons[0].text if reasons else "",
        exact=_exact(trajectories, how.success_threshold),
        attempts=n + retried,
        retried=retried,
        failures={whose: count for whose, count in failure_counts(trajectories).items() if count},
        causes=[asdict(cause) for cause in reasons[:CAUSES_KEPT]],
    )


def failures_told(failures: Mapping[str, int]) -> str:
    """Failures as a table has room for: ``3 policy, 1 judge``; empty for none."""
    return ", ".join(f"{count} {whose}" for whose, count in failures.items() if count)


def _exact(trajectories: Sequence[Trajectory], threshold: float) -> bool:
    scored = [(score, t.score_metrics.get("exact")) for t in trajectories if (score := t.held_out_score) is not None]
    return bool(scored) and all(
        right is not None and reaches(score, threshold) == (right == 1.0) for score, right in scored
    )


def _fields(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    names = sorted({key for t in trajectories for key in t.score_metrics if "/" in key and not key.startswith(HIDDEN)})
    return {name.removeprefix("field/"): _mean(t.score_metrics.get(name, 0.0) for t in trajectories) for name in names}


def _format(trajectories: Sequence[Trajectory]) -> float | None:
    """From the score's components, else from the reward's. A rollout without the component has no form."""
    for metrics in ("score_metrics", "metrics"):
        components: list[Mapping[str, float]] = [getattr(t, metrics) for t in trajectories]
        name = next((name for name in FORMAT if any(name in each for each in components)), None)
        if name is not None:
            return _mean(each.get(name, 0.0) for each in components)
    return None


def _waited(trajectory: Trajectory) -> float:
    return sum(turn.latency_s for turn in trajectory.turns) + sum(call.latency_s for call in trajectory.tool_calls)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return float(fmean(numbers)) if numbers else 0.0
