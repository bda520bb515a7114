"""Chat templates: what our own renderer writes, for programs that know only a tokenizer and its Jinja template.

``ChatMLRenderer`` is what training renders with; the template of its style renders the same text for Transformers,
vLLM and others, and a tokenizer makes the same tokens of it. A template is text, though, and tokens are not, so in two
cases it cannot be equal:

* Special tokens that somebody wrote out in a message (``<|im_end|>``) stay text in training, so that data cannot forge
  a turn; in a template's output they are what they spell.
* An assistant's earlier message that begins with white space, where the tokenizer would draw it to the newline before:
  in training a turn's first token was sampled after that newline.

Arguments of calls are objects in a template, as Transformers asks for and vLLM hands over, not JSON text.
"""

import keyword
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from practicum.rollout.calls import ToolFormat
from practicum.rollout.renderer import Renderer
from practicum.trajectory import Message, common_prefix

SHOWN = 60
"""Characters of either side that a difference shows."""

_TOOLS: tuple[Mapping[str, Any], ...] = (
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "one ticket of a desk",
            "parameters": {
                "type": "object",
                "properties": {"ticket": {"type": "string"}, "open": {"type": "boolean"}},
                "required": ["ticket"],
            },
        },
    },
)
_CALL: Mapping[str, Any] = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": {"ticket": "T1 “ü”", "open": True}},
}
_ASKED: tuple[Message, ...] = ({"role": "user", "content": "Whose is ticket T1?"},)
_CALLED: tuple[Message, ...] = (
    *_ASKED,
    {"role": "assistant", "content": "", "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "call_1", "name": "look_up", "content": '{"account": "A1"}'},
)
_ANSWERED: tuple[Message, ...] = (
    *_CALLED,
    {"role": "assistant", "content": "It is A1's."},
    {"role": "user", "content": "Thank you."},
)
_SYSTEM: Message = {"role": "system", "content": "Be brief."}
CONVERSATIONS: tuple[tuple[str, tuple[Message, ...], bool], ...] = (
    ("a first question", _ASKED, False),
    ("a first question under a system prompt", (_SYSTEM, *_ASKED), False),
    ("tools", _ASKED, True),
    ("tools under a system prompt", (_SYSTEM, *_ASKED), True),
    ("a tool's result", (_SYSTEM, *_CALLED), True),
    ("earlier turns", (_SYSTEM, *_ANSWERED), True),
)
"""Conversations to compare a template on: what is in each, its messages, whether with tools."""


def chatml_template(style: ToolFormat) -> str:
    """The Jinja chat template that writes what ``ChatMLRenderer`` renders in a style."""
    folder = resources.files("practicum.rollout") / "chat_templates"
    parts = [(folder / f"{name}.jinja").read_text(encoding="utf-8") for name in (style, "conversation")]
    return "".join(parts).replace("KEYWORDS", repr(keyword.kwlist)).rstrip("\n")


def template_difference(tokenizer: Any, renderer: Renderer) -> str:
    """Where a tokenizer's chat template writes something else than the renderer; empty where they are equal.

    Tokens are compared on ``CONVERSATIONS``.

    Args:
        tokenizer: With its chat template.
        renderer: What training renders with.
    """
    if not tokenizer.chat_template:
        return "the tokenizer has no chat template"
    for name, messages, with_tools in CONVERSATIONS:
        tools = list(_TOOLS) if with_tools else None
        ours = renderer.render([*messages], tools=tools, add_generation_prompt=True).token_ids
        try:
            theirs = tokenizer.apply_chat_template([*messages], tools=tools, add_generation_prompt=True)["input_ids"]
        except Exception as error:  # templates raise what they like
            return f"{name}: the template refuses it: {error}"
        if list(theirs) != list(ours):
            return f"{name}: {_apart(tokenizer, ours, theirs)}"
    return ""


def _apart(tokenizer: Any, ours: Sequence[int], theirs: Sequence[int]) -> str:
    start = common_prefix(list(ours), list(theirs))
    trained, template = (repr(tokenizer.decode(ids[start:])[:SHOWN]) for ids in (ours, theirs))
    return f"training wrote {trained}, the template writes {template}"
