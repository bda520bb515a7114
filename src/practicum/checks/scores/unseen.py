"""What a check of judges, budgets or data had nothing to look at for: it is skipped, with the reason."""

from collections.abc import Iterable, Mapping, Sequence

from practicum.checks.attacks import AttackReport
from practicum.checks.catalogue import NOT_ASKED
from practicum.checks.scores.attacked import CODES
from practicum.checks.scores.budget import RecipeLimits
from practicum.checks.scores.data import LABELLED
from practicum.checks.scores.evidence import Evidence
from practicum.checks.scores.measured import Measured
from practicum.ranges import reaches
from practicum.scoring import Judge, Judgement
from practicum.scoring.model_judge import models_within
from practicum.tasks import Task


def unseen_in_evidence(evidence: Evidence, limits: RecipeLimits) -> dict[str, str]:
    """Of the checks of records, walkthroughs and limits, by code."""
    evaluations = evidence.recorded.evaluations
    lacking = [] if evaluations else ["EVAL-REFERENCE"]
    if not any(each.get("label") == "base" for each in evaluations):
        lacking.append("EVAL-ZERO")
    if not evidence.recorded.trajectories:
        lacking += ["BUDGET-TOKENS", "BUDGET-EXHAUSTED"]
    if not any(case.solved is not None for case in evidence.cases):
        lacking += ["BUDGET-TURNS", "EVAL-UNSOLVED"]
    if limits.max_sequence_length is None or limits.sampling_max_tokens is None:
        lacking.append("BUDGET-CONTEXT")
    return {code: NOT_ASKED[code] for code in lacking}


def unseen_in_data(tasks: Mapping[str, Sequence[Task]], batch: int | None) -> dict[str, str]:
    """Of the checks of tasks, by code."""
    unseen: dict[str, str] = {}
    labelled = sum(bool(task.answer) for some in tasks.values() for task in some)
    if sum(bool(some) for some in tasks.values()) < 2:
        unseen |= dict.fromkeys(("DATA-OVERLAP", "DATA-NEAR"), "there is only one split")
    if not any(len(some) > 1 for some in tasks.values()):
        unseen["DATA-DUPLICATE"] = "no split has two tasks"
    if batch is None:
        unseen["DATA-SMALL"] = "no recipe says how many tasks a step needs"
    elif "train" not in tasks:
        unseen["DATA-SMALL"] = "there are no training tasks"
    if not labelled:
        unseen["DATA-LABEL"] = "no task has a label"
    if labelled < LABELLED:
        unseen["DATA-LEAK"] = f"{labelled} tasks have a label, fewer than {LABELLED}"
    return unseen


def unseen_by_judge(prefix: str, measured: Measured, attacks: AttackReport | None) -> dict[str, str]:
    """Of the checks that a score and a reward share, by code.

    Args:
        attacks: None where it never came back from a rollout, so that nobody attacked it.
    """
    unseen = {}
    stuck = "it never came back from a rollout"
    if not any(isinstance(each, Judgement) for each in measured.first):
        unseen["RANGE"] = stuck if not measured.first else "it gives no number"
    if not measured.first:
        unseen["RAISES"] = stuck
    if not measured.again:
        unseen["REPEAT"] = stuck
    kinds = {result.kind for result in attacks.results} if attacks is not None else set()
    none = stuck if attacks is None else "no attack of this kind can be made from these tasks"
    unseen |= {code: none for kind, code in CODES.items() if kind not in kinds}
    return {f"{prefix}-{name}": why for name, why in unseen.items()}


def unseen_of_reward(
    paid: Sequence[float | None], scored: Sequence[float | None], threshold: float, *, walkthroughs: int
) -> dict[str, str]:
    """Of the checks that compare a reward with the score, by code; the first ``walkthroughs`` are the oracle's."""
    unseen = {}
    pairs = [(a, b) for a, b in zip(paid, scored, strict=False) if a is not None and b is not None]
    if sum(number is not None for number in paid[walkthroughs:]) < 2:
        unseen["REWARD-FLAT"] = "fewer than two baseline rollouts have a reward"
    if not pairs:
        unseen["REWARD-ABOVE"] = "no rollout has both a reward and a score"
    if not any(reaches(score, threshold) for _, score in pairs):
        unseen["REWARD-RANK"] = "no rollout is a success"
    if not any(number is not None for number in paid):
        unseen["REWARD-COMPONENTS"] = "no rollout has a reward"
    return unseen


def unseen_dependence(judges: Iterable[Judge], *, policy_known: bool) -> dict[str, str]:
    """Of the check that no judge model is the policy."""
    if not any(True for judge in judges for _ in models_within(judge)):
        return {"EVAL-DEPENDENT": "no judge model takes part"}
    return {} if policy_known else {"EVAL-DEPENDENT": "no recipe names the model to be trained"}
