"""Choosing the renderer for a model: the package's own where it knows the family, ours for plain ChatML."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from renderers import create_renderer
from renderers.base import (
    MODEL_RENDERER_MAP,
    ParsedResponse,
    ParsedToolCall,
    RenderedTokens,
    ToolCallParseStatus,
)
from renderers.configs import CustomRendererConfig

from practicum.errors import ModelError
from practicum.rollout.calls import parse_hermes

CHATML = "practicum.rollout.chatml.ChatMLRenderer"

_OK = ToolCallParseStatus.OK


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


def make_renderer(tokenizer: Any, model_name: str, tool_format: str = "pythonic") -> Renderer:
    """The renderer of a model.

    Args:
        tokenizer: The model's tokenizer. Where the renderer is ours, its chat template becomes one that writes the
            same, so that whatever is saved with this tokenizer can be served as it was trained.
        model_name: As in the recipe; a hub name or a folder whose last parts are one (``…/Qwen/Qwen3-0.6B``) selects
            that family's renderer.
        tool_format: How a plain ChatML model writes its calls: ``pythonic`` or ``hermes``.

    Raises:
        ModelError: the family is unknown and the tokenizer has no ChatML tokens.
    """
    hub_name = "/".join(Path(model_name).parts[-2:])
    if hub_name in MODEL_RENDERER_MAP:
        tokenizer.name_or_path = hub_name
        return NativeRenderer(create_renderer(tokenizer), tokenizer)
    try:
        renderer = create_renderer(tokenizer, CustomRendererConfig(import_path=CHATML, tool_format=tool_format))
    except ValueError as error:
        raise ModelError(
            f"no renderer is known for the model {model_name!r}: {error}",
            allowed="families the renderers package knows (by hub name), or models with ChatML tokens",
            fix="keep the hub name as the last two parts of the model's folder, such as models/Qwen/Qwen3-0.6B",
        ) from error
    tokenizer.chat_template = renderer.chat_template
    return renderer


class NativeRenderer:
    """Passes all on to ``inner``, a ``renderers.base.Renderer``, and mends what it makes of tool calls.

    The ``renderers`` package reports a malformed call without the marks around it, cuts a call at a closing mark that
    stands within one of its strings, and may raise over nonsense. Here every attempt keeps the text that was sampled.
    """

    def __init__(self, inner: Any, tokenizer: Any) -> None:
        self._inner, self._tokenizer = inner, tokenizer

    @property
    def inner(self) -> Any:
        """The family's own renderer."""
        return self._inner

    @property
    def is_prefix_stable(self) -> bool:
        """Whether appending messages never changes the tokens before them, as far as the family says."""
        return bool(getattr(self._inner, "is_prefix_stable", False))

    def render(self, messages: Any, *, tools: Any = None, add_generation_prompt: bool = False) -> RenderedTokens:
        """See ``Renderer``."""
        rendered: RenderedTokens = self._inner.render(
            messages, tools=tools, add_generation_prompt=add_generation_prompt
        )
        return rendered

    def render_ids(self, messages: Any, *, tools: Any = None, add_generation_prompt: bool = False) -> list[int]:
        """Token ids of ``render``."""
        return self.render(messages, tools=tools, add_generation_prompt=add_generation_prompt).token_ids

    def bridge_to_next_turn(
        self, previous_prompt_ids: Any, previous_completion_ids: Any, new_messages: Any, *, tools: Any = None
    ) -> RenderedTokens | None:
        """See ``Renderer``."""
        bridged: RenderedTokens | None = self._inner.bridge_to_next_turn(
            previous_prompt_ids, previous_completion_ids, new_messages, tools=tools
        )
        return bridged

    def get_stop_token_ids(self) -> list[int]:
        """Tokens that end a turn."""
        return list(self._inner.get_stop_token_ids())

    def parse_response(
        self, token_ids: Sequence[int], *, tools: Any = None, prompt_ids: Sequence[int] | None = None
    ) -> ParsedResponse:
        """Sampled tokens as text and tool calls; ``raw`` of a call is its text with the marks around it."""
        ids = self._unstopped(token_ids)
        try:
            parsed: ParsedResponse = self._inner.parse_response(list(token_ids), tools=tools, prompt_ids=prompt_ids)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            text = self._text(ids)
            malformed = ParsedToolCall(text.strip(), status=ToolCallParseStatus.MALFORMED_STRUCTURE)
            return ParsedResponse(content=text.strip(), tool_calls=[malformed] if tools else [])
        calls = [self._marked(call, ids) for call in parsed.tool_calls]
        return replace(parsed, tool_calls=self._whole(calls, ids))

    def _marked(self, call: ParsedToolCall, ids: list[int]) -> ParsedToolCall:
        return call if call.token_span is None else replace(call, raw=self._text(ids[slice(*call.token_span)]).strip())

    def _whole(self, calls: list[ParsedToolCall], ids: list[int]) -> list[ParsedToolCall]:
        """The calls, those that a mark within a string cut read again as a whole."""
        bad = next((at for at, call in enumerate(calls) if call.status != _OK), None)
        span = None if bad is None else calls[bad].token_span
        if span is None:
            return calls
        _, read = parse_hermes(self._text(ids[span[0] :]))
        return [*calls[:bad], *read] if read and all(call.status == _OK for call in read) else calls

    def _unstopped(self, token_ids: Sequence[int]) -> list[int]:
        stops = set(self.get_stop_token_ids())
        end = next((at for at, token in enumerate(token_ids) if token in stops), len(token_ids))
        return list(token_ids[:end])

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False) if ids else ""
        return text
