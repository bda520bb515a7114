"""A Gymnasium text environment that somebody else wrote, as an environment with one tool, ``act``.

    environment: practicum.bridges.gym_foreign:GymnasiumEnvironment
    environment_args: {game: FrozenLake-v1, game_args: {render_mode: ansi}, actions: [left, down, right, up]}

A task is a seed: it decides how the game begins, and everything the game draws afterwards. The agent is shown what
it observes, not the rewards; these are summed for the score (``final_state()``). Spaces of actions are the tool's
parameter as JSON Schema, observations are JSON. Needs the extra ``gymnasium``.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from practicum.environment.base import Environment
from practicum.environment.modules import require
from practicum.environment.tool import ToolError, ToolSpec
from practicum.errors import EnvironmentFault, PracticumError
from practicum.tasks import Task
from practicum.trajectory import Rollout

SPLIT_SEEDS = {"train": 0, "validation": 1_000_000, "test": 2_000_000}
"""Seed of each split's first task; those of the others follow."""

PROMPT = "Play the game with the tool act, one action a call. When it says that the game is over, answer: done"


class _Game:
    """A running game. Opaque to the digest of the episode's state, which its seed and the actions decide."""

    __slots__ = ("env",)

    def __init__(self, env: Any) -> None:
        self.env = env

    def __reduce__(self) -> Any:
        raise TypeError("a running game cannot be copied")


