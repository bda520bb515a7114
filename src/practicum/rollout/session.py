"""One trajectory's exact tokens.

Whoever talks to the model, our own agent loop or an HTTP client, talks to a ``Session``. It turns messages into tokens
once, keeps the sampled tokens as they were sampled, and appends what is new. A trajectory is a forest: every sequence
stays open, and a request continues the one whose tokens are the longest exact prefix of its own, so that a main agent
and its sub-agents, or branches side by side, each go on where they were. That a prompt really extends the tokens is
checked here, whatever the renderer says; where it extends none, a sequence begins and its cause is counted.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from renderers.base import RenderedTokens

from practicum.engine.protocol import Sample, Sampler, SamplingParams
from practicum.errors import ContextFull, RenderError, RolloutError
from practicum.rollout.answers import ParsedAnswer, read_answer
from practicum.rollout.breaks import break_cause
from practicum.rollout.forest import Conversation, Forest, OpenSequence
from practicum.rollout.long_requests import context_of, rendered, require_room
from practicum.rollout.renderer import Renderer
from practicum.trajectory import BreakCause, Message, StopReason, Turn, common_prefix

Tools = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ChatResult:
    """One model call, as a chat client sees it."""

    message: Message
    finish_reason: StopReason
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class _Prompt:
    ids: list[int]
    rendered: RenderedTokens | None = None
    """The whole conversation's rendering, where no sequence could be carried on as it is."""


@dataclass(frozen=True)
class SampledAnswer:
    """An answer that nobody has received yet: no turn before ``Session.record`` says so."""

    conversation: Conversation
    prompt: _Prompt
    sample: Sample
    answer: ParsedAnswer
    latency_s: float

    @property
    def result(self) -> ChatResult:
        """The answer, as a chat client sees it."""
        answer = self.answer
        return ChatResult(answer.message, answer.finish_reason, len(self.prompt.ids), len(self.sample.token_ids))


