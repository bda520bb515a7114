"""A renderer for ChatML models whose own template knows no tools (SmolLM2 and its like).

Plugs into the ``renderers`` package through its extension point. Every message is encoded piece by piece with
special tokens between, so a conversation's tokens never depend on what follows, and the bridge to the next turn
is exact: the sampled tokens stay as they are, new messages are appended.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from renderers.base import (
    ParsedResponse,
    RenderedTokens,
    extract_message_tool_names,
    reject_assistant_in_extension,
    trim_to_turn_close,
)
from renderers.configs import BaseRendererConfig

from practicum.rollout.calls import ToolFormat, call_text, parse_calls, tools_text
from practicum.rollout.chat_template import chatml_template
from practicum.trajectory import Message, common_prefix, text_of


class ChatMLConfig(BaseRendererConfig):
    """Settings of ``ChatMLRenderer``."""

    name: Literal["practicum_chatml"] = "practicum_chatml"
    tool_format: ToolFormat = "pythonic"

    _internal_fields: ClassVar[frozenset[str]] = frozenset({"tool_format"})


class _Tokens:
    """Token ids with the message each belongs to and whether the model would have sampled it."""

    def __init__(self, prior: Sequence[int] = ()) -> None:
        self.ids = list(prior)
        self.owner = [-1] * len(self.ids)
        self.sampled = [False] * len(self.ids)
        self.content = [False] * len(self.ids)

    def add(self, ids: Sequence[int], owner: int, *, sampled: bool = False, content: bool = False) -> None:
        self.ids += ids
        self.owner += [owner] * len(ids)
        self.sampled += [sampled] * len(ids)
        self.content += [content] * len(ids)

    def rendered(self, messages: Sequence[Message]) -> RenderedTokens:
        return RenderedTokens(
            token_ids=self.ids,
            message_indices=self.owner,
            sampled_mask=self.sampled,
            is_content=self.content,
            message_roles=[message.get("role", "") for message in messages],
            message_tool_names=extract_message_tool_names(list(messages)),
        )


class ChatMLRenderer:
    """Messages to tokens and back; see ``renderers.base.Renderer`` for the contract of each method."""

    config_class = ChatMLConfig

    def __init__(self, tokenizer: Any, config: ChatMLConfig | None = None) -> None:
        self._tokenizer = tokenizer
        self.config = config or ChatMLConfig()
        self._start = self._special("<|im_start|>")
        self._end = self._special("<|im_end|>")
        self._newline = self._encode("\n")

    @property
    def chat_template(self) -> str:
        """A Jinja template that writes the same text."""
        return chatml_template(self._style)

    @property
    def is_prefix_stable(self) -> bool:
        """Appending messages never changes the tokens before them."""
        return True

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
    ) -> RenderedTokens:
        """A whole conversation's tokens."""
        if not messages:
            raise ValueError("no messages to render")
        tokens = _Tokens()
        numbered = list(enumerate(messages))
        if tools or messages[0].get("role") == "system":
            told = text_of(messages[0]) if messages[0].get("role") == "system" else ""
            parts = [part for part in (told, tools_text(tools, self._style) if tools else "") if part]
            owner = 0 if messages[0].get("role") == "system" else -1
            self._message(tokens, "system", "\n".join(parts), owner)
            numbered = numbered[owner + 1 :]
        for number, message in numbered:
            self._any(tokens, message, number)
        if add_generation_prompt:
            self._open(tokens)
        return tokens.rendered(messages)

    def render_ids(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
    ) -> list[int]:
        """Token ids of ``render``."""
        return self.render(messages, tools=tools, add_generation_prompt=add_generation_prompt).token_ids

    def parse_response(
        self,
        token_ids: Sequence[int],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        prompt_ids: Sequence[int] | None = None,
    ) -> ParsedResponse:
        """Sampled tokens as text and tool calls."""
        del prompt_ids
        ids = list(token_ids)
        if ids and ids[-1] in self.get_stop_token_ids():
            ids.pop()
        text = self._tokenizer.decode(ids, skip_special_tokens=False)
        content, calls = parse_calls(text, tools or (), self._style)
        return ParsedResponse(content=content, tool_calls=calls)

    def get_stop_token_ids(self) -> list[int]:
        """Tokens that end a turn."""
        return [self._end]

    def bridge_to_next_turn(
        self,
        previous_prompt_ids: list[int],
        previous_completion_ids: list[int],
        new_messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> RenderedTokens | None:
        """The next prompt: everything so far, token for token, then the new messages."""
        if not previous_prompt_ids or not new_messages:
            return None
        if reject_assistant_in_extension(list(new_messages)):
            return None
        prior = trim_to_turn_close(
            previous_prompt_ids, previous_completion_ids, {self._end}, synthesize_close=self._end
        )
        tokens = _Tokens(prior or ())
        tokens.add(self._newline, -1)
        for number, message in enumerate(new_messages):
            self._any(tokens, message, number)
        self._open(tokens)
        return tokens.rendered(new_messages)

    @property
    def _style(self) -> ToolFormat:
        return self.config.tool_format

    def _any(self, tokens: _Tokens, message: Message, number: int) -> None:
        text = text_of(message)
        if message.get("tool_calls"):
            written = call_text(message["tool_calls"], self._style)
            text = f"{text}\n{written}" if text else written
        self._message(tokens, message["role"], text, number)

    def _message(self, tokens: _Tokens, role: str, text: str, owner: int) -> None:
        sampled = role == "assistant"
        head = self._encode(f"{role}\n")
        # Role and text as one, as a chat template's reader has them; what a model says begins after the newline.
        whole = [*head, *self._encode(text)] if sampled else self._encode(f"{role}\n{text}")
        begin = common_prefix(head, whole)
        tokens.add([self._start, *whole[:begin]], owner)
        tokens.add(whole[begin:], owner, sampled=sampled, content=True)
        tokens.add([self._end], owner, sampled=sampled, content=sampled)
        tokens.add(self._newline, owner)

    def _open(self, tokens: _Tokens) -> None:
        tokens.add([self._start, *self._encode("assistant\n")], -1)

    def _encode(self, text: str) -> list[int]:
        """Tokens of plain text: special tokens written out in it stay text, so data cannot forge a turn."""
        if not text:
            return []
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return ids

    def _special(self, token: str) -> int:
        number = self._tokenizer.convert_tokens_to_ids(token)
        if not isinstance(number, int) or number == self._tokenizer.unk_token_id:
            raise ValueError(f"the tokenizer has no token {token!r}; it is not a ChatML model")
        return number
