"""What can be recorded: anything that has tools and answers calls."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from practicum.services.production import Tools
from practicum.services.redaction import SHORTEST


class Source(Protocol):
    """A live service, while it is recorded."""

    @property
    def name(self) -> str:
        """What it is, for the recording's file; without secrets."""
        ...

    @property
    def tools(self) -> Tools:
        """Its tools, with their schemas."""
        ...

    @property
    def secrets(self) -> Iterable[str]:
        """What lets us in, and must not stand in a recording even where the service repeats it."""
        ...

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """JSON data that a call returns.

        Raises:
            ToolError: the service says that the call failed; that is an answer, and recorded.
            EnvironmentFault: the service did not answer; that is none, and the recording stops.
        """
        ...

    def close(self) -> None:
        """Let go of the service. Safe to call twice."""
        ...


def header_secrets(headers: Mapping[str, str]) -> list[str]:
    """What of headers' values must not stand in a recording: all but the scheme before credentials."""
    found = []
    for value in headers.values():
        scheme, space, credentials = value.partition(" ")
        found.append(credentials if space and scheme.isalpha() else value)
    return [secret for secret in found if len(secret) >= SHORTEST]
