"""Two ways a model writes a tool call as text, and reading them back.

``pythonic``: a list of calls, ``[get_ticket(ticket_id="T123")]``, as Llama 3.2 and others write them, arguments by
name, since parsers of other servers refuse positional ones; few tokens.
``hermes``: ``<tool_call>{"name": …, "arguments": …}</tool_call>``, as Qwen and Hermes models write them.
Both are a matter between renderer and model: agents see OpenAI ``tool_calls`` either way.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from typing import Any, Literal

from renderers.base import ParsedToolCall, ToolCallParseStatus

from practicum.text import json_object

ToolFormat = Literal["pythonic", "hermes"]

MAX_CALL_TEXT = 8192
_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_SPACE = re.compile(r"\s*")


def tools_text(tools: Sequence[Mapping[str, Any]], style: ToolFormat) -> str:
    """What the system message says of the tools."""
    if style == "hermes":
        listed = "\n".join(json.dumps(_schema(tool), ensure_ascii=False) for tool in tools)
        return (
            f"Tools:\n<tools>\n{listed}\n</tools>\n"
            'Call one with <tool_call>{"name": NAME, "arguments": {…}}</tool_call>'
        )
    for name in (_function(tool)["name"] for tool in tools):
        if not _is_python_name(name):
            raise ValueError(
                f"the tool name {name!r} cannot be called: this model writes calls as Python does. Rename the tool, "
                f"such as {re.sub(r'[^A-Za-z0-9_]', '_', name)!r}"
            )
    lines = [_signature(tool) for tool in tools]
    return "Tools:\n" + "\n".join(lines) + '\nTo call one, reply only with [name(parameter="value")].'


def call_text(calls: Sequence[Mapping[str, Any]], style: ToolFormat) -> str:
    """An assistant message's ``tool_calls`` as the model would have written them."""
    pairs = [(call["function"]["name"], _arguments(call["function"]["arguments"])) for call in calls]
    if style == "hermes":
        blocks = [json.dumps({"name": name, "arguments": args}, ensure_ascii=False) for name, args in pairs]
        return "\n".join(f"<tool_call>\n{block}\n</tool_call>" for block in blocks)
    return "[" + ", ".join(f"{name}({_written(args)})" for name, args in pairs) + "]"


def parse_calls(text: str, tools: Sequence[Mapping[str, Any]], style: ToolFormat) -> tuple[str, list[ParsedToolCall]]:
    """Split sampled text into prose and calls; a malformed attempt is reported with its status."""
    if not tools:
        return text, []
    return parse_hermes(text) if style == "hermes" else _parse_pythonic(text, tools)


def parse_hermes(text: str) -> tuple[str, list[ParsedToolCall]]:
    """Calls between ``<tool_call>`` marks; the prose is all that is no call, a malformed attempt as it was written."""
    prose, calls, end = "", list[ParsedToolCall](), 0
    while (start := text.find(_OPEN, end)) != -1:
        prose += text[end:start]
        call, end = _hermes_call(text, start)
        calls.append(call)
        prose += "" if call.status == ToolCallParseStatus.OK else call.raw
    return (prose + text[end:]).strip(), calls


def _hermes_call(text: str, start: int) -> tuple[ParsedToolCall, int]:
    """The call whose opening mark stands at ``start``, and where it ends."""
    body, close = _hermes_body(text, start + len(_OPEN))
    if close is not None:
        end = close + len(_CLOSE)
        return _hermes_named(body, text[start:end]), end
    close = text.find(_CLOSE, start)
    if close == -1:
        return ParsedToolCall(text[start:].strip(), status=ToolCallParseStatus.UNCLOSED_BLOCK), len(text)
    end = close + len(_CLOSE)
    return ParsedToolCall(text[start:end], status=ToolCallParseStatus.INVALID_JSON), end


def _hermes_body(text: str, start: int) -> tuple[Any, int | None]:
    """The JSON at ``start`` and where the closing mark behind it stands, None where there are not both.

    JSON says where the call ends: a closing mark within one of its strings closes nothing.
    """
    try:
        body, end = json.JSONDecoder().raw_decode(text, _past_space(text, start))
    except (ValueError, RecursionError):
        return None, None
    close = _past_space(text, end)
    return body, close if text.startswith(_CLOSE, close) else None


def _hermes_named(body: Any, raw: str) -> ParsedToolCall:
    name = body.get("name") if isinstance(body, dict) else None
    arguments = body.get("arguments", {}) if isinstance(body, dict) else None
    if not isinstance(name, str):
        return ParsedToolCall(raw, status=ToolCallParseStatus.MISSING_NAME)
    if not isinstance(arguments, dict) or not portable(arguments):
        return ParsedToolCall(raw, name, status=ToolCallParseStatus.MALFORMED_STRUCTURE)
    return ParsedToolCall(raw, name, arguments)


