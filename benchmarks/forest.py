"""Tokens trained on against tokens sampled, for a main agent that delegates 1 to 16 times to a sub-agent.

    python benchmarks/forest.py

The policy is a script, so that only the book-keeping is measured; tokenizer, renderer and session are the real ones.
The last column is what one open sequence at a time would train on: each change of conversation tells all of it again.
"""

import asyncio
import time
from collections.abc import Sequence

from practicum.algorithms.losses import training_sequences
from practicum.chat import Message
from practicum.engine.local.models import SMOLLM2, find_model, load_tokenizer
from practicum.engine.protocol import Sample, SamplingParams
from practicum.rollout.renderer import make_renderer
from practicum.rollout.session import Session
from practicum.trajectory import EnvironmentRef, Trajectory

TIMES = (1, 2, 4, 8, 16)
TOOL = {"type": "function", "function": {"name": "search", "parameters": {"properties": {"text": {"type": "string"}}}}}
FOUND = "The ticket was opened on Monday by the billing team, and nobody has answered it since. " * 3
MAIN: list[Message] = [
    {"role": "system", "content": "You plan, and have a colleague look things up: one question at a time."},
    {"role": "user", "content": "Which tickets of this week wait for an answer, and who owns them?"},
]


class Script:
    """A policy that delegates ``times`` times; every other call is the sub-agent's."""

    version = 0

    def __init__(self, tokenizer: object, times: int) -> None:
        self.tokenizer, self.times, self.calls = tokenizer, times, 0
        self.prompted = 0

    async def sample(self, session: str, prompt_ids: Sequence[int], params: SamplingParams, seed: int) -> Sample:
        """The next line."""
        line = FOUND if self.calls % 2 else f'[search(text="ticket {self.calls // 2}")]'
        line = "All of them wait for billing." if self.calls == 2 * self.times else line
        ids = (*self.tokenizer.encode(line), params.stop_token_ids[0])  # type: ignore[attr-defined]
        self.calls += 1
        self.prompted += len(prompt_ids) + len(ids)
        return Sample(ids, (-1.0,) * len(ids), (0,) * len(ids), "stop")

    def release(self, session: str) -> None:
        """Nothing is kept."""


async def delegate(session: Session, times: int) -> None:
    """Main agent, sub-agent, main agent, and so on; the main agent has the last word."""
    messages = list(MAIN)
    for number in range(times):
        asked = (await session.chat(messages, [TOOL])).message
        task = [{"role": "system", "content": "You search."}, {"role": "user", "content": f"Ticket {number}?"}]
        found = await session.chat(task)
        result = {"role": "tool", "tool_call_id": asked["tool_calls"][0]["id"], "content": found.message["content"]}
        messages += [asked, result]
    await session.chat(messages, [TOOL])


def measure(times: int) -> str:
    """One line of the table."""
    tokenizer = load_tokenizer(find_model(SMOLLM2))
    policy = Script(tokenizer, times)
    session = Session("s", policy, make_renderer(tokenizer, SMOLLM2), SamplingParams(max_tokens=256), 0)
    began = time.perf_counter()
    asyncio.run(delegate(session, times))
    took = 1000 * (time.perf_counter() - began) / len(session.turns)
    ref = EnvironmentRef("e", "1", "d")
    trajectory = Trajectory("r", "t", "g", 0, ref, session.turns, (), "final", session.tools)
    sequences = training_sequences(trajectory, [1.0] * len(session.turns))
    trained, sampled = sum(len(s.tokens) for s in sequences), sum(s.n_action_tokens for s in sequences)
    causes = {str(turn.break_cause) for turn in session.turns if turn.break_cause}
    cells = (times, len(session.turns), sampled, len(sequences), trained, f"{trained / sampled:.2f}", policy.prompted)
    return f"| {' | '.join(map(str, cells))} | {', '.join(sorted(causes))} | {took:.1f} ms |"


if __name__ == "__main__":
    print("| delegations | turns | sampled | sequences | tokens in them | per sampled | one open | causes | a turn |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for times in TIMES:
        print(measure(times))
