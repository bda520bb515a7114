"""BUDGET-: turns and tokens, from walkthroughs and from recorded rollouts."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from practicum.checks.catalogue import NOT_ASKED
from practicum.checks.findings import Finding
from practicum.checks.scores.evidence import Evidence
from practicum.ranges import reaches
from practicum.trajectory import Rollout, Trajectory, text_of

ROOM = 1.5
"""Turns of a rollout over those of a walkthrough."""
AT_CAP = 0.05
EXHAUSTED = 0.10
CHARACTERS = 3.0
"""Bytes of text per token, where there is no tokenizer to ask: rather too many tokens than too few."""

CountTokens = Callable[[str], int]


@dataclass(frozen=True)
class RecipeLimits:
    """What a recipe allows a rollout; None where there is no recipe."""

    max_turns: int | None = None
    sampling_max_tokens: int | None = None
    max_sequence_length: int | None = None


def estimated_tokens(text: str) -> int:
    """Tokens of a text by its length."""
    return math.ceil(len(text.encode("utf-8", "replace")) / CHARACTERS)


def check_budget(evidence: Evidence, limits: RecipeLimits, count: CountTokens, where: str) -> list[Finding]:
    """All findings on turns and tokens."""
    walkthroughs = [case.solved for case in evidence.cases if case.solved is not None]
    turns = limits.max_turns or evidence.max_turns
    return [
        *_turns(walkthroughs, turns, where),
        *_context(evidence, walkthroughs, turns, limits, count, where),
        *_recorded(evidence.recorded.trajectories, where),
    ]


def _turns(walkthroughs: Sequence[Rollout], turns: int, where: str) -> list[Finding]:
    turns_taken = [sum(message.get("role") == "assistant" for message in rollout.messages) for rollout in walkthroughs]
    if not turns_taken:
        return []
    usual, longest = median(turns_taken), max(turns_taken)
    needed = max(math.ceil(ROOM * usual), longest)
    if turns >= needed:
        return []
    title = f"max_turns is {turns}; walkthroughs take {usual:g} turns, the longest {longest}: {needed} are needed"
    return [Finding.of("BUDGET-TURNS", title, where=where, fix=f"Set max_turns to {needed}.")]


def _context(
    evidence: Evidence,
    walkthroughs: Sequence[Rollout],
    turns: int,
    limits: RecipeLimits,
    count: CountTokens,
    where: str,
) -> list[Finding]:
    room, cap = limits.max_sequence_length, limits.sampling_max_tokens
    if room is None or cap is None:
        return []
    tokens_per_turn = [_per_turn(rollout, count) for rollout in (*walkthroughs, *_played(evidence))]
    output = max((tokens for rollout in tokens_per_turn for tokens in rollout), default=0)
    openings = [case.idle.messages for case in evidence.cases]
    tools = count(json.dumps(list(evidence.schemas), default=dict)) if evidence.schemas else 0
    prompt = tools + max(
        sum(count(text_of(m)) for m in opening if m.get("role") != "assistant") for opening in openings
    )
    needed = turns * (cap + output) + prompt
    if needed <= room:
        return []
    title = (
        f"{turns} turns × ({cap} sampled + {output} from tools) + {prompt} of prompt = {needed} tokens; "
        f"max_sequence_length is {room}"
    )
    return [Finding.of("BUDGET-CONTEXT", title, where=where)]


def _per_turn(rollout: Rollout, count: CountTokens) -> list[int]:
    """Tokens that tools said after each of the assistant's messages."""
    sums: list[int] = []
    for message in rollout.messages:
        if message.get("role") == "assistant":
            sums.append(0)
        elif message.get("role") == "tool" and sums:
            sums[-1] += count(text_of(message))
    return sums


def _played(evidence: Evidence) -> list[Rollout]:
    return [case.every_tool for case in evidence.cases if case.every_tool is not None]


def _recorded(trajectories: Sequence[Trajectory], where: str) -> list[Finding]:
    if not trajectories:
        return []
    findings = []
    total = len(trajectories)
    at_cap = sum(any(turn.finish_reason == "length" for turn in each.turns) for each in trajectories)
    exhausted = sum(each.ending == "max_turns" for each in trajectories)
    if reaches(at_cap, AT_CAP * total) and at_cap:
        title = f"{at_cap} of {total} recorded rollouts have a turn at the cap ({at_cap / total:.0%})"
        findings.append(Finding.of("BUDGET-TOKENS", title, where=where))
    if reaches(exhausted, EXHAUSTED * total) and exhausted:
        title = f"{exhausted} of {total} recorded rollouts ran out of turns ({exhausted / total:.0%})"
        findings.append(Finding.of("BUDGET-EXHAUSTED", title, where=where))
    return findings


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
