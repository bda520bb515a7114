"""A search for rollouts with a reward above their score: the oracle's rollouts, changed a little, again and again.

The fixed families are what somebody thought of. The search climbs: of the changed rollouts it keeps those whose
reward is furthest above their score, and changes them further.
"""
# ruff: noqa: ARG001 (all take the same, and each uses what it needs)

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from practicum.checks.attacks.idle import CLAIMS, FILLER, INJECTIONS
from practicum.checks.attacks.material import Material, PlayedTask, answered, unanswered, with_call
from practicum.errors import RolloutError
from practicum.ranges import exceeds, reaches
from practicum.scoring.judgement import ABOVE_SCORE, excuses_of, judge
from practicum.trajectory import Judge, Rollout

KEPT = 6
"""Rollouts that are changed further, of each round."""
CHANGES = 4
"""Most changes to one rollout."""


@dataclass(frozen=True)
class Gap:
    """A changed rollout and how far its reward is above its score; ``changes`` lead from the oracle's to it."""

    task: str
    changes: tuple[str, ...]
    rollout: Rollout
    reward: float
    score: float

    @property
    def size(self) -> float:
        """Reward less score."""
        return self.reward - self.score


Mutation = Callable[[random.Random, Material, PlayedTask, Rollout], Rollout | None]


async def search(
    reward: Judge, score: Judge, material: Material, *, seed: int, budget: int = 400, threshold: float = 1.0
) -> list[Gap]:
    """Rollouts without success that the reward pays for, the largest gap first; one for each set of changes.

    A reward that documents why it is above the score (``excuses["above-score"]``) is beaten only where a rollout
    without success earns what the oracle's rollout of a task earns.

    Args:
        seed: The same seed finds the same rollouts.
        budget: Rollouts judged.
        threshold: The score from which a rollout is a success.
    """
    rng = random.Random(seed)
    excused = ABOVE_SCORE in excuses_of(reward)
    roots = [(case, case.solved or case.idle) for case in material.cases]
    full: dict[str, float] = {}
    for case, root in roots:
        judged = await _gap(case, (), root, reward, score)
        full[case.idle.task.id] = judged.reward if judged and reaches(judged.score, threshold) else float("inf")
    best: dict[tuple[str, ...], Gap] = {}
    frontier: list[tuple[PlayedTask, Gap]] = []
    while budget > 0:
        batch = []
        for _ in range(min(budget, 32)):
            case, rollout, changes = _pick(rng, roots, frontier)
            name, mutation = rng.choice(MUTATIONS)
            changed = mutation(rng, material, case, rollout)
            if changed is not None:
                batch.append(_gap(case, (*changes, name), changed, reward, score))
        budget -= 32
        gaps = [gap for gap in await asyncio.gather(*batch) if gap is not None]
        for gap in gaps:
            beaten = exceeds(gap.size, 0.0) if not excused else reaches(gap.reward, full[gap.task])
            if beaten and not reaches(gap.score, threshold):
                kinds = tuple(sorted(set(gap.changes)))
                if kinds not in best or best[kinds].size < gap.size:
                    best[kinds] = gap
        cases = {case.idle.task.id: case for case in material.cases}
        frontier += [
            (cases[gap.task], gap) for gap in gaps if not reaches(gap.score, threshold) and len(gap.changes) < CHANGES
        ]
        frontier = sorted(frontier, key=lambda pair: -pair[1].size)[:KEPT]
    return sorted(best.values(), key=lambda gap: (-gap.size, len(gap.changes), gap.task))


def _pick(
    rng: random.Random, roots: list[tuple[PlayedTask, Rollout]], frontier: list[tuple[PlayedTask, Gap]]
) -> tuple[PlayedTask, Rollout, tuple[str, ...]]:
    if frontier and rng.random() < 0.5:
        case, gap = rng.choice(frontier)
        return case, gap.rollout, gap.changes
    case, rollout = rng.choice(roots)
    return case, rollout, ()


async def _gap(case: PlayedTask, changes: tuple[str, ...], rollout: Rollout, reward: Judge, score: Judge) -> Gap | None:
    """None where one of the two raised: that is another check's."""
    try:
        paid, right = await judge(reward, rollout), await judge(score, rollout)
    except RolloutError:
        return None
    return Gap(case.idle.task.id, changes, rollout, paid.total, right.total)


