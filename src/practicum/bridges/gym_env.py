"""The ``gymnasium.Env`` behind ``as_gymnasium``. Imported only once Gymnasium is known to be there.

A player writes a JSON tool call or a final answer: a JSON object with exactly these two keys is a call, every other
text is the answer::

    {"name": "get_ticket", "arguments": {"ticket_id": "T123"}}
"""

import copy
import json
import math
import string
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from numbers import Real
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from practicum.bridges.episode import ServedEpisode, task_of, tasks_of
from practicum.environment.base import Call, Environment
from practicum.environment.calling import waited
from practicum.errors import EnvironmentFault
from practicum.tasks import Task
from practicum.trajectory import Judge, Message, Rollout

ACTION_LIMIT = 32_768
"""Characters of an action."""
OBSERVATION_LIMIT = 262_144
"""Characters of an observation."""

_CODE_POINTS = 0x110000


class _AllCharacters(AbstractSet[str], Sequence[str]):
    """Every Unicode character, as a set and in order, without holding them."""

    def __contains__(self, item: object) -> bool:
        return isinstance(item, str) and len(item) == 1

    def __len__(self) -> int:
        return _CODE_POINTS

    def __iter__(self) -> Any:
        return map(chr, range(_CODE_POINTS))

    def __getitem__(self, index: Any) -> Any:
        return chr(index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _AllCharacters)

    def __hash__(self) -> int:
        return _CODE_POINTS

    def __repr__(self) -> str:
        return "all of Unicode"


class UnicodeText(gymnasium.spaces.Text):
    """All texts up to a length that UTF-8 can carry; samples are printable ASCII.

    ``gymnasium.spaces.Text`` keeps tables of its characters; for a million of them that would be 100 MB a space.
    """

    def __init__(self, max_length: int, *, min_length: int = 0) -> None:
        super().__init__(max_length, min_length=min_length, charset=string.printable)

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is text of such a length, without halves of surrogate pairs."""
        return isinstance(x, str) and self.min_length <= len(x) <= self.max_length and _portable(x)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Printable ASCII of a random length; of a given one with ``mask=(length, None)``."""
        length, characters = mask or probability or (None, None)
        if characters is not None:
            raise EnvironmentFault("a text of any characters cannot be sampled with a character mask")
        if length is None:
            length = int(self.np_random.integers(self.min_length, self.max_length + 1))
        return "".join(self.np_random.choice(list(string.printable), size=length))

    @property
    def character_set(self) -> Any:
        """All of Unicode."""
        return _AllCharacters()

    @property
    def character_list(self) -> Any:
        """All of Unicode, by code point."""
        return _AllCharacters()

    def character_index(self, char: str) -> np.int32:
        """The code point."""
        return np.int32(ord(char))

    def __repr__(self) -> str:
        return f"UnicodeText({self.min_length}, {self.max_length})"


