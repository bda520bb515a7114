"""Environments: tools and the state behind them, deterministic and seeded."""

from practicum.environment.base import Call, Environment, Oracle, ToolResult
from practicum.environment.fixtures import Fixture
from practicum.environment.tool import ToolError, tool

__all__ = ["Call", "Environment", "Fixture", "Oracle", "ToolError", "ToolResult", "tool"]
