"""Environments: tools and the state behind them, deterministic and seeded."""

from practicum.environment.base import Call, Environment, Oracle
from practicum.environment.calling import ToolResult, Transform
from practicum.environment.declared_state import persist, publish, read_only, reset
from practicum.environment.fixtures import Fixture
from practicum.environment.tool import ToolError, ToolSpec, tool

__all__ = [
    "Call",
    "Environment",
    "Fixture",
    "Oracle",
    "ToolError",
    "ToolResult",
    "ToolSpec",
    "Transform",
    "persist",
    "publish",
    "read_only",
    "reset",
    "tool",
]