class GymnasiumEnvironment(Environment):
    """One tool, ``act(action)``, over a Gymnasium environment.

    Actions and observations are Text, Discrete, MultiDiscrete, MultiBinary, or a Tuple or Dict of these: a number, a
    text, a list or an object of JSON.

    Args:
        game: An id for ``gymnasium.make`` (``FrozenLake-v1``, ``package.module:Name-v0``), or a function that
            makes one. With ``render_mode: ansi`` in its arguments, what it draws is shown beside the observation.
        game_args: Arguments of ``gymnasium.make``, or of the function.
        actions: Names of Discrete actions, in order; without them the agent gives numbers.
        prompt: The system prompt.
        sizes: Tasks per split.
        returns: Lowest and highest sum of rewards; ``score`` maps them to 0 and 1.
        max_turns: By default the game's own limit of steps and one more for the answer, or 64.
        id, version: Of the environment; by default the game's.

    Raises:
        EnvironmentFault: Gymnasium is not installed, there is no such game, or its spaces are no text.
    """

    id, version = "gymnasium", "0"

    def __init__(
        self,
        game: str | Callable[..., Any],
        *,
        game_args: Mapping[str, Any] | None = None,
        actions: Sequence[str] = (),
        prompt: str = PROMPT,
        sizes: Mapping[str, int] | None = None,
        returns: tuple[float, float] = (0.0, 1.0),
        max_turns: int | None = None,
        id: str | None = None,
        version: str | None = None,
    ) -> None:
        require("gymnasium")
        self._game, self._game_args = game, dict(game_args or {})
        self._name = game if isinstance(game, str) else f"{game.__module__}:{game.__qualname__}"
        named = re.fullmatch(r"(.*?)(?:-v(\d+))?", self._name)
        own, number = named.groups() if named else (self._name, None)
        # The class's attributes are only what a game without a name or a number falls back on.
        self.__dict__.update(id=id or re.sub(r"[^\w.-]+", "-", own), version=version or number or "0")
        super().__init__()
        if not returns[0] < returns[1]:
            raise EnvironmentFault(f"returns {returns} are no range", allowed="the lowest sum of rewards, the highest")
        self._actions, self._prompt, self._returns = tuple(actions), prompt, (returns[0], returns[1])
        self._sizes = {"train": 200, "validation": 50, "test": 100} | dict(sizes or {})
        self._listed: dict[str, list[Task]] = {}
        probe = self._new_game()
        try:
            schema = action_schema(probe.action_space, self._actions, self._name)
            self._first(probe, 0)
            limit = getattr(probe.spec, "max_episode_steps", None)
        finally:
            probe.close()
        self.max_turns = max_turns or (limit + 1 if limit else 64)
        parameters = {
            "type": "object",
            "properties": {"action": schema},
            "required": ["action"],
            "additionalProperties": False,
        }
        self._specs = {"act": ToolSpec.from_schema("act", "take one action in the game", parameters, self._act)}

    def settings(self) -> dict[str, Any]:
        """What decides the game and how it is shown."""
        return {
            "game": self._name,
            "game_args": self._game_args,
            "actions": list(self._actions),
            "prompt": self._prompt,
            "sizes": self._sizes,
            "returns": list(self._returns),
            "max_turns": self.max_turns,
        }

    def tool_specs(self) -> Mapping[str, ToolSpec]:
        """``act``, and whatever tools a subclass adds."""
        return {**self._specs, **super().tool_specs()}

    def tasks(self, split: str) -> list[Task]:
        """One task a seed; its prompt is what the game shows first."""
        if split not in SPLIT_SEEDS:
            raise EnvironmentFault(f"there is no split {split!r}", allowed=", ".join(SPLIT_SEEDS))
        if split not in self._listed:
            first = SPLIT_SEEDS[split]
            game = self._new_game()
            try:
                seeds = range(first, first + self._sizes.get(split, 0))
                self._listed[split] = [_task(seed, self._first(game, seed)) for seed in seeds]
            finally:
                game.close()
        return list(self._listed[split])

    def system_prompt(self, task: Task) -> str:
        """How to play."""
        return self._prompt

    def start(self, task: Task) -> None:
        """Begin the game that the task's seed decides; a task without one gets a seed from the episode's."""
        seed = task.metadata.get("seed")
        self.seed = self.random.getrandbits(31) if seed is None else int(seed)
        self.game = _Game(self._new_game())
        self.register(self.game.env.close)
        self.game.env.reset(seed=self.seed)
        self.actions: list[Any] = []
        self.total, self.ending = 0.0, ""

    def final_state(self) -> Mapping[str, Any]:
        """``return`` (the sum of rewards), ``score`` (0 to 1), ``steps``, and how the game ended, if it did."""
        low, high = self._returns
        score = min(max((self.total - low) / (high - low), 0.0), 1.0)
        return {"return": self.total, "score": score, "steps": len(self.actions), "ending": self.ending}

    def _act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.ending:
            raise ToolError("the game is over")
        env = self.game.env
        action = action_of(env.action_space, self._actions, arguments["action"])
        observation, reward, terminated, truncated, _ = env.step(action)
        self.actions.append(arguments["action"])
        self.total += float(reward)
        self.ending = "terminated" if terminated else "truncated" if truncated else ""
        shown = {"observation": observation_json(env.observation_space, observation, self._name)}
        return {**shown, **self._drawn(env), "game_over": bool(self.ending)}

    def _first(self, game: Any, seed: int) -> str:
        observation, _ = game.reset(seed=seed)
        value = observation_json(game.observation_space, observation, self._name)
        drawn = self._drawn(game).get("picture")
        return f"{value}" if drawn is None else f"{value}\n{drawn}"

    def _drawn(self, game: Any) -> dict[str, str]:
        picture = game.render() if game.render_mode == "ansi" else None
        return {} if picture is None else {"picture": str(picture)}

    def _new_game(self) -> Any:
        import gymnasium

        try:
            make = self._game if callable(self._game) else functools.partial(gymnasium.make, self._game)
            game = make(**self._game_args)
        except PracticumError:
            raise
        except Exception as error:
            raise EnvironmentFault(
                f"the game {self._name} cannot be made: {type(error).__name__}: {error}",
                fix="check its id (a module that registers it goes before: module:Name-v0) and game_args",
            ) from error
        if not isinstance(game, gymnasium.Env):
            raise EnvironmentFault(f"{self._name} made {game!r}", allowed="a gymnasium.Env")
        return game


def score(rollout: Rollout) -> float:
    """The sum of the game's rewards, as a share of what ``returns`` spans."""
    return float(rollout.final_state["score"])


reward = score


def _task(seed: int, shown: str) -> Task:
    return Task(f"game-{seed}", f"Game {seed}.\n{shown}", metadata={"seed": seed})


ACTIONS = "Discrete, Text, MultiDiscrete, MultiBinary, or a Tuple or Dict of these"
OBSERVATIONS = "Text, Discrete, MultiDiscrete, MultiBinary, or a Tuple or Dict of these"