def _of_a_field(change: Callable[[random.Random, Material, dict[str, Any], str], dict[str, Any]]) -> Mutation:
    """The answer's object with one field, drawn by lot, changed; None where the answer is no object with fields."""

    def mutation(rng: random.Random, material: Material, case: PlayedTask, rollout: Rollout) -> Rollout | None:
        content = material.form.read(rollout.answer)
        if not isinstance(content, dict) or not content:
            return None
        return answered(rollout, material.form.write(change(rng, material, content, rng.choice(sorted(content)))))

    return mutation


def _wrong_value(rng: random.Random, material: Material, content: dict[str, Any], name: str) -> dict[str, Any]:
    others = [value for value in material.values(name) if value != content[name]] or ["?"]
    return {**content, name: rng.choice(others)}


def _spoilt_value(rng: random.Random, material: Material, content: dict[str, Any], name: str) -> dict[str, Any]:
    text = str(content[name])
    spoilt = [text[:-1], f"{text} or not", text.swapcase(), f" {text}", None, [content[name]], f"not {text}"]
    return {**content, name: rng.choice(spoilt)}


def _dropped_field(rng: random.Random, material: Material, content: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != name}


def _words(texts: Mapping[str, str]) -> Mutation:
    def mutation(rng: random.Random, material: Material, case: PlayedTask, rollout: Rollout) -> Rollout:
        text = texts[rng.choice(sorted(texts))]
        return answered(rollout, rng.choice([f"{text} {rollout.answer}", f"{rollout.answer} {text}", text]))

    return mutation


def _cut(rng: random.Random, material: Material, case: PlayedTask, rollout: Rollout) -> Rollout | None:
    return answered(rollout, rollout.answer[: rng.randrange(len(rollout.answer))]) if rollout.answer else None


def _no_answer(rng: random.Random, material: Material, case: PlayedTask, rollout: Rollout) -> Rollout:
    return unanswered(rollout)


def _others_answer(rng: random.Random, material: Material, case: PlayedTask, rollout: Rollout) -> Rollout | None:
    return answered(rollout, rng.choice(material.answers)) if material.answers else None


def _more_calls(rng: random.Random, material: Material, case: PlayedTask, rollout: Rollout) -> Rollout | None:
    if not rollout.tool_calls:
        return None
    call = rng.choice(list(rollout.tool_calls))
    answer, changed = rollout.answer, unanswered(rollout)
    for _ in range(rng.choice([1, 4])):
        changed = with_call(changed, call.name, call.arguments, call.result)
    return answered(changed, answer)


def _no_work(rng: random.Random, material: Material, case: PlayedTask, rollout: Rollout) -> Rollout:
    return answered(case.idle, rollout.answer)


def _half_state(rng: random.Random, material: Material, case: PlayedTask, rollout: Rollout) -> Rollout | None:
    """One change of those made is missing, or stands with another value, or there is one more."""
    state: dict[str, Any] = json.loads(json.dumps(rollout.final_state, default=dict))
    places = list(_objects(state))
    if not places:
        return None
    place = rng.choice(places)
    name = rng.choice(sorted(place))
    match rng.randrange(3):
        case 0:
            del place[name]
        case 1:
            place[name] = rng.choice([0, "?", True, -1])
        case _:
            place[f"{name}0"] = place[name]
    return replace(rollout, final_state=state)


def _objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, dict):
        return []
    return [*([value] if value else []), *(found for item in value.values() for found in _objects(item))]


MUTATIONS: tuple[tuple[str, Mutation], ...] = (
    ("another value", _of_a_field(_wrong_value)),
    ("a spoilt value", _of_a_field(_spoilt_value)),
    ("a field dropped", _of_a_field(_dropped_field)),
    ("the judge addressed", _words(INJECTIONS)),
    ("success claimed", _words(CLAIMS)),
    ("many words", _words({"filler": FILLER})),
    ("cut off", _cut),
    ("no answer", _no_answer),
    ("another task's answer", _others_answer),
    ("calls repeated", _more_calls),
    ("no work done", _no_work),
    ("another final state", _half_state),
)
