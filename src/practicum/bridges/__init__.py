"""Environments seen from outside (Gymnasium, MCP), and foreign ones seen as ours."""

from practicum.bridges.gym import as_gymnasium, register_gymnasium
from practicum.bridges.gym_foreign import GymnasiumEnvironment
from practicum.bridges.mcp_client import McpEnvironment
from practicum.bridges.mcp_server import mcp_app, serve_http, serve_stdio

__all__ = [
    "GymnasiumEnvironment",
    "McpEnvironment",
    "as_gymnasium",
    "mcp_app",
    "register_gymnasium",
    "serve_http",
    "serve_stdio",
]