def _past_space(text: str, start: int) -> int:
    space = _SPACE.match(text, start)
    return space.end() if space else start


def _parse_pythonic(text: str, tools: Sequence[Mapping[str, Any]]) -> tuple[str, list[ParsedToolCall]]:
    raw = text.strip()
    if not re.match(r"\[\s*[A-Za-z_]\w*\(", raw):
        return text, []
    malformed = [ParsedToolCall(raw, status=ToolCallParseStatus.MALFORMED_STRUCTURE)]
    if len(raw) > MAX_CALL_TEXT:
        return text, malformed
    try:
        listed = ast.parse(raw, mode="eval").body
        if not isinstance(listed, ast.List) or not listed.elts:
            return text, malformed
        return "", [_call(node, raw, tools) for node in listed.elts]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return text, malformed


def _call(node: ast.expr, raw: str, tools: Sequence[Mapping[str, Any]]) -> ParsedToolCall:
    """One call node; positional arguments take the schema's parameter names in order."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError("not a call of a plain name")
    names = _parameters(node.func.id, tools)
    values = [ast.literal_eval(argument) for argument in node.args]
    if len(values) > len(names):
        # Too many for the schema: numbered, so that the tool's own check tells the agent what is wrong.
        names = names + [f"argument_{i + 1}" for i in range(len(names), len(values))]
    arguments = dict(zip(names, values, strict=False))
    for keyword in node.keywords:
        value = ast.literal_eval(keyword.value)
        named = value if keyword.arg is None else {keyword.arg: value}
        odd = keyword.arg is None and not (isinstance(value, dict) and all(_unnameable(key) for key in value))
        if odd or named.keys() & arguments.keys():
            raise ValueError("a repeated argument, or something unpacked that could be named or is no argument")
        arguments |= named
    if not portable(arguments):
        raise ValueError("arguments that JSON cannot carry")
    return ParsedToolCall(raw, node.func.id, arguments)


def argument_object(arguments: Any) -> dict[str, Any] | None:
    """A call's arguments, JSON text or not; None where they are no JSON object."""
    value = json_object(arguments or "{}") if isinstance(arguments, str) else arguments
    return dict(value) if isinstance(value, Mapping) else None


def portable(arguments: Mapping[str, Any]) -> bool:
    """Whether arguments can travel as JSON in UTF-8: no set, bytes, infinity or half a surrogate pair."""
    try:
        json.dumps(arguments, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    inner: Mapping[str, Any] = tool.get("function", tool)
    return inner


def _schema(tool: Mapping[str, Any]) -> dict[str, Any]:
    """What a model is shown of a tool, in one order, whatever else a client or a server puts beside it."""
    function = _function(tool)
    more = {key: function[key] for key in ("description", "parameters") if function.get(key) is not None}
    return {"type": "function", "function": {"name": function["name"], **more}}


def _parameters(name: str, tools: Sequence[Mapping[str, Any]]) -> list[str]:
    for tool in tools:
        function = _function(tool)
        if function["name"] == name:
            return list((function.get("parameters") or {}).get("properties", {}))
    return []


def _signature(tool: Mapping[str, Any]) -> str:
    function = _function(tool)
    text = f"{function['name']}({', '.join(_parameters(function['name'], [tool]))})"
    description = " ".join((function.get("description") or "").split())
    return f"{text}: {description}" if description else text


def _arguments(arguments: Any) -> dict[str, Any]:
    read = argument_object(arguments)
    return {"arguments": arguments} if read is None else read


def _written(arguments: Mapping[str, Any]) -> str:
    """Arguments as Python literals, by name; those whose name Python does not take, in an unpacked dict at the end."""
    plain = {name: value for name, value in arguments.items() if not _unnameable(name)}
    parts = [f"{name}={_literal(value)}" for name, value in plain.items()]
    odd = [f"{_literal(name)}: {_literal(value)}" for name, value in arguments.items() if name not in plain]
    return ", ".join(parts + (["**{" + ", ".join(odd) + "}"] if odd else []))


def _unnameable(key: object) -> bool:
    """Whether it is an argument's name that Python does not take as a keyword."""
    return isinstance(key, str) and not _is_python_name(key)


def _is_python_name(name: str) -> bool:
    """Whether Python reads it as the same name: of other letters than ASCII's it normalizes some (NFKC)."""
    # A chat template, which cannot normalize, must come to the same answer.
    return name.isascii() and name.isidentifier() and not iskeyword(name)


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
