"""The foothold: a few supervised steps on demonstrations, so that reinforcement finds something to reinforce.

The oracle's demonstrations are played through the tools and rendered with the same renderer as rollouts: the tokens
trained on are the tokens a session would feed and sample. ``training.demonstrations`` knows who else may demonstrate.
"""

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from practicum.algorithms.losses import TrainingSequence
from practicum.engine.local.learner import LocalLearner
from practicum.engine.protocol import AdamParams
from practicum.environment import Call, Environment, ToolResult
from practicum.environment.places import place_of_error
from practicum.environment.play import OracleSteps, opening
from practicum.errors import EnvironmentFault, PracticumError
from practicum.rollout.renderer import Renderer
from practicum.rollout.session import Tools
from practicum.seeds import derive
from practicum.tasks import Task
from practicum.trajectory import Message


@dataclass(frozen=True)
class Pass:
    """One pass over the demonstrations: mean cross-entropy in nats per token, while training and held out."""

    epoch: int
    train_loss: float
    validation_loss: float


def demonstrate(environment: Environment, task: Task, seed: int) -> list[Message]:
    """The conversation that the environment demonstrates on one task, tool calls really executed.

    Raises:
        EnvironmentFault: the environment has no oracle; the oracle's own call failed, it came to no end
            (``environment.play``), or its code raised.
    """
    try:
        return _played(environment, task, seed)
    except PracticumError:
        raise
    except (Exception, SystemExit) as error:  # the user's code
        raise EnvironmentFault(
            f"the oracle raised {type(error).__name__}: {error}",
            where=f"{place_of_error(error, environment.folder)}, task {task.id}",
            fix="mend that line",
        ) from error


def _played(environment: Environment, task: Task, seed: int) -> list[Message]:
    environment.reset(task, seed)
    try:
        messages = opening(environment, task)
        oracle = OracleSteps(environment.demonstration(task), task)
        for step, result in oracle.played_on(environment):
            messages += _messages_of(step, messages, result)
        return [*messages, {"role": "assistant", "content": oracle.answer}]
    except BaseException as failure:
        environment.close(after=failure)
        raise
    finally:
        environment.close()


def _messages_of(step: Call | str, before: Sequence[Message], result: ToolResult) -> list[Message]:
    """A call and its result as messages, or an answer and what the scripted user said to it."""
    if isinstance(step, str):
        return [{"role": "assistant", "content": step}, {"role": "user", "content": result.text}]
    id = f"call_{sum(message['role'] == 'assistant' for message in before)}_0"
    function = {"name": step.name, "arguments": json.dumps(dict(step.arguments))}
    asked = {"role": "assistant", "content": "", "tool_calls": [{"id": id, "type": "function", "function": function}]}
    return [asked, {"role": "tool", "tool_call_id": id, "name": step.name, "content": result.text}]


def demonstrations(
    make_environment: Callable[[], Environment], renderer: Renderer, tasks: Sequence[Task], seed: int
) -> list[TrainingSequence]:
    """Demonstrations as training sequences: what the model would have sampled is trained, the rest is context."""
    data = []
    for task in tasks:
        environment = make_environment()
        messages = demonstrate(environment, task, derive(seed, "demonstration", task.id))
        data.append(lesson(renderer, messages, environment.schemas()))
    return data


def lesson(renderer: Renderer, messages: Sequence[Message], tools: Tools) -> TrainingSequence:
    """A conversation as a training sequence."""
    rendered = renderer.render(list(messages), tools=list(tools) or None)
    mask = np.asarray(rendered.sampled_mask, dtype=np.float32)
    # Nothing after the last sampled token conditions anything.
    length = int(np.flatnonzero(mask)[-1]) + 1
    tokens = np.asarray(rendered.token_ids[:length], dtype=np.int64)
    zeros = np.zeros(length, dtype=np.float32)
    return TrainingSequence(tokens, mask[:length], zeros, zeros)


def imitate(
    learner: LocalLearner,
    data: Sequence[TrainingSequence],
    validation: Sequence[TrainingSequence],
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    average: float = 0.0,
    select_best: bool = False,
    enough: Callable[[], bool] = lambda: False,
) -> Iterator[Pass]:
    """Supervised passes over demonstrations, yielding after each.

    Args:
        learner: Trained in place; its optimizer starts afresh before and after.
        data, validation: Demonstrations to train on, and held-out ones to measure on.
        average: Share of the steps, the last ones, whose weights are averaged in the end (arXiv 1803.05407): the mean
            holds no answer for likely only because the last batch showed it often.
        select_best: When the passes are over, put back the weights of the best validation loss.
        enough: Asked after each pass; True ends the passes early.
    """
    learner.reset_optimizer()
    order = list(data)
    best, best_weights = math.inf, dict[str, Tensor]()
    steps = epochs * math.ceil(len(order) / batch_size)
    mean = _Mean(after=steps - round(average * steps))
    for epoch in range(1, epochs + 1):
        random.Random(derive(seed, "foothold", epoch)).shuffle(order)
        loss = 0.0
        for start in range(0, len(order), batch_size):
            loss += _step(learner, order[start : start + batch_size], learning_rate) / len(order)
            mean.add(learner)
        if epoch == epochs and mean.weights:
            learner.restore(mean.weights)
        held_out = learner.evaluate(validation)
        if select_best and held_out < best:
            best, best_weights = held_out, learner.snapshot()
        yield Pass(epoch, loss, held_out)
        if enough():
            break
    if best_weights:
        learner.restore(best_weights)
    learner.reset_optimizer()


class _Mean:
    """Running mean of weights, from the step after ``after`` on."""

    def __init__(self, after: int) -> None:
        self.weights = dict[str, Tensor]()
        self._step, self._after = 0, after

    def add(self, learner: LocalLearner) -> None:
        """One more step's weights."""
        self._step += 1
        if self._step <= self._after:
            return
        weights = learner.snapshot()
        if not self.weights:
            self.weights = weights
        for name, value in self.weights.items():
            value.lerp_(weights[name], 1 / (self._step - self._after))


def _step(learner: LocalLearner, batch: Sequence[TrainingSequence], learning_rate: float) -> float:
    """One update; returns the batch's loss times its number of demonstrations."""
    tokens = sum(float(datum.mask.sum()) for datum in batch)
    weighted = [replace(sequence, weight=1 / tokens) for sequence in batch]
    stats = learner.forward_backward(weighted, "cross_entropy", {})
    learner.optim_step(AdamParams(learning_rate))
    return stats.loss * len(batch)
