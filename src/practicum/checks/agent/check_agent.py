"""``check_agent``: what can be checked of an agent behind HTTP, and what of it nobody has looked at."""

import asyncio
import difflib
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from practicum.checks.agent.rehearsal import AgentStage, Rehearsal, Rehearsed, open_stage
from practicum.checks.agent.requests import first_difference
from practicum.checks.agent.rewards import Paid, check_rewards, is_excused, paid_of
from practicum.checks.agent.script import Script, recorded_script, script_of
from practicum.checks.catalogue import AGENT
from practicum.checks.findings import AgentReport, Finding
from practicum.checks.scores.evidence import all_tasks, play_case
from practicum.digests import canonical_json
from practicum.engine.local.models import family_of, find_model, load_tokenizer
from practicum.environment.target import EnvironmentTarget
from practicum.errors import EnvironmentFault, RecipeError
from practicum.recipe import Recipe
from practicum.rollout.renderer import Renderer, make_renderer
from practicum.seeds import derive
from practicum.tasks import Task
from practicum.trajectory import Trajectory

TASKS = 2
"""Tasks whose prompts the agent is sent."""
_PLAYED = ("AGENT-REPEAT", "AGENT-INTERLEAVE", "AGENT-TOOLS")
_OVER_DRAWN = (
    "the agent raised over every answer that was drawn for the model, which may be the answers' doing: give an oracle, "
    "or rollouts on record (--recorded)"
)
_SHOWN = 60
"""Lines of a difference that are shown."""


@dataclass
class _Seen:
    """What has been seen so far."""

    rollouts: int = 0
    findings: list[Finding] = field(default_factory=list)
    unseen: dict[str, str] = field(default_factory=dict)
    paid: list[Paid] = field(default_factory=list)


def check_agent(
    target: EnvironmentTarget,
    recipe: Recipe,
    recorded: Sequence[Trajectory] = (),
    *,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> AgentReport:
    """Play the recipe's agent with a scripted model, and compare what it asks and what it reports.

    Args:
        recorded: Rollouts of this agent, such as a baseline's: their answers are played again, and their rewards
            compared with their scores.
        seed: Draws the tasks, and the calls of a script that nobody else has written.
        progress: Told what is going on.

    Raises:
        RunError: the agent cannot be reached, or says that it is not healthy.
        RecipeError: the recipe names no model, in whose tokens the script is written.
        EnvironmentFault: there are no tasks.
    """
    began = time.monotonic()
    renderer = _renderer(recipe)
    tools = target.make().schemas()
    played = asyncio.run(_played(target, recipe, renderer, _rehearsals(target, recorded, seed), tools, progress))
    of_record = paid_of(recorded)
    paid = of_record or played.paid
    excused = is_excused(target.reward, target.score)
    of_rewards, unseen = check_rewards(
        paid, recipe.success_threshold, recipe.agent, recorded=bool(of_record), excused=excused
    )
    findings, unseen = [*played.findings, *of_rewards], {**played.unseen, **unseen}
    codes = {finding.code for finding in findings}
    order = list(AGENT)
    return AgentReport(
        agent=recipe.agent,
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.code))),
        checks=tuple(code for code in order if code in codes or code not in unseen),
        skipped={code: unseen[code] for code in order if code in unseen and code not in codes},
        unchecked=_unchecked(target, recipe),
        rollouts=played.rollouts,
        rewards=f"{len(paid)} {'recorded' if of_record else 'of the scripted rollouts'}",
        seconds=time.monotonic() - began,
    )


