"""BFCL v4 multi-turn (Berkeley Function Calling Leaderboard, Apache-2.0) from the package ``bfcl-eval``.

    pip install "practicum[bfcl]" && pip install --no-deps bfcl-eval==2026.3.23

Two hundred conversations a category: the user asks turn after turn by a script, the agent calls functions of up to
two stateful backends, and after every turn the state and the responses are compared with those the ground truth
leads to. Backends, data and checkers are the package's own; each episode has instances of its own, and what in them
asks the wall clock asks the episode's.

What differs from ``bfcl_eval``: calls are run as calls, never by evaluating text; arguments are held to their
documented types and to bounds; functions that are added later (``miss_func``) are told in the user's message.
"""

import functools
import hashlib
import math
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from practicum.environment import Call, Environment, Oracle, ToolSpec
from practicum.errors import EnvironmentFault
from practicum.tasks import Task
from practicum.trajectory import Rollout, text_of
from practicum_benchmarks.bfcl_data import BFCL, Conversation, data_digest, entries
from practicum_benchmarks.bfcl_play import BfclWorld, backends, bound, valid_turns
from practicum_benchmarks.messages import asked_calls

SPLITS = {"train": 70, "validation": 10, "test": 20}
"""Percent of the conversations, drawn by hash of the number: the four categories vary the same two hundred."""


class BfclMultiTurn(Environment):
    """A user who asks turn after turn, and the backends that do it.

    Args:
        category: ``base``, ``miss_func`` (a function is held back), ``miss_param`` (the user says something only
            later) or ``long_context`` (records in which what matters has to be found).
        published: All two hundred as the test split and nothing to train on, for numbers to compare with
            published ones.
    """

    id, version = "bfcl-multi-turn", f"{BFCL.version}-1"

    def __init__(self, category: str = "base", published: bool = False) -> None:
        super().__init__()
        self.category, self.published = category, published
        longest = max(sum(map(len, entry.truth)) + len(entry.script) for entry in entries(category).values())
        self.max_turns = math.ceil(1.5 * longest)
        backends()

    def settings(self) -> dict[str, Any]:
        """Category and split, and a digest over the package's files."""
        return {"category": self.category, "published": self.published, "data": data_digest(self.category)}

    def tasks(self, split: str) -> list[Task]:
        """Conversations of ``train``, ``validation`` or ``test``; the prompt is the first thing the user says."""
        if split not in SPLITS or (self.published and split != "test"):
            allowed = "test" if self.published else ", ".join(SPLITS)
            raise EnvironmentFault(f"BFCL multi-turn has no split {split!r}", allowed=allowed)
        prompts: set[str] = set()
        tasks = []
        for entry in entries(self.category).values():
            prompt, again = entry.script[0], entry.script[0] in prompts
            prompts.add(prompt)
            if self.published:
                # Two conversations begin with the same words; a line's end tells their prompts apart.
                tasks.append(self._task(entry, f"{prompt}\n" if again else prompt))
            elif not again and _split(entry) == split:
                tasks.append(self._task(entry, prompt))
        return tasks

    def start(self, task: Task) -> None:
        """Make the backends' instances."""
        self.world, self.turn = BfclWorld(_entry(task)), 0

    def next_user(self, answer: str) -> str | None:
        """The next line of the script, whatever the agent said."""
        script = self._entry.script
        self.turn += 1
        return script[self.turn] if self.turn < len(script) else None

    def tool_specs(self) -> Mapping[str, ToolSpec]:
        """The conversation's functions, those held back without; between episodes every function there is."""
        if self.task is None:
            return self._specs
        return {name: self._specs[name] for name in self._entry.offered(self.turn)}

    def oracle(self, task: Task) -> Oracle:
        """The ground truth."""
        entry = _entry(task)
        for number, calls in enumerate(entry.truth, start=1):
            for call in calls:  # noqa: UP028 (a tuple cannot be sent the results)
                yield call
            if number < len(entry.truth):
                yield "Done."
        return "Done."

    def final_state(self) -> dict[str, Any]:
        """How far the script came, and a digest of every instance."""
        return {"turn": self.turn, "instances": self.world.digests()}

    @functools.cached_property
    def _specs(self) -> dict[str, ToolSpec]:
        def run(call: Call) -> str:
            return self.world.call(call)

        return bound(run)

    @property
    def _entry(self) -> Conversation:
        assert self.task is not None
        return _entry(self.task)

    def _task(self, entry: Conversation, prompt: str) -> Task:
        return Task(entry.id, prompt, metadata={"category": self.category})


def score(rollout: Rollout) -> tuple[float, dict[str, float]]:
    """1.0 where BFCL's rule holds for every turn of the script, else 0.0."""
    right, turns, wrong = _judged(rollout)
    kinds = {f"wrong/{kind}": float(wrong == kind) for kind in ("empty", "state", "response", "unfinished")}
    return float(not wrong), {"turns": right / turns, **kinds}


def reward(rollout: Rollout) -> tuple[float, dict[str, float]]:
    """Half for the whole conversation, half for the share of turns right in a row from the first.

    Turns in which nothing may be done count only together with those before them: doing nothing earns nothing.
    """
    right, turns, wrong = _judged(rollout)
    return 0.5 * (not wrong) + 0.5 * right / turns, {"turns": right / turns, "exact": float(not wrong)}


def _judged(rollout: Rollout) -> tuple[int, int, str]:
    """Turns that ask for calls and are right in a row, all such turns, and what is wrong (nothing: empty)."""
    entry = _entry(rollout.task)
    played = turns_of(rollout, entry)
    right, wrong = valid_turns(entry, played if rollout.completed else played[:-1])
    return sum(map(bool, entry.truth[:right])), sum(map(bool, entry.truth)), wrong


def turns_of(rollout: Rollout, entry: Conversation) -> list[list[Call]]:
    """The agent's calls by the script's turns, from the messages. Other users' messages begin no turn."""
    turns: list[list[Call]] = []
    for message in rollout.messages:
        expected = entry.script[len(turns)].strip() if len(turns) < len(entry.script) else None
        if message.get("role") == "user" and text_of(message).strip() == expected:
            turns.append([])
        elif message.get("role") == "assistant" and turns:
            turns[-1] += asked_calls([message])
    return turns


def _entry(task: Task) -> Conversation:
    category = str(task.metadata.get("category", ""))
    conversations = entries(category) if category else {}
    if task.id not in conversations:
        raise EnvironmentFault(
            f"task {task.id!r} is no BFCL conversation",
            allowed="tasks that BfclMultiTurn.tasks(split) gave",
            fix="leave training_dataset and validation_dataset out of the recipe",
        )
    return conversations[task.id]


def _split(entry: Conversation) -> str:
    number = entry.id.rpartition("_")[2]
    place = int(hashlib.sha256(f"bfcl/{number}".encode()).hexdigest(), 16) % 100
    return next(split for split, end in zip(SPLITS, accumulate(SPLITS.values()), strict=True) if place < end)
