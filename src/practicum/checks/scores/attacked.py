"""The attacks on score and reward as findings."""

from collections.abc import Sequence

from practicum.checks.attacks import AttackReport, AttackResult, Gap, Kind
from practicum.checks.findings import Finding, Note
from practicum.checks.scores.measured import Measured, told_of
from practicum.scoring import Judgement

CODES: dict[Kind, str] = {
    "constant": "CONSTANT",
    "form": "FORM",
    "near": "NEAR",
    "idle": "IDLE",
    "effort": "EFFORT",
    "told": "TOLD",
}


def check_attacks(prefix: str, report: AttackReport, where: str) -> list[Finding]:
    """One finding for each kind of attack that earns more than it may, with every family of it."""
    findings = []
    by_kind: dict[Kind, list[AttackResult]] = {}
    for result in report.beaten:
        by_kind.setdefault(result.kind, []).append(result)
    for kind, code in CODES.items():
        if kind in by_kind:
            families = by_kind[kind]
            worst = families[0]
            title = f"{_named(worst)} ({worst.tries}) earns {worst.earned:.3g}, where {worst.allowed:.3g} is allowed"
            if len(families) > 1:
                title += f"; so do {', '.join(result.family for result in families[1:])}"
            findings.append(Finding.of(f"{prefix}-{code}", title, where=where, difference=_evidence(families)))
    return findings


def check_raising(prefix: str, report: AttackReport, where: str) -> list[Finding]:
    """What it raises at, or leaves its range with, under attack."""
    findings = []
    for code, wanted in ((f"{prefix}-RANGE", True), (f"{prefix}-RAISES", False)):
        some = [result for result in report.raising if result.out_of_range is wanted]
        if some:
            names = ", ".join(_named(result) for result in some)
            findings.append(
                Finding.of(
                    code,
                    f"{some[0].raised[:300]}, under attack ({len(some)} families: {names})",
                    where=where,
                    difference=f"task    {some[0].example.task}\nanswer  {some[0].example.answer!r}",
                )
            )
    return findings


def check_gaps(gaps: Sequence[Gap], where: str) -> list[Finding]:
    """What the search found: changed walkthroughs that are paid and are no success."""
    if not gaps:
        return []
    worst = gaps[0]
    title = f"a search found {len(gaps)} ways to earn without success; the best earns {worst.reward:.3g}"
    evidence = "\n".join(
        f"reward {gap.reward:.3g}, score {gap.score:.3g}: {', then '.join(gap.changes)}" for gap in gaps[:5]
    )
    return [Finding.of("REWARD-ABOVE", title, where=where, difference=f"{evidence}\n{told_of(worst.rollout)}")]


def excused(report: AttackReport) -> list[Note]:
    """Families that earn for a documented reason."""
    return [
        Note(f"{report.purpose}: {result.family}", result.excuse, (f"earns {result.earned:.3g}",))
        for result in report.excused
    ]


def _named(result: AttackResult) -> str:
    return f"{result.family}, {result.variant}" if result.variant else result.family


def _evidence(families: Sequence[AttackResult]) -> str:
    lines = [
        f"{_named(each)}: {each.earned:.3g} (allowed {each.allowed:.3g}), full marks on {each.full:.0%} of the tasks"
        for each in families
    ]
    worst = families[0].example
    shown = f"task    {worst.task}\nanswer  {worst.answer!r}\nearned  {worst.earned:.3g}, allowed {worst.allowed:.3g}"
    return "\n".join([*lines, shown])


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