async def _played(
    target: EnvironmentTarget,
    recipe: Recipe,
    renderer: Renderer,
    rehearsals: Sequence[Rehearsal],
    tools: Sequence[Mapping[str, Any]],
    progress: Callable[[str], None],
) -> _Seen:
    observed = _Seen()
    async with open_stage(target, recipe, renderer) as stage:
        progress("the agent, one rollout at a time")
        first: list[Rehearsed] = []
        for rehearsal in rehearsals:
            first += await stage.play([rehearsal])
            if _is_fault(first[-1]):
                break
        observed.rollouts = len(first)
        if _is_fault(first[-1]):
            observed.findings.append(_fault(first[-1], recipe.agent))
            observed.unseen |= dict.fromkeys(_PLAYED, "the rollout it would have been seen in failed: mend that first")
            return observed
        if all(rehearsed.trajectory.broke_off for rehearsed in first):
            observed.unseen["AGENT-FAULT"] = _OVER_DRAWN
        observed.paid = paid_of([rehearsed.trajectory for rehearsed in first])
        observed.findings += _offered(stage, rehearsals, tools, recipe.agent, observed.unseen)
        progress("the agent, the same rollouts once more")
        again = [(await stage.play([rehearsal]))[0] for rehearsal in rehearsals]
        observed.findings += _differences("AGENT-REPEAT", first, again, "once more", recipe.agent)
        progress("the agent, all rollouts at once")
        together = await stage.play(rehearsals)
        observed.rollouts += len(again) + len(together)
        if stage.sampler.most_at_once < 2:
            observed.unseen["AGENT-INTERLEAVE"] = "the agent plays one rollout after the other: none overlapped"
        elif not observed.findings or observed.findings[-1].code != "AGENT-REPEAT":
            observed.findings += _differences("AGENT-INTERLEAVE", first, together, "with others", recipe.agent)
        else:
            observed.unseen["AGENT-INTERLEAVE"] = "AGENT-REPEAT explains what differs: mend that first"
    return observed


def _rehearsals(target: EnvironmentTarget, recorded: Sequence[Trajectory], seed: int) -> list[Rehearsal]:
    """Of a few tasks, what was recorded, else what the oracle says; and what a clumsy model may say."""
    tasks = all_tasks(target)
    every = {task.id: task for some in tasks.values() for task in some}
    on_record = {each.task_id: each for each in recorded if each.task_id in every and each.turns and not each.error}
    pool = [every[id] for id in on_record] or next((some for some in tasks.values() if some), [])
    if not pool:
        raise EnvironmentFault("the environment has no tasks in any split", fix="define tasks(self, split)")
    chosen = random.Random(derive(seed, "agent")).sample(list(pool), min(TASKS, len(pool)))
    rehearsals = []
    for number, task in enumerate(chosen):
        task_seed = derive(seed, "agent", task.id)
        for name, script in _scripts(target, task, on_record.get(task.id), task_seed).items():
            rehearsals.append(Rehearsal(f"check-{number}-{name}", task, script))
    if len(chosen) == 1:
        rehearsals.append(Rehearsal("check-1-drawn", chosen[0], rehearsals[-1].script))
    return rehearsals


def _scripts(target: EnvironmentTarget, task: Task, recorded: Trajectory | None, seed: int) -> dict[str, Script]:
    drawn = {"drawn": Script("drawn answers", seed)}
    if recorded is not None:
        return {"recorded": recorded_script(recorded), **drawn}
    solved = play_case(target, task, seed).solved if target.has_oracle else None
    return drawn if solved is None else {"solved": script_of(solved), **drawn}


def _is_fault(played: Rehearsed) -> bool:
    """Whether a rollout failed by the agent's doing: over drawn answers, which mean nothing, it may raise as the
    policy's failure; not over an oracle's, or those of a rollout that came to its end."""
    trajectory = played.trajectory
    return trajectory.broke_off and (trajectory.failure != "policy" or played.rehearsal.script.answers is not None)


def _fault(played: Rehearsed, where: str) -> Finding:
    error = played.trajectory.error or ""
    what = f"a rollout with a scripted model failed: {error.partition(chr(10))[0]}"
    return Finding.of("AGENT-FAULT", what, where=where, difference=f"{error}\nin {played.rehearsal.label}")