def action_schema(space: Any, names: Sequence[str], where: str) -> dict[str, Any]:
    """JSON Schema of one action.

    A MultiDiscrete or MultiBinary action is a list (of lists, where the space has more axes), a Tuple a list of its
    parts, a Dict an object.

    Args:
        space: The action space.
        names: What the actions of a Discrete space are called, in order; empty for numbers.
        where: The game, for errors.

    Raises:
        EnvironmentFault: a space that text cannot name, or not one name for each action.
    """
    from gymnasium import spaces

    if not names:
        return _schema(space, where)
    if not isinstance(space, spaces.Discrete):
        raise EnvironmentFault(f"actions of {space} have no order to be named in", where=where, fix="leave names out")
    count = int(space.n)
    if len(names) != count or len(set(names)) != count:
        raise EnvironmentFault(f"{list(names)} do not name {count} actions", where=where, fix=f"give {count} names")
    return {"type": "string", "enum": list(names)}


def _schema(space: Any, where: str) -> dict[str, Any]:
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return _whole(int(space.start), int(space.n))
    if isinstance(space, spaces.Text):
        return {"type": "string", "minLength": space.min_length, "maxLength": space.max_length}
    if isinstance(space, spaces.MultiDiscrete):
        return _grid(space.start.tolist(), space.nvec.tolist())
    if isinstance(space, spaces.MultiBinary):
        bit = _whole(0, 2)
        for length in reversed(space.shape):
            bit = _list([bit] * length)
        return bit
    if isinstance(space, spaces.Tuple):
        return _list([_schema(inner, where) for inner in space.spaces])
    if isinstance(space, spaces.Dict):
        parts = {name: _schema(inner, where) for name, inner in space.spaces.items()}
        return {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}
    raise EnvironmentFault(f"actions of {space} are no text", where=where, allowed=ACTIONS)


def _whole(low: int, count: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": low + count - 1}


def _grid(lows: Any, counts: Any) -> dict[str, Any]:
    """A number from ``low``, or a list of such, as deep as the space has axes."""
    if not isinstance(lows, list):
        return _whole(lows, counts)
    return _list([_grid(low, count) for low, count in zip(lows, counts, strict=True)])


def _list(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A list of exactly these parts; said once where all are alike."""
    items: dict[str, Any] = {"prefixItems": list(parts)} if parts else {}
    if parts and all(part == parts[0] for part in parts):
        items = {"items": parts[0]}
    return {"type": "array", **items, "minItems": len(parts), "maxItems": len(parts)}


def action_of(space: Any, names: Sequence[str], argument: Any) -> Any:
    """The action that a tool call means; ``argument`` keeps to the schema.

    Raises:
        ToolError: the space does not hold it (text of other characters than it allows).
    """
    action = int(space.start) + list(names).index(argument) if names else _action(space, argument)
    if action not in space:
        raise ToolError(f"{argument!r} is no action: {_allowed(space)}")
    return action


def _action(space: Any, argument: Any) -> Any:
    import numpy as np
    from gymnasium import spaces

    # JSON Schema calls 2.0 an integer too.
    if isinstance(space, spaces.Discrete):
        return space.dtype.type(int(argument))
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        return np.array(argument).astype(space.dtype)
    if isinstance(space, spaces.Tuple):
        return tuple(_action(inner, item) for inner, item in zip(space.spaces, argument, strict=True))
    if isinstance(space, spaces.Dict):
        return {name: _action(inner, argument[name]) for name, inner in space.spaces.items()}
    return argument


def observation_json(space: Any, value: Any, where: str) -> Any:
    """An observation as JSON data.

    Raises:
        EnvironmentFault: a space that has no exact JSON form.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Text):
        return str(value)
    if isinstance(space, spaces.Discrete):
        return int(value)
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        return value.tolist()
    if isinstance(space, spaces.Tuple):
        return [observation_json(inner, item, where) for inner, item in zip(space.spaces, value, strict=True)]
    if isinstance(space, spaces.Dict):
        items: Mapping[str, Any] = value
        return {name: observation_json(inner, items[name], where) for name, inner in space.spaces.items()}
    raise EnvironmentFault(
        f"observations in {space} are no text",
        where=where,
        allowed=OBSERVATIONS,
        fix="wrap the game so that it describes what it shows in words",
    )


def _allowed(space: Any) -> str:
    characters = getattr(space, "characters", "")
    return f"text of these characters: {characters[:200]}" if characters else str(space)
