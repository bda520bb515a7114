"""``check_judges``: every check on scores, rewards, budgets and data, in one call."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from practicum.checks.attacks import Material, attack, material_of, search
from practicum.checks.catalogue import EVERY
from practicum.checks.findings import Finding, JudgesReport, Note
from practicum.checks.scores.attacked import check_attacks, check_gaps, check_raising, excused, unseen_by_judge
from practicum.checks.scores.budget import CountTokens, RecipeLimits, check_budget, estimated_tokens, unseen_in_evidence
from practicum.checks.scores.data import check_data, unseen_in_data
from practicum.checks.scores.evidence import Evidence, Recorded, gather
from practicum.checks.scores.measured import (
    SLOW_S,
    Measured,
    check_behaviour,
    check_oracle,
    check_reward,
    measure,
    unseen_of_reward,
)
from practicum.environment.places import place_of_class, place_of_function
from practicum.environment.target import EnvironmentTarget
from practicum.recipe import BUILTIN
from practicum.scoring import Judge
from practicum.scoring.endpoint import Endpoint
from practicum.scoring.model_judge import bears_name, is_independent, models_within
from practicum.trajectory import Rollout

if TYPE_CHECKING:
    from practicum.recipe import Recipe

TASKS = 12
"""Tasks played."""
REPEATED = 24
"""Rollouts judged three times."""
SEARCHED = 200
"""Rollouts that the search judges."""
_REPORTED = "the agent reports the reward: see the AGENT- checks"
_COMPARED = {
    "EVAL": ("EVAL-UNSOLVED",),
    "REWARD": ("REWARD-FLAT", "REWARD-ABOVE", "REWARD-RANK", "REWARD-COMPONENTS"),
}
"""What is found by looking at all numbers of a score or a reward together."""


def check_judges(
    target: EnvironmentTarget,
    recipe: "Recipe | None" = None,
    recorded: Recorded | None = None,
    *,
    policy: Endpoint | None = None,
    count_tokens: CountTokens = estimated_tokens,
    tasks: int = TASKS,
    seed: int = 0,
    patience_s: float = 60.0,
    slow_s: float = SLOW_S,
    progress: Callable[[str], None] = lambda text: None,
) -> JudgesReport:
    """Check score, reward, budget and data of an environment.

    Args:
        recipe: Its limits and its success threshold; without one, what the environment itself says.
        recorded: A run's evaluations and rollouts (``read_recorded``); without, baseline rollouts are made.
        policy: Where the policy is served, to tell whether a judge model is the policy itself.
        count_tokens: Tokens of a text; the model's tokenizer, where there is one.
        tasks: How many are played.
        patience_s: Seconds for one judgement.
        slow_s: Seconds from which judging is slow.

    Raises:
        EnvironmentFault: the environment has no tasks, or cannot be played.
    """
    began = time.monotonic()
    threshold = recipe.success_threshold if recipe is not None else 1.0
    place = place_of_class(target.environment)
    progress("playing tasks")
    evidence = gather(target, count=tasks, seed=seed, recorded=recorded)
    material = material_of(evidence.cases)
    baseline = f"{len(evidence.baseline)} {'made' if evidence.synthetic else 'recorded'}"
    findings, unseen = _without_judges(evidence, recipe, count_tokens, place)
    ran = {code for code in EVERY if code.startswith(("DATA-", "BUDGET-"))} | {"EVAL-MISSING"}
    ran |= unseen.keys()
    notes: list[Note] = []
    families: tuple[str, ...] = ()
    if target.score is None:
        findings.append(Finding.of("EVAL-MISSING", "there is no score beside the environment", where=place))
        return _report(findings, (), ran, (), baseline, began, unseen)
    judges, unpaid = _judges(target.score, target, recipe)
    unseen, ran = {**unseen, **unpaid}, ran | unpaid.keys()
    solved = [case.solved for case in evidence.cases if case.solved is not None]
    rollouts = [*solved, *evidence.baseline]
    scores: Measured | None = None
    usable = True
    for prefix, function in judges:
        where = _place(function, place)
        progress(f"judging with the {'score' if prefix == 'EVAL' else 'reward'}")
        measured = measure(function, rollouts, patience_s=patience_s, repeated=REPEATED)
        findings += check_behaviour(prefix, rollouts, measured, where, slow_s)
        findings += _dependent(function, recipe, policy, where, "score" if prefix == "EVAL" else "reward")
        ran |= {code for code in EVERY if code.startswith(f"{prefix}-")}
        if measured.stuck is not None:
            usable = False
            unseen |= unseen_by_judge(prefix, measured, None)
            unseen |= dict.fromkeys(_COMPARED[prefix], "it never came back from a rollout")
            continue
        if prefix == "EVAL":
            scores = measured
            findings += check_oracle(solved, measured.totals[: len(solved)], threshold, where)
        else:
            compared, uncompared = _rewarded(
                function, rollouts, measured, scores, threshold, where, len(solved), evidence
            )
            findings, unseen = [*findings, *compared], {**unseen, **uncompared}
        progress(f"attacking the {'score' if prefix == 'EVAL' else 'reward'}")
        report = asyncio.run(
            attack(function, material, purpose="score" if prefix == "EVAL" else "reward", threshold=threshold)
        )
        unseen |= unseen_by_judge(prefix, measured, report)
        known = {finding.code for finding in findings}
        findings += check_attacks(prefix, report, where)
        findings += [each for each in check_raising(prefix, report, where) if each.code not in known]
        notes += excused(report)
        families = tuple(dict.fromkeys((*families, *report.families)))
    if len(judges) > 1 and usable:
        findings += _searched(judges[1][1], judges[0][1], material, seed, threshold, findings, place)
    unseen |= unseen_dependence([function for _, function in judges], policy_known=bool(policy or _trained(recipe)))
    return _report(findings, notes, ran, families, baseline, began, unseen)


def _judges(
    score: Judge, target: EnvironmentTarget, recipe: "Recipe | None"
) -> tuple[list[tuple[str, Judge]], dict[str, str]]:
    """Score and reward by the prefix of their codes, and what of a reward is skipped that nobody here computes."""
    if recipe is not None and recipe.agent != BUILTIN:
        return [("EVAL", score)], {code: _REPORTED for code in EVERY if code.startswith("REWARD-")}
    if target.reward is None or target.reward is score:
        return [("EVAL", score)], {}
    return [("EVAL", score), ("REWARD", target.reward)], {}


def _without_judges(
    evidence: Evidence, recipe: "Recipe | None", count_tokens: CountTokens, place: str
) -> tuple[list[Finding], dict[str, str]]:
    """What is found of data, budget and records, and what of these saw nothing."""
    batch, limits = recipe.global_batch_size if recipe else None, _limits(recipe)
    findings = check_data(evidence.tasks, place, batch=batch)
    findings += check_budget(evidence, limits, count_tokens, place)
    findings += _on_record(evidence, place)
    return findings, {**unseen_in_evidence(evidence, limits), **unseen_in_data(evidence.tasks, batch)}


def _rewarded(
    reward: Judge,
    rollouts: Sequence[Rollout],
    rewards: Measured,
    scores: Measured | None,
    threshold: float,
    where: str,
    walkthroughs: int,
    evidence: Evidence,
) -> tuple[list[Finding], dict[str, str]]:
    """What the reward's numbers show beside the score's, and what of that saw nothing."""
    if scores is None:
        return [], dict.fromkeys(_COMPARED["REWARD"], "the score never came back from a rollout")
    findings = check_reward(
        reward,
        rollouts,
        rewards,
        scores.totals,
        threshold,
        where,
        walkthroughs=walkthroughs,
        synthetic=evidence.synthetic,
    )
    return findings, unseen_of_reward(rewards.totals, scores.totals, threshold, walkthroughs=walkthroughs)


def _report(
    findings: Sequence[Finding],
    notes: Sequence[Note],
    ran: set[str],
    families: tuple[str, ...],
    baseline: str,
    began: float,
    unseen: Mapping[str, str],
) -> JudgesReport:
    """The report; a check that saw nothing and found nothing is none of those that ran."""
    skipped = ran & unseen.keys() - {finding.code for finding in findings}
    return JudgesReport(
        _ordered(findings),
        tuple(notes),
        _in_order(ran - skipped),
        families,
        baseline,
        time.monotonic() - began,
        {code: unseen[code] for code in _in_order(skipped)},
    )


def _searched(
    reward: Judge,
    score: Judge,
    material: Material,
    seed: int,
    threshold: float,
    known: Sequence[Finding],
    place: str,
) -> list[Finding]:
    """What the search finds, unless the baseline rollouts have shown it already."""
    if any(finding.code in ("REWARD-ABOVE", "REWARD-RANK") for finding in known):
        return []
    gaps = asyncio.run(search(reward, score, material, seed=seed, budget=SEARCHED, threshold=threshold))
    return check_gaps(gaps, _place(reward, place))


def _on_record(evidence: Evidence, where: str) -> list[Finding]:
    evaluations = evidence.recorded.evaluations
    if not evaluations:
        return []
    findings = []
    base = [evaluation for evaluation in evaluations if evaluation.get("label") == "base"]
    # A foothold that succeeds is what training begins with: what the finding asks for is done.
    began = [*base, *(evaluation for evaluation in evaluations if evaluation.get("label") == "foothold")]
    if base and not any(evaluation.get("success_rate", 0) > 0 for evaluation in began):
        title = f"the base model succeeds in none of {base[-1].get('n_rollouts', '?')} rollouts on record"
        title += ", nor does its foothold" if len(began) > len(base) else ""
        findings.append(Finding.of("EVAL-ZERO", title, where=where))
    if not any(evaluation.get("label") == "reference" for evaluation in evaluations):
        title = "no reference model's evaluation is on record"
        findings.append(Finding.of("EVAL-REFERENCE", title, where=where, severity="warn"))
    return findings


def _dependent(
    function: Judge, recipe: "Recipe | None", policy: Endpoint | None, where: str, purpose: str = "score"
) -> list[Finding]:
    trained = _trained(recipe)
    if policy is not None and not is_independent(function, policy):
        title = f"the {purpose}'s judge model is the policy itself: {policy.model} at {policy.base_url}"
    elif bears_name(function, trained):
        title = f"the {purpose}'s judge model bears the name of the model to be trained: {trained}"
    else:
        return []
    return [Finding.of("EVAL-DEPENDENT", title, where=where)]


def _trained(recipe: "Recipe | None") -> str:
    return str(recipe.model_name) if recipe is not None and recipe.model_name else ""


def _limits(recipe: "Recipe | None") -> RecipeLimits:
    if recipe is None:
        return RecipeLimits()
    return RecipeLimits(recipe.max_turns, recipe.sampling_max_tokens, recipe.max_sequence_length)


def _place(function: Any, otherwise: str) -> str:
    """``file:line`` of the judge's own code; where it is one of ours, of the environment."""
    home = getattr(function, "__module__", None) or type(function).__module__
    if str(home).startswith("practicum.scoring"):
        return otherwise
    return place_of_function(function) or place_of_class(type(function)) or otherwise


def _in_order(codes: set[str]) -> tuple[str, ...]:
    return tuple(code for code in EVERY if code in codes)


def _ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    order = list(EVERY)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.code)))


def unseen_dependence(judges: Iterable[Judge], *, policy_known: bool) -> dict[str, str]:
    """Of the check that no judge model is the policy."""
    if not any(True for judge in judges for _ in models_within(judge)):
        return {"EVAL-DEPENDENT": "no judge model takes part"}
    return {} if policy_known else {"EVAL-DEPENDENT": "no recipe names the model to be trained"}