def _differences(
    code: str, first: Sequence[Rehearsed], other: Sequence[Rehearsed], way: str, where: str
) -> list[Finding]:
    """One finding for all rollouts whose requests, or else whose reports, were others."""
    differing = []
    for ours, theirs in zip(first, other, strict=True):
        at = first_difference(ours.requests, theirs.requests)
        if at is not None:
            a, b = (each.requests[at] if at < len(each.requests) else "(no such request)" for each in (ours, theirs))
            differing.append((ours, f"request {at + 1} of the model", a, b))
        elif _reported(ours) != _reported(theirs):
            differing.append((ours, "what it reports", _reported(ours), _reported(theirs)))
    if not differing:
        return []
    ours, part, a, b = differing[0]
    lines = list(difflib.unified_diff(a.splitlines(), b.splitlines(), "alone", way, lineterm="", n=2))
    evidence = "\n".join([*lines[:_SHOWN], f"in {ours.rehearsal.label}"])
    return [
        Finding.of(
            code, f"{part} differs, on {len(differing)} of {len(first)} rollouts", where=where, difference=evidence
        )
    ]


def _reported(rehearsed: Rehearsed) -> str:
    trajectory = rehearsed.trajectory
    report = {
        "rewards": list(trajectory.rewards),
        "metrics": dict(trajectory.metrics),
        "info": dict(trajectory.final_state),
        "failure": trajectory.failure,
        # An exception over the model's text may name objects by their address: that it is raised again is enough.
        "error": None if trajectory.failure == "policy" else trajectory.error and trajectory.error.splitlines()[0],
    }
    return json.dumps(report, sort_keys=True, indent=1, ensure_ascii=False, default=str)


def _offered(
    stage: AgentStage,
    rehearsals: Sequence[Rehearsal],
    tools: Sequence[Mapping[str, Any]],
    where: str,
    unseen: dict[str, str],
) -> list[Finding]:
    """AGENT-TOOLS: whether what is certified of the environment's tools is of the tools that the agent offers."""
    offered = {tool["function"]["name"]: tool for each in rehearsals for tool in stage.log.tools(each.id)}
    environments = {tool["function"]["name"]: tool for tool in tools}
    if not offered and not environments:
        unseen["AGENT-TOOLS"] = "neither the agent nor the environment has tools"
        return []
    lines = [f"- {name}" for name in environments if name not in offered] + [
        f"+ {name}" for name in offered if name not in environments
    ]
    lines += [
        f"! {name} takes other arguments"
        for name in offered
        if name in environments and _arguments(offered[name]) != _arguments(environments[name])
    ]
    if not lines:
        return []
    what = "the agent's tools are not the environment's: what is certified of these says nothing of those"
    evidence = "\n".join(["--- the environment", "+++ the agent", *lines])
    return [Finding.of("AGENT-TOOLS", what, where=where, difference=evidence, severity="warn")]


def _arguments(tool: Mapping[str, Any]) -> str:
    parameters = tool["function"].get("parameters") or {}
    fields = {
        name: value.get("type") for name, value in parameters.get("properties", {}).items() if isinstance(value, dict)
    }
    return canonical_json([fields, sorted(parameters.get("required") or [])])


def _renderer(recipe: Recipe) -> Renderer:
    if recipe.model_name is None:
        raise RecipeError(
            "the recipe has no model_name, in whose tokens the agent would be answered",
            fix="add a line model_name: …, or give model_name=… on the command line",
        )
    return make_renderer(load_tokenizer(find_model(recipe.model_name)), family_of(recipe.model_name))


def _unchecked(target: EnvironmentTarget, recipe: Recipe) -> tuple[str, ...]:
    name = target.environment.__name__
    paid = "is not what is trained on: the agent reports the reward"
    return (
        f"tools and state behind {recipe.agent}: clocks, randomness, network, files and what is left behind there are "
        f"seen by nobody; every ENV- check holds for {name} alone",
        f"the reward beside {name}, if it has one, {paid}; attacks were made on the score only",
        "that the agent's code stays the same: nothing here has a digest of it",
    )
