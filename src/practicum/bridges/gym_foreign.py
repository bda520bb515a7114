"""A Gymnasium text environment that somebody else wrote, as an environment with one tool, ``act``.

    environment: practicum.bridges.gym_foreign:GymnasiumEnvironment
    environment_args: {game: FrozenLake-v1, game_args: {render_mode: ansi}, actions: [left, down, right, up]}

A task is a seed: it decides how the game begins, and everything the game draws afterwards. The agent is shown what
it observes, not the rewards; these are summed for the score (``final_state()``). Needs the extra ``gymnasium``.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from practicum.bridges.gym_spaces import action_of, action_schema, observation_json
from practicum.bridges.optional import require
from practicum.environment.base import Environment
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
        require("gymnasium", "gymnasium")
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
        probe = self._made()
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
            game = self._made()
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
        self.game = _Game(self._made())
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

    def _made(self) -> Any:
        import gymnasium

        try:
            make = self._game if callable(self._game) else functools.partial(gymnasium.make, self._game)
            made = make(**self._game_args)
        except PracticumError:
            raise
        except Exception as error:
            raise EnvironmentFault(
                f"the game {self._name} cannot be made: {type(error).__name__}: {error}",
                fix="check its id (a module that registers it goes before: module:Name-v0) and game_args",
            ) from error
        if not isinstance(made, gymnasium.Env):
            raise EnvironmentFault(f"{self._name} made {made!r}", allowed="a gymnasium.Env")
        return made


def score(rollout: Rollout) -> float:
    """The sum of the game's rewards, as a share of what ``returns`` spans."""
    return float(rollout.final_state["score"])


reward = score


def _task(seed: int, shown: str) -> Task:
    return Task(f"game-{seed}", f"Game {seed}.\n{shown}", metadata={"seed": seed})