class PracticumEnv(gymnasium.Env[str, str]):
    """Plays a Practicum environment; see ``as_gymnasium``.

    ``reset`` draws a task with ``np_random`` (or takes ``options={"task": id}``). The episode's seed is ``seed``
    where one is given, else drawn too; ``info`` says both, and holds messages and tools as an OpenAI client would
    send them. The last step's ``info`` also holds ``ending``, ``final_state``, ``score`` and its ``components``.
    """

    # Gymnasium declares it a variable of instances.
    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012

    def __init__(
        self, environment: Environment, split: str, score: Judge | None, render_mode: str | None = None
    ) -> None:
        if render_mode not in (None, "ansi"):
            raise EnvironmentFault(f"there is no render mode {render_mode!r}", allowed="ansi, or None")
        self.environment, self.split, self.score, self.render_mode = environment, split, score, render_mode
        self.action_space = UnicodeText(ACTION_LIMIT)
        self.observation_space = UnicodeText(OBSERVATION_LIMIT)
        self._tasks = tasks_of(environment, split)
        self._episode: ServedEpisode | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin an episode.

        Raises:
            EnvironmentFault: an unknown option or task, or an opening longer than an observation may be.
        """
        super().reset(seed=seed)
        # Both are drawn whatever is given, so that the generator goes on the same way.
        drawn, own = int(self.np_random.integers(len(self._tasks))), int(self.np_random.integers(2**31))
        task = self._chosen_task(options or {}) or self._tasks[drawn]
        self._episode = ServedEpisode(self.environment, task, own if seed is None else seed)
        schemas = copy.deepcopy(self.environment.schemas())
        text = opening_text(self._episode.messages, schemas)
        if len(text) > OBSERVATION_LIMIT:
            self.close()
            raise EnvironmentFault(
                f"the opening of task {task.id!r} has {len(text)} characters", allowed=f"up to {OBSERVATION_LIMIT}"
            )
        messages = copy.deepcopy(self._episode.messages)
        return _sent(text), {"task": task.id, "seed": self._episode.seed, "messages": messages, "tools": schemas}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Call a tool, or give the final answer.

        Raises:
            gymnasium.error.ResetNeeded: no episode is open.
            EnvironmentFault: the action is no text of the action space, or the environment itself failed.
        """
        episode = self._playing()
        if action not in self.action_space:
            what = f"text of {len(action)} characters" if isinstance(action, str) else repr(action)
            raise EnvironmentFault(
                f"{what[:200]} is no action", allowed=f"text in UTF-8 of up to {ACTION_LIMIT} characters"
            )
        try:
            return self._stepped(episode, action)
        except BaseException:
            self.close()
            raise

    def render(self) -> Any:
        """The conversation so far, for ``render_mode="ansi"``; else None."""
        if self.render_mode is None or self._episode is None:
            return None
        return "\n".join(map(_line, self._episode.messages))

    def close(self) -> None:
        """Tear down the episode, if one is open."""
        self.environment.close()

    def _stepped(self, episode: ServedEpisode, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        call = parse_action(action)
        if call is None:
            reply = episode.answer(action)
            text, over, is_error = reply or "", reply is None, False
        else:
            result = episode.call(call.name, call.arguments)
            text, over, is_error = result.text, False, result.is_error
        info: dict[str, Any] = {"turn": episode.turns, "tool": call.name if call else None, "is_error": is_error}
        late = not over and episode.turns >= self.environment.max_turns
        reward = self._ended(episode.end("final" if over else "max_turns"), info) if over or late else 0.0
        return _sent(text), reward, over, late, info

    def _ended(self, rollout: Rollout, info: dict[str, Any]) -> float:
        info |= {"ending": rollout.ending, "final_state": copy.deepcopy(dict(rollout.final_state))}
        if self.score is None:
            return 0.0
        value, components = _judged(self.score, rollout)
        info |= {"score": value, "components": components}
        return value

    def _chosen_task(self, options: Mapping[str, Any]) -> Task | None:
        unknown = sorted(set(options) - {"task"})
        if unknown:
            raise EnvironmentFault(f"reset has no option {unknown[0]!r}", allowed="task: the id of a task")
        return task_of(self._tasks, str(options["task"]), self.split) if "task" in options else None

    def _playing(self) -> ServedEpisode:
        if self._episode is None or not self._episode.open:
            over = "the episode is over" if self._episode else "no episode has begun"
            raise gymnasium.error.ResetNeeded(f"{over}: call reset() first")
        return self._episode


def spec_of(name: str, entry_point: Any, kwargs: dict[str, Any]) -> EnvSpec:
    """What Gymnasium needs to make another one."""
    return EnvSpec(name, entry_point=entry_point, order_enforce=False, disable_env_checker=True, kwargs=kwargs)


def _judged(score: Judge, rollout: Rollout) -> tuple[float, dict[str, float]]:
    """The score's number (summed over turns where it gives several), and its components."""
    result = waited(score(rollout))
    components: Mapping[str, float] = {}
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping):
        result, components = result
    values = list(result) if isinstance(result, Sequence) and not isinstance(result, str) else [result]
    if not values or not all(isinstance(value, Real) and math.isfinite(value) for value in values):
        raise EnvironmentFault(
            f"the score gave {result!r}", where=f"task {rollout.task.id}", allowed="a finite number, or a list of them"
        )
    return float(sum(values)), {name: float(value) for name, value in components.items()}


def _portable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sent(text: str) -> str:
    """Text as an observation: with a mark for what UTF-8 cannot carry."""
    return text if _portable(text) else text.encode(errors="replace").decode()


def _line(message: Mapping[str, Any]) -> str:
    calls = "".join(f"{call['function']['name']}({call['function']['arguments']})" for call in _calls(message))
    return json.dumps({message["role"]: calls or message["content"]}, ensure_ascii=False)


def _calls(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return message.get("tool_calls") or ()


def parse_action(text: str) -> Call | None:
    """The tool call that ``text`` is; None where it is a final answer."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or set(value) != {"name", "arguments"}:
        return None
    name, arguments = value["name"], value["arguments"]
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return Call(name, arguments)


def opening_text(messages: Sequence[Message], schemas: Sequence[Mapping[str, Any]]) -> str:
    """What a player reads first: instructions, tools and how to call them, the task."""
    *before, task = [str(message["content"]) for message in messages]
    parts = list(before)
    if schemas:
        tools = "\n".join(json.dumps(schema["function"], ensure_ascii=False) for schema in schemas)
        how = 'Call a tool by writing only {"name": NAME, "arguments": {…}}. Any other text is your final answer.'
        parts.append(f"Tools:\n{tools}\n{how}")
    return "\n\n".join([*parts, task])


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
