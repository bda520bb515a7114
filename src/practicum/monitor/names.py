"""Every metric's name and what exactly it says. The names are a public contract: only these are logged.

Words used throughout: a rollout is *finished* unless it was cancelled or failed by other doing than the policy's own
(``rollout.failures`` says whose a failure is); a group has *signal* when at least one of its advantages is not zero.
Spreads are population standard deviations.
Lengths are in tokens, times in seconds, log-probabilities in nats.
"""

import re

_SEQUENCES = {
    "num_groups": "groups that entered the gradient step: those with signal; all, where none has and a penalty goes on",
    "num_trajectories": "rollouts in those groups that have an advantage",
    "total_tokens": "tokens of their training sequences",
    "num_datums": "their training sequences; a turn that extends no sequence of its trajectory starts another",
    "datums_per_trajectory": "num_datums / num_trajectories; 1.0 for a plain tool loop",
    "action_tokens_mean": "sampled tokens per trajectory",
    "obs_tokens_mean": "tokens fed (prompts, tool results, repeated context) per trajectory",
    "trainable_token_positions": "sampled tokens, over all trajectories",
    "nontrainable_token_positions": "tokens fed, over all trajectories",
    "trainable_token_ratio": "trainable_token_positions / total_tokens",
    "staleness_mean": "training steps since the policy that sampled a trajectory's oldest token was the newest, mean",
    "staleness_max": "the same, of the stalest trajectory",
}

LEARNER = {
    "loss": "loss of the gradient step",
    "grad_norm": "norm of the gradient before clipping",
    "kl": "KL(learner ‖ reference policy) per action token, over the whole vocabulary; only where kl_coef is set",
    "entropy": "entropy of the policy per action token, over the whole vocabulary, as the learner computed it",
    "sampler_kl": "estimate of KL(sampler ‖ learner) per action token: mean of ρ − 1 − log ρ",
    "sampler_kl_k1": "the plain estimate of the same: mean of −log ρ, which may fall below 0",
    "ratio_mean": "mean of the ratio ρ of learner's to sampler's probability",
    "clip_frac_low": "share of action tokens whose gradient the lower bound on ρ stopped",
    "clip_frac_high": "share of action tokens whose gradient the upper bound on ρ stopped",
    "learning_rate": "learning rate of the step",
    "logprob_diff": "mean of |log ρ| per action token: near 0 while sampler and learner agree",
    "logprob_diff_max": "largest |log ρ| of the step",
    "nll": "mean negative log-probability per trained token (supervised phases)",
}

TIMINGS = {
    "step": "the whole step",
    "training": "advantages, sequences and gradient step",
    "policy_update": "bringing new weights to the sampler",
    "save_checkpoint": "writing the checkpoint",
    "eval": "evaluation within the step",
    "rollout": "collecting the step's rollouts",
    "wait": "the learner waiting for rollouts",
}

_LATENCIES = {
    "timing_s/inference_latency_p50": "median latency of a model call",
    "timing_s/inference_latency_p95": "95th percentile of the latency of a model call",
    "timing_s/tool_latency_p95": "95th percentile of the latency of a tool call",
}

_REWARD = {
    "mean": "mean over finished rollouts",
    "std": "spread over finished rollouts",
    "min": "lowest of them",
    "max": "highest of them",
    "zero_frac": "share that is exactly 0",
}

_TURNS = {
    "mean": "model calls per finished rollout",
    "min": "fewest model calls",
    "max": "most model calls",
}

_TOKENS = {
    "prompt_mean": "tokens of the first prompt, mean over finished rollouts",
    "response_mean": "sampled tokens per finished rollout",
    "response_std": "their spread",
    "response_min": "fewest of them",
    "response_max": "most of them",
    "at_cap_frac": "share of finished rollouts with a turn cut off at the token limit",
    "max_turns_frac": "share of finished rollouts that used up their turns without a final answer",
    "completion_rate": "share of finished rollouts that ended by themselves with an answer",
}

_LOGPROB = {
    "zero_count": "sampled tokens whose log-probability is exactly 0 (there was no choice)",
    "zero_frac": "their share of sampled tokens",
    "zero_per_group": "zero_count per group",
    "nz_mean": "mean of the log-probabilities that are not 0",
    "nz_std": "their spread",
    "nz_min": "their lowest",
    "nz_max": "their highest",
}

