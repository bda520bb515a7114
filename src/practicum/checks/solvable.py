"""ENV-UNSOLVED: the oracle comes to no answer, or to one the score does not give 1."""

from practicum.checks.findings import Finding
from practicum.checks.trial import Trial
from practicum.checks.ways.solo import Sampled, has_oracle


def check_solved(trial: Trial) -> list[Finding]:
    """One finding for each way in which the oracle fails."""
    where = trial.place("oracle")
    if not has_oracle(trial.target.environment):
        what = "there is no oracle: nothing shows that the tasks can be solved"
        fix = "Define oracle(self, task): yield Call(name, arguments), receive each result, return the answer."
        return [Finding.of("ENV-UNSOLVED", what, severity="warn", where=trial.place("__init__"), fix=fix)]
    found: dict[str, list[Sampled]] = {}
    for sampled in trial.samples:
        # What was touched is found already, and may well be why.
        if sampled.unsolved and not trial.touched(sampled.touches):
            found.setdefault(sampled.unsolved.kind, []).append(sampled)
    findings = [
        Finding.of(
            "ENV-UNSOLVED",
            f"{kind} on {len(cases)} of {len(trial.samples)} tasks",
            where=(cases[0].unsolved and cases[0].unsolved.where) or where,
            difference=f"{cases[0].unsolved and cases[0].unsolved.evidence}\nin task {cases[0].plans[0].task!r}",
        )
        for kind, cases in found.items()
    ]
    return findings + _too_long(trial, where)


def _too_long(trial: Trial, where: str) -> list[Finding]:
    turns = trial.facts.max_turns
    # One that fails, for going on for ever say, shows nothing of how many turns are needed.
    done = [each for each in trial.samples if not (each.unsolved and each.unsolved.kind == "the oracle fails")]
    longest = max((len(sampled.plans[0].calls) + 1 for sampled in done), default=0)
    if longest <= turns:
        return []
    what = f"the oracle takes {longest} model calls, one a turn; max_turns is {turns}"
    fix = f"Set max_turns to at least {longest}; half as many again leaves room to learn."
    return [
        Finding.of(
            "ENV-UNSOLVED",
            what,
            severity="warn",
            where=where,
            difference=f"needed     {longest}\nmax_turns  {turns}",
            fix=fix,
        )
    ]
