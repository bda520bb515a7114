"""A live service is recorded once; from then on its recording answers."""

from typing import TYPE_CHECKING, Any

from practicum.environment.recording.callables import CallableSource
from practicum.environment.recording.command import record_command
from practicum.environment.recording.mcp_source import McpSource
from practicum.environment.recording.openapi_source import OpenApiSource
from practicum.environment.recording.recorder import Recorder, Saved
from practicum.environment.recording.recording import Answer, Recording
from practicum.environment.recording.redaction import Redactor
from practicum.environment.recording.replay import Answers, RecordedEnvironment
from practicum.environment.recording.rule import EMAILS, Rule
from practicum.environment.recording.source import Source

if TYPE_CHECKING:
    from practicum.environment.recording.secret_rules import DEFAULT_RULES

__all__ = [
    "DEFAULT_RULES",
    "EMAILS",
    "Answer",
    "Answers",
    "CallableSource",
    "McpSource",
    "OpenApiSource",
    "RecordedEnvironment",
    "Recorder",
    "Recording",
    "Redactor",
    "Rule",
    "Saved",
    "Source",
    "record_command",
]


def __getattr__(name: str) -> Any:
    """``DEFAULT_RULES``, when it is asked for: what replays a recording should not wait for patterns of secrets."""
    if name == "DEFAULT_RULES":
        from practicum.environment.recording.secret_rules import DEFAULT_RULES

        return DEFAULT_RULES
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