class Session:
    """Records one trajectory.

    Args:
        id: The trajectory's id.
        sampler: Where tokens come from.
        renderer: Messages to tokens and back.
        params: Sampling settings; a call may lower ``max_tokens``.
        seed: Seeds the session's random numbers.
        free: Whether calls may set their own temperature and top_p. Not in training: the learner computes
            probabilities at the recipe's temperature, and ratios to another would be wrong.
    """

    def __init__(
        self,
        id: str,
        sampler: Sampler,
        renderer: Renderer,
        params: SamplingParams,
        seed: int,
        *,
        free: bool = False,
    ) -> None:
        self.id = id
        self.params = params
        self._free = free
        self._sampler = sampler
        self._renderer = renderer
        self._seed = seed
        self._turns: list[Turn] = []
        self._forest = Forest()
        self._answers = 0
        self.overfull = False
        """Whether the last call's conversation was refused for its length, before it was tokenized."""
        self.tools: tuple[Mapping[str, Any], ...] = ()

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns so far."""
        return tuple(self._turns)

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Tools | None = None,
        *,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
    ) -> ChatResult:
        """Sample the next assistant message and record the turn. Nothing is recorded unless sampling succeeds.

        Raises:
            ContextFull: the conversation leaves no room to sample.
            RenderError: it cannot be rendered.
        """
        sampled = await self.sample(messages, tools, temperature=temperature, top_p=top_p, max_tokens=max_tokens)
        self.record(sampled)
        return sampled.result

    async def sample(
        self,
        messages: Sequence[Message],
        tools: Tools | None = None,
        *,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
    ) -> SampledAnswer:
        """``chat`` for whoever does not know yet whether the answer arrives: it is no turn until ``record``."""
        params = self._params(temperature, top_p, max_tokens)
        with self._rendering():
            self._require_room(messages)
            conversation = Conversation.of(messages, tools or ())
            prompt = await self._prompt(conversation)
        began = time.perf_counter()
        sample = await self._sampler.sample(self.id, prompt.ids, params, self._seed)
        latency = time.perf_counter() - began
        answer = read_answer(self._renderer, sample, prompt.ids, conversation.tools, self._answers)
        self._answers += 1
        return SampledAnswer(conversation, prompt, sample, answer, latency)

    def record(self, sampled: SampledAnswer) -> None:
        """Make a turn of an answer that was received."""
        conversation, ids, sample = sampled.conversation, sampled.prompt.ids, sampled.sample
        sequence, cause = self._forest.prefix_of(ids), None
        if sequence is None:
            sequence, cause, news = self._begun(sampled)
        else:
            news = sequence.news(conversation)
        length = len(sequence.tokens)
        self._turns.append(
            Turn(
                messages=tuple(news),
                response=sampled.answer.message,
                context_ids=tuple(ids[length:]),
                action_ids=sample.token_ids,
                logprobs=sample.logprobs,
                versions=sample.versions,
                finish_reason=sampled.answer.finish_reason,
                extends=cause is None,
                break_cause=cause,
                latency_s=sampled.latency_s,
                sequence=sequence.number,
                malformed_calls=sampled.answer.malformed,
            )
        )
        self._forest.grow(sequence, conversation, ids, sample.token_ids, sampled.answer.message)
        self.tools = conversation.tools

    def release(self) -> None:
        """Free what the sampler caches for this session."""
        self._sampler.release(self.id)

    def _require_room(self, messages: Sequence[Message]) -> None:
        self.overfull = False
        try:
            require_room(messages, context_of(self._sampler))
        except ContextFull:
            self.overfull = True
            raise

    def _params(self, temperature: float | None, top_p: float | None, max_tokens: int | None) -> SamplingParams:
        ours = self.params
        for name, value, fixed in (("temperature", temperature, ours.temperature), ("top_p", top_p, ours.top_p)):
            if value is not None and value != fixed and not self._free:
                raise RolloutError(
                    f"this rollout samples with {name} {fixed:g}, not {value:g}",
                    where=f"trajectory {self.id}",
                    fix=f"pass the request's inferenceParams on, or leave {name} out",
                )
        return SamplingParams(
            ours.temperature if temperature is None else temperature,
            ours.top_p if top_p is None else top_p,
            min(ours.max_tokens, max_tokens or ours.max_tokens),
            tuple(self._renderer.get_stop_token_ids()),
        )

    async def _prompt(self, conversation: Conversation) -> _Prompt:
        tools = conversation.tools
        for sequence in list(self._forest.told_by(conversation)):
            tokens = sequence.tokens
            bridged = await self._bridged(sequence, conversation)
            # The renderer's word is not enough: what is trained on must be what was sampled.
            if bridged is not None and bridged[: len(tokens)] == tokens:
                return _Prompt(bridged)
        messages = list(conversation.messages)

        def whole() -> RenderedTokens:
            return self._renderer.render(messages, tools=tools or None, add_generation_prompt=True)

        told = await rendered(whole, messages, tools)
        return _Prompt(told.token_ids, told)

    async def _bridged(self, sequence: OpenSequence, conversation: Conversation) -> list[int] | None:
        before, sampled = sequence.tokens[: sequence.prompt_length], sequence.tokens[sequence.prompt_length :]
        new, tools = sequence.news(conversation), conversation.tools or None

        def bridge() -> RenderedTokens | None:
            return self._renderer.bridge_to_next_turn(before, sampled, new, tools=tools)

        bridged = await rendered(bridge, new, ())
        return None if bridged is None else bridged.token_ids

    @contextmanager
    def _rendering(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RenderError(f"cannot render the conversation: {error}", where=f"trajectory {self.id}") from error

    def _begun(self, sampled: SampledAnswer) -> tuple[OpenSequence, BreakCause | None, list[Message]]:
        """A sequence for an answer whose prompt continues none, why it does not, and its messages."""
        if not self._forest.sequences:
            return self._forest.begin(), None, list(sampled.conversation.messages)

        def retold(sequence: OpenSequence) -> BreakCause:
            return self._retold(sequence, sampled.prompt)

        cause, nearest = break_cause(sampled.conversation, self._forest.sequences, retold)
        begun = self._forest.begin(of_sub_agent=cause == "sub_agent" or nearest.of_sub_agent)
        return begun, cause, nearest.retold(sampled.conversation)

    def _retold(self, sequence: OpenSequence, prompt: _Prompt) -> BreakCause:
        """Why the renderer tells a sequence's conversation in other tokens: same words, or an answer told otherwise."""
        rendered = prompt.rendered
        if rendered is None:  # carried on as it is, and so did another request meanwhile
            return "parallel_branch"
        place = common_prefix(sequence.tokens, rendered.token_ids)
        differs = place < min(len(sequence.tokens), len(rendered.token_ids))
        message = rendered.message_indices[place if differs else -1]
        if message not in sequence.answers:
            return "template"
        start, end = sequence.answers[message]
        sampled_answer = self._renderer.parse_response(sequence.tokens[start:end], prompt_ids=sequence.tokens[:start])
        sampled = rendered.sampled_mask or [True] * len(rendered.token_ids)
        owners = zip(rendered.token_ids, rendered.message_indices, sampled, strict=True)
        again = self._renderer.parse_response([id for id, owner, own in owners if own and owner == message])
        same = (sampled_answer.content, sampled_answer.reasoning_content) == (again.content, again.reasoning_content)
        return "retokenization" if same else "template"
