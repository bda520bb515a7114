"""What the learner saves: one sequence per trajectory, shared prompts, logits where tokens are trained, no padding."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import torch

from practicum.algorithms.losses import TrainingSequence
from practicum.engine.local import batching
from practicum.engine.local.batching import FlatBatch, micro_batches
from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.policy import Policy
from practicum.rollout.renderer import make_renderer
from practicum.suites.support_desk import SupportDesk
from practicum.training.imitation import demonstrations
from trainer.chain import Chain

GROUP, BUDGET, REPETITIONS = 4, 2048, 2
ALONE = 10**9
"""As the least shared prefix worth sharing: none is; negative, as what a tree may cost: none is worth it."""
SHARED: Mapping[str, Mapping[str, int]] = {
    "everything": {},
    "beginning": {"PAIRS_PER_TOKEN": -ALONE},
    "nothing": {"MIN_SHARED": ALONE, "PAIRS_PER_TOKEN": -ALONE},
}
"""What sequences of a batch share: all tokens they have in common, what all of them begin with, or nothing."""
ANSWER = 6
"""Tokens at the end of a rollout in which half of its group answers otherwise."""


@dataclass(frozen=True)
class Way:
    """One way to compute the same gradient."""

    name: str
    data: Sequence[TrainingSequence]
    shared: str = "everything"

    def parts(self) -> list[FlatBatch]:
        """Its micro-batches."""
        with self.sharing():
            return [FlatBatch.of(part, torch.device("cpu")) for part in micro_batches(self.data, BUDGET)]

    def sharing(self) -> AbstractContextManager[object]:
        """The engine with this way of sharing."""
        return patch.multiple(batching, **SHARED[self.shared]) if SHARED[self.shared] else nullcontext()


def learner_tables(policy: Policy) -> None:
    """Print every ratio, the ways of each table measured in turn."""
    learner = LocalLearner(policy, micro_batch_tokens=BUDGET)
    renderer = make_renderer(policy.tokenizer, "smollm2-135m")
    chain = grouped(demonstrations(Chain, renderer, Chain().tasks("train")[:2], 0))
    desk = grouped(demonstrations(lambda: SupportDesk(level=2), renderer, SupportDesk(level=2).tasks("train")[:16], 0))
    turns = [part for datum in chain for part in one_per_turn(datum)]
    print(f"\nLearner: one gradient of {len(chain)} trajectories of {len(turns) // len(chain)} turns\n")
    compare(
        learner,
        Way("one sequence per trajectory, common tokens once", chain),
        Way("one sequence per trajectory, what all begin with once", chain, "beginning"),
        Way("one sequence per trajectory", chain, "nothing"),
        Way("one sequence per turn, common tokens once", turns),
        Way("one sequence per turn, what all begin with once", turns, "beginning"),
        Way("one sequence per turn", turns, "nothing"),
    )
    print(f"\nLearner: one gradient of {len(desk)} trajectories of the demo\n")
    everywhere = [replace(datum, mask=np.ones_like(datum.mask) * (np.arange(len(datum.mask)) > 0)) for datum in desk]
    compare(
        learner,
        Way("common tokens once, logits at trained tokens", desk),
        Way("what all begin with once, logits at trained tokens", desk, "beginning"),
        Way("nothing shared, logits at trained tokens", desk, "nothing"),
        # Context's advantages are 0: the same gradient, with a table of logits at every token.
        Way("nothing shared, logits everywhere", everywhere, "nothing"),
    )
    print("\nPadding, as a share of what is computed\n\n| batch | linear layers | attention | a padded rectangle |")
    print("| --- | --- | --- | --- |")
    uneven = [
        trimmed for n, datum in enumerate(chain) for trimmed in [one_per_turn(datum)[n % (len(turns) // len(chain))]]
    ]
    for name, data in (("demo", desk), ("8 turns", chain), ("cut off after 1 to 8 turns", uneven)):
        parts = Way(name, data, "nothing").parts()
        lengths = [len(datum.tokens) for datum in data]
        linear = 1 - sum(lengths) / sum(part.tokens.numel() for part in parts)
        grids = statistics.mean(part.layout.padding for part in parts)
        padded = 1 - sum(lengths) / (len(lengths) * max(lengths))
        print(f"| {name} | {linear:.1%} | {grids:.1%} | {padded:.1%} |")


def compare(learner: LocalLearner, *ways: Way) -> None:
    """Print tokens and seconds of each way, and both over the first's."""
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(REPETITIONS + 1):
        for way in ways:
            seconds[way.name].append(timed(lambda way=way: gradient(learner, way)))
    medians = {name: statistics.median(found[1:]) for name, found in seconds.items()}
    tokens = {way.name: computed(way) for way in ways}
    first = ways[0].name
    print("| | tokens computed | ratio | s | ratio |\n| --- | --- | --- | --- | --- |")
    for name, median in medians.items():
        more, longer = tokens[name] / tokens[first], median / medians[first]
        print(f"| {name} | {tokens[name]:,} | {more:.1f} | {median:.2f} | {longer:.1f} |", flush=True)


def gradient(learner: LocalLearner, way: Way) -> None:
    """One forward and backward pass over all of it."""
    config: Mapping[str, float] = {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}
    with way.sharing():
        learner.forward_backward(way.data, "ppo", config)


def computed(way: Way) -> int:
    """Tokens that go through the model."""
    return sum(part.tokens.numel() for part in way.parts())


def grouped(data: Sequence[TrainingSequence]) -> list[TrainingSequence]:
    """Each demonstration as a group of rollouts that make its calls; half of them are good, half answer otherwise."""
    rng = np.random.default_rng(0)
    group = []
    for datum in data:
        otherwise = datum.tokens.copy()
        otherwise[-ANSWER:] = rng.integers(1000, 2000, ANSWER)
        for n in range(GROUP):
            good = bool(n % 2)
            group.append(
                replace(
                    datum,
                    tokens=datum.tokens if good else otherwise,
                    advantages=datum.mask * (1 if good else -1),
                    logprobs=datum.mask * -0.1,
                )
            )
    return group


def one_per_turn(datum: TrainingSequence) -> list[TrainingSequence]:
    """A trajectory as trainers without sequence extension see it: each turn with all that came before it."""
    steps = np.diff(datum.mask, prepend=0, append=0)
    parts = []
    for start, end in zip(np.flatnonzero(steps > 0), np.flatnonzero(steps < 0), strict=True):
        mask = np.where(np.arange(end) >= start, datum.mask[:end], 0).astype(np.float32)
        parts.append(
            replace(
                datum,
                tokens=datum.tokens[:end],
                mask=mask,
                advantages=datum.advantages[:end] * mask,
                logprobs=datum.logprobs[:end] * mask,
            )
        )
    return parts


def timed(work: Callable[[], None]) -> float:
    """Seconds of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
