"""``check_judges``: every check on scores, rewards, budgets and data, in one call."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from practicum.checks.catalogue import EVERY
from practicum.checks.findings import Finding, Note
from practicum.checks.judges.attacked import check_attacks, check_gaps, check_raising, excused
from practicum.checks.judges.budget import CountTokens, Limits, check_budget, estimated_tokens
from practicum.checks.judges.data import check_data
from practicum.checks.judges.evidence import Evidence, Recorded, gather
from practicum.checks.judges.measure import Measured, measure
from practicum.checks.judges.numbers import SLOW_S, check_behaviour, check_oracle, check_reward
from practicum.checks.places import place_of_class, place_of_function
from practicum.checks.target import EnvironmentTarget
from practicum.scoring import Judge
from practicum.scoring.attacks import Material, attack, material_of, search
from practicum.scoring.endpoint import Endpoint
from practicum.scoring.model_judge import bears_name, is_independent

if TYPE_CHECKING:
    from practicum.recipe import Recipe

TASKS = 12
"""Tasks played."""
REPEATED = 24
"""Rollouts judged three times."""
SEARCHED = 200
"""Rollouts that the search judges."""


@dataclass(frozen=True)
class JudgesReport:
    """What the checks of judges found.

    Attributes:
        checks: Codes of the checks that ran, in the catalogue's order.
        allowed: What would be a finding, but for a documented reason.
        families: Families of attacks that applied.
        baseline: What the baseline rollouts are, such as ``100 made``.
    """

    findings: tuple[Finding, ...]
    allowed: tuple[Note, ...]
    checks: tuple[str, ...]
    families: tuple[str, ...]
    baseline: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing failed; warnings do not count."""
        return not any(finding.severity == "fail" for finding in self.findings)

    @property
    def codes(self) -> frozenset[str]:
        """Codes of all findings."""
        return frozenset(finding.code for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data, ``ok`` included."""
        return {
            "ok": self.ok,
            "checks": list(self.checks),
            "families": list(self.families),
            "baseline": self.baseline,
            "allowed": [asdict(note) for note in self.allowed],
            "findings": [asdict(finding) for finding in self.findings],
            "seconds": round(self.seconds, 3),
        }


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
    baseline = f"{len(evidence.baseline)} {'made' if evidence.made else 'recorded'}"
    findings = check_data(evidence.tasks, place, batch=recipe.global_batch_size if recipe else None)
    findings += check_budget(evidence, _limits(recipe), count_tokens, place)
    findings += _on_record(evidence, place)
    lacking = _lacking(evidence, _limits(recipe))
    ran = {code for code in EVERY if code.startswith(("DATA-", "BUDGET-"))} | {"EVAL-MISSING"}
    notes: list[Note] = []
    families: tuple[str, ...] = ()
    if target.score is None:
        findings.append(Finding.of("EVAL-MISSING", "there is no score beside the environment", where=place))
        return JudgesReport(_ordered(findings), (), _in_order(ran - lacking), (), baseline, time.monotonic() - began)
    judges: list[tuple[str, Judge]] = [("EVAL", target.score)]
    if target.reward is not None and target.reward is not target.score:
        judges.append(("REWARD", target.reward))
    solved = [case.solved for case in evidence.cases if case.solved is not None]
    rollouts = [*solved, *evidence.baseline]
    scores: Measured | None = None
    usable = True
    for prefix, function in judges:
        where = _place(function, place)
        progress(f"judging with the {'score' if prefix == 'EVAL' else 'reward'}")
        found = measure(function, rollouts, patience_s=patience_s, repeated=REPEATED)
        findings += check_behaviour(prefix, rollouts, found, where, slow_s)
        findings += _dependent(function, recipe, policy, where, "score" if prefix == "EVAL" else "reward")
        ran |= {code for code in EVERY if code.startswith(f"{prefix}-")}
        if found.stuck is not None:
            usable = False
            continue
        if prefix == "EVAL":
            scores = found
            findings += check_oracle(solved, found.totals[: len(solved)], threshold, where)
        elif scores is not None:
            findings += check_reward(
                function, rollouts, found, scores.totals, threshold, where, walkthroughs=len(solved), made=evidence.made
            )
        progress(f"attacking the {'score' if prefix == 'EVAL' else 'reward'}")
        report = asyncio.run(
            attack(function, material, purpose="score" if prefix == "EVAL" else "reward", threshold=threshold)
        )
        known = {finding.code for finding in findings}
        findings += check_attacks(prefix, report, where)
        findings += [each for each in check_raising(prefix, report, where) if each.code not in known]
        notes += excused(report)
        families = tuple(dict.fromkeys((*families, *report.families)))
    if len(judges) > 1 and usable:
        findings += _searched(judges[1][1], judges[0][1], material, seed, threshold, findings, place)
    seconds = time.monotonic() - began
    return JudgesReport(_ordered(findings), tuple(notes), _in_order(ran - lacking), families, baseline, seconds)


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


def _lacking(evidence: Evidence, limits: Limits) -> set[str]:
    """Codes of the checks that have nothing to look at: no record, no walkthrough, no limits."""
    evaluations = evidence.recorded.evaluations
    lacking = set() if evaluations else {"EVAL-REFERENCE"}
    if not any(each.get("label") == "base" for each in evaluations):
        lacking.add("EVAL-ZERO")
    if not evidence.recorded.trajectories:
        lacking |= {"BUDGET-TOKENS", "BUDGET-EXHAUSTED"}
    if not any(case.solved is not None for case in evidence.cases):
        lacking |= {"BUDGET-TURNS", "EVAL-UNSOLVED"}
    if limits.max_sequence_length is None or limits.sampling_max_tokens is None:
        lacking.add("BUDGET-CONTEXT")
    return lacking


def _on_record(evidence: Evidence, where: str) -> list[Finding]:
    evaluations = evidence.recorded.evaluations
    if not evaluations:
        return []
    findings = []
    base = [each for each in evaluations if each.get("label") == "base"]
    # A foothold that succeeds is what training begins with: what the finding asks for is done.
    began = [*base, *(each for each in evaluations if each.get("label") == "foothold")]
    if base and not any(each.get("success_rate", 0) > 0 for each in began):
        what = f"the base model succeeds in none of {base[-1].get('n_rollouts', '?')} rollouts on record"
        what += ", nor does its foothold" if len(began) > len(base) else ""
        findings.append(Finding.of("EVAL-ZERO", what, where=where))
    if not any(each.get("label") == "reference" for each in evaluations):
        what = "no reference model's evaluation is on record"
        findings.append(Finding.of("EVAL-REFERENCE", what, where=where, severity="warn"))
    return findings


def _dependent(
    function: Judge, recipe: "Recipe | None", policy: Endpoint | None, where: str, purpose: str = "score"
) -> list[Finding]:
    trained = str(recipe.model_name) if recipe is not None and recipe.model_name else ""
    if policy is not None and not is_independent(function, policy):
        what = f"the {purpose}'s judge model is the policy itself: {policy.model} at {policy.base_url}"
    elif bears_name(function, trained):
        what = f"the {purpose}'s judge model bears the name of the model to be trained: {trained}"
    else:
        return []
    return [Finding.of("EVAL-DEPENDENT", what, where=where)]


def _limits(recipe: "Recipe | None") -> Limits:
    if recipe is None:
        return Limits()
    return Limits(recipe.max_turns, recipe.sampling_max_tokens, recipe.max_sequence_length)


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
