"""What an OpenAI-compatible client sends to Chat Completions, checked and normalized; answers are in ``chat_answer``.

Nothing is silently ignored that would change what the policy samples: a parameter this server cannot honour
is refused by name (``UNSUPPORTED`` lists them with the values each may have), an unknown one is refused too.
What clients send to force the shape of tool calls is accepted and not enforced (``strict`` in a tool, ``tool_choice``
of "required" or of one function, ``parallel_tool_calls`` false): constrained decoding would hide from training what
the policy does on its own. ``seed`` is accepted too: which sample is drawn is the run's own seed to say. ``stop``
cuts the text that the client gets; the policy's whole answer stays in the record.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from practicum.digests import digest
from practicum.text import shortened
from practicum.trajectory import Message

MODEL = "default"
MAX_MESSAGES, MAX_TOOLS = 10_000, 1_000
MAX_ARGUMENT_VALUES = 200_000
"""Values in the arguments of all calls of a request: they are JSON within its texts, read to compare conversations."""

UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "audio": (None,),
    "best_of": (None, 1),
    "echo": (None, False),
    "frequency_penalty": (None, 0),
    "function_call": (None,),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "min_p": (None, 0),
    "min_tokens": (None, 0),
    "modalities": (None, ["text"]),
    "n": (None, 1),
    "prediction": (None,),
    "presence_penalty": (None, 0),
    "reasoning_effort": (None,),
    "repetition_penalty": (None, 1),
    "response_format": (None, {"type": "text"}),
    "top_k": (None, 0, -1),
    "top_logprobs": (None, 0),
    "verbosity": (None,),
    "web_search_options": (None,),
}
"""Sampling parameters that are not implemented, each with the values that mean "as if absent"."""

MENDS: Mapping[str, str] = {
    "best_of": "send one request for each sample",
    "logit_bias": "let the reward judge what should not be said",
    "logprobs": "the trajectory records the log-probability of every token",
    "n": "send one request for each sample: each is a turn of its own",
    "reasoning_effort": "say in the prompt how much to think",
    "response_format": "say the format in the prompt, or ask for it as the arguments of a tool",
    "top_logprobs": "the trajectory records the log-probability of every token",
}
"""What to do instead, where leaving a parameter out is not all that can be said."""

IDENTIFYING = frozenset(
    {"metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user"}
)
"""Parameters that tell a hosted service who calls; they never touch what is sampled."""


SAID_ELSEWHERE: Mapping[str, str] = {
    "audio": "send the words it holds as content",
    "function_call": "send it in tool_calls, and its result as a message of role tool",
    "partial": "leave it out: an answer always begins anew",
    "prefix": "leave it out: an answer always begins anew",
    "refusal": "send its words as content",
}
"""Fields of a message that say something to a model and would not be rendered, each with what to do instead."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Words(_Part):
    """A message. What other services note beside the words (annotations, ids, cache marks) is passed over."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_would_be_lost(cls, data: Any) -> Any:
        fields = data if isinstance(data, dict) else {}
        for name, fix in SAID_ELSEWHERE.items():
            if fields.get(name):
                raise ValueError(f"{name} of a message is not rendered, and the model would not see it: {fix}")
        return data


class TextBlock(_Part):
    """One content block. Only text is served."""

    type: Literal["text"]
    text: str


Blocks = Annotated[list[TextBlock], Field(fail_fast=True)]
Content = str | Blocks | None


class FunctionCall(_Part):
    """A called function; ``arguments`` is JSON text as the model wrote it."""

    name: str
    arguments: str


class CallOfTool(_Part):
    """One tool call in an assistant message."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class SystemMessage(_Words):
    """Instructions. ``developer`` is OpenAI's newer name of ``system`` and becomes it."""

    role: Literal["system", "developer"]
    content: str | Blocks
    name: str | None = None


class UserMessage(_Words):
    """What the user says."""

    role: Literal["user"]
    content: str | Blocks
    name: str | None = None


class AssistantMessage(_Words):
    """A former response, sent back as history."""

    role: Literal["assistant"]
    content: Content = None
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallOfTool] | None = None


class ToolMessage(_Words):
    """A tool's result."""

    role: Literal["tool"]
    content: str | Blocks
    tool_call_id: str
    name: str | None = None


def _require_few_values(messages: list[Any]) -> list[Any]:
    """Counted in the text, before anything parses it."""
    calls = (call for message in messages if isinstance(message, AssistantMessage) for call in message.tool_calls or ())
    texts = (call.function.arguments for call in calls)
    count = sum(sum(map(text.count, ("[", "{", ","))) for text in texts)
    if count > MAX_ARGUMENT_VALUES:
        raise ValueError(
            f"the calls' arguments have about {count:,} values, of at most {MAX_ARGUMENT_VALUES:,}; shorten the history"
        )
    return messages


