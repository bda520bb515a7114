"""What an MCP tool returns, as what one of our tools returns."""

from typing import Any

from practicum.environment.tool import ToolError


def value_of(result: Any) -> Any:
    """JSON data or text from a ``CallToolResult``.

    Structured content is taken where the server sends it; its text then only repeats it. Else the text of the
    content blocks; of what is no text (pictures, sound) only kind and size are said.

    Raises:
        ToolError: the result is marked as an error.
    """
    text = "\n".join(_text(block) for block in result.content)
    if result.is_error:
        raise ToolError(text or "the tool failed and did not say why")
    return text if result.structured_content is None else result.structured_content


def _text(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            return f"[{block.type}, {block.mime_type}, {_size(block.data)} bytes]"
        case "resource_link":
            return f"[resource {block.uri}]"
        case "resource":
            inner = block.resource
            blob = getattr(inner, "blob", None)
            return str(inner.text) if blob is None else f"[resource {inner.uri}, {_size(blob)} bytes]"
        case other:
            return f"[{other}]"


def _size(base64: str) -> int:
    return len(base64.rstrip("=")) * 3 // 4