_ROLLOUT = {
    "reward/valid_mean": "mean reward over the finished rollouts of groups with signal",
    "reward/begun_mean": "mean reward of all rollouts begun, those included that were left behind or too old and have "
    "ended since; where reward/mean stays apart from it, the sample is cut by speed",
    "reward/component/{name}": "mean of one named component of the reward",
    "advantage/mean": "mean advantage, one per trajectory and turn as given",
    "advantage/std": "spread of advantages",
    "advantage/min": "lowest advantage",
    "advantage/max": "highest advantage",
    "advantage/n_positive": "advantages above 0",
    "advantage/n_negative": "advantages below 0",
    "extension_breaks/{cause}": "turns that extended no sequence of their trajectory, by cause",
    "failed_frac": "share of the planned rollouts that neither finished nor were cut off",
    "failed/policy": "finished rollouts that broke off by the policy's own doing, such as by unreadable text",
    "failed/infrastructure": "rollouts that infrastructure failed for good: no answer, a lost connection, no token",
    "failed/environment": "rollouts that the environment's code failed, or hung in",
    "failed/judge": "rollouts whose reward or score raised, or was no number in range",
    "failed/unknown": "rollouts that ran out of time after a token was sampled, nobody knows why",
    "cut_frac": "share of the planned rollouts that were left behind, so that the rest of their group could be used",
    "filtered": "rollouts that the repetition filter left out or punished; only where max_repeated_tokens is set",
    "retried": "further attempts, with the same seed, that infrastructure's failures took",
    "state_visits": "different environment states in a finished rollout, mean over those that called a tool",
    "state_coverage": "different states of the step over the sum of its rollouts' own: 1 where no two share any",
    "discarded_stale": "rollouts thrown away, and collected again, because they were too old to be trained on",
    "action_entropy": "−mean log-probability of sampled tokens, an estimate of the entropy where top_p is 1",
    "tool_calls/{tool}": "calls of a tool per finished rollout; undeclared tools together are 'undeclared'",
    "malformed_calls": "tool calls of the step's rollouts, failed ones too, that nobody could read: agents saw text",
    "tool_error_frac": "share of tool calls that came back as errors",
}

_ANALYSIS = {
    "batch_completion_ratio": "finished / planned rollouts",
    "batch_valid_ratio": "groups with signal / groups",
    "zero_adv_groups": "groups without signal",
    "zero_adv_nonzero_reward": "groups without signal that hold a reward other than 0",
    "zero_adv_zero_reward": "groups without signal whose rewards are all 0",
    "groups_left_out": "groups with fewer survivors than min_group_survivors, which are not trained on",
    "rollouts_left_out": "finished rollouts in those groups",
    "groups_of_two": "larger groups of which two rollouts are left: scaled, any difference of theirs is +1 and −1",
    "reward_variance_across_groups": "variance of the groups' mean rewards",
    "mean_group_reward_spread": "highest − lowest reward of a group, mean over groups",
}

_WITHIN = {
    f"reward/{name}_within_groups": f"{name} of a group's rewards, mean over groups"
    for name in ("min", "mean", "max", "std")
}

_EVALUATION = {
    **_WITHIN,
    "reward/rollouts_per_prompt": "finished rollouts per prompt",
    "reward/num_prompts": "prompts evaluated",
    "reward/succeeded_rollouts": "finished rollouts with reward ≥ success_threshold",
    "reward/failed_rollouts": "rollouts that did not finish",
    "reward/success_threshold": "reward from which a rollout counts as a success",
    "reward/component/{name}": "mean of one named component of the reward",
    "completion_rate": "share of finished rollouts that ended by themselves with an answer",
    "failed/{whose}": "rollouts that broke off, by whose failure it was, as in rollout/failed; they are missed",
    "retried": "further attempts, with the same seed, that infrastructure's failures took",
    "score/mean": "mean evaluation score; 0 for a rollout that failed",
    "nll": "mean negative log-probability per token of held-out demonstrations (supervised phases)",
    "reward_minus_score": "mean reward − mean score, over rollouts that have both",
}

ESTIMATES = {
    "reward/pass_at_{k}": "probability that at least one of k rollouts succeeds (unbiased estimator)",
    "reward/pass_power_{k}": "probability that all of k rollouts succeed (unbiased estimator)",
    "score/interval_low": "lower end of the 95% interval of the mean score",
    "score/interval_high": "upper end of the 95% interval of the mean score",
    "field_accuracy/{field}": "share of rollouts with this field right",
    "divergence": "1 − evaluation score / training reward",
}
"""Statistics that the evaluator computes and hands over; names within ``val/`` and ``eval/``."""


def _family(prefix: str, names: dict[str, str]) -> dict[str, str]:
    return {f"{prefix}/{name}": text for name, text in names.items()}


def _measured(prefix: str) -> dict[str, str]:
    return {
        **_family(f"{prefix}/reward", _REWARD),
        **_family(f"{prefix}/turns", _TURNS),
        **_family(f"{prefix}/tokens", _TOKENS),
        **_family(f"{prefix}/logprob", _LOGPROB),
    }


METRICS: dict[str, str] = {
    "training/epoch": "passes over the training set begun before this step",
    "training/global_step": "gradient steps, this one included",
    **_family("training", _SEQUENCES),
    **_family("training", LEARNER),
    **_family("timing_s", TIMINGS),
    **_LATENCIES,
    **_measured("rollout"),
    **_family("rollout", _ROLLOUT),
    **_family("analysis", _ANALYSIS),
    **{
        name: text
        for family in ("val", "eval")
        for name, text in {**_measured(family), **_family(family, {**_EVALUATION, **ESTIMATES})}.items()
    },
}
"""Name → definition. ``{…}`` in a name stands for a tool, a cause, a component, a field or a number."""

_TEMPLATES = {re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(name))): name for name in METRICS if "{" in name}


def describe(name: str) -> str | None:
    """Definition of a metric by its full name; None for a name that is not in the table."""
    if name in METRICS:
        return METRICS[name]
    return next((METRICS[full] for pattern, full in _TEMPLATES.items() if pattern.fullmatch(name)), None)
