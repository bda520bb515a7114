"""Every environment as a Gymnasium environment: ``reset(seed=…)``, ``step(text)``.

    env = as_gymnasium(SupportDesk, split="train", score=score)
    observation, info = env.reset(seed=7)                  # or options={"task": "T123"}
    observation, reward, terminated, truncated, info = env.step('{"name": "get_ticket", "arguments": {…}}')

Observations and actions are text. An action is a JSON tool call or, everything else, the final answer, which ends
the episode unless a scripted user replies to it; ``max_turns`` actions without an answer truncate it. Needs the
extra ``gymnasium``.
"""

import copy
import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from practicum.environment.base import Environment
from practicum.environment.modules import require
from practicum.errors import EnvironmentFault
from practicum.trajectory import Judge

if TYPE_CHECKING:
    from practicum.bridges.gym_env import PracticumEnv


def as_gymnasium(
    environment: Environment | Callable[[], Environment],
    split: str = "train",
    score: Judge | None = None,
    *,
    render_mode: str | None = None,
) -> "PracticumEnv":
    """A ``gymnasium.Env`` that plays an environment.

    Args:
        environment: A class or a function that makes one, or an instance without an open episode.
        split: Whose tasks are drawn: ``train``, ``validation`` or ``test``.
        score: Gives the reward of the episode's last step; without one every reward is 0.
        render_mode: ``ansi`` for ``render()`` to return the conversation so far.

    Raises:
        EnvironmentFault: Gymnasium is not installed, the instance plays an episode, or the split has no tasks.
    """
    require("gymnasium")
    from practicum.bridges.gym_env import PracticumEnv, spec_of

    make = _factory(environment)
    first = environment if isinstance(environment, Environment) else make()
    entry = functools.partial(_create, make, split, score)
    made = PracticumEnv(first, split, score, render_mode)
    made.spec = spec_of(_name(first), entry, {"render_mode": render_mode})
    return made


def register_gymnasium(
    environment: Callable[[], Environment],
    split: str = "train",
    score: Judge | None = None,
    *,
    id: str | None = None,
) -> str:
    """Register an environment for ``gymnasium.make`` and ``make_vec``; its id there.

    Gymnasium's ``AsyncVectorEnv`` loses texts in shared memory (1.4.0, of every environment with ``Text`` spaces):
    ``make_vec(id, vectorization_mode="async", vector_kwargs={"shared_memory": False})``.

    Args:
        environment: A class, or a function that makes an environment.
        split, score: As for ``as_gymnasium``.
        id: By default ``practicum/ENVIRONMENT-vMAJOR``, with ``-SPLIT`` before the version unless it is ``train``.

    Raises:
        EnvironmentFault: Gymnasium is not installed, or the id is taken by something else.
    """
    gymnasium = require("gymnasium")
    name = id or _name(_factory(environment)(), split)
    if name in gymnasium.registry:
        raise EnvironmentFault(
            f"Gymnasium knows an environment {name} already", fix="give another id, or take that one with make"
        )
    gymnasium.register(id=name, entry_point=functools.partial(_create, _factory(environment), split, score))
    return name


def _create(
    make: Callable[[], Environment], split: str, score: Judge | None, render_mode: str | None = None
) -> "PracticumEnv":
    from practicum.bridges.gym_env import PracticumEnv

    return PracticumEnv(make(), split, score, render_mode)


def _factory(environment: Environment | Callable[[], Environment]) -> Callable[[], Environment]:
    """Makes environments that share no state with each other."""
    if not isinstance(environment, Environment):
        return environment
    if environment.task is not None:
        raise EnvironmentFault(
            f"this {environment.id} plays task {environment.task.id!r}", fix="close it first, or give its class"
        )
    # Whatever changes in an episode is declared or made by start, so instances may share the rest.
    return functools.partial(copy.copy, environment)


def _name(environment: Environment, split: str = "train") -> str:
    major = re.match(r"\d+", environment.version)
    name = re.sub(r"[^\w:.-]", "-", environment.id)
    return f"practicum/{name}{'' if split == 'train' else f'-{split}'}-v{major[0] if major else 0}"
