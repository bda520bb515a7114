"""What the score says of an oracle's episode, asked where the episode was played."""

import json
from dataclasses import dataclass
from typing import Any

from practicum.checks.episodes import Demonstration
from practicum.environment.fixtures import thawed
from practicum.errors import RolloutError
from practicum.ranges import reaches
from practicum.scoring import Judge, judge


@dataclass(frozen=True)
class Unsolved:
    """A task the oracle did not solve: what went wrong, what shows it, and the line, where there is one."""

    kind: str
    evidence: str
    where: str = ""


async def judged(score: Judge | None, demonstration: Demonstration) -> Unsolved | None:
    """None where the oracle solved its task, or where there is nothing to judge it by."""
    if demonstration.problem:
        return Unsolved("the oracle fails", demonstration.problem, demonstration.where)
    if score is None:
        return None
    evidence = f"oracle  {demonstration.answer}\nlabel   {written(demonstration.task.answer)}"
    try:
        judgement = await judge(score, demonstration.rollout())
    except RolloutError as error:
        return Unsolved("the score fails", f"{error}\n{evidence}")
    if reaches(judgement.total, 1.0):
        return None
    parts = "".join(f"\n{name} = {value:g}" for name, value in judgement.components.items())
    return Unsolved("the oracle does not score 1", f"score   {judgement.total:g}\n{evidence}{parts}")


def written(label: Any) -> str:
    """A label, or a part of one, as JSON; what is no JSON in it as Python prints it."""
    return json.dumps(thawed(label), sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
