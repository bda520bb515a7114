"""An MCP server written with the ``mcp`` package, that knows nothing of Practicum."""

from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ImageContent, TextContent
from pydantic import BaseModel, Field

server = MCPServer("notes")
notes: list[str] = []


class Note(BaseModel):
    number: int
    text: str


@server.tool()
def add(text: Annotated[str, Field(max_length=50)]) -> Note:
    """Keep a note."""
    if text == "secret":
        raise ToolError("no secrets here")
    notes.append(text)
    return Note(number=len(notes), text=text)


@server.tool(name="notes.all")
def every() -> list[str]:
    """All notes."""
    return notes


@server.tool(structured_output=False)
def picture() -> list[TextContent | ImageContent]:
    """A drawing."""
    return [TextContent(text="a dot"), ImageContent(data="AAAA", mime_type="image/png")]


if __name__ == "__main__":
    server.run()
