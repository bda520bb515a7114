"""A live service is recorded once; from then on its recording answers. And the tools that production publishes, read
from its schema file and written to one."""

from typing import TYPE_CHECKING, Any

from practicum.services.openapi_source import OpenApiSource
from practicum.services.production import (
    ProductionTool,
    document_of,
    load_production,
    production_of,
    write_production,
)
from practicum.services.recorded_environment import Answers, RecordedEnvironment
from practicum.services.recorder import Recorder, Saved
from practicum.services.recording import Answer, Recording
from practicum.services.redaction import Redactor, default_rules
from practicum.services.rule import EMAILS, Rule
from practicum.services.sources import CallableSource, McpSource, Source

if TYPE_CHECKING:
    from practicum.services.secret_rules import DEFAULT_RULES

__all__ = [
    "DEFAULT_RULES",
    "EMAILS",
    "Answer",
    "Answers",
    "CallableSource",
    "McpSource",
    "OpenApiSource",
    "ProductionTool",
    "RecordedEnvironment",
    "Recorder",
    "Recording",
    "Redactor",
    "Rule",
    "Saved",
    "Source",
    "default_rules",
    "document_of",
    "load_production",
    "production_of",
    "write_production",
]


def __getattr__(name: str) -> Any:
    """``DEFAULT_RULES``, when it is asked for: what replays a recording should not wait for patterns of secrets."""
    if name == "DEFAULT_RULES":
        from practicum.services.secret_rules import DEFAULT_RULES

        return DEFAULT_RULES
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
