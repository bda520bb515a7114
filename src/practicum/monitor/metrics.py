"""From what happened in a step to numbers with names. Pure functions; ``monitor.names`` defines the names.

A metric that cannot be known is absent, never filled with zero: no tool was called, so there is no share of
failed calls; an agent that plays elsewhere logs no transitions, so there are no states to count.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from practicum.monitor.names import ESTIMATES, LEARNER, METRICS, TIMINGS, describe
from practicum.ranges import reaches
from practicum.trajectory import BreakCause, Group, Trajectory, failure_counts

__all__ = ["METRICS", "describe", "evaluation_metrics", "step_metrics"]

Metrics = dict[str, float]
UNDECLARED = "undeclared"


def step_metrics(
    groups: Sequence[Group],
    advantages: Mapping[str, Sequence[float]],
    *,
    step: int,
    epoch: float,
    age: Callable[[int], int],
    planned: int,
    learner: Mapping[str, float],
    timings: Mapping[str, float],
    discarded_stale: int = 0,
    untrained: Sequence[Trajectory] = (),
    trained: Sequence[Group] | None = None,
) -> Metrics:
    """All metrics of one training step.

    Args:
        groups: Everything collected for the step, rollouts that failed included where they are known.
        advantages: Trajectory id → its advantage, or one per turn; failed rollouts have none.
        step: Number of this step, from 1.
        epoch: Passes over the training set.
        age: Policy version of a token → its staleness in this step.
        planned: Rollouts that were asked for.
        learner: Numbers of the gradient step (keys of ``names.LEARNER``, without prefix).
        timings: Seconds (keys of ``names.TIMINGS``, without prefix).
        discarded_stale: Rollouts thrown away as too old since the step before.
        untrained: Rollouts that ended since then and that no step trains on: left behind, or too old.
        trained: The groups that the gradient was taken on; None: those with a signal.

    Raises:
        ValueError: a learner number or a timing that has no definition.
    """
    finished = _finished(groups)
    valid = [group for group in groups if _has_signal(group, advantages)]
    return {
        "training/epoch": float(epoch),
        "training/global_step": float(step),
        **_training(valid if trained is None else trained, advantages, age),
        "rollout/discarded_stale": float(discarded_stale),
        **_named("training", learner, LEARNER),
        **_named("timing_s", timings, TIMINGS),
        **_latencies(finished),
        **_measured("rollout", groups, finished),
        **_mean("rollout/reward/valid_mean", _rewards(_finished(valid))),
        **_mean("rollout/reward/begun_mean", _rewards([*finished, *_completed(untrained)])),
        **_components("rollout", finished),
        **_advantages(advantages),
        **_conduct(groups, finished, planned),
        **_states(finished),
        **_analysis(groups, valid, finished, planned),
        **_remaining_signal(groups, advantages),
    }


def evaluation_metrics(
    family: Literal["val", "eval"],
    groups: Sequence[Group],
    *,
    success_threshold: float,
    estimates: Mapping[str, float],
) -> Metrics:
    """All metrics of an evaluation, under ``val/`` or ``eval/``.

    Args:
        family: First part of the names.
        groups: The rollouts by prompt.
        success_threshold: Reward from which a rollout is a success.
        estimates: Statistics computed by the evaluator: keys as in ``names.ESTIMATES``, such as ``pass_at_1``
            under ``reward/``, ``score/interval_low``, ``field_accuracy/severity``.

    Raises:
        ValueError: an estimate that has no definition.
    """
    finished = _finished(groups)
    rewards = _rewards(finished)
    graded = [t for t in finished if t.score is not None and t.rewards]
    return {
        **_measured(family, groups, finished),
        **_components(family, finished),
        **_within_groups(family, groups),
        **_mean(f"{family}/reward/rollouts_per_prompt", [float(len(_finished([group]))) for group in groups]),
        f"{family}/reward/num_prompts": float(len(groups)),
        f"{family}/reward/succeeded_rollouts": float(sum(reaches(reward, success_threshold) for reward in rewards)),
        f"{family}/reward/failed_rollouts": float(sum(len(g.trajectories) for g in groups) - len(finished)),
        f"{family}/reward/success_threshold": float(success_threshold),
        **_failures(family, groups),
        **_mean(f"{family}/completion_rate", [t.ending == "final" for t in finished]),
        **_mean(f"{family}/score/mean", _scores(groups)),
        **_mean(f"{family}/reward_minus_score", [t.reward - (t.score or 0.0) for t in graded]),
        **_named(family, estimates, ESTIMATES),
    }


def _finished(groups: Iterable[Group]) -> list[Trajectory]:
    return _completed(t for group in groups for t in group.trajectories)


def _completed(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    return [t for t in trajectories if t.is_conclusive]


def _has_signal(group: Group, advantages: Mapping[str, Sequence[float]]) -> bool:
    return any(np.any(advantages.get(t.id, ())) for t in group.trajectories)


def _rewards(trajectories: Iterable[Trajectory]) -> list[float]:
    return [t.reward for t in trajectories if t.rewards]


def _scores(groups: Iterable[Group]) -> list[float]:
    """As the evaluator counts: a rollout that failed is one without success."""
    every = [t for group in groups for t in group.trajectories]
    scored = [t for t in every if t.broke_off or t.score is not None]
    return [0.0 if t.broke_off else float(t.score or 0.0) for t in scored]


def _training(valid: Sequence[Group], advantages: Mapping[str, Sequence[float]], age: Callable[[int], int]) -> Metrics:
    trained = [t for group in valid for t in group.trajectories if t.id in advantages]
    counts = {"training/num_groups": float(len(valid)), "training/num_trajectories": float(len(trained))}
    if not trained:
        return counts
    datums = sum(_sequences(t) for t in trained)
    actions, observed = (sum(t.n_action_tokens for t in trained), sum(t.n_context_tokens for t in trained))
    staleness = [age(t.oldest_version) for t in trained if t.n_action_tokens]
    return {
        **counts,
        "training/total_tokens": float(actions + observed),
        "training/num_datums": float(datums),
        "training/datums_per_trajectory": datums / len(trained),
        "training/action_tokens_mean": actions / len(trained),
        "training/obs_tokens_mean": observed / len(trained),
        "training/trainable_token_positions": float(actions),
        "training/nontrainable_token_positions": float(observed),
        **({"training/trainable_token_ratio": actions / (actions + observed)} if actions + observed else {}),
        **_select("training/staleness", staleness, ("mean", "max")),
    }


def _sequences(trajectory: Trajectory) -> int:
    """Sequences that hold a sampled token."""
    return sum(any(trajectory.turns[n].action_ids for n in members) for members in trajectory.sequences)


def _latencies(finished: Sequence[Trajectory]) -> Metrics:
    turns = [turn.latency_s for t in finished for turn in t.turns]
    calls = [call.latency_s for t in finished for call in t.tool_calls]
    metrics = {}
    if turns:
        metrics["timing_s/inference_latency_p50"] = float(np.percentile(turns, 50))
        metrics["timing_s/inference_latency_p95"] = float(np.percentile(turns, 95))
    if calls:
        metrics["timing_s/tool_latency_p95"] = float(np.percentile(calls, 95))
    return metrics


def _measured(prefix: str, groups: Sequence[Group], finished: Sequence[Trajectory]) -> Metrics:
    """Reward, turns, tokens and log-probabilities: the same for training, validation and evaluation."""
    rewards = _rewards(finished)
    prompts = [len(t.turns[0].context_ids) for t in finished if t.turns]
    return {
        **_select(f"{prefix}/reward", rewards, ("mean", "std", "min", "max"), joint="/"),
        **_mean(f"{prefix}/reward/zero_frac", [reward == 0.0 for reward in rewards]),
        **_select(f"{prefix}/turns", [len(t.turns) for t in finished], ("mean", "min", "max"), joint="/"),
        **_mean(f"{prefix}/tokens/prompt_mean", prompts),
        **_select(f"{prefix}/tokens/response", [t.n_action_tokens for t in finished]),
        **_mean(f"{prefix}/tokens/at_cap_frac", [_capped(t) for t in finished]),
        **_mean(f"{prefix}/tokens/max_turns_frac", [t.ending == "max_turns" for t in finished]),
        **_mean(f"{prefix}/tokens/completion_rate", [t.ending == "final" for t in finished]),
        **_logprobs(f"{prefix}/logprob", finished, len(groups)),
    }


def _capped(trajectory: Trajectory) -> bool:
    return any(turn.finish_reason == "length" for turn in trajectory.turns)


def _logprobs(prefix: str, finished: Sequence[Trajectory], n_groups: int) -> Metrics:
    logprobs = np.array(_all_logprobs(finished))
    if not logprobs.size:
        return {}
    zeros = int(np.count_nonzero(logprobs == 0.0))
    return {
        f"{prefix}/zero_count": float(zeros),
        f"{prefix}/zero_frac": zeros / logprobs.size,
        f"{prefix}/zero_per_group": zeros / n_groups,
        **_select(f"{prefix}/nz", logprobs[logprobs != 0.0]),
    }


def _all_logprobs(finished: Iterable[Trajectory]) -> list[float]:
    return [logprob for t in finished for turn in t.turns for logprob in turn.logprobs]


def _states(finished: Iterable[Trajectory]) -> Metrics:
    """States by the environment's own digests: those before an episode's first call and after each."""
    visited = [
        {t.transitions[0].state, *(step.next_state for step in t.transitions)} for t in finished if t.transitions
    ]
    visits = sum(map(len, visited))
    if not visits:
        return {}
    return {
        "rollout/state_visits": visits / len(visited),
        "rollout/state_coverage": len(set().union(*visited)) / visits,
    }


def _components(prefix: str, finished: Iterable[Trajectory]) -> Metrics:
    values: dict[str, list[float]] = {}
    for trajectory in finished:
        for name, value in trajectory.metrics.items():
            values.setdefault(name, []).append(value)
    return {f"{prefix}/reward/component/{name}": float(np.mean(found)) for name, found in values.items()}


def _advantages(advantages: Mapping[str, Sequence[float]]) -> Metrics:
    flat = np.array([value for given in advantages.values() for value in given])
    if not flat.size:
        return {}
    return {
        **_select("rollout/advantage", flat, joint="/"),
        "rollout/advantage/n_positive": float(np.count_nonzero(flat > 0)),
        "rollout/advantage/n_negative": float(np.count_nonzero(flat < 0)),
    }


def _conduct(groups: Sequence[Group], finished: Sequence[Trajectory], planned: int) -> Metrics:
    """How the rollouts went, apart from what they earned."""
    breaks = Counter(turn.break_cause or "other" for t in finished for turn in t.turns[1:] if not turn.extends)
    calls = [call for t in finished for call in t.tool_calls]
    cut = sum(t.ending == "cancelled" for group in groups for t in group.trajectories)
    shares = {"failed": 1.0 - (len(finished) + cut) / planned, "cut": cut / planned} if planned else {}
    logprobs = _all_logprobs(finished)
    untruncated = all(t.top_p == 1.0 and t.temperature > 0.0 for t in finished)
    return {
        **{f"rollout/extension_breaks/{cause}": float(breaks[cause]) for cause in get_args(BreakCause)},
        **{f"rollout/{name}_frac": share for name, share in shares.items()},
        **_failures("rollout", groups),
        **({"rollout/action_entropy": -float(np.mean(logprobs))} if logprobs and untruncated else {}),
        "rollout/malformed_calls": float(_malformed(t for group in groups for t in group.trajectories)),
        **_tool_calls(finished),
        **_mean("rollout/tool_error_frac", [call.is_error for call in calls]),
    }


def _malformed(trajectories: Iterable[Trajectory]) -> int:
    """Of failed rollouts too: many an agent raises over such a call."""
    return sum(len(turn.malformed_calls) for t in trajectories for turn in t.turns)


def _failures(prefix: str, groups: Sequence[Group]) -> Metrics:
    """Failures by whose they are, and the attempts they took."""
    every = [t for group in groups for t in group.trajectories]
    return {
        **{f"{prefix}/failed/{whose}": float(count) for whose, count in failure_counts(every).items()},
        f"{prefix}/retried": float(sum(t.retries for t in every)),
    }


def _tool_calls(finished: Sequence[Trajectory]) -> Metrics:
    """Names a model invents are counted together: there is no end to them."""
    declared = {tool["function"]["name"] for t in finished for tool in t.tools}
    counts: Counter[str] = Counter()
    for trajectory in finished:
        names = [call.name for call in trajectory.tool_calls]
        counts.update(name if name in declared else UNDECLARED for name in names)
    return {f"rollout/tool_calls/{name}": counts[name] / len(finished) for name in sorted(declared | counts.keys())}


def _analysis(groups: Sequence[Group], valid: Sequence[Group], finished: Sequence[Trajectory], planned: int) -> Metrics:
    ids = {group.id for group in valid}
    rewards = {group.id: _rewards(_finished([group])) for group in groups}
    paid = [values for values in rewards.values() if values]
    silent = [values for id, values in rewards.items() if id not in ids]
    rich = sum(any(values) for values in silent)
    metrics = {
        **({"analysis/batch_completion_ratio": len(finished) / planned} if planned else {}),
        "analysis/zero_adv_groups": float(len(silent)),
        "analysis/zero_adv_nonzero_reward": float(rich),
        "analysis/zero_adv_zero_reward": float(sum(bool(values) for values in silent) - rich),
    }
    if groups:
        metrics["analysis/batch_valid_ratio"] = len(valid) / len(groups)
    if paid:
        metrics["analysis/reward_variance_across_groups"] = float(np.var([np.mean(v) for v in paid]))
        metrics["analysis/mean_group_reward_spread"] = float(np.mean([max(v) - min(v) for v in paid]))
    return metrics


def _remaining_signal(groups: Sequence[Group], advantages: Mapping[str, Sequence[float]]) -> Metrics:
    """What is left of groups after failures and filter."""
    sizes = [(len(g.trajectories), sum(t.id in advantages for t in g.trajectories)) for g in groups]
    return {
        "analysis/groups_left_out": float(sum(compared == 0 for _, compared in sizes)),
        "analysis/rollouts_left_out": float(
            sum(len(_finished([g])) for g, (_, compared) in zip(groups, sizes, strict=True) if compared == 0)
        ),
        "analysis/groups_of_two": float(sum(played > compared == 2 for played, compared in sizes)),
    }


def _within_groups(family: str, groups: Sequence[Group]) -> Metrics:
    paid = [values for values in (_rewards(_finished([group])) for group in groups) if values]
    if not paid:
        return {}
    by_group = [_select("", values, joint="") for values in paid]
    names = ("min", "mean", "max", "std")
    return {f"{family}/reward/{name}_within_groups": float(np.mean([g[name] for g in by_group])) for name in names}


def _select(
    prefix: str,
    values: Sequence[float] | np.ndarray,
    names: Sequence[str] = ("mean", "std", "min", "max"),
    joint: str = "_",
) -> Metrics:
    """Some of mean, std, min and max; nothing where there are no values."""
    if not len(values):
        return {}
    functions: dict[str, Callable[..., Any]] = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max}
    return {f"{prefix}{joint}{name}": float(functions[name](values)) for name in names}


def _mean(name: str, values: Sequence[float]) -> Metrics:
    return {name: float(np.mean(values))} if values else {}


def _named(prefix: str, values: Mapping[str, float], table: Mapping[str, str]) -> Metrics:
    for name in values:
        if name not in table and describe(f"{prefix}/{name}") is None:
            names = ", ".join(sorted(table))
            raise ValueError(f"{prefix}/{name} is not defined in practicum.monitor.names; known: {names}")
    return {f"{prefix}/{name}": float(value) for name, value in values.items()}
