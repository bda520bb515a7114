"""A model that says what it is told to: the answers of a script, in the tokens of the recipe's own model."""

import asyncio
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from practicum.checks.actions import random_calls
from practicum.engine.protocol import Sample, SamplingParams
from practicum.environment import Call
from practicum.errors import RolloutError
from practicum.rollout.renderer import Renderer
from practicum.seeds import derive
from practicum.trajectory import Message, Rollout, Trajectory

DRAWN_CALLS = 2
"""Tool calls of a script that is drawn from the tools the agent offers."""
MOST_CALLS = 60
"""Model calls of one rollout, after which the agent is held never to end."""
MEET_S = 0.5
"""Seconds that a model call waits for those of other rollouts, so that these really are under way together."""

Tools = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Script:
    """What the model answers in one rollout; None where calls are drawn by ``seed`` from the tools offered."""

    name: str
    seed: int
    answers: tuple[Message, ...] | None = None

    def answer(self, turn: int, tools: Tools) -> Message:
        """The answer to a model call; the last one again after the script's end."""
        if self.answers is not None:
            return self.answers[min(turn, len(self.answers) - 1)]
        if not tools or turn >= DRAWN_CALLS:
            return {"role": "assistant", "content": "I do not know."}
        named = {tool["function"]["name"] for tool in tools}
        drawn = random_calls(tools, [], random.Random(derive(self.seed, "turn", turn)))
        return _calling(next((call for call in drawn if call.name in named), drawn[0]))


def script_of(rollout: Rollout) -> Script:
    """What the model said in a walkthrough."""
    said = tuple(_bare(message) for message in rollout.messages if message.get("role") == "assistant")
    return Script("the oracle's answers", 0, said)


def recorded_script(trajectory: Trajectory) -> Script:
    """What the model said in a recorded rollout."""
    return Script("recorded answers", trajectory.seed, tuple(_bare(turn.response) for turn in trajectory.turns))


class ScriptedSampler:
    """Samples what the scripts say, instead of a model.

    Args:
        renderer: Writes answers as tokens, as the model would have sampled them.
        tools: Gives the tools that a session's last request offered.
    """

    version = 0

    def __init__(self, renderer: Renderer, tools: Callable[[str], Tools]) -> None:
        self._renderer, self._tools = renderer, tools
        self._scripts: dict[str, Script] = {}
        self._turns: dict[str, int] = {}
        self._meeting: _Meeting | None = None
        self.most_at_once = 0

    def play(self, session: str, script: Script) -> None:
        """The script of a session that is to come."""
        self._scripts[session], self._turns[session] = script, 0

    @contextmanager
    def together(self, rollouts: int) -> Iterator[None]:
        """Hold model calls back until those of so many rollouts have come, for the time of the block."""
        self._meeting, self.most_at_once = _Meeting(rollouts), 0
        try:
            yield
        finally:
            self._meeting = None

    async def sample(self, session: str, prompt_ids: Sequence[int], params: SamplingParams, seed: int) -> Sample:
        """The script's next answer, cut at ``max_tokens`` like a model's."""
        del prompt_ids, seed
        turn = self._turns[session]
        self._turns[session] += 1
        if turn >= MOST_CALLS:
            raise RolloutError(f"the agent asked the model {MOST_CALLS} times in one rollout", fix="have it end")
        if self._meeting is not None:
            self.most_at_once = max(self.most_at_once, await self._meeting.join())
        tools = self._tools(session)
        ids = answer_ids(self._renderer, self._scripts[session].answer(turn, tools), tools)
        cut = ids[: params.max_tokens]
        return Sample(cut, (0.0,) * len(cut), (self.version,) * len(cut), "stop" if cut == ids else "length")

    def release(self, session: str) -> None:
        """See ``Sampler``."""
        del session

    @contextmanager
    def attached(self, session: str) -> Iterator[None]:
        """See ``AttachableSampler``."""
        del session
        yield


class _Meeting:
    """Where model calls wait for each other, and not for long."""

    def __init__(self, expected: int) -> None:
        self._expected, self._waiting = expected, 0
        self._all_here = asyncio.Event()

    async def join(self) -> int:
        """Wait; how many were there at the most while waiting."""
        self._waiting += 1
        most = self._waiting
        if self._waiting >= self._expected:
            self._all_here.set()
        try:
            async with asyncio.timeout(MEET_S):
                await self._all_here.wait()
        except TimeoutError:
            pass
        most = max(most, self._waiting)
        self._waiting -= 1
        if not self._waiting:
            self._all_here = asyncio.Event()
        return most


def answer_ids(renderer: Renderer, message: Message, tools: Tools) -> tuple[int, ...]:
    """The tokens that a model samples to say a message, with the one that ends its turn."""
    asked: Message = {"role": "user", "content": "?"}
    rendered = renderer.render([asked, message], tools=list(tools) or None)
    sampled = np.flatnonzero(np.asarray(rendered.sampled_mask))
    return tuple(rendered.token_ids[place] for place in sampled)


def _calling(call: Call) -> Message:
    function = {"name": call.name, "arguments": json.dumps(dict(call.arguments))}
    asked = {"id": "call_0_0", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [asked]}


def _bare(message: Message) -> Message:
    kept = ("role", "content", "reasoning_content", "tool_calls")
    return {key: message[key] for key in kept if message.get(key) is not None}
