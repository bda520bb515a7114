"""One trajectory's exact tokens.

Whoever talks to the model, our own agent loop or an HTTP client, talks to a ``Session``. It turns messages into
tokens once, keeps the sampled tokens as they were sampled, and appends what is new. That the next prompt really
extends the tokens so far is checked here, whatever the renderer says; where it does not, the turn starts a new
sequence and its cause is counted.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from renderers.base import ParsedToolCall, RenderedTokens, ToolCallParseStatus

from practicum.engine.protocol import Sample, Sampler, SamplingParams
from practicum.errors import RenderError, RolloutError
from practicum.trajectory import BreakCause, Message, StopReason, Turn, text_of

Tools = Sequence[Mapping[str, Any]]


class Renderer(Protocol):
    """What a session needs of a renderer (``renderers.base.Renderer``)."""

    def render(self, messages: Any, *, tools: Any = None, add_generation_prompt: bool = False) -> RenderedTokens:
        """A whole conversation's tokens."""
        ...

    def parse_response(self, token_ids: Any, *, tools: Any = None, prompt_ids: Any = None) -> Any:
        """Sampled tokens as text and tool calls."""
        ...

    def get_stop_token_ids(self) -> list[int]:
        """Tokens that end a turn."""
        ...

    def bridge_to_next_turn(
        self, previous_prompt_ids: Any, previous_completion_ids: Any, new_messages: Any, *, tools: Any = None
    ) -> RenderedTokens | None:
        """The next prompt, what was sampled kept as it is; None where that cannot be promised."""
        ...


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
    new_messages: tuple[Message, ...]
    extends: bool
    cause: BreakCause | None


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
        self._tokens: list[int] = []
        self._prompt_length = 0
        self._seen: list[Message] = []
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
        """Sample the next assistant message. Nothing is recorded unless sampling succeeds.

        Raises:
            ContextFull: the conversation leaves no room to sample.
            RenderError: it cannot be rendered.
        """
        tools = list(tools or ())
        prompt = self._prompt(list(messages), tools)
        params = self._params(temperature, top_p, max_tokens)
        began = time.perf_counter()
        sample = await self._sampler.sample(self.id, prompt.ids, params, self._seed)
        latency = time.perf_counter() - began
        message, finish_reason = self._parsed(sample, prompt.ids, tools)
        known = len(self._tokens) if prompt.extends else 0
        self._turns.append(
            Turn(
                messages=prompt.new_messages,
                response=message,
                context_ids=tuple(prompt.ids[known:]),
                action_ids=sample.token_ids,
                logprobs=sample.logprobs,
                versions=sample.versions,
                finish_reason=finish_reason,
                extends=prompt.extends,
                break_cause=prompt.cause,
                latency_s=latency,
            )
        )
        self._tokens = prompt.ids + list(sample.token_ids)
        self._prompt_length = len(prompt.ids)
        self._seen = [*messages, message]
        self.tools = tuple(tools)
        return ChatResult(message, finish_reason, len(prompt.ids), len(sample.token_ids))

    def release(self) -> None:
        """Free what the sampler caches for this session."""
        self._sampler.release(self.id)

    def _params(self, temperature: float | None, top_p: float | None, max_tokens: int | None) -> SamplingParams:
        ours = self.params
        for name, asked, fixed in (("temperature", temperature, ours.temperature), ("top_p", top_p, ours.top_p)):
            if asked is not None and asked != fixed and not self._free:
                raise RolloutError(
                    f"this rollout samples with {name} {fixed:g}, not {asked:g}",
                    where=f"trajectory {self.id}",
                    fix=f"pass the request's inferenceParams on, or leave {name} out",
                )
        return SamplingParams(
            ours.temperature if temperature is None else temperature,
            ours.top_p if top_p is None else top_p,
            min(ours.max_tokens, max_tokens or ours.max_tokens),
            tuple(self._renderer.get_stop_token_ids()),
        )

    def _prompt(self, messages: list[Message], tools: Tools) -> _Prompt:
        if not self._turns:
            return _Prompt(self._rendered(messages, tools), tuple(messages), extends=True, cause=None)
        known = len(self._seen)
        continues = len(messages) > known and _same(messages[:known], self._seen) and list(self.tools) == list(tools)
        if continues:
            new = messages[known:]
            bridged = self._bridged(new, tools)
            # The renderer's word is not enough: what is trained on must be what was sampled.
            if bridged is not None and bridged.token_ids[: len(self._tokens)] == self._tokens:
                return _Prompt(bridged.token_ids, tuple(new), extends=True, cause=None)
        ids = self._rendered(messages, tools)
        if continues and ids[: len(self._tokens)] == self._tokens:
            return _Prompt(ids, tuple(messages[known:]), extends=True, cause=None)
        cause = self._cause(messages, ids, continues=continues)
        return _Prompt(ids, tuple(messages), extends=False, cause=cause)

    def _cause(self, messages: list[Message], ids: list[int], *, continues: bool) -> BreakCause:
        if continues:
            # Same words in other tokens, or a template that changed what it says of earlier turns.
            rewritten = self._renderer.parse_response(ids[: len(self._tokens) + 8]).content
            said = self._renderer.parse_response(self._tokens).content
            return "retokenization" if rewritten.startswith(said) else "template"
        shared = sum(1 for _ in _shared(messages, self._seen))
        first_response = next(i for i, message in enumerate(self._seen) if message.get("role") == "assistant")
        if shared >= first_response and len(messages) <= len(self._seen):
            return "parallel_branch"
        return "rewritten_history"

    def _bridged(self, new: list[Message], tools: Tools) -> RenderedTokens | None:
        before, sampled = self._tokens[: self._prompt_length], self._tokens[self._prompt_length :]
        with self._rendering():
            return self._renderer.bridge_to_next_turn(before, sampled, new, tools=tools or None)

    def _rendered(self, messages: list[Message], tools: Tools) -> list[int]:
        with self._rendering():
            return self._renderer.render(messages, tools=tools or None, add_generation_prompt=True).token_ids

    @contextmanager
    def _rendering(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RenderError(f"cannot render the conversation: {error}", where=f"trajectory {self.id}") from error

    def _parsed(self, sample: Sample, prompt_ids: list[int], tools: Tools) -> tuple[Message, StopReason]:
        parsed = self._renderer.parse_response(list(sample.token_ids), tools=tools or None, prompt_ids=prompt_ids)
        message: Message = {"role": "assistant", "content": parsed.content}
        if parsed.reasoning_content:
            message["reasoning_content"] = parsed.reasoning_content
        # A name may be anything that was JSON in the sampled text; only a text names a tool.
        calls = [c for c in parsed.tool_calls if c.status == ToolCallParseStatus.OK and isinstance(c.name, str)]
        if calls:
            message["tool_calls"] = [self._call(call, number) for number, call in enumerate(calls)]
            return message, "tool_calls"
        return message, sample.finish_reason

    def _call(self, call: ParsedToolCall, number: int) -> dict[str, Any]:
        arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
        function = {"name": call.name, "arguments": arguments}
        return {"id": f"call_{len(self._turns)}_{number}", "type": "function", "function": function}


def _shared(a: Sequence[Message], b: Sequence[Message]) -> Any:
    """Leading pairs of messages that say the same."""
    for left, right in zip(a, b, strict=False):
        if _key(left) != _key(right):
            return
        yield left


def _same(a: Sequence[Message], b: Sequence[Message]) -> bool:
    return len(a) == len(b) and sum(1 for _ in _shared(a, b)) == len(a)


def _key(message: Message) -> str:
    """What must be equal for two messages to be the same: clients drop nulls and rewrite JSON spacing."""
    calls = [
        [call.get("id"), call["function"]["name"], _json(call["function"]["arguments"])]
        for call in message.get("tool_calls") or ()
    ]
    return json.dumps([message.get("role"), text_of(message), calls, message.get("tool_call_id")], sort_keys=True)


def _json(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
