"""What the score says of an oracle's episode, asked where the episode was played."""

import asyncio
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from practicum.checks.actions import random_calls, values_in
from practicum.checks.episodes import Demonstration, Plan, Transcript, demonstrate
from practicum.checks.processes.stage import Stage, stage
from practicum.checks.watch.access_recorder import RECORDER
from practicum.checks.watch.outside_access import EPISODE, Touch
from practicum.environment import Environment
from practicum.environment.fixtures import thawed
from practicum.errors import RolloutError
from practicum.ranges import reaches
from practicum.scoring import Judge, judge
from practicum.seeds import derive
from practicum.text import json_or_text
from practicum.trajectory import EnvironmentRef


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


LOST_CALLS = 200
"""Calls of an oracle that came to no answer which are played in every other way, too."""


@dataclass(frozen=True)
class Facts:
    """What an environment says of itself."""

    ref: EnvironmentRef
    max_turns: int


@dataclass(frozen=True)
class SampledTask:
    """One task that will be played.

    Attributes:
        plans: Of the oracle, where there is one, and of the random policy.
        opening: What the agent is told first.
        answer: The oracle's.
        unsolved: Why the oracle did not solve the task; None where it did, or where the episode itself failed.
        touches: What the oracle's episode touched.
    """

    split: str
    index: int
    plans: tuple[Plan, ...]
    opening: str
    answer: str
    unsolved: Unsolved | None
    touches: tuple[Touch, ...]


@dataclass(frozen=True)
class Alone:
    """An episode that had its process to itself."""

    transcript: Transcript
    touches: tuple[Touch, ...]
    seconds: float


def facts() -> Facts:
    """The environment's identity and limits."""
    environment = stage().make()
    return Facts(environment.ref, environment.max_turns)


def ids() -> dict[str, tuple[str, int]]:
    """Split and place of every task by its id."""
    return {task.id: (split, index) for split, tasks in stage().tasks.items() for index, task in enumerate(tasks)}


def sample(split: str, index: int, seed: int) -> SampledTask:
    """Let the oracle play a task, and draw a random episode from what was seen."""
    loaded = stage()
    task, task_seed = loaded.tasks[split][index], derive(seed, "episode", split, index)
    idle = Plan(split, index, task.id, task_seed, (), "random")
    demonstration = _demonstration(loaded, idle) if has_oracle(loaded.target.environment) else None
    touches = RECORDER.take_touches()
    transcript = demonstration.transcript if demonstration else loaded.play(idle)
    drawn = random_calls(transcript["tools"], _values_met(transcript), random.Random(derive(task_seed, "calls")))
    plans: tuple[Plan, ...] = (replace(idle, calls=drawn),)
    opening = "\n".join(message["content"] for message in transcript["messages"])
    if demonstration is None:
        return SampledTask(split, index, plans, opening, "", None, ())
    calls = demonstration.calls[:LOST_CALLS] if demonstration.problem else demonstration.calls
    plans = (replace(idle, calls=calls, origin="oracle"), *plans)
    unsolved = None if transcript["fault"] else asyncio.run(judged(loaded.target.score, demonstration))
    return SampledTask(split, index, plans, opening, demonstration.answer, unsolved, touches)


def play_alone(plan: Plan) -> Alone:
    """Play one plan; what it touches is recorded."""
    loaded = stage()
    environment = loaded.make()
    began = time.perf_counter()
    with RECORDER.during(EPISODE):
        transcript = loaded.play(plan, environment)
    return Alone(transcript, RECORDER.take_touches(), time.perf_counter() - began)


def has_oracle(environment: type[Environment]) -> bool:
    """Whether the class, or a base of the user's, defines an oracle."""
    return environment.oracle is not Environment.oracle


def _demonstration(loaded: Stage, plan: Plan) -> Demonstration:
    environment = loaded.make()
    with RECORDER.during(EPISODE):
        return demonstrate(environment, loaded.task(plan), plan.seed, loaded.home)


def _values_met(transcript: Mapping[str, Any]) -> list[Any]:
    """Values an agent has come across by the end of an episode."""
    return values_in([[result["arguments"], json_or_text(result["text"])] for result in transcript["results"]])