AnyMessage = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


def _require_finite(value: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("a number is infinite or none (NaN, Infinity, 1e999): JSON has no such numbers") from None
    return value


FiniteObject = Annotated[dict[str, Any], AfterValidator(_require_finite)]
"""Any JSON object: Python also reads NaN and Infinity, which nothing behind could write as JSON again."""


class FunctionSchema(BaseModel):
    """A function the model may call; ``parameters`` is a JSON Schema."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=256)
    description: str | None = None
    parameters: FiniteObject | None = None
    strict: bool | None = None


class ToolSchema(BaseModel):
    """One entry of ``tools``."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["function"]
    function: FunctionSchema


class ChosenName(BaseModel):
    """The function that a client wants called."""

    name: str


class ChosenTool(BaseModel):
    """``tool_choice`` of one function: offered with the others, and not enforced."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["function"]
    function: ChosenName


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    model_config = ConfigDict(extra="forbid")
    include_usage: bool = False
    include_obfuscation: bool = False
    """Padding against traffic analysis: accepted, nothing to hide on the way to one's own agent."""


class ChatRequest(BaseModel):
    """Body of ``POST /v1/chat/completions``."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": False})
    messages: Annotated[list[AnyMessage], AfterValidator(_require_few_values)] = Field(
        min_length=1, max_length=MAX_MESSAGES
    )
    model: str = MODEL
    tools: Annotated[list[ToolSchema], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=64)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @model_validator(mode="after")
    def _refuse_what_cannot_be_honoured(self) -> "ChatRequest":
        for name, value in (self.model_extra or {}).items():
            if name in UNSUPPORTED:
                _refuse_unsupported(name, value)
            elif name not in IDENTIFYING:
                raise ValueError(f"unknown parameter {name!r}; remove it from the request")
        if isinstance(self.tool_choice, ChosenTool) and self.tool_choice.function.name not in self.tool_names:
            chosen = self.tool_choice.function.name
            raise ValueError(f"tool_choice names {chosen!r}, which is not among tools: {', '.join(self.tool_names)}")
        if self.stream_options and not self.stream:
            raise ValueError("stream_options is only allowed with stream=true")
        both = (self.max_tokens, self.max_completion_tokens)
        if None not in both and both[0] != both[1]:
            raise ValueError("max_tokens and max_completion_tokens contradict each other; send one of them")
        return self

    @property
    def tool_names(self) -> list[str]:
        """Names of the tools that are offered."""
        return [tool.function.name for tool in self.tools or ()]

    @property
    def stops(self) -> list[str]:
        """Texts at which the client wants an answer cut."""
        texts = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [text for text in texts if text]

    @property
    def streamed(self) -> bool:
        """Whether the answer goes out as server-sent events."""
        return bool(self.stream)

    @property
    def include_usage(self) -> bool:
        """Whether a streamed answer ends with token counts."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def token_limit(self) -> int | None:
        """Most tokens the client wants, under either of the parameter's two names."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def tool_schemas(self) -> list[dict[str, Any]] | None:
        """The tools as they were sent; None where there are none or none may be called."""
        if not self.tools or self.tool_choice == "none":
            return None
        return [tool.model_dump(exclude_unset=True) for tool in self.tools]

    def plain_messages(self) -> list[Message]:
        """Messages with content as one string (None stays None) and without empty fields."""
        return [_plain(message) for message in self.messages]

    @property
    def fingerprint(self) -> str:
        """Equal for two requests that ask for the same sampling, whoever asks and however the answer is to travel."""
        sampling = [self.temperature, self.top_p, self.token_limit, self.tool_choice == "none"]
        return digest([self.plain_messages(), self.tool_schemas, sampling])


def _refuse_unsupported(name: str, value: Any) -> None:
    neutral = UNSUPPORTED[name]
    if any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in neutral):
        return
    allowed = ", ".join(json.dumps(option) for option in neutral if option is not None)
    fix = f"leave it out{f' or send {allowed}' if allowed else ''}"
    instead = f"; {MENDS[name]}" if name in MENDS else ""
    raise ValueError(f"{name}={_short(value)} is not supported, and is not silently ignored: {fix}{instead}")


def _short(value: Any) -> str:
    return shortened(json.dumps(value, default=str), 80)


def _plain(message: AnyMessage) -> Message:
    plain: Message = {"role": "system" if message.role == "developer" else message.role}
    content = message.content
    plain["content"] = content if isinstance(content, str | None) else "".join(b.text for b in content)
    fields = message.model_dump(exclude={"role", "content"}, exclude_none=True)
    return plain | {key: value for key, value in fields.items() if value != []}
